import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvseg.data.cases import find_cases, find_root
from tvseg.data.centres import Centre, centres_of
from tvseg.data.images import read_labels
from tvseg.settings import SegmentationSettings

A = centres_of(SegmentationSettings())["A"]


@pytest.fixture
def root(phantoms: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(phantoms, tmp_path / "root"))


def _folder(root: Path, kind: str) -> Path:
    return root / "Domain1" / "train" / "ROIs" / kind


def test_cases_come_in_order_with_their_files(root: Path) -> None:
    cases = find_cases(root, A)
    assert [case.split for case in cases] == ["train"] * 4 + ["test"] * 2
    assert cases[0].id == "A/train/phantom-A-0000"
    image, masks = cases[0].read()
    assert image.shape == (96, 96, 3)
    assert masks.shape == (2, 96, 96)
    assert (masks[0] <= masks[1]).all()


def test_folders_named_image_do_not_confuse_the_mask_path(phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "image" / "my image root"))
    assert find_cases(root, A)[0].mask_path.is_file()


def test_a_missing_centre_is_named(root: Path) -> None:
    with pytest.raises(ValueError, match=r"centre X \(mine\) must have a folder .*DomainX"):
        find_cases(root, Centre("X", "mine", "DomainX", A.encoding))


def test_an_empty_split_is_named(root: Path) -> None:
    shutil.rmtree(_folder(root, "image"))
    with pytest.raises(ValueError, match="has no train photographs"):
        find_cases(root, A)


@pytest.mark.parametrize(("kind", "lacking"), [("mask", "no mask"), ("image", "no photograph")])
def test_an_unpaired_file_is_named(root: Path, kind: str, lacking: str) -> None:
    (_folder(root, kind) / "phantom-A-0002.png").unlink()
    with pytest.raises(ValueError, match=rf"1 in .* first phantom-A-0002 \({lacking}\)"):
        find_cases(root, A)


def test_a_mask_of_another_size_is_named(root: Path) -> None:
    path = _folder(root, "mask") / "phantom-A-0002.png"
    Image.open(path).resize((95, 96), Image.Resampling.NEAREST).save(path)
    case = next(case for case in find_cases(root, A) if case.name == "phantom-A-0002")
    with pytest.raises(ValueError, match="96 x 96 px, got 95 x 96 px"):
        case.read()


def test_a_strange_mask_value_names_the_file(root: Path) -> None:
    path = _folder(root, "mask") / "phantom-A-0002.png"
    labels = np.array(Image.open(path))
    labels[3, 4] = 77
    Image.fromarray(labels).save(path)
    case = next(case for case in find_cases(root, A) if case.name == "phantom-A-0002")
    with pytest.raises(ValueError, match=r"phantom-A-0002.png: .* found 77 \(1 px\)"):
        case.read()


def test_the_first_given_root_counts(tmp_path: Path) -> None:
    assert find_root(None, "", tmp_path) == tmp_path
    with pytest.raises(ValueError, match="does not exist; make phantoms with"):
        find_root(tmp_path / "none", tmp_path)
    with pytest.raises(ValueError, match="no data: give --data"):
        find_root(None, None)


def test_samples_of_the_original_download_load_as_they_are(fundus4: Path) -> None:
    samples = fundus4 / "dofe-samples"
    if not samples.is_dir():
        pytest.skip(f"needs samples of the original benchmark in {samples}")
    read = 0
    for centre in centres_of(SegmentationSettings()).values():
        rois = samples / centre.folder / "test" / "ROIs"
        for path in sorted((rois / "mask").iterdir()):
            cup, disc = centre.encoding.decode(read_labels(path))
            assert 0 < cup.sum() < disc.sum()
            read += 1
    assert read == 16  # four a centre


def test_names_that_are_not_utf8_are_cases_under_a_name_that_can_be_written(
    phantoms: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    for kind in ("image", "mask"):
        path = sorted((root / "Domain1" / "train" / "ROIs" / kind).iterdir())[0]
        path.rename(path.with_name(os.fsdecode(b"caf\xe9.png")))
    case = find_cases(root, centres_of(SegmentationSettings())["A"])[0]
    assert case.name == r"caf\udce9"
    assert case.id.encode() == rb"A/train/caf\udce9"
    assert case.read()[0].ndim == 3
