"""``tvseg view`` as a user calls it."""

import os
from pathlib import Path

import pytest

from tests.cli.test_cli import one_line, tvseg
from tests.inference.gallery.test_gallery import describe
from tests.inference.predicted import draw_fields, run


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """Predictions of two photographs."""
    (tmp_path / "in").mkdir()
    run(draw_fields(tmp_path / "in", 2), tmp_path / "out")
    describe(tmp_path / "out", ["mask"])
    return tmp_path


def test_the_page_lies_in_the_folder_or_where_it_is_wanted(workplace: Path) -> None:
    made = tvseg("view", "out", cwd=workplace)
    assert made.exit_code == 0, made.stderr
    assert made.stdout == "2 photographs: out/index.html\n"
    again = tvseg("view", "out", "--out", "new/look.html", cwd=workplace)
    assert again.exit_code == 0, again.stderr
    assert (workplace / "new" / "look.html").read_bytes() == (
        workplace / "out" / "index.html"
    ).read_bytes()


def test_what_cannot_be_shown_is_told(workplace: Path) -> None:
    none = tvseg("view", "in", cwd=workplace)
    assert none.exit_code == 1
    assert "must be a folder that tvseg predict has written" in one_line(none)
    (workplace / "out" / "masks" / "00.png").unlink()
    part = tvseg("view", "out", cwd=workplace)
    assert part.exit_code == 3
    assert "masks/00.png: No such file" in part.stderr
    assert one_line(part) == "1 are listed without their pictures"
    assert (workplace / "out" / "index.html").is_file()


def test_names_that_are_no_text_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    draw_fields(folder, 2)
    run(folder, folder / "out")
    describe(folder / "out", ["mask"])
    made = tvseg("view", folder / "out", "--out", "page.html", cwd=tmp_path)
    assert made.exit_code == 0, made.stderr
    assert (tmp_path / "page.html").read_text("utf-8").count("data:image/jpeg") >= 2
