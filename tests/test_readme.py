import re
from pathlib import Path

import pytest

from tests.documents import PROJECT, blocks, commands, parse
from tests.test_package import BASE, SETUP

README = PROJECT / "README.md"


def test_commands_and_snippets_are_run_by_a_page() -> None:
    page = PROJECT / "docs/start/outline-a-folder.md"  # by test_docs.py
    words = commands(README, "bash")
    assert {"train", "predict", "view"} <= {command[0] for command in words}
    assert not [command for command in words if command not in commands(page, "bash")]
    (snippet,) = blocks(README, "python")
    assert [snippet] == blocks(page, "python")


def test_commands_on_real_data_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DATA").mkdir()
    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    found = commands(README, "sh")
    assert [words[0] for words in found] == ["sweep", "sweep"]
    for words in found:
        parse(words)


def test_badges_say_what_setup_cfg_says() -> None:
    for name, version in (
        ("python", SETUP["options"]["python_requires"]),
        ("torch", str(BASE["torch"].specifier)),
        ("licence", SETUP["metadata"]["license"]),
    ):
        label = f"{name}: {version.removeprefix('>=')}{'+' if '>=' in version else ''}"
        assert f'aria-label="{label}"' in (PROJECT / "docs" / "badges" / f"{name}.svg").read_text()


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)h][^)]*)\)", README.read_text()))
def test_linked_files_exist(path: str) -> None:
    assert (PROJECT / path).is_file()
