import io
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.fingerprint import fingerprint, identify_all, picture_hash, pixel_hash
from tvseg.data.folds import COPY_BITS
from tvseg.settings import SegmentationSettings


def test_the_pixel_hash_sees_pixels_only() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert pixel_hash(pixels) == pixel_hash(np.asfortranarray(pixels))
    assert pixel_hash(pixels) != pixel_hash(pixels.reshape(2, 8, 3))


def test_copies_look_alike_and_others_do_not(phantoms: Path) -> None:
    images = [
        case.read()[0] for case in find_cases(phantoms, centres_of(SegmentationSettings())["A"])
    ]
    looks = [picture_hash(image) for image in images]
    for index, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).resize((150, 150)).save(buffer, "JPEG", quality=90)
        copy = picture_hash(np.array(Image.open(buffer)))
        assert (copy != looks[index]).sum() <= COPY_BITS
        assert all((copy != look).sum() > COPY_BITS for look in looks[:index] + looks[index + 1 :])


def test_the_fingerprint_follows_pixels_masks_and_names(phantoms: Path) -> None:
    identities = identify_all(find_cases(phantoms, centres_of(SegmentationSettings())["A"]))
    whole = fingerprint(identities)
    assert whole == fingerprint(dict(reversed(identities.items())))
    (first, one), *rest = identities.items()
    assert fingerprint(dict(rest)) != whole
    assert fingerprint({**identities, first: rest[0][1]}) != whole
    assert fingerprint({"other": one, **dict(rest)}) != whole
