import os
import shutil
from pathlib import Path

import pytest

from tvseg.data.file_digests import Digests, digest_files, read_digests, stamp_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "Domain1").mkdir(parents=True)
    (tmp_path / "data" / "Domain1" / "x.png").write_bytes(b"x")
    return tmp_path / "data"


def stamp(data: Path, known: Digests | None = None) -> str:
    return stamp_of(digest_files(data, known or {}))


def test_hidden_files_are_no_data(data: Path) -> None:
    before = stamp(data)
    (data / ".cache").mkdir()
    (data / ".cache" / "z").write_bytes(b"z")
    assert stamp(data) == before
    (data / "Domain1" / "x.png").write_bytes(b"other")
    assert stamp(data) != before


def test_a_copy_is_the_same_data_and_a_linked_folder_is_data(data: Path, tmp_path: Path) -> None:
    file, copy = data / "Domain1" / "x.png", tmp_path / "copy"
    before = digest_files(data, {})
    shutil.copytree(data, copy)
    os.utime(copy / "Domain1" / "x.png", (1, 1))
    assert stamp(copy, before) == stamp_of(before)
    os.utime(file, (1, 1))
    file.write_bytes(b"y")  # of the same size
    assert stamp(data, before) != stamp_of(before)
    (copy / "Domain2").symlink_to(data / "Domain1")
    (copy / "Domain1" / "round").symlink_to(copy)
    linked = stamp(copy)
    file.write_bytes(b"z")
    assert stamp(copy) != linked


def test_files_that_did_not_change_are_not_read_again(data: Path) -> None:
    known = {name: (size, time, "kept") for name, (size, time, _) in digest_files(data, {}).items()}
    assert digest_files(data, known) == known


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [1, 2]}', '{"a": ["x", 1, "b"]}'])
def test_damaged_digests_count_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "data-digests.json").write_text(content)
    assert read_digests(tmp_path / "data-digests.json") == {}
    assert read_digests(tmp_path / "nowhere.json") == {}
