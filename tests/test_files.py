import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvseg.csv_files import check_row, find_listed, read_csv, write_csv
from tvseg.errors import UserError
from tvseg.files import read_bytes, read_json, temporary_folder, write_text


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "ü")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "ü".encode()


def test_the_umask_is_obeyed(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "a.txt", "private")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o600


def test_names_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", os.fsdecode(b"M\xfcller.png") + "\n")
    assert (tmp_path / "a.csv").read_text("utf-8") == "M\\udcfcller.png\n"


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "a", limit=5) == b"12345"
    with pytest.raises(UserError, match="a: must have at most 4 bytes, has 5"):
        read_bytes(tmp_path / "a", limit=4)
    for path in (tmp_path, tmp_path / "zero", tmp_path / "pipe"):
        with pytest.raises(UserError, match="must be a regular file"):
            read_bytes(path, limit=5)


def test_json_has_a_mark_or_none_and_a_bounded_depth(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1]}', encoding="utf-8-sig")
    assert read_json(path) == {"a": [1]}
    for content in (b"[" * 100_000, b'{"a": ', b"\xff\xfe", b"1" * 5000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a.json: cannot be read as JSON: "):
            read_json(path)


@pytest.mark.parametrize(
    "content",
    [
        b"id,path\na b,c\n",
        b"\xef\xbb\xbfid,path\r\na b,c\r\n",
        b"id;path\na b;c\n",
        b"id\tpath\na b\tc\n",
        b"sep=;\nid;path\na b;c\n",
        b"sep=,\r\nid,path\r\na b,c\r\n",
        b" id , path\n a b , c \n",
        b"id,path,,\n,,,\na b,c,,\n,,,\n\n",
        b'"id","path"\n"a b","c"\n',
    ],
)
def test_tables_of_spreadsheets(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    table = read_csv(tmp_path / "a.csv")
    assert table.columns == ["id", "path"]
    assert [row for _, row in table.rows] == [{"id": "a b", "path": "c"}]


def test_lines_are_counted_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('sep=,\nid,path\n,\n"a\nb",c\nd,e,f\ng\n')
    table = read_csv(tmp_path / "a.csv")
    assert [line for line, _ in table.rows] == [5, 6, 7]
    check_row(table.rows[0][1], table.columns)
    with pytest.raises(UserError, match="has more cells than the 2 columns"):
        check_row(table.rows[1][1], table.columns)
    with pytest.raises(UserError, match="must have 2 cells, one per column, has 1"):
        check_row(table.rows[2][1], table.columns)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,id\na,b\n", "'id' twice"),
        (b"id,,path\na,b,c\n", "a name of its own"),
        ("id\nM\u00fcller\n".encode("latin-1"), "must be a CSV file in UTF-8"),
        ("id\nM\u00fcller\n".encode("utf-16"), "must be a CSV file in UTF-8"),
        (b"id\n1\n2\n3\n", "must have at most 2 rows, it has more"),
        (b"id\n1\n2\n3\n" + b"x" * 200_000 + b"\n", "must have at most 2 rows"),  # not read on
        (b"id\n" + b"x" * 200_000 + b"\n", "field larger than"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"a.csv: .*{words}"):
        read_csv(tmp_path / "a.csv", max_rows=2)


def test_tables_of_programs_are_read_exactly(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,path\n a ,"b\r"\n\u2028,c\n')
    rows = [row for _, row in read_csv(tmp_path / "a.csv", trim=False).rows]
    assert rows == [{"id": " a ", "path": "b\r"}, {"id": "\u2028", "path": "c"}]


def test_an_empty_table_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    assert read_csv(tmp_path / "a.csv").columns == []


def test_files_are_recognised_in_other_spellings(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Mu\u0308ller.png").touch()
    assert find_listed(tmp_path, "a\\M\u00fcller.png").exists()
    assert find_listed(tmp_path, "a/none.png") == tmp_path / "a" / "none.png"
    assert not find_listed(tmp_path, "a\0b").exists()


def test_a_temporary_folder_goes_and_so_does_what_a_killed_process_left(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tvseg.files import temporary_folder\n"
        "with temporary_folder(Path(sys.argv[1]), 'work') as folder:\n"
        "    (folder / 'large').write_bytes(b'x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(".work-*/large"))) == 1
    with temporary_folder(tmp_path, "work") as one:
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [one]
        with temporary_folder(tmp_path, "work") as other:
            assert one.is_dir()
            assert other.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    target = tmp_path / "kept" / "a.txt"
    target.write_text("old")
    target.chmod(0o600)
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "kept").iterdir()) == [target]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(Path("/dev/full"), "x")
    assert caught.value.filename == "/dev/full"


def test_an_open_pipe_is_written_to_by_its_number(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    write_text(Path(f"/dev/fd/{writer}"), "through")  # as shells name >(program)
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    os.close(writer)


def test_a_link_to_itself_is_one_clear_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop.txt"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links") as caught:
        write_text(loop, "new")
    assert caught.value.filename == str(loop)
    assert loop.is_symlink()


def test_a_full_disk_is_named_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)

    def read_only(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert caught.value.filename == str(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "\u773c" * 83 + ".txt"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "a")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_table_is_read_back_as_it_was_and_runs_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    texts = [
        "=cmd | 'calc'!A0",
        "+1+1",
        "-1+1",
        "@SUM(1)",
        "a,b",
        'a"b',
        "a\rb",
        "a\nb",
        "-1.5",
        "",
    ]
    assert write_csv(path, ({"id": text, "number": -1.5, "none": None} for text in texts)) == 10
    rows = [row for _, row in read_csv(path).rows]
    assert [row["id"] for row in rows] == texts
    assert {row["number"] for row in rows} == {"-1.5"}
    raw = list(csv.reader(path.open(encoding="utf-8", newline="")))
    assert {len(row) for row in raw} == {3}
    assert not any(row[0].startswith(("=", "+", "@", "-1+")) for row in raw)
    assert write_csv(tmp_path / "none.csv", iter(())) == 0
    assert not (tmp_path / "none.csv").exists()
