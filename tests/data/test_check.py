import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.config import Settings
from tvseg.data.centres import centres_of
from tvseg.data.check import check_data

CENTRES = centres_of(Settings())


def test_phantoms_have_no_problems(phantoms: Path) -> None:
    report = check_data(phantoms, CENTRES)
    assert report.problems == []
    assert report.left_alone == ["FullField"]
    assert [(f.centre, f.split, f.cases) for f in report.facts[:2]] == [
        ("A", "train", 4),
        ("A", "test", 2),
    ]
    assert all(0 < fact.shares["cup"] < fact.shares["disc"] < 0.5 for fact in report.facts)


def test_each_problem_is_named(phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    train = root / "Domain1" / "train" / "ROIs"
    labels = np.full((96, 96), 255, np.uint8)
    Image.fromarray(labels).save(train / "mask" / "phantom-A-0000.png")
    labels[0, 0] = 77
    Image.fromarray(labels).save(train / "mask" / "phantom-A-0002.png")
    (train / "image" / "phantom-A-0003.png").write_bytes(b"no picture")
    twin = root / "Domain4" / "test" / "ROIs" / "image" / "phantom-D-0001.png"
    shutil.copy(train / "image" / "phantom-A-0005.png", twin)
    shutil.rmtree(root / "Domain3")
    problems = check_data(root, CENTRES).problems
    for words in (
        "0000.png: no pixel of cup",
        "0000.png: no pixel of disc",
        "found 77",
        "cannot be read",
        "same pixels twice",
        "centre C (REFUGE train) must have a folder",
    ):
        assert sum(words in problem for problem in problems) == 1, words
    assert len(problems) == 6
