from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvseg.data.images import pad_to_square, read_image, read_labels, resize_image, resize_mask

RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 256, (20, 40, 3), dtype=np.uint8)
WIDE[:4] = (250, 10, 20)  # a bar on top


def test_a_wide_picture_is_not_transposed(tmp_path: Path) -> None:
    Image.fromarray(WIDE).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png")
    assert (image == WIDE).all()


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: turn by 90 degrees clockwise to view
    Image.fromarray(np.rot90(WIDE)).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == WIDE).all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(WIDE).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    assert image[:4, :, 0].mean() > image[:4, :, 2].mean() or mode in ("L", "LA", "1")


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    samples = np.array([[0, 257, 65535], [128 * 257, 1, 256]], dtype=np.uint16)
    Image.fromarray(samples).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[..., 1].tolist() == [[0, 1, 255], [128, 0, 1]]


def test_a_12_bit_camera_is_not_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 2048, 4000]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 128, 249]


def test_fractions_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a.tif: samples must be whole numbers"):
        read_image(tmp_path / "a.tif")


def test_damaged_files_get_one_line(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(
        tmp_path / "whole.png"
    )
    content = (tmp_path / "whole.png").read_bytes()
    cases = {"cut.png": content[: len(content) // 2], "empty.png": b"", "text.png": b"hello"}
    for name, damaged in cases.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name}: cannot be read as a picture") as caught:
            read_image(tmp_path / name)
        assert "BytesIO" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        read_image(tmp_path / "a.png")


def test_labels_may_be_colour_with_equal_channels(tmp_path: Path) -> None:
    labels = RNG.choice(np.array([0, 128, 255], np.uint8), (9, 7))
    Image.fromarray(labels).save(tmp_path / "grey.png")
    Image.fromarray(np.repeat(labels[..., None], 3, -1)).save(tmp_path / "rgb.png")
    palette = Image.fromarray(labels).convert("P")  # indices differ from the grey values shown
    palette.save(tmp_path / "palette.png")
    for name in ("grey", "rgb", "palette"):
        assert (read_labels(tmp_path / f"{name}.png") == labels).all()


def test_labels_must_be_grey_and_8_bit(tmp_path: Path) -> None:
    Image.fromarray(WIDE).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match="grey"):
        read_labels(tmp_path / "colour.png")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="8 bits"):
        read_labels(tmp_path / "deep.png")


def test_padding_keeps_the_picture_and_repeats_its_edge() -> None:
    square = pad_to_square(WIDE)
    assert square.shape == (40, 40, 3)
    assert (square[:20] == WIDE).all()
    assert (square[20:] == WIDE[-1]).all()


def test_a_mask_is_padded_with_background() -> None:
    mask = np.ones((20, 40), dtype=bool)
    assert pad_to_square(mask).sum() == mask.sum()


def test_masks_keep_their_values_and_corner_when_resized() -> None:
    mask = np.zeros((80, 80), dtype=bool)
    mask[:40, :20] = True
    small = resize_mask(mask, 20)
    assert small[:10, :5].all()
    assert small.sum() == 50
    assert resize_image(np.zeros((80, 80, 3), np.uint8), 20).shape == (20, 20, 3)
