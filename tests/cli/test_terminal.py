"""Terminals and pipes that are not UTF-8, or closed; empty arguments."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tvseg.cli import cli


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Folders P and T of one mask each, of a name that no encoding has."""
    labels = np.full((40, 40), 255, np.uint8)
    labels[10:30, 10:30] = 128
    labels[15:25, 15:25] = 0
    for folder in "PT":
        (tmp_path / folder).mkdir()
        Image.fromarray(labels).save(tmp_path / folder / "0.png")
    return tmp_path


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_tables_are_printed_in_any_encoding(masks: Path, encoding: str) -> None:
    words = ["eval", "--predictions", str(masks / "P"), "--truth", str(masks / "T")]
    done = CliRunner(charset=encoding).invoke(cli, words)
    assert done.exit_code == 0, done.stderr
    assert "100.00" in done.stdout
    assert ("DSC [%] (higher is better)" in done.stdout) == (encoding != "utf-8")


def test_names_that_no_encoding_has_are_printed(masks: Path) -> None:
    (masks / "P" / "0.png").rename(masks / "P" / os.fsdecode(b"M\xfcller.png"))
    done = CliRunner().invoke(
        cli, ["eval", "--predictions", str(masks / "P"), "--truth", str(masks / "T")]
    )
    assert done.exit_code == 1
    assert "M\\udcfcller: no file of this name" in done.stderr


def test_control_characters_of_names_are_escaped(masks: Path) -> None:
    (masks / "P" / "0.png").rename(masks / "P" / "a\x1b[2J\nb\u202e.png")
    folders = ["--predictions", str(masks / "P"), "--truth", str(masks / "T")]
    done = CliRunner().invoke(cli, ["eval", *folders])
    assert r"a\x1b[2J\nb\u202e: no file of this name" in done.stderr
    (masks / "x\x1b.yaml").write_text("{")
    done = CliRunner().invoke(
        cli, ["data", "check", str(masks), "--config", str(masks / "x\x1b.yaml")]
    )
    assert r"x\x1b.yaml: cannot be read as YAML" in done.stderr


def test_a_closed_stderr_hides_messages_only(masks: Path) -> None:
    command = f"{sys.executable} -m tvseg eval --predictions P --truth T 2>&-"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, cwd=masks, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0
    text = done.stdout.decode("ascii")
    assert "100.00" in text
    assert "DSC [%] (higher is better)" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eval", "--data", ""], "an argument is empty"),
        (["eval", "--data="], "--data is empty"),
        (["predict", "", "--model", "x", "--out", "y"], "an argument is empty"),
        (["eval", "--predictions", "P", "--truth", "T", "--out", ""], "an argument is empty"),
    ],
)
def test_empty_arguments_are_wrong_usage(arguments: list[str], words: str) -> None:
    """A variable that is not set would else mean the current folder."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert words in done.stderr
