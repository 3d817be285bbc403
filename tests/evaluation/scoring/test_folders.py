import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvseg.data.centres import MaskEncoding
from tvseg.evaluation.schema import COLUMNS
from tvseg.evaluation.scoring.folders import score_folders, write_scored
from tvseg.evaluation.scoring.protocols import PROTOCOLS
from tvseg.evaluation.scoring.rows import read_cases, score

HONEST = PROTOCOLS["honest"]
BENCHMARK = MaskEncoding({0: ("cup", "disc"), 128: ("disc",), 255: ()}, ("cup", "disc"))


def _labels(shift: int) -> np.ndarray:
    labels = np.full((60, 60), 255, np.uint8)
    labels[10 + shift : 40 + shift, 10:40] = 128
    labels[20 + shift : 30 + shift, 20:30] = 0
    return labels


def _masks(labels: np.ndarray) -> np.ndarray:
    return np.stack([labels == 0, labels < 255])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and truths of three photographs, in two formats."""
    for folder, shift, suffix in (("theirs", 3, "bmp"), ("truth", 0, "png")):
        (tmp_path / folder).mkdir()
        for index in range(3):
            Image.fromarray(_labels(shift + index)).save(tmp_path / folder / f"00{index}.{suffix}")
    return tmp_path / "theirs", tmp_path / "truth"


def _score(folders: tuple[Path, Path], **encodings: MaskEncoding) -> tuple[list[str], dict]:  # type: ignore[type-arg]
    chosen = {"truth_encoding": BENCHMARK, "prediction_encoding": BENCHMARK} | encodings
    scored = score_folders(*folders, protocol=HONEST, **chosen)
    cases = scored.rows["case"].unique().tolist() if len(scored.rows) else []
    return cases, scored.failed


def test_rows_are_those_of_the_pairs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    scored = score_folders(
        *folders, protocol=HONEST, truth_encoding=BENCHMARK, prediction_encoding=BENCHMARK
    )
    assert scored.failed == {}
    assert list(scored.rows.columns) == list(COLUMNS)
    assert set(scored.rows["variant"]) == {"theirs"}
    expected = [
        row
        for index in range(3)
        for row in score(
            _masks(_labels(3 + index)), _masks(_labels(index)), ("cup", "disc"), HONEST
        )
    ]
    for name in ("dice", "hd95_px", "structure", "true_area_px"):
        assert scored.rows[name].tolist() == [row[name] for row in expected]
    write_scored(tmp_path / "out", scored, "Caption.", HONEST)
    read = read_cases(tmp_path / "out" / "cases.csv")
    assert read["case"].tolist() == ["000", "000", "001", "001", "002", "002"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["scores"][0]["mean"] == pytest.approx(100 * read["dice"][::2].mean())


def test_names_that_are_no_utf8_are_scored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in folders:
        (path,) = folder.glob("000.*")
        path.rename(path.with_name(os.fsdecode(b"M\xfcller" + path.suffix.encode())))
    scored = score_folders(
        *folders, protocol=HONEST, truth_encoding=BENCHMARK, prediction_encoding=BENCHMARK
    )
    assert not scored.failed
    write_scored(tmp_path / "out", scored, "Caption.", HONEST)
    assert "M\\udcfcller" in read_cases(tmp_path / "out" / "cases.csv")["case"].tolist()


def test_each_folder_may_have_its_own_encoding(folders: tuple[Path, Path]) -> None:
    for path in folders[0].iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.select([labels == 0, labels == 128], [2, 1], 0).astype(np.uint8)).save(
            path
        )
    other = MaskEncoding({0: (), 1: ("disc",), 2: ("cup", "disc")}, ("cup", "disc"))
    assert _score(folders, prediction_encoding=other) == (["000", "001", "002"], {})
    _, failed = _score(folders)
    assert len(failed) == 3
    assert "found 1 (800 px), 2 (100 px)" in failed["000"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda theirs, _: (theirs / "001.bmp").unlink(), "no file of this name in .*theirs"),
        (lambda _, truth: (truth / "001.png").unlink(), "no file of this name in .*truth"),
        (lambda theirs, _: (theirs / "001.bmp").write_bytes(b"x"), "001.bmp: cannot be read"),
        (
            lambda theirs, _: Image.fromarray(_labels(0)[:50]).save(theirs / "001.bmp"),
            "the truth's size, 60 x 60 px, got 60 x 50 px",
        ),
        (
            lambda theirs, _: Image.fromarray(_labels(0) // 2).save(theirs / "001.bmp"),
            r"001.bmp: mask values must be .* found 64 .*127",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_named_and_the_rest_goes_on(
    folders: tuple[Path, Path], spoil: object, reason: str
) -> None:
    spoil(*folders)  # type: ignore[operator]
    cases, failed = _score(folders)
    assert cases == ["000", "002"]
    assert list(failed) == ["001"]
    assert re.search(reason, failed["001"])
    assert "\n" not in failed["001"]


def test_folders_and_encodings_must_fit(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="predictions must be a folder"):
        _score((tmp_path / "none", folders[1]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"truth must be a folder .* holds no picture"):
        _score((folders[0], tmp_path / "empty"))
    shutil.copy(folders[0] / "000.bmp", folders[0] / "000.png")
    with pytest.raises(ValueError, match="two files of one name"):
        _score(folders)
    with pytest.raises(ValueError, match="of the same structures, got disc for the predictions"):
        _score(folders, prediction_encoding=MaskEncoding({0: ("disc",), 255: ()}, ("disc",)))
