import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from tvseg import extras
from tvseg.errors import UserError
from tvseg.inference.input.read import count_pixels, read_photograph

RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 256, (20, 40, 3), dtype=np.uint8)


def _dicom(path: Path, samples: np.ndarray, kind: str = "RGB", **tags: Any) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"  # ophthalmic, 8 bit
    meta.MediaStorageSOPInstanceUID = generate_uid()
    content = Dataset()
    content.file_meta = meta
    content.Rows, content.Columns = samples.shape[:2]
    content.SamplesPerPixel = 3 if samples.ndim == 3 else 1
    content.PhotometricInterpretation = kind
    content.PlanarConfiguration = 0
    content.BitsAllocated = 8 * samples.dtype.itemsize
    content.BitsStored = content.BitsAllocated
    content.HighBit = content.BitsStored - 1
    content.PixelRepresentation = 0
    content.PixelData = samples.tobytes()
    for name, value in tags.items():
        setattr(content, name, value)
    content.save_as(path, enforce_file_format=True)
    return path


def test_pictures_do_not_say_which_eye_they_show(tmp_path: Path) -> None:
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    pixels, eye = read_photograph(tmp_path / "a.png")
    assert (pixels == WIDE).all()
    assert eye == "unknown"
    assert count_pixels(tmp_path / "a.png") == 800


@pytest.mark.parametrize(
    ("tags", "eye"),
    [
        ({"ImageLaterality": "R"}, "right"),
        ({"Laterality": "L"}, "left"),
        ({"ImageLaterality": "B"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_dicom_colours_and_eye(tmp_path: Path, tags: dict[str, str], eye: str) -> None:
    path = _dicom(tmp_path / "a.dcm", WIDE, **tags)
    pixels, laterality = read_photograph(path)
    assert (pixels == WIDE).all()
    assert laterality == eye
    assert count_pixels(path) == 800


def test_dicom_grey_deep_and_inverted(tmp_path: Path) -> None:
    grey = np.array([[0, 2048, 4095], [1, 2, 3]], np.uint16)
    path = _dicom(tmp_path / "a.dcm", grey, "MONOCHROME2", BitsStored=12, HighBit=11)
    assert read_photograph(path)[0][0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    path = _dicom(tmp_path / "b.dcm", WIDE[..., 0], "MONOCHROME1")
    assert (read_photograph(path)[0][..., 2] == 255 - WIDE[..., 0]).all()


def test_dicom_jpeg_is_not_taken_for_ybr(tmp_path: Path) -> None:
    smooth = np.zeros((32, 48, 3), np.uint8)
    smooth[:, :24] = (200, 80, 20)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=95)
    path = _dicom(tmp_path / "a.dcm", smooth, "YBR_FULL_422")
    import pydicom

    content = pydicom.dcmread(path)
    content.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    content.PixelData = encapsulate([buffer.getvalue()])
    content.save_as(path, enforce_file_format=True)
    pixels = read_photograph(path)[0]
    assert np.abs(pixels[:, 4:20].astype(int) - (200, 80, 20)).max() < 12


def test_dicom_that_is_none_gets_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.dcm").write_text("hello" * 100)
    with pytest.raises(ValueError, match="must be a DICOM file"):
        read_photograph(tmp_path / "text.dcm")
    path = _dicom(tmp_path / "film.dcm", WIDE, NumberOfFrames="2")
    with pytest.raises(ValueError, match="single photograph, got 2 frames"):
        read_photograph(path)
    path = _dicom(tmp_path / "cut.dcm", WIDE, PixelData=b"12")
    with pytest.raises(ValueError, match=r"cut.dcm: cannot be read as a picture"):
        read_photograph(path)
    monkeypatch.setattr("tvseg.data.images.MAX_SIDE_PX", 30)
    with pytest.raises(UserError, match="at most 30 px a side, has 40 x 20"):
        read_photograph(_dicom(tmp_path / "large.dcm", WIDE))
    assert count_pixels(tmp_path / "text.dcm") == count_pixels(tmp_path / "none.png") == 0
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pydicom is not installed: run pip install "tvseg.dicom'):
        read_photograph(path)


@pytest.mark.parametrize("size", [141, 200, 332, 400, 600])
def test_a_dicom_file_that_breaks_off_is_a_failure_of_this_file(tmp_path: Path, size: int) -> None:
    whole = _dicom(tmp_path / "whole.dcm", WIDE).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:size])
    with pytest.raises(UserError, match=r"cut.dcm: "):
        read_photograph(tmp_path / "cut.dcm")
    assert count_pixels(tmp_path / "cut.dcm") in (0, 800)


def test_a_dicom_file_with_empty_rows_is_a_failure_of_this_file(tmp_path: Path) -> None:
    path = _dicom(tmp_path / "a.dcm", WIDE, Rows=None)
    with pytest.raises(UserError, match=r"a.dcm: "):
        read_photograph(path)


def test_signed_dicom_samples_are_refused(tmp_path: Path) -> None:
    samples = np.array([[-50, 0, 4000]], np.int16)
    path = _dicom(tmp_path / "a.dcm", samples, "MONOCHROME2", PixelRepresentation=1)
    with pytest.raises(UserError, match="samples must be unsigned"):
        read_photograph(path)


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "zero.dcm").symlink_to("/dev/zero")
    for name in ("pipe.dcm", "zero.dcm"):
        with pytest.raises(UserError, match=f"{name}: must be a regular file"):
            read_photograph(tmp_path / name)
        assert count_pixels(tmp_path / name) == 0


def test_a_strip_counts_as_what_its_padding_takes(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 1000, 3), np.uint8)).save(tmp_path / "a.png")
    assert count_pixels(tmp_path / "a.png") == 250_000
