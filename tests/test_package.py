"""What is installed with the package, and with each of its extras."""

import ast
import configparser
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tvseg.extras import EXTRAS

PROJECT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(PROJECT / "setup.cfg")
DISTRIBUTIONS = packages_distributions()


def _requirements(text: str) -> dict[str, Requirement]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {canonicalize_name((found := Requirement(line)).name): found for line in lines}


BASE = _requirements(SETUP["options"]["install_requires"])
OF_EXTRAS = {
    extra: _requirements(lines) for extra, lines in SETUP["options.extras_require"].items()
}


def _imported_packages() -> set[str]:
    names = set()
    for path in (PROJECT / "tvseg").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    with_others = {"triton", "llvmlite", "napari"}  # with torch for CUDA, with numba; runs us
    return names - set(sys.stdlib_module_names) - with_others - {"tvseg"}


@pytest.mark.parametrize("module", sorted(_imported_packages()))
def test_every_import_is_required(module: str) -> None:
    required = OF_EXTRAS[EXTRAS[module]] if module in EXTRAS else BASE
    assert {canonicalize_name(name) for name in DISTRIBUTIONS[module]} & required.keys()


@pytest.mark.parametrize(("module", "extra"), EXTRAS.items())
def test_extras_install_their_packages(module: str, extra: str) -> None:
    if module == "mlflow" and module not in DISTRIBUTIONS:
        pytest.skip("mlflow is too large for the extra test")
    assert {canonicalize_name(name) for name in DISTRIBUTIONS[module]} & OF_EXTRAS[extra].keys()
    assert module not in DISTRIBUTIONS or not set(DISTRIBUTIONS[module]) & BASE.keys()


def test_the_known_good_versions_satisfy_every_requirement() -> None:
    pinned = _requirements((PROJECT / "requirements" / "constraints.txt").read_text())
    required = [item for group in (BASE, *OF_EXTRAS.values()) for item in group.items()]
    assert len(required) > 30
    for name, requirement in required:
        if name != "tvseg":
            assert name in pinned, f"{name} must be in requirements/constraints.txt"
            (pin,) = pinned[name].specifier
            assert pin.operator == "=="
            assert requirement.specifier.contains(pin.version), requirement


WITHOUT_EXTRAS = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec


def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in EXTRAS else find(name, path, target)


from tvseg.cli import cli
from tvseg.extras import EXTRAS

PathFinder.find_spec = find_spec
"""
TWO_COMMANDS = """
for words in (["train", "--holdout=A", "--data=."], ["report", ".", "--out=out"]):
    try:
        cli(words)
    except SystemExit as end:
        assert end.code == 1
"""


def test_a_missing_extra_is_one_line() -> None:
    code = WITHOUT_EXTRAS + TWO_COMMANDS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        'Error: the package ignite is not installed: run pip install "tvseg[train]"',
        'Error: the package matplotlib is not installed: run pip install "tvseg[report]"',
    ]
