import io
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.fingerprint import fingerprint, identify_all, perceptual_hash, pixel_hash
from tvseg.data.folds import COPY_BITS
from tvseg.settings import SegmentationSettings


def test_the_pixel_hash_sees_pixels_only() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert pixel_hash(pixels) == pixel_hash(np.asfortranarray(pixels))
    assert pixel_hash(pixels) != pixel_hash(pixels.reshape(2, 8, 3))


def _differing(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def test_copies_are_alike_and_others_are_not(phantoms: Path) -> None:
    images = [
        case.read()[0] for case in find_cases(phantoms, centres_of(SegmentationSettings())["A"])
    ]
    hashes = [perceptual_hash(image) for image in images]
    for index, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).resize((150, 150)).save(buffer, "JPEG", quality=90)
        copy = perceptual_hash(np.array(Image.open(buffer)))
        assert _differing(copy, hashes[index]) <= COPY_BITS
        others = hashes[:index] + hashes[index + 1 :]
        assert all(_differing(copy, other) > COPY_BITS for other in others)


def test_a_black_frame_makes_no_copies_and_hides_none(phantoms: Path) -> None:
    images = [
        case.read()[0] for case in find_cases(phantoms, centres_of(SegmentationSettings())["A"])
    ]
    framed = []
    for image in images:
        whole = np.zeros((800, 800, 3), np.uint8)
        whole[300:450, 320:470] = Image.fromarray(image).resize((150, 150))
        framed.append(perceptual_hash(whole))
    for index, one in enumerate(framed):
        assert _differing(one, perceptual_hash(images[index])) <= COPY_BITS
        assert all(_differing(one, other) > COPY_BITS for other in framed[:index])


def test_blank_pictures_have_no_hash() -> None:
    assert perceptual_hash(np.full((90, 80, 3), 200, np.uint8)) == b""
    assert perceptual_hash(np.zeros((90, 80, 3), np.uint8)) == b""
    framed = np.zeros((90, 80, 3), np.uint8)
    framed[20:60, 20:60] = 200
    assert perceptual_hash(framed) == b""


def test_the_fingerprint_follows_pixels_masks_and_names(phantoms: Path) -> None:
    identities = identify_all(find_cases(phantoms, centres_of(SegmentationSettings())["A"]))
    whole = fingerprint(identities)
    assert whole == fingerprint(dict(reversed(identities.items())))
    (first, one), *rest = identities.items()
    assert fingerprint(dict(rest)) != whole
    assert fingerprint({**identities, first: rest[0][1]}) != whole
    assert fingerprint({"other": one, **dict(rest)}) != whole
