"""The metrics against MedPy and MONAI, on drawn and on real masks."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from monai import metrics as monai_metrics
from PIL import Image
from scipy.ndimage import binary_fill_holes, gaussian_filter

from tvseg.metrics import asd, assd, dice, hd, hd95, surface_dice
from tvseg.metrics.checks import Mask

MEDPY_ATOL = 1e-9
MONAI_ATOL = 1e-4  # MONAI computes in float32
N_RANDOM, N_REAL = 200, 50

Pair = tuple[Mask, Mask]

pytestmark = pytest.mark.filterwarnings(
    # MONAI warns of an argument that MONAI itself passes
    "ignore:.*always_return_as_numpy:FutureWarning"
)


def draw_mask(rng: np.random.Generator, kind: str, shape: tuple[int, int]) -> Mask:
    """One mask of a kind; the border is cut through often, since blobs fill the image."""
    smooth = gaussian_filter(rng.normal(size=shape), sigma=5)
    if kind == "blobs":
        mask = smooth > np.quantile(smooth, 0.7)
    elif kind == "holes":
        mask = (smooth > np.quantile(smooth, 0.4)) & (rng.random(shape) > 0.02)
    elif kind == "border":
        mask = np.zeros(shape, dtype=bool)
        mask[: rng.integers(1, shape[0]), rng.integers(0, shape[1]) :] = True
    elif kind == "pixel":
        mask = np.zeros(shape, dtype=bool)
    else:
        mask = rng.random(shape) < 0.5
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
    return mask


def random_pairs() -> Iterator[Pair]:
    rng = np.random.default_rng(11)
    kinds = itertools.product(("blobs", "holes", "border", "pixel", "noise"), repeat=2)
    for first, second in itertools.islice(itertools.cycle(kinds), N_RANDOM):
        shape = (int(rng.integers(2, 60)), int(rng.integers(2, 80)))
        yield draw_mask(rng, first, shape), draw_mask(rng, second, shape)


def real_pairs(root: Path) -> Iterator[Pair]:
    """Disc and cup of neighbouring files of one size, the centres in turn."""
    centres = [sorted(folder.glob("*/ROIs/mask/*.png")) for folder in sorted(root.glob("Domain*"))]
    for files in itertools.zip_longest(*(itertools.pairwise(paths) for paths in centres)):
        for one, two in filter(None, files):
            first, second = (np.asarray(Image.open(path).convert("L")) for path in (one, two))
            if first.shape == second.shape:
                yield first == 0, second == 0
                yield first < 255, second < 255


@pytest.fixture(scope="module", params=["random", "real"])
def pairs(request: pytest.FixtureRequest) -> list[Pair]:
    if request.param == "random":
        return list(random_pairs())
    root: Path = request.getfixturevalue("fundus4")
    found = filter(lambda pair: all(map(np.any, pair)), real_pairs(root))
    first = list(itertools.islice(found, N_REAL))
    assert len(first) == N_REAL
    return first


def cut_out(prediction: Mask, truth: Mask) -> Pair:
    """Both masks cut to their common bounding box: what lies outside must not count."""
    box = tuple(slice(where.min(), where.max() + 1) for where in (prediction | truth).nonzero())
    return prediction[box], truth[box]


def test_medpy_has_the_same_values(pairs: list[Pair]) -> None:
    reason = "MedPy is the outside reference: pip install medpy"
    binary = pytest.importorskip("medpy.metric.binary", reason=reason)
    ours_and_theirs: list[tuple[Callable[..., float], Callable[..., float]]] = [
        (dice, binary.dc),
        (hd, binary.hd),
        (lambda p, t: hd95(p, t, rule="pooled"), binary.hd95),
        (asd, binary.asd),
        (assd, binary.assd),
    ]
    for ours, theirs in ours_and_theirs:
        np.testing.assert_allclose(
            [ours(*pair) for pair in pairs],
            [theirs(*cut_out(*pair)) for pair in pairs],
            rtol=0,
            atol=MEDPY_ATOL,
        )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch: several, on tiny tensors, mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_monai_has_the_same_values(pairs: list[Pair]) -> None:
    ours, theirs = [], []
    for index, pair in enumerate(pairs):
        tolerance_px = index % 4  # whole, and 0: distances often equal the tolerance
        ours.append(
            (
                hd95(*pair, rule="max"),
                assd(*pair),
                surface_dice(*pair, tolerance_px=tolerance_px),
            )
        )
        tensors = [torch.from_numpy(mask)[None, None] for mask in cut_out(*pair)]
        values = (
            monai_metrics.compute_hausdorff_distance(
                *tensors, include_background=True, percentile=95
            ),
            monai_metrics.compute_average_surface_distance(
                *tensors, include_background=True, symmetric=True
            ),
            monai_metrics.compute_surface_dice(
                *tensors, include_background=True, class_thresholds=[tolerance_px]
            ),
        )
        theirs.append([value.item() for value in values])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=MONAI_ATOL)


def test_drawn_masks_hold_the_hard_cases() -> None:
    masks = [mask for pair in random_pairs() for mask in pair]
    on_border = sum(bool(m[0].any() or m[-1].any() or m[:, 0].any()) for m in masks)
    single = sum(np.count_nonzero(mask) == 1 for mask in masks)
    assert len(masks) == 2 * N_RANDOM
    assert all(mask.any() for mask in masks)
    with_holes = sum(bool((binary_fill_holes(mask) & ~mask).any()) for mask in masks)
    assert on_border > 100
    assert with_holes > 50
    assert single > 50
