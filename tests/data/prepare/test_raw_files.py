import os
import shutil
import struct
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from tvseg.data.prepare import raw_files
from tvseg.data.prepare.raw_files import gather
from tvseg.errors import UserError


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


def test_folders_are_written_with_either_slash(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        member = zipfile.ZipInfo("x")
        member.filename = "Training\\1.png"  # as .NET writes it
        packed.writestr(member, b"one")
    (file,) = gather([archive], tmp_path / "unpacked")
    assert file.name == "a.zip/Training/1.png"
    assert file.path.read_bytes() == b"one"


def test_loops_of_links_end_and_each_folder_is_listed_once(tmp_path: Path) -> None:
    source = tmp_path / "download"
    (source / "b").mkdir(parents=True)
    (source / "b" / "2.txt").write_bytes(b"two")
    for name in ("a", "c", "b/d", "b/e"):
        (source / name).symlink_to(source)
    (source / "0").symlink_to(source / "b")  # before it, yet the folder keeps its own name
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "3.txt").write_bytes(b"three")
    (source / "z").symlink_to(tmp_path / "elsewhere")
    names = [file.name for file in gather([source], tmp_path / "unpacked")]
    assert names == ["download/b/2.txt", "download/z/3.txt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_named(tmp_path: Path, method: int) -> None:
    archive = tmp_path / "a.zip"
    noise = np.random.default_rng(0).integers(0, 9, 40_000, np.uint8).tobytes()
    with zipfile.ZipFile(archive, "w", method) as packed:
        packed.writestr("x/1.bmp", noise)
    content = bytearray(archive.read_bytes())
    for position in range(60, 12_000, 7):
        content[position] ^= 0x55
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"a.zip: x/1.bmp is damaged: .*download the archive again"):
        gather([archive], tmp_path / "unpacked")


def test_archives_that_python_cannot_unpack_say_what_to_do(tmp_path: Path) -> None:
    content = write_zip(tmp_path / "a.zip", {"1.png": b"one"}).read_bytes()
    for name, (local, central), value, words in (
        ("deflate64.zip", (8, 10), 9, "packed in a way that Python does not know"),
        ("locked.zip", (6, 8), 1, "is locked with a password"),
    ):
        changed = bytearray(content)
        for mark, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
            at = changed.find(mark) + offset
            changed[at : at + 2] = struct.pack("<H", value)
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(UserError, match=f"{name}: .*{words}.*give the folder"):
            gather([tmp_path / name], tmp_path / "unpacked" / name)


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_zip(tmp_path / "a.zip", {"1.bin": bytes(5000), "2.bin": bytes(5000)})
    monkeypatch.setattr(raw_files, "MAX_UNPACKED_BYTES", 15_000)
    gather([archive], tmp_path / "one")
    with pytest.raises(UserError, match=r"b.zip: unpacks to 0.0 GB; .* are free in"):
        gather([archive, shutil.copy(archive, tmp_path / "b.zip")], tmp_path / "two")
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 9_000))
    with pytest.raises(UserError, match=r"a.zip: unpacks to"):
        gather([archive], tmp_path / "three")
    assert not any(path.is_file() for path in (tmp_path / "three").rglob("*"))


def test_deep_nesting_and_empty_names_do_no_harm(tmp_path: Path) -> None:
    deep = write_zip(tmp_path / "deep.zip", {"/".join(["d"] * 2000) + "/1.png": b"x"})
    with pytest.raises(UserError, match=r"deep.zip: folders must be nested 32 deep at most"):
        gather([deep], tmp_path / "a")
    inner = write_zip(tmp_path / "0.zip", {"1.txt": b"x"}).read_bytes()
    for _ in range(40):
        inner = write_zip(tmp_path / "0.zip", {"0.zip": inner}).read_bytes()
    with pytest.raises(UserError, match="nested 32 deep at most"):
        gather([tmp_path / "0.zip"], tmp_path / "b")
    nameless = write_zip(tmp_path / "n.zip", {"/": b"", "..": b"x", "1.txt": b"x"})
    assert [file.name for file in gather([nameless], tmp_path / "c")] == ["n.zip/1.txt"]


def test_an_archive_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zero.zip").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"zero.zip: must be a regular file"):
        gather([tmp_path / "zero.zip"], tmp_path / "unpacked")


def test_names_that_are_not_utf8_can_be_printed(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9partement")
    folder.mkdir()
    (folder / "1.png").touch()
    (file,) = gather([folder], tmp_path / "unpacked")
    assert file.name == r"d\udce9partement/1.png"
    assert file.path.exists()
