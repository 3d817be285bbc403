import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tvseg.errors import UserError
from tvseg.evaluation.schema import COLUMNS
from tvseg.evaluation.scoring.protocols import PROTOCOLS
from tvseg.evaluation.scoring.rows import read_cases, score

HONEST, PAPER = PROTOCOLS["honest"], PROTOCOLS["paper"]


def _square(top: int, left: int, side: int, *, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_distances_are_told_at_800_px() -> None:
    truth, prediction = _square(20, 20, 40), _square(20, 23, 40)
    for size in (100, 400):
        k = size // 100
        p, t = (np.kron(mask, np.ones((k, k), bool)).astype(bool) for mask in (prediction, truth))
        (row,) = score(p[None], t[None], ("disc",), HONEST)
        assert row["hd95_px"] == pytest.approx(3 * 8)
        assert row["dice"] == pytest.approx(37 / 40)


@pytest.mark.parametrize(("protocol", "charge"), [(HONEST, 800 * math.sqrt(2)), (PAPER, 100.0)])
def test_a_missed_structure_is_charged_and_counted(protocol: object, charge: float) -> None:
    truth, nothing = _square(20, 20, 40), np.zeros((100, 100), bool)
    missed, spurious = (
        score(np.stack([p]), np.stack([t]), ("disc",), protocol)[0]  # type: ignore[arg-type]
        for p, t in ((nothing, truth), (truth, nothing))
    )
    for row in (missed, spurious):
        assert row["hd95_px"] == row["hd_px"] == row["assd_px"] == pytest.approx(charge)
        assert row["dice"] == pytest.approx(0, abs=1e-3)
    assert (missed["missed"], missed["spurious"]) == (True, False)
    assert (spurious["missed"], spurious["spurious"]) == (False, True)


def test_the_diagonal_is_the_images_own() -> None:
    truth = np.ones((1, 300, 400), bool)
    (row,) = score(np.zeros_like(truth), truth, ("disc",), HONEST)
    assert row["hd95_px"] == pytest.approx(500 * 2)


def test_a_structure_that_neither_has_is_left_out() -> None:
    nothing = np.zeros((1, 9, 9), bool)
    (row,) = score(nothing, nothing, ("disc",), HONEST)
    assert all(math.isnan(float(str(row[name]))) for name in ("dice", "hd95_px", "assd_px"))
    assert not row["missed"]
    assert not row["spurious"]


def test_the_protocols_differ_in_smoothing_and_percentile() -> None:
    truth, speck = _square(20, 20, 40), _square(20, 20, 40)
    speck[90, 90] = True
    honest, paper = (score(speck[None], truth[None], ("disc",), p)[0] for p in (HONEST, PAPER))
    assert honest["dice"] == pytest.approx(2 * 1600 / 3201)
    assert paper["dice"] == pytest.approx((2 * 1600 + 1) / (3201 + 1))
    assert honest["hd95_px"] == paper["hd95_px"] == 0  # the speck is one of 157 surface pixels
    assert honest["hd_px"] == pytest.approx(8 * math.hypot(31, 31))
    assert HONEST.hd95_rule == "max"
    assert PAPER.hd95_rule == "pooled"
    assert (PAPER.postprocessing.threshold, PAPER.grid_px) == (0.75, 800)


def test_channels_keep_their_names() -> None:
    cup, disc = _square(30, 30, 10), _square(20, 20, 40)
    rows = score(np.stack([cup, disc]), np.stack([cup, disc]), ("cup", "disc"), HONEST)
    assert [(row["structure"], row["true_area_px"]) for row in rows] == [
        ("cup", 100),
        ("disc", 1600),
    ]


def _disc(radius_px: float, *, at: tuple[int, int] = (100, 100), size: int = 200) -> np.ndarray:
    row, col = np.indices((size, size))
    inside: np.ndarray = np.hypot(row - at[0], col - at[1]) <= radius_px
    return inside


def test_what_relates_to_the_disc_relates_to_its_true_diameter() -> None:
    cup, disc = _disc(20), _disc(50)
    found = np.stack([_disc(24), _disc(50, at=(100, 104))])
    rows = score(found, np.stack([cup, disc]), ("cup", "disc"), HONEST)
    for row in rows:
        assert row["hd95_share"] == pytest.approx(float(str(row["hd95_px"])) / 400, rel=0.01)
        assert row["assd_share"] == pytest.approx(float(str(row["assd_px"])) / 400, rel=0.01)
    assert rows[0]["surface_dice_2_5"] == 0  # the whole outline is 4 px off, 2.5 px allowed
    assert rows[0]["surface_dice_5"] == 1  # 5 px allowed
    assert 0 < float(str(rows[1]["surface_dice_2_5"])) < float(str(rows[1]["surface_dice_5"])) == 1


def test_the_vertical_ratio_stands_in_the_row_of_the_cup() -> None:
    truth = np.stack([_disc(20), _disc(50)])
    cup, disc = score(np.stack([_disc(30), _disc(50)]), truth, ("cup", "disc"), HONEST)
    assert cup["true_vcdr"] == cup["true_vcdr_box"] == pytest.approx(41 / 101)
    assert cup["vcdr"] == cup["vcdr_box"] == pytest.approx(61 / 101)
    assert all(math.isnan(float(str(disc[name]))) for name in ("vcdr", "true_vcdr", "vcdr_box"))
    (alone,) = score(truth[1:], truth[1:], ("disc",), HONEST)
    assert list(alone) == list(cup)
    assert math.isnan(float(str(alone["vcdr"])))


def test_a_missed_disc_leaves_no_ratio_and_costs_all_of_the_surface() -> None:
    truth = np.stack([_disc(20), _disc(50)])
    cup, disc = score(np.zeros_like(truth), truth, ("cup", "disc"), HONEST)
    assert math.isnan(float(str(cup["vcdr"])))
    assert cup["true_vcdr"] == pytest.approx(41 / 101)
    assert disc["surface_dice_2_5"] == disc["surface_dice_5"] == 0
    assert disc["hd95_share"] == pytest.approx(800 * math.sqrt(2) / 400, rel=0.01)


def test_without_a_true_disc_nothing_relates_to_it() -> None:
    truth, found = np.stack([_disc(20), _disc(0) & False]), np.stack([_disc(20), _disc(50)])
    cup, disc = score(found, truth, ("cup", "disc"), HONEST)
    for row in (cup, disc):
        for name in ("hd95_share", "assd_share", "surface_dice_2_5", "surface_dice_5"):
            assert math.isnan(float(str(row[name])))
    assert cup["dice"] == 1
    assert disc["spurious"]


def _plain_row() -> dict[str, object]:
    return dict.fromkeys(COLUMNS, 0.5) | {"missed": False, "spurious": False}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("dice", "good", "line 3 must have a number as dice, got 'good'"),
        ("hd95_px", "inf", "line 3 must have a number as hd95_px, got 'inf'"),
        ("vcdr", "0,5", "line 3 must have a number as vcdr"),
        ("seed", "", "line 3 must have a number as seed, got nothing"),
        ("missed", "perhaps", "line 3 must have True or False as missed, got 'perhaps'"),
        ("centre", "", "line 3 must have a name as centre"),
    ],
)
def test_damaged_rows_are_refused(column: str, value: str, words: str, tmp_path: Path) -> None:
    rows = pd.DataFrame([_plain_row(), _plain_row() | {column: value}])
    rows.to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(UserError) as error:
        read_cases(tmp_path / "cases.csv")
    assert words in str(error.value)
    assert "cases.csv" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n1,2,3\n"'])
def test_files_that_are_no_csv_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"cases.csv must"):
        read_cases(tmp_path / "cases.csv")


def test_names_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    row = _plain_row() | {"case": "0012", "centre": "NA", "variant": "1e3"}
    pd.DataFrame([row | {"dice": math.nan}]).to_csv(tmp_path / "cases.csv", index=False)
    table = read_cases(tmp_path / "cases.csv")
    assert table.loc[0, ["case", "centre", "variant"]].tolist() == ["0012", "NA", "1e3"]
    assert math.isnan(table.loc[0, "dice"])


def test_rows_of_an_older_version_are_refused(tmp_path: Path) -> None:
    older = dict.fromkeys(list(COLUMNS)[:-2], 0.5)
    pd.DataFrame([older]).to_csv(tmp_path / "cases.csv", index=False)
    with pytest.raises(ValueError, match=r"lacks vcdr_box, true_vcdr_box; write it anew"):
        read_cases(tmp_path / "cases.csv")
