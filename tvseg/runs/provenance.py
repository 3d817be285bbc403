"""The versions and the machine that a run was made with."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tvseg

PACKAGES = (
    "torch",
    "torchvision",
    "monai",
    "segmentation-models-pytorch",
    "albumentations",
    "numba",
    "numpy",
    "onnxruntime",
    "pytorch-ignite",
    "safetensors",
    "scipy",
    "timm",
)
"""Packages that results depend on."""


def provenance(command: str, device: str) -> dict[str, Any]:
    """Return what ``run.json`` says of the versions, the machine and the command."""
    return {
        "tvseg": tvseg.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "machine": f"{platform.system()} {platform.machine()}",
        "device": device,
        "command": command,
        "started": now(),
    }


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # of an extra that is not installed
        return None


def _commit() -> str | None:
    """Return the commit of the checkout that the package runs from; None if it is installed."""
    here = Path(__file__).parent
    try:
        tracked = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(tracked, capture_output=True, timeout=5, check=True)
        asked = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
