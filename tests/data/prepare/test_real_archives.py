"""Real archives beside the project, where there are some; skipped where not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SHARED
from tests.data.prepare.test_archives import manifest, written
from tvseg.data.cases import Case
from tvseg.data.centres import centres_of
from tvseg.data.check import check_data
from tvseg.data.images import read_image, read_labels
from tvseg.data.prepare.pipeline import Recipe, prepare
from tvseg.settings import SegmentationSettings

CENTRES = centres_of(SegmentationSettings())
SHIFT_PX = 8


@pytest.fixture(scope="session")
def raw_samples() -> Path:
    """Three cases of Drishti-GS1 and three of RIM-ONE DL, in their archives' shapes."""
    path = SHARED / "data" / "raw-samples"
    if not path.is_dir():
        pytest.skip(f"needs real archives in {path}")
    return path


@pytest.fixture(scope="session")
def dofe_samples(fundus4: Path) -> Path:
    """Sixteen files of the benchmark as it is handed out."""
    path = fundus4 / "dofe-samples"
    if not path.is_dir():
        pytest.skip(f"needs files of the benchmark in {path}")
    return path


def test_drishti_cases_are_the_benchmarks_up_to_the_crops_offset(
    raw_samples: Path, dofe_samples: Path, tmp_path: Path
) -> None:
    outcome = prepare("drishti-gs", [raw_samples / "Drishti-GS1"], tmp_path / "out", Recipe())
    assert outcome.problems == []
    table = manifest(tmp_path / "out", "Domain1")
    assert len(table) == 3
    theirs = dofe_samples / "Domain1" / "test" / "ROIs"
    for _, row in table.iterrows():
        image, masks = written(tmp_path / "out", row)
        their_labels = read_labels(theirs / "mask" / f"g{row['name']}.png")
        their_masks = np.stack([their_labels == 0, their_labels < 255])
        rows, cols = (
            int(their_masks[1].any(axis=axis).argmax() - masks[1].any(axis=axis).argmax())
            for axis in (1, 0)
        )
        assert max(abs(rows), abs(cols)) <= SHIFT_PX
        their_image = read_image(theirs / "image" / f"g{row['name']}.png")
        ours = [
            np.roll(pixels, (rows, cols), (-2, -1))
            for pixels in (*masks, *image.transpose(2, 0, 1))
        ]
        inner = (slice(SHIFT_PX, -SHIFT_PX),) * 2
        assert (ours[0] == their_masks[0]).all()
        assert (ours[1] == their_masks[1]).all()
        for channel in range(3):
            assert (ours[2 + channel][inner] == their_image[..., channel][inner]).all()


def test_rim_one_dl_comes_out_as_it_went_in(raw_samples: Path, tmp_path: Path) -> None:
    outcome = prepare("rim-one-dl", [raw_samples / "RIM-ONE_DL"], tmp_path / "out", Recipe())
    assert outcome.problems == []
    table = manifest(tmp_path / "out", "Domain2")
    assert table["name"].tolist() == [
        f"r3_{name}_left_half" for name in ("G-1-L", "N-18-R", "N-92-R")
    ]
    assert table["split"].tolist() == ["test", "test", "train"]
    for _, row in table.iterrows():
        image, masks = written(tmp_path / "out", row)
        assert (image == read_image(raw_samples / row["source"])).all()
        for structure, mask in zip(("Cup", "Disc"), masks, strict=True):
            (drawn,) = raw_samples.rglob(f"{row['name']}-1-{structure}-T.png")
            assert (mask == np.asarray(Image.open(drawn)).astype(bool)).all()


def test_the_benchmarks_files_load_as_they_are(dofe_samples: Path) -> None:
    """Masks with three channels among them; the sample has no train split to find cases by."""
    modes = set()
    for centre in CENTRES.values():
        rois = dofe_samples / centre.folder / "test" / "ROIs"
        for path in sorted((rois / "image").iterdir()):
            mask_path = rois / "mask" / path.name
            modes.add(Image.open(mask_path).mode)
            _, masks = Case(centre, "test", path.stem, path, mask_path).read()
            assert masks.shape == (2, 800, 800)
            assert masks.any(axis=(1, 2)).all()
    assert "RGB" in modes


def test_the_benchmarks_files_become_a_root_without_problems(
    dofe_samples: Path, tmp_path: Path
) -> None:
    outcome = prepare("dofe", [dofe_samples], tmp_path / "out", Recipe(split="patients"))
    assert len(outcome.rows) == 16
    assert check_data(tmp_path / "out", CENTRES).problems == []
