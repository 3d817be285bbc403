"""The pages of docs/: their commands and snippets run, their messages exist."""

import ast
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import every_disc_counts_as_found
from tests.documents import PROJECT, blocks, commands, parse, run
from tvseg.localizer import train as localizer

DOCS = PROJECT / "docs"
PAGES = {
    str(page.relative_to(DOCS)): page
    for page in sorted(DOCS.rglob("*.md"))
    if "_build" not in page.parts
    and page.name not in ("evaluation.md", "own-centre.md", "prepare.md")
}

LONG = {"start/reproduce-table-2.md", "how-to/sweeps.md", "how-to/export.md", "how-to/figures.md"}

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


def _pages_with(language: str) -> list[str]:
    return [name for name, page in PAGES.items() if blocks(page, language)]


def _slow(name: str) -> Any:
    """A page as a parameter, in the slow tier where its commands take long."""
    return pytest.param(name, marks=pytest.mark.slow) if name in LONG else name


def _write_files(page: Path, folder: Path) -> None:
    """Write the page's YAML files, whose first lines are comments with their names."""
    for text in blocks(page, "yaml"):
        (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)


@pytest.mark.parametrize("name", [_slow(name) for name in _pages_with("bash")])
def test_commands_run(
    name: str, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for path in (phantoms / "FullField" / "image").iterdir():  # readers have no phantoms
        shutil.copy(path, tmp_path / "photos" / path.name.replace("phantom", "IMG"))
    _write_files(PAGES[name], tmp_path)
    every_disc_counts_as_found(monkeypatch)
    plan = partial(
        localizer.LocalizerPlan, images_per_centre=1, retinas=2, calibration_steps=4, image_size=64
    )
    monkeypatch.setattr(localizer, "LocalizerPlan", plan)
    for words in commands(PAGES[name], "bash"):
        run(words)
    exec("".join(blocks(PAGES[name], "python")), {})  # the page's own text


@pytest.mark.parametrize("name", sorted({*_pages_with("python")} - {*_pages_with("bash")}))
def test_snippets_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec("".join(blocks(PAGES[name], "python")), {})  # the page's own text


@pytest.mark.parametrize("name", _pages_with("sh"))
def test_commands_that_need_downloads_parse(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    for folder in ("data", "runs", *re.findall(r"sweeps/[\w/-]+|DATA", PAGES[name].read_text())):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for words in commands(PAGES[name], "sh"):
        parse(words)


@pytest.mark.parametrize("name", sorted(LONG))
def test_commands_of_long_pages_parse(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in re.findall(r"\b(?:runs/[\w-]+|photos|data)\b", PAGES[name].read_text()):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
    _write_files(PAGES[name], tmp_path)
    for words in commands(PAGES[name], "bash"):
        parse(words)


def test_there_are_pages_of_every_kind() -> None:
    assert len(_pages_with("bash")) >= 5
    assert _pages_with("python")
    assert _pages_with("sh")


def _messages() -> str:
    texts = []
    for path in (PROJECT / "tvseg").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_quoted_messages_exist() -> None:
    text = PAGES["troubleshooting.md"].read_text()
    quoted = re.findall(r"^`([^`]+)`[^\n]*\n: ", text, flags=re.MULTILINE)
    assert len(quoted) >= 8
    messages = _messages()
    assert not [message for message in quoted if message not in messages]
