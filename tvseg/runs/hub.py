"""Folders that the Hugging Face hub keeps: their files, and how they get here."""

import re
from pathlib import Path

from tvseg.errors import UserError

WEIGHTS = "model.safetensors"
"""Checkpoint of a run in its exported folder, in place of ``checkpoints/best.safetensors``."""

HUB_TIMEOUT_S = 5

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = [WEIGHTS, "localizer.safetensors", "config.yaml", "run.json", "config.json", "README.md"]


def local_copy(model: str | Path) -> Path:
    """Return the folder or file that a model is read from.

    Args:
        model: A path, or the id ``ORGANISATION/NAME`` of a repository on the hub. A copy in the
            hub's cache is taken as it is (``hf download ID`` renews it), so that it works offline.

    Raises:
        UserError: Neither a path nor a repository that can be fetched.
    """
    path, name = Path(model), Path(model).as_posix()
    if path.exists() or not _ID.fullmatch(name):
        return path
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, snapshot_download

    try:
        cached = Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
        if (cached / WEIGHTS).is_file():
            return cached
    except Exception:  # not cached: to be fetched
        pass
    try:
        get_hf_file_metadata(hf_hub_url(name, WEIGHTS), timeout=HUB_TIMEOUT_S)  # fail at once
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except Exception as error:  # no network, no such repository, no permission
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"model must be a run folder, a checkpoint file or a repository of the hub; {name} is "
            f"no file, and the hub does not give it ({type(error).__name__}: {reason}); on a "
            f"machine that reaches the hub, run 'hf download {name}'"
        ) from error
