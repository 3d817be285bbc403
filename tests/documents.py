"""Code blocks of Markdown pages, and a way to run the commands in them."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.conftest import give_memory_back
from tvseg.cli import cli

PROJECT = Path(__file__).parents[1]
TINY = ["encoder_weights=none", "image_size=64", "train.epochs=1", "train.steps_per_epoch=1",
        "train.images_per_centre=2"]  # fmt: skip


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE
    )


def commands(page: Path, language: str) -> list[list[str]]:
    """Words of the tvseg commands in a page's blocks, the program's name left out."""
    lines = "".join(blocks(page, language)).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("tvseg ")]


def parse(words: list[str]) -> None:
    """Parse a command without running it; click raises UsageError for a wrong one."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"no command {name}"
        command = found
    command.make_context(command.name, rest)


def run(words: list[str]) -> None:
    """Run a command in this process; trainings are cut short and photographs small."""
    short = {
        "train": TINY,
        "train-localizer": ["--steps", "2"],
        "data synth": ["--per-centre", "4", "--size", "96"],
    }
    extra = short.get(words[0], short.get(" ".join(words[:2]), []))
    result = CliRunner().invoke(cli, [*words, *extra])
    give_memory_back()
    if result.exit_code:
        pytest.fail(f"tvseg {shlex.join(words)}: exit code {result.exit_code}\n{result.output}")
