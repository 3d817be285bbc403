import re
import shlex
from pathlib import Path

import click
import pytest

from tvseg.cli import cli
from tvseg.config import load_settings

README = (Path(__file__).parents[1] / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _commands() -> list[str]:
    lines = "\n".join(_blocks("bash")).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("tvseg ")]


def test_python_examples_run() -> None:
    (example,) = _blocks("python")
    names: dict[str, object] = {}
    exec(example, names)  # the README's own text
    assert names["logits"].shape == (1, 2, 256, 256)  # type: ignore[attr-defined]
    assert names["features"].shape == (8, 32, 14, 14)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", _commands())
def test_commands_parse(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)[1:]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/tvconv-holdout-A-seed0").mkdir(parents=True)
    (tmp_path / "DATA").mkdir()
    subcommand: click.Command = cli
    while isinstance(subcommand, click.Group):
        name = words.pop(0)
        found = subcommand.get_command(click.Context(subcommand), name)
        assert found is not None, name
        subcommand = found
    subcommand.make_context(subcommand.name, words)


def test_there_are_commands_to_parse() -> None:
    assert {"train", "eval", "predict"} <= {command.split()[1] for command in _commands()}


def test_yaml_examples_load(tmp_path: Path) -> None:
    (example,) = _blocks("yaml")
    (tmp_path / "example.yaml").write_text(example)
    assert list(load_settings(tmp_path / "example.yaml").centres) == ["A", "E"]


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)h][^)]*)\)", README))
def test_linked_files_exist(path: str) -> None:
    assert (Path(__file__).parents[1] / path).is_file()
