"""Time every metric of disc and cup at 800x800 on one core, against MONAI and MedPy.

Run `python scripts/benchmark_metrics.py`. The masks are ellipses with an irregular outline.
Values are compared first: nothing is timed unless they agree. MedPy is left out if it is not
installed. The contenders take turns in one process; the figure is the median of each.
"""

import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping

import monai.metrics
import numpy as np
import torch

from tvseg import metrics
from tvseg.evaluation.scoring.protocols import PROTOCOLS
from tvseg.evaluation.scoring.rows import score
from tvseg.metrics.checks import Mask

SIDE_PX = 800
ROUNDS = 21
TOLERANCES_PX = (9.0, 18.0)
Pairs = Mapping[str, tuple[Mask, Mask]]


def irregular_ellipse(
    rng: np.random.Generator, *, centre: tuple[float, float], radius_px: float
) -> Mask:
    """Draw an upright ellipse whose radius wavers along the outline, shape (800, 800)."""
    row, col = np.indices((SIDE_PX, SIDE_PX), dtype=np.float64)
    down, right = (row - centre[0]) / 1.1, col - centre[1]
    angle = np.arctan2(down, right)
    waver = np.zeros_like(angle)
    for order in range(2, 40):
        waver += rng.normal() / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    inside: Mask = np.hypot(down, right) < radius_px * (1 + 0.08 * waver)
    return inside


def draw_pairs(rng: np.random.Generator) -> Pairs:
    """Draw (prediction, truth) of disc and cup."""
    radii_px = {"disc": (180.0, 175.0), "cup": (95.0, 110.0)}
    return {
        name: (
            irregular_ellipse(rng, centre=(400, 400), radius_px=predicted_px),
            irregular_ellipse(rng, centre=(406, 395), radius_px=true_px),
        )
        for name, (predicted_px, true_px) in radii_px.items()
    }


def score_vertical_ratios(pairs: Pairs) -> None:
    """Take both vertical cup-to-disc ratios of prediction and truth."""
    for cup, disc in zip(pairs["cup"], pairs["disc"], strict=True):
        metrics.vcdr(cup, disc, rule="columns")
        metrics.vcdr(cup, disc, rule="box")


def score_shared(pairs: Pairs) -> None:
    """Compute every metric of ours, surface distances once per structure."""
    for prediction, truth in pairs.values():
        metrics.dice(prediction, truth)
        distances = metrics.surface_distances(prediction, truth)
        distances.hd()
        distances.hd95(rule="max")
        distances.hd95(rule="pooled")
        distances.asd()
        distances.assd()
        for tolerance_px in TOLERANCES_PX:
            distances.surface_dice(tolerance_px=tolerance_px)
    score_vertical_ratios(pairs)


def score_rows(pairs: Pairs) -> None:
    """Make the two rows of `cases.csv`, as `tvseg eval` does."""
    prediction, truth = (np.stack([pair[index] for pair in pairs.values()]) for index in (0, 1))
    score(prediction, truth, tuple(pairs), PROTOCOLS["honest"])


def score_singly(pairs: Pairs) -> None:
    """Compute every metric of ours by its own function."""
    for prediction, truth in pairs.values():
        metrics.dice(prediction, truth)
        metrics.hd(prediction, truth)
        metrics.hd95(prediction, truth, rule="max")
        metrics.hd95(prediction, truth, rule="pooled")
        metrics.asd(prediction, truth)
        metrics.assd(prediction, truth)
        for tolerance_px in TOLERANCES_PX:
            metrics.surface_dice(prediction, truth, tolerance_px=tolerance_px)
    score_vertical_ratios(pairs)


def stack(pairs: Pairs, index: int) -> torch.Tensor:
    """Stack the predictions (0) or truths (1) of both structures, shape (1, 2, 800, 800)."""
    return torch.from_numpy(np.stack([pair[index] for pair in pairs.values()]))[None]


def monai_hd95(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Compute MONAI's HD95 of both structures, shape (1, 2)."""
    value: torch.Tensor = monai.metrics.compute_hausdorff_distance(
        prediction, truth, include_background=True, percentile=95
    )
    return value


def monai_all(prediction: torch.Tensor, truth: torch.Tensor) -> None:
    """Compute what MONAI has of the metrics: Dice, HD, HD95, ASD, ASSD, two surface Dices."""
    monai.metrics.compute_dice(prediction.float(), truth.float(), include_background=True)
    monai.metrics.compute_hausdorff_distance(prediction, truth, include_background=True)
    monai_hd95(prediction, truth)
    for symmetric in (False, True):
        monai.metrics.compute_average_surface_distance(
            prediction, truth, include_background=True, symmetric=symmetric
        )
    for tolerance_px in TOLERANCES_PX:
        monai.metrics.compute_surface_dice(
            prediction, truth, class_thresholds=[tolerance_px] * 2, include_background=True
        )


def medpy_all(pairs: Pairs) -> list[float]:
    """Compute what MedPy has of the metrics: Dice, HD, ASD, ASSD, and return its HD95."""
    binary = importlib.import_module("medpy.metric.binary")
    for pair in pairs.values():
        for name in ("dc", "hd", "asd", "assd"):
            getattr(binary, name)(*pair)
    return [float(binary.hd95(*pair)) for pair in pairs.values()]


def check_agreement(pairs: Pairs, *, with_medpy: bool) -> None:
    """Raise if our HD95 differ from MONAI's ("max") or MedPy's ("pooled")."""
    ours = [metrics.hd95(*pair, rule="max") for pair in pairs.values()]
    np.testing.assert_allclose(ours, monai_hd95(stack(pairs, 0), stack(pairs, 1))[0], atol=1e-4)
    if with_medpy:
        pooled = [metrics.hd95(*pair, rule="pooled") for pair in pairs.values()]
        np.testing.assert_allclose(pooled, medpy_all(pairs), rtol=0, atol=1e-9)


def time_in_turns(contenders: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each contender in milliseconds."""
    times_ms: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            times_ms[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times_ms.items()}


def main() -> None:
    """Check, time and print."""
    torch.set_num_threads(1)
    pairs = draw_pairs(np.random.default_rng(0))
    prediction, truth = stack(pairs, 0), stack(pairs, 1)
    with_medpy = importlib.util.find_spec("medpy") is not None
    check_agreement(pairs, with_medpy=with_medpy)
    contenders: dict[str, Callable[[], object]] = {
        "ours, all, distances shared": lambda: score_shared(pairs),
        "ours, two rows of cases.csv": lambda: score_rows(pairs),
        "ours, all, function by function": lambda: score_singly(pairs),
        "MONAI, HD95 alone": lambda: monai_hd95(prediction, truth),
        "MONAI, all it has": lambda: monai_all(prediction, truth),
    }
    if with_medpy:
        contenders["MedPy, all it has"] = lambda: medpy_all(pairs)
    for name, median_ms in time_in_turns(contenders).items():
        print(f"{name:32s} {median_ms:8.1f} ms")


if __name__ == "__main__":
    main()
