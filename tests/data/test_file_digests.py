import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tvseg.data.file_digests import FolderDigests, digest_files, read_digests

NONE = FolderDigests()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "Domain1").mkdir(parents=True)
    (tmp_path / "data" / "Domain1" / "x.png").write_bytes(b"x")
    return tmp_path / "data"


def stamp(data: Path, known: FolderDigests = NONE) -> str:
    return digest_files(data, known).stamp


def test_hidden_files_are_no_data(data: Path) -> None:
    before = stamp(data)
    (data / ".cache").mkdir()
    (data / ".cache" / "z").write_bytes(b"z")
    assert stamp(data) == before
    (data / "Domain1" / "x.png").write_bytes(b"other")
    assert stamp(data) != before


def test_a_copy_is_the_same_data(data: Path, tmp_path: Path) -> None:
    file, copy = data / "Domain1" / "x.png", tmp_path / "copy"
    before = digest_files(data, NONE)
    shutil.copytree(data, copy)
    os.utime(copy / "Domain1" / "x.png", (1, 1))
    assert stamp(copy, before) == before.stamp
    times = file.stat().st_mtime_ns
    file.write_bytes(b"y")
    os.utime(file, ns=(times, times))
    assert stamp(data, before) != before.stamp


def test_other_data_of_the_same_names_sizes_and_times_are_read(data: Path, tmp_path: Path) -> None:
    before = digest_files(data, NONE)
    other = Path(shutil.copytree(data, tmp_path / "other"))
    (other / "Domain1" / "x.png").write_bytes(b"y")
    name, (size, mtime, _, _) = "Domain1/x.png", before.files["Domain1/x.png"]
    os.utime(other / name, ns=(mtime, mtime))
    status = (other / name).stat()
    of_data = FolderDigests(before.root, {name: (size, mtime, status.st_ctime_ns, "of data")})
    assert stamp(other, of_data) != of_data.stamp


def test_folders_that_are_linked_from_elsewhere_count_as_what_they_hold(
    data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "y.png").write_bytes(b"y")
    (other / "round").symlink_to(other)
    (data / "Domain2").symlink_to(other)
    found = digest_files(data, NONE)
    assert list(found.files) == ["Domain1/x.png", "Domain2/y.png"]
    (other / "round").unlink()
    shutil.copytree(data, tmp_path / "copy")
    assert not (tmp_path / "copy" / "Domain2").is_symlink()
    assert stamp(tmp_path / "copy") == found.stamp


def test_links_within_the_data_count_as_links(data: Path, tmp_path: Path) -> None:
    (data / "Domain2").mkdir()
    for one, other in (("Domain1", "Domain2"), ("Domain2", "Domain1")):
        (data / one / "beside").symlink_to(Path("..") / other)
    (data / "Domain2" / "round").symlink_to("..")
    found = digest_files(data, NONE)
    assert {name: about[-1] for name, about in found.files.items() if "x.png" not in name} == {
        "Domain1/beside": "link to Domain2",
        "Domain2/beside": "link to Domain1",
        "Domain2/round": "link to .",
    }
    shutil.copytree(data, tmp_path / "copy", symlinks=True)
    assert stamp(tmp_path / "copy") == found.stamp


def test_files_that_did_not_change_are_not_read_again(data: Path) -> None:
    before = digest_files(data, NONE)
    kept = {name: (*about[:3], "kept") for name, about in before.files.items()}
    assert digest_files(data, FolderDigests(before.root, kept)).files == kept


def test_empty_files_of_no_age_are_read(data: Path) -> None:
    (data / "empty").touch()
    before = stamp(data)
    os.utime(data / "empty", (0, 0))
    assert stamp(data) == before


def test_folders_that_cannot_be_read_are_not_left_out(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def refuse(folder: Path) -> Iterator[Path]:
        if folder.name == "Domain1":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PermissionError, match="Domain1"):
        stamp(data)


def test_digests_are_kept(data: Path, tmp_path: Path) -> None:
    (data / os.fsdecode(b"\xff.png")).write_bytes(b"z")
    found = digest_files(data, NONE)
    found.write(tmp_path / "data-digests.json")
    assert read_digests(tmp_path / "data-digests.json") == found


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"a": 1}', '{"root": "a", "files": {"a": [1, 2]}}',
     '{"root": "a", "files": {"a": ["1", 1, 1, "b"]}}',
     '{"root": "a", "files": {"a": [1e999, 1, 1, "b"]}}',
     '{"root": "a", "files": {"a": [1, true, 1, null]}}'],
)  # fmt: skip
def test_damaged_digests_count_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "data-digests.json").write_text(content)
    assert read_digests(tmp_path / "data-digests.json") == NONE
    assert read_digests(tmp_path / "nowhere.json") == NONE
    assert read_digests(tmp_path) == NONE
