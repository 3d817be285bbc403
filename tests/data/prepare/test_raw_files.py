import zipfile
from pathlib import Path

import pytest

from tvseg.data.prepare.raw_files import gather


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_folders_and_archives_within_archives_are_one_tree(tmp_path: Path) -> None:
    source = tmp_path / "download"
    (source / "b").mkdir(parents=True)
    (source / "b" / "2.txt").write_bytes(b"two")
    inner = write_zip(tmp_path / "inner.zip", {"x/3.txt": b"three"}).read_bytes()
    write_zip(source / "a.ZIP", {"1.txt": b"one", "in.zip": inner})
    files = gather([source], tmp_path / "unpacked")
    assert {file.name: file.path.read_bytes() for file in files} == {
        "download/a.ZIP/1.txt": b"one",
        "download/a.ZIP/in.zip/x/3.txt": b"three",
        "download/b/2.txt": b"two",
    }


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    members = {"1.png": b"1", "__MACOSX/._1.png": b"x", ".DS_Store": b"x", "b/Thumbs.db": b"x"}
    archive = write_zip(tmp_path / "a.zip", members)
    assert [file.name for file in gather([archive], tmp_path / "unpacked")] == ["a.zip/1.png"]


def test_an_empty_archive_has_no_files(tmp_path: Path) -> None:
    assert gather([write_zip(tmp_path / "a.zip", {})], tmp_path / "unpacked") == []


def test_members_stay_in_the_folder(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"../../out.txt": b"x"})
    (file,) = gather([archive], tmp_path / "deep" / "unpacked")
    assert file.path.is_relative_to(tmp_path / "deep" / "unpacked")


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        gather([tmp_path / "gone"], tmp_path / "unpacked")
