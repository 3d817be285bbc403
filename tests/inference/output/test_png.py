import io

import cv2
import numpy as np
import pytest
from PIL import Image

from tvseg.inference.output.formats.png import grey_png, photograph_png


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (5, 1, 3), (61, 43, 3)])
def test_photographs_keep_their_pixels(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    content = photograph_png(pixels.copy())
    with Image.open(io.BytesIO(content)) as picture:
        picture.verify()  # checksums
    assert np.array_equal(Image.open(io.BytesIO(content)), pixels)
    assert np.array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), -1)[..., ::-1], pixels)


def test_flat_pictures_keep_their_values_and_are_small() -> None:
    labels = np.full((300, 200), 255, np.uint8)
    labels[50:100, 60:90] = 128
    content = grey_png(labels)
    assert np.array_equal(Image.open(io.BytesIO(content)), labels)
    assert len(content) < 1500
