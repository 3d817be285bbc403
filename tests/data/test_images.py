import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from tvseg.data.images import pad_to_square, read_image, read_labels, resize_image, resize_masks
from tvseg.errors import UserError

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


def test_a_bomb_or_a_strip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((1, 30_000), np.uint8)).save(tmp_path / "strip.png")
    with pytest.raises(UserError, match="at most 12000 px a side, has 30000 x 1"):
        read_image(tmp_path / "strip.png")
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match="cannot be read as a picture"):
        read_image(tmp_path / "a.png")


def test_importing_the_reader_silences_no_warning() -> None:
    script = "import warnings, tvseg.data.images; print('Bomb' in str(warnings.filters))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_labels_may_be_colour_with_equal_channels(tmp_path: Path) -> None:
    labels = RNG.choice(np.array([0, 128, 255], np.uint8), (9, 7))
    Image.fromarray(labels).save(tmp_path / "grey.png")
    Image.fromarray(np.repeat(labels[..., None], 3, -1)).save(tmp_path / "rgb.png")
    for name in ("grey", "rgb"):
        assert (read_labels(tmp_path / f"{name}.png") == labels).all()


@pytest.mark.parametrize(
    "colours", [(0, 0, 0, 128, 0, 0, 0, 128, 0), (0, 0, 0, 128, 128, 128, 255, 255, 255)]
)
def test_labels_with_a_palette_are_its_indices(tmp_path: Path, colours: tuple[int, ...]) -> None:
    labels = RNG.integers(0, 3, (9, 7), dtype=np.uint8)
    picture = Image.fromarray(labels, "L").convert("P")
    picture.putpalette([*colours, *[0] * 759])
    for name in ("a.png", "a.bmp", "a.tif"):
        picture.save(tmp_path / name)
        assert (read_labels(tmp_path / name) == labels).all()


def test_labels_drawn_in_the_alpha_channel_are_refused(tmp_path: Path) -> None:
    shape = np.zeros((9, 7), np.uint8)
    shape[2:5, 2:5] = 255
    white = np.full((9, 7, 4), 255, np.uint8)
    white[..., 3] = shape
    Image.fromarray(white).save(tmp_path / "alpha.png")
    Image.fromarray(np.zeros((9, 7, 4), np.uint8)).save(tmp_path / "clear.png")
    Image.fromarray(np.stack([shape] * 4, -1)).save(tmp_path / "both.png")
    for name in ("alpha", "clear"):
        with pytest.raises(UserError, match=f"{name}.png: .* by transparency; save it without"):
            read_labels(tmp_path / f"{name}.png")
    assert (read_labels(tmp_path / "both.png") == shape).all()


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
    small = resize_masks(mask[None], 20)[0]
    assert small[:10, :5].all()
    assert small.sum() == 50
    assert resize_image(np.zeros((80, 80, 3), np.uint8), 20).shape == (20, 20, 3)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"


def test_content_decides_and_nothing_external_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("started a program"))
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(UserError, match=r"a.png: cannot be read as a picture: it must hold PNG"):
        read_image(tmp_path / "a.png")
    Image.fromarray(WIDE).save(tmp_path / "gif.gif")
    with pytest.raises(UserError, match="it must hold PNG, JPEG, TIFF"):
        read_image(tmp_path / "gif.gif")
    Image.fromarray(WIDE).save(tmp_path / "b.jpg", "PNG")
    assert (read_image(tmp_path / "b.jpg") == WIDE).all()


def test_any_exception_of_a_decoder_is_the_files_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Image) -> None:
        raise ZeroDivisionError

    Image.fromarray(WIDE).save(tmp_path / "a.bmp")
    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(UserError, match=r"a.bmp: cannot be read as a picture: ZeroDivisionError"):
        read_image(tmp_path / "a.bmp")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_every_orientation_is_applied_at_every_depth(
    tmp_path: Path, orientation: int, deep: bool, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    samples = WIDE.astype(np.uint16) * 257 if deep else WIDE
    if suffix == "tif":
        tags = [(0x0112, "H", 1, orientation, True)]
        tifffile.imwrite(path, samples, photometric="rgb", extratags=tags)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        path.write_bytes(cv2.imencode(".png", samples[..., ::-1])[1].tobytes())
        _add_exif(path, exif.tobytes())
    with Image.open(io.BytesIO(_eight_bit_twin(orientation))) as twin:
        expected = np.array(ImageOps.exif_transpose(twin).convert("RGB"))
    assert (read_image(path) == expected).all()


def _add_exif(path: Path, exif: bytes) -> None:
    content, block = path.read_bytes(), exif.removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + block
    whole = len(block).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    path.write_bytes(content[:33] + whole + content[33:])  # behind the header chunk


def _eight_bit_twin(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(WIDE).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def test_odd_exif_tags_do_not_keep_a_photograph_from_being_read(tmp_path: Path) -> None:
    Image.fromarray(np.rot90(WIDE)).save(tmp_path / "a.jpg", quality=100)
    content = (tmp_path / "a.jpg").read_bytes()
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    unit = struct.pack("<HHII", 0x0128, 5, 1, 38)  # a RATIONAL, where a SHORT is usual
    tags = struct.pack("<2sHIH", b"II", 42, 8, 2) + orientation + unit + bytes(4)
    exif = b"Exif\0\0" + tags + struct.pack("<II", 2, 1)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "a.jpg").write_bytes(content[:2] + segment + content[2:])
    assert read_image(tmp_path / "a.jpg").shape == WIDE.shape


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_colours_keep_their_brightness(tmp_path: Path, bits: int, suffix: str) -> None:
    wide = np.maximum(WIDE, 1).astype(np.uint16)
    samples = wide * (16 if bits == 12 else 257)
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, samples, photometric="rgb")
    else:
        path.write_bytes(cv2.imencode(".png", samples[..., ::-1])[1].tobytes())
    assert np.abs(read_image(path).astype(int) - wide).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_hot_pixel_does_not_change_the_brightness(tmp_path: Path, channels: int) -> None:
    for hot in (4095, 4096, 65535):
        samples = np.full((40, 40, channels), 2000, np.uint16)
        samples[3, 4] = hot
        tifffile.imwrite(tmp_path / "a.tif", samples.squeeze())
        image = read_image(tmp_path / "a.tif")
        assert (image[10:] == 125).all()
        assert (image[3, 4] == 255).all()


def test_the_largest_page_of_a_tiff_is_read_or_none(tmp_path: Path) -> None:
    picture = Image.fromarray(WIDE)
    small = picture.resize((10, 5))
    small.save(tmp_path / "a.tif", save_all=True, append_images=[picture])
    assert (read_image(tmp_path / "a.tif") == WIDE).all()
    deep = WIDE.astype(np.uint16) * 257
    with tifffile.TiffWriter(tmp_path / "deep.tif") as file:
        file.write(deep[::4, ::4], photometric="rgb")
        file.write(deep, photometric="rgb")
    assert (read_image(tmp_path / "deep.tif") == WIDE).all()
    picture.save(tmp_path / "b.tif", save_all=True, append_images=[picture])
    with pytest.raises(UserError, match=r"b.tif: must hold one photograph, has 2 pages"):
        read_image(tmp_path / "b.tif")
    picture.save(tmp_path / "c.png", save_all=True, append_images=[Image.fromarray(255 - WIDE)])
    with pytest.raises(UserError, match=r"c.png: must hold one photograph, has 2 pages"):
        read_image(tmp_path / "c.png")


def test_pipes_devices_and_folders_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe", "zero", "folder"):
        with pytest.raises(UserError, match=f"{name}.png: must be a regular file"):
            read_image(tmp_path / f"{name}.png")
