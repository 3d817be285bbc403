import os
from collections import Counter
from pathlib import Path

import pytest

from tvseg.inference.input.find import Photograph, find_photographs


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def _ids(*inputs: Path, recursive: bool = False) -> list[str]:
    return [one.id for one in find_photographs(inputs, recursive=recursive)]


def test_ids_tell_files_apart(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x.png", "a/x.jpg", "b/x.png", "b/y.dcm", "b/._x.png", "b/notes.txt")
    a, b = tmp_path / "a", tmp_path / "b"
    assert _ids(b) == ["x", "y"]  # ._x.png is what macOS leaves on shared disks
    assert _ids(a) == ["x.jpg", "x.png"]
    assert _ids(a, b / "x.png") == ["a_x.jpg", "a_x.png", "b_x.png"]
    assert _ids(b / "x.png", b / "." / "x.png", a / ".." / "b" / "x.png") == ["x"]


def test_links_are_photographs_of_their_own(tmp_path: Path) -> None:
    _touch(tmp_path, "store/6f1c.png")
    for name in ("first/left.png", "first/right.png", "second/left.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "store" / "6f1c.png")
    first, second = tmp_path / "first", tmp_path / "second"
    assert _ids(first) == ["left", "right"]
    assert _ids(first, second) == ["first_left.png", "first_right.png", "second_left.png"]
    (tmp_path / "linked").symlink_to(first)
    assert _ids(first, tmp_path / "linked", first / "left.png") == ["left", "right"]


def test_sub_folders_are_taken_on_request(tmp_path: Path) -> None:
    _touch(tmp_path, "p1/left/x.png", "p2/left/x.png", "p2/right/y.png", ".hidden/z.png")
    with pytest.raises(ValueError, match=r"holds no pictures .*--recursive"):
        _ids(tmp_path)
    assert _ids(tmp_path / "p2", recursive=True) == ["x", "y"]
    assert _ids(tmp_path, recursive=True) == [
        "p1_left_x.png", "p2_left_x.png", "p2_right_y.png",
    ]  # fmt: skip


def test_ids_differ_in_more_than_the_case_of_letters(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x.png", "b/X.png")
    assert _ids(tmp_path / "a", tmp_path / "b") == ["a_x.png", "b_X.png"]
    _touch(tmp_path, "c/a/x.png")
    with pytest.raises(ValueError, match="photographs must have different names"):
        _ids(tmp_path / "a" / "x.png", tmp_path / "c" / "a" / "x.png")


def test_a_list_names_photographs_and_says_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "id,path,laterality,um_per_px\n"
        "first,pictures/a.png,OD,4.5\n"
        f"second,{tmp_path}/b.png,l,\n"
        "third,missing.png,,\n",
        encoding="utf-8-sig",  # as sheet programs write it
    )
    assert find_photographs([path], um_per_px=3.0) == [
        Photograph("first", tmp_path / "pictures/a.png", "right", 4.5),
        Photograph("second", tmp_path / "b.png", "left", 3.0),
        Photograph("third", tmp_path / "missing.png", "unknown", 3.0),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,path\na,b.png\n", "must have the columns id and path"),
        ("id,path,eye\na,b.png,R\n", "may have laterality and um_per_px, got id, path, eye"),
        ("id,path\n", "lists no photographs"),
        ("id,path\na,b.png\nA,c.png\n", "each photograph once; 'a' is there twice"),
        ("id,path\n../a,b.png\n", "line 2: an id must be usable as a file's name"),
        ("id,path\nx/y,b.png\n", "line 2: an id must be usable as a file's name"),
        ("id,path\na,b.png\n,c.png\n", "line 3: an id must be usable"),
        ("id,path\na\n", "line 2: must have 2 cells, one per column, has 1"),
        ("id,path,laterality\na,b.png,up\n", "line 2: laterality must be R, OD, right"),
        (
            "id,path,um_per_px\na,b.png,-3\n",
            "line 2: um_per_px must be a number from 0.01",
        ),
        (
            "id,path,um_per_px\na,b.png,inf\n",
            "line 2: um_per_px must be a number from 0.01",
        ),
    ],
)
def test_a_list_with_a_mistake_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        find_photographs([tmp_path / "list.csv"])


def test_a_listed_id_is_not_given_again(tmp_path: Path) -> None:
    _touch(tmp_path, "x.png", "y.png")
    (tmp_path / "list.csv").write_text("id,path\nX,y.png\n")
    assert _ids(tmp_path / "list.csv", tmp_path / "x.png") == ["X", "x.png"]


def test_nothing_to_predict_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pictures"):
        find_photographs([tmp_path])
    with pytest.raises(ValueError, match="does not exist"):
        find_photographs([tmp_path / "none.png"])


def test_names_that_no_table_can_hold_get_ids_that_it_can(tmp_path: Path) -> None:
    for name in (b"M\xfcller_OD.png", b"a\rb.png", b"x" * 251 + b".png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    ids = sorted(_ids(tmp_path), key=len)
    assert ids[:2] == ["a_b", "M\ufffdller_OD"]
    assert len(ids[2]) == 240


def test_links_without_a_target_fail_and_other_files_are_counted(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "notes.txt", "b.webp", "list.csv", "deep/c.png", "elsewhere/d.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "annexed.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "deep" / "link").symlink_to(tmp_path / "elsewhere")
    left_out: Counter[str] = Counter()
    found = find_photographs([tmp_path], left_out=left_out)
    assert [photograph.id for photograph in found] == ["a", "b", "gone", "loop"]
    assert left_out == {".txt": 1, ".csv": 1}
    left_out.clear()
    find_photographs([tmp_path / "deep"], recursive=True, left_out=left_out)
    assert left_out == {"linked folder": 1}
    (tmp_path / "deep" / "c.png").unlink()
    with pytest.raises(ValueError, match="left out: 1 linked folder"):
        find_photographs([tmp_path / "deep"], recursive=True)


def test_dicom_is_known_by_its_content_where_it_has_no_suffix(tmp_path: Path) -> None:
    for name in ("IM0001", "1.2.840.10008.1"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_text("no picture")
    assert _ids(tmp_path) == ["1.2.840.10008", "IM0001"]


def test_a_folder_of_predictions_is_not_taken_for_photographs(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "out/run.json", "out/overlays/a.png", "out/.progress/0000000.json")
    _touch(tmp_path, "sub/b.png")
    left_out: Counter[str] = Counter()
    found = find_photographs([tmp_path], recursive=True, left_out=left_out)
    assert [photograph.id for photograph in found] == ["a", "b"]
    assert left_out == {"folder of tvseg predict": 1}
