"""Checks masks before the REFUGE challenge's evaluator reads them.

The evaluator takes the files that it finds: it leaves out those that are missing without a word,
and one of a wrong size or with colour channels turns every mean into nan.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from tvseg.data.cases import find_pictures
from tvseg.data.images import MAX_FILE_BYTES, check_size, read_image
from tvseg.errors import UserError
from tvseg.files import read_bytes
from tvseg.inference.output.formats.refuge import REFUGE_VALUES

SUFFIX = ".bmp"


def check_submission(submission: Path, images: Path) -> list[str]:
    """Return what the challenge's evaluator would fail on or leave out without a word.

    Args:
        submission: Folder of masks, ``NAME.bmp`` for each photograph.
        images: Folder of the photographs (or of their true masks) that all must be there.

    Returns:
        A line for each problem: a file that is missing, of no photograph, no grey BMP of 8 bits,
        of another size than its photograph, or with other values than 0, 128 and 255.

    Raises:
        ValueError: A folder that does not exist, or no picture in ``images``.
    """
    for folder, what in ((submission, "the submission"), (images, "images")):
        if not folder.is_dir():
            raise UserError(f"{what} must be a folder; {folder} is none")
    expected = find_pictures(images)
    if not expected:
        raise UserError(f"images must be a folder of photographs; {images} holds no picture")
    names = {f"{stem}{SUFFIX}" for stem in expected}
    found = sorted(path.name for path in submission.iterdir() if not path.name.startswith("."))
    problems = [f"{name}: missing" for name in sorted(names - set(found))]
    problems += [f"{name}: no photograph has this name" for name in found if name not in names]
    present = [name for name in found if name in names]
    for name in tqdm(present, "checking", leave=False):
        reason = _fault(submission / name, expected[name.removesuffix(SUFFIX)])
        problems += [f"{name}: {reason}"] if reason else []
    return problems


def _fault(path: Path, photograph: Path) -> str | None:
    """Return what is wrong with a file, or ``None``."""
    try:
        content = read_bytes(path, limit=MAX_FILE_BYTES)
        picture = Image.open(io.BytesIO(content), formats=["BMP"])
        check_size(path, *picture.size)
        labels = np.asarray(picture)
    except Exception as error:  # on damaged files decoders raise errors of any kind
        reason = " ".join(str(error).split()).replace(f" {io.BytesIO}", "")
        return f"must be a BMP file: {reason.split('<')[0].strip()}"
    try:
        height, width = read_image(photograph).shape[:2]  # upright, as predictions are
    except UserError as error:
        return f"its photograph cannot be read: {error}"
    size = (width, height)
    if picture.mode != "L":
        return f"must be grey with 8 bits a pixel, is of Pillow's mode {picture.mode}"
    if picture.size != size:
        sizes = [f"{width} x {height} px" for width, height in (size, picture.size)]
        return f"must have its photograph's size, {sizes[0]}, has {sizes[1]}"
    if strange := sorted(set(np.unique(labels).tolist()) - set(REFUGE_VALUES)):
        return f"must hold 0, 128 and 255 only, holds {', '.join(map(str, strange[:5]))}"
    return None
