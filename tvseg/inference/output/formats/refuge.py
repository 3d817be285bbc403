"""Predictions as the REFUGE challenge takes them: BMP with 0 cup, 128 rim, 255 background."""

import cv2
import numpy as np

from tvseg.data.centres import MaskEncoding
from tvseg.errors import UserError
from tvseg.inference.prediction import Prediction

REFUGE_VALUES = {0: ("cup", "disc"), 128: ("disc",), 255: ()}


def refuge_bmp(prediction: Prediction) -> bytes:
    """The label image in the challenge's encoding, whatever the run's own is.

    Raises:
        ValueError: The structures are others than cup and disc, or a cup leaves its disc.

    Source: https://refuge.grand-challenge.org, task 2.
    """
    structures = prediction.encoding.structures
    if set(structures) != {"cup", "disc"}:
        raise UserError(
            f"format refuge takes the structures cup and disc, the model has "
            f"{', '.join(structures)}; choose another of --formats"
        )
    return encode_bmp(prediction.placed.labels(MaskEncoding(REFUGE_VALUES, structures)))


def encode_bmp(labels: np.ndarray) -> bytes:
    """A label image, uint8 (H, W), as a grey BMP of 8 bits a pixel."""
    done, content = cv2.imencode(".bmp", labels)
    if not done:
        raise UserError(f"labels of {labels.shape[1]} x {labels.shape[0]} px cannot be a BMP")
    return bytes(content)
