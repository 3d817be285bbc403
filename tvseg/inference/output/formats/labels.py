"""Predictions as pictures of labels: PNG, NIfTI, and where the views of an ensemble differ."""

import gzip

import cv2
import numpy as np

from tvseg.data.geometry import Box
from tvseg.inference.output.formats.png import grey_png
from tvseg.inference.prediction import Prediction


def mask_png(prediction: Prediction) -> bytes:
    """The label image, grey, in the run's encoding."""
    return grey_png(prediction.labels)


def nifti(prediction: Prediction) -> bytes:
    """Labels 1, 2, ... in the order of the encoding's values other than background: cup, rim.

    Columns run to the patient's left and rows downwards, as other tools lay out flat pictures.
    The spacing is in millimetres where micrometres a pixel are known, else a pixel counts 1.
    """
    import nibabel as nib  # takes a second

    values = prediction.labels
    marked = [value for value, names in prediction.encoding.values.items() if names]
    number_of = np.zeros(256, np.uint8)
    number_of[marked] = np.arange(1, len(marked) + 1)
    scale = prediction.photograph.um_per_px
    spacing = 1.0 if scale is None else scale / 1000
    volume = nib.Nifti1Image(
        number_of[values].T[..., None], affine=np.diag([-spacing, -spacing, 1.0, 1.0])
    )
    volume.header.set_xyzt_units("unknown" if scale is None else "mm")
    content: bytes = volume.to_bytes()
    return gzip.compress(content, compresslevel=1, mtime=0)  # the same bytes at any time


def probability_pngs(prediction: Prediction) -> list[bytes]:
    """Return a grey picture of 16 bits a structure: its probability times 65535.

    It is 0 outside the region of interest.
    """
    return [
        grey_png(np.round(chance * 65535).astype(np.uint16))
        for chance in prediction.probabilities.values()
    ]


def uncertainty_png(prediction: Prediction) -> bytes:
    """Where views differ: grey 0 (all agree) to 255 (half say yes for certain, half no).

    Of the structures the one on which they differ most counts. Black where there is one view only.
    """
    height, width = prediction.pixels.shape[:2]
    whole = np.zeros((height, width), np.uint8)
    apart, window = prediction.segmentation.disagreement, prediction.window
    if apart is not None and window is not None:
        small = np.round(apart.max(axis=0) * 2 * 255).clip(0, 255).astype(np.uint8)
        size = (window.side, window.side)
        shown = window.overlap(Box.frame(whole))
        large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
        whole[shown.slices] = large[shown.seen_from(window).slices]
    return grey_png(whole)
