"""A disk that is full or cannot be written ends training in one line; the last checkpoint stays."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tvseg.cli import cli
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network

NAME = "depthwise-holdout-A-seed0"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = _mount(folder, "size=8m")
    if done.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(folder: Path, options: str) -> subprocess.CompletedProcess[str]:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _train(root: Path, runs: Path, *words: str) -> Result:
    """Train for two epochs; a checkpoint has 74 MB, the weights alone 25."""
    tiny = ["encoder_weights=none", "image_size=64", "precision=fp32", "aspp=depthwise",
            "train.epochs=2", "train.steps_per_epoch=1", "train.images_per_centre=1"]  # fmt: skip
    given = ["--holdout", "A", "--data", str(root), "--out", str(runs), "--device", "cpu"]
    return CliRunner().invoke(cli, ["-q", "train", *given, *tiny, *words])


def _refused(result: Result, reason: str) -> None:
    assert result.exit_code == 1
    assert reason in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "rror" in line)
    assert line.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_full_disk_keeps_the_last_checkpoint(disk: Path, phantoms: Path) -> None:
    _refused(_train(phantoms, disk), "No space left on device")
    assert not list(disk.rglob(".tvseg-*"))
    _mount(disk, "remount,size=130m")
    _refused(_train(phantoms, disk, "--resume"), "last.pt: No space left on device")
    run = RunFolder(disk / NAME)
    assert load_network(run.last)[1].epoch == 1
    assert not list(disk.rglob(".tvseg-*"))
    _mount(disk, "remount,size=300m")
    assert _train(phantoms, disk, "--resume").exit_code == 0
    assert run.is_finished()


@pytest.mark.parametrize("again", [(), ("--resume",), ("--overwrite",)])
def test_a_disk_that_was_full_at_the_beginning_leaves_the_folder_usable(
    again: tuple[str, ...], disk: Path, phantoms: Path
) -> None:
    with pytest.raises(OSError, match="No space left"):
        (disk / "filler").write_bytes(bytes(2**24))
    _refused(_train(phantoms, disk), "No space left on device")
    assert {path.name for path in (disk / NAME).iterdir()} <= {".lock", "train.log"}
    (disk / "filler").unlink()
    _mount(disk, "remount,size=300m")
    assert _train(phantoms, disk, *again, "train.epochs=1").exit_code == 0


def test_a_folder_that_cannot_be_written_is_named(disk: Path, phantoms: Path) -> None:
    _mount(disk, "remount,ro")
    _refused(_train(phantoms, disk), f"{disk / NAME}: Read-only file system")
