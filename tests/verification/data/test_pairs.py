from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.verification.data.pairs import Pair, read_pairs


def write(folder: Path, text: str, name: str = "pairs.txt") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_lfw_lists(tmp_path: Path) -> None:
    pairs = read_pairs(
        write(tmp_path, "2\t1\nAnn\t1\t2\nAnn\t3\tBob_B\t10\nCy\t2\t4\nCy\t1\tDi\t1\n")
    )
    assert pairs == [
        Pair("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", True, 0),
        Pair("Ann/Ann_0003.jpg", "Bob_B/Bob_B_0010.jpg", False, 0),
        Pair("Cy/Cy_0002.jpg", "Cy/Cy_0004.jpg", True, 1),
        Pair("Cy/Cy_0001.jpg", "Di/Di_0001.jpg", False, 1),
    ]


def test_a_development_list_has_one_fold(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path, "1\nAnn\t1\t2\nAnn\t3\tBob\t1\n"))
    assert [pair.fold for pair in pairs] == [0, 0]


def test_lfw_lists_as_a_table(tmp_path: Path) -> None:
    rows = "".join(f"Ann,{k + 1},{k + 2},\n" for k in range(10))
    rows += "".join(f"Ann,{k + 1},Bob,{k + 2}\n" for k in range(10))
    pairs = read_pairs(write(tmp_path, "name,imagenum1,imagenum2,\n" + rows, "pairs.csv"))
    assert pairs[0] == Pair("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", True, 0)
    assert pairs[-1] == Pair("Ann/Ann_0010.jpg", "Bob/Bob_0011.jpg", False, 9)


def test_published_lists_have_ten_consecutive_folds(tmp_path: Path) -> None:
    rows = "".join(f"{2 * k}.jpg {2 * k + 1}.jpg {1 if k % 2 else -1}\n" for k in range(20))
    pairs = read_pairs(write(tmp_path, rows))
    assert [pair.fold for pair in pairs] == [k // 2 for k in range(20)]
    assert [pair.same for pair in pairs] == [bool(k % 2) for k in range(20)]


def test_tables_with_folds_from_one(tmp_path: Path) -> None:
    text = "\ufeffleft,right,same,fold\na.png,b.png,1,1\n\nc.png, d.png ,0,2\n"
    assert read_pairs(write(tmp_path, text, "mine.csv")) == [
        Pair("a.png", "b.png", True, 0),
        Pair("c.png", "d.png", False, 1),
    ]


def test_calfw_lists_have_two_lines_for_each_pair(tmp_path: Path) -> None:
    same = "".join(f"A_{k:04d}.jpg {k + 1}\nB_{k:04d}.jpg {k + 1}\n" for k in range(10))
    different = "".join(f"C_{k:04d}.jpg 0\nD_{k:04d}.jpg 0\n" for k in range(10))
    pairs = read_pairs(write(tmp_path, same + different))
    assert [pair.same for pair in pairs] == 10 * [True] + 10 * [False]
    assert [pair.fold for pair in pairs] == 2 * list(range(10))


def cfp(root: Path) -> Path:
    protocol = root / "Protocol"
    for kind, view in (("F", "frontal"), ("P", "profile")):
        lines = [f"{k} ../Data/Images/{k:03d}/{view}/01.jpg" for k in range(1, 5)]
        protocol.mkdir(exist_ok=True)
        (protocol / f"Pair_list_{kind}.txt").write_text("\n".join(lines) + "\n")
    for split in ("FF", "FP"):
        for fold in ("01", "02"):
            folder = protocol / "Split" / split / fold
            folder.mkdir(parents=True)
            (folder / "same.txt").write_text("1,1\n")
            (folder / "diff.txt").write_text("1,2\n3,4\n")
    return protocol


def test_cfp_protocols(tmp_path: Path) -> None:
    protocol = cfp(tmp_path)
    frontal = read_pairs(protocol)
    profile = read_pairs(protocol / "Split" / "FP")
    assert len(frontal) == len(profile) == 6
    left = "Data/Images/001/frontal/01.jpg"
    assert frontal[1] == Pair(left, "Data/Images/002/frontal/01.jpg", False, 0)
    assert profile[1] == Pair(left, "Data/Images/002/profile/01.jpg", False, 0)
    assert [pair.fold for pair in profile] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("10\t300\nAnn\t1\t2\n", "announces 10 folds of 300"),
        ("1\t1\nAnn\t1\t2\nAnn\tx\tBob\t1\n", "line 3: must read 'NAME i j'"),
        ("a b 2\n", "row 1 must read left, right, same"),
        ("left,right,same,fold\na,b,1,x\n", "fold must be a number"),
        ("A.jpg 1\nB.jpg 1\nC.jpg 0\n", "two lines for each pair"),
        ("A.jpg 1\nB.jpg 0\n", "both lines of a pair"),
        ("just words in a long line\n", "line 1: must be"),
    ],
)
def test_odd_lists_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_pairs(write(tmp_path, text))


def test_a_list_in_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(UserError, match="must be a text file"):
        read_pairs(tmp_path / "pairs.txt")
