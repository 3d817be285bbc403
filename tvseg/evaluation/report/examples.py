"""The cases to show of each centre, and their predictions, repeated by the scored networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import centres_of
from tvseg.data.images import resize_image
from tvseg.errors import UserError
from tvseg.evaluation.report.panels import Example
from tvseg.evaluation.schema import IMAGE
from tvseg.evaluation.scoring.protocols import Protocol, Scoring
from tvseg.evaluation.scoring.runs import on_grid, predict_on_grid
from tvseg.inference.load import load
from tvseg.metrics import dice
from tvseg.runs.folder import RunFolder

SAME_DICE = 0.005
"""A prediction made again may differ by this much from the scored one: another device rounds
otherwise."""


def rank_cases(cases: pd.DataFrame, variants: Sequence[str]) -> pd.DataFrame:
    """Choose the best, the median and the worst case of each centre.

    Cases are ordered by their Dice, averaged over structures, variants and seeds, so that all
    variants are shown on the same cases. A centre of one or two cases has fewer ranks.

    Args:
        cases: Rows of ``cases.csv`` files.
        variants: Variants whose rows count.

    Returns:
        Columns ``centre``, ``split``, ``case``, ``rank``.
    """
    own = cases[cases["variant"].isin(variants)]
    means = own.groupby(list(IMAGE))["dice"].mean().dropna().reset_index()
    chosen = []
    for _, centre in means.groupby("centre"):
        order = centre.sort_values(["dice", "case"], ascending=[False, True])
        ranks = {"best": 0, "worst": len(order) - 1, "median": (len(order) - 1) // 2}
        first = {ranks[rank]: rank for rank in reversed(("best", "worst", "median"))}
        chosen += [
            {key: order.iloc[index][key] for key in IMAGE} | {"rank": rank}
            for index, rank in sorted(first.items())
        ]
    return pd.DataFrame(chosen, columns=[*IMAGE, "rank"])


def predict_examples(
    chosen: pd.DataFrame,
    cases: pd.DataFrame,
    runs: Mapping[str, RunFolder],
    *,
    root: Path,
    scoring: Scoring,
    device: torch.device,
) -> list[Example]:
    """Predict the chosen cases of one centre again.

    Args:
        chosen: Rows of :func:`rank_cases`, of one centre.
        cases: Rows of the runs' ``cases.csv`` files.
        runs: The run to show of each variant.
        root: Data root.
        scoring: How the runs were scored.
        device: Where to compute.

    Raises:
        ValueError: A case is not below ``root``, or a prediction is not the one that was scored.
    """
    settings = next(iter(runs.values())).settings()
    found = {
        (case.split, case.name): case
        for case in find_cases(root, centres_of(settings)[chosen["centre"].iloc[0]])
    }
    read = [_read(found, row["split"], row["case"], root) for row in chosen.to_dict("records")]
    predicted = [_predict(run, read, scoring, device) for run in runs.values()]
    examples = []
    for index, (case, image, truth) in enumerate(read):
        of_case = cases[(cases["split"] == case.split) & (cases["case"] == case.name)]
        predictions = {v: masks[index] for v, masks in zip(runs, predicted, strict=True)}
        scores = {v: _dice(of_case, v, run) for v, run in runs.items()}
        true = on_grid(truth, scoring.protocol)
        for variant, run in runs.items():
            _check_same(predictions[variant], true, scores[variant], run, scoring)
        examples.append(
            Example(
                rank=chosen["rank"].iloc[index],
                name=case.name,
                image=_photograph_on_grid(image, scoring.protocol),
                truth=true,
                predictions=predictions,
                structures=settings.structures,
                dice=scores,
            )
        )
    return examples


def _predict(
    run: RunFolder,
    read: Sequence[tuple[Case, np.ndarray, np.ndarray]],
    scoring: Scoring,
    device: torch.device,
) -> list[np.ndarray]:
    model = load(
        run.path,
        device=str(device),
        checkpoint=scoring.checkpoint,
        roi=scoring.roi,
        tta=scoring.tta,
    )
    return [predict_on_grid(model, image, scoring.protocol) for _, image, _ in read]


def _dice(rows: pd.DataFrame, variant: str, run: RunFolder) -> dict[str, float]:
    """Return the Dice of each structure of a case, as a run has scored it."""
    own = rows[(rows["variant"] == variant) & (rows["run"] == run.path.name)]
    return dict(zip(own["structure"], own["dice"], strict=True))


def _read(
    found: Mapping[tuple[str, str], Case], split: str, name: str, root: Path
) -> tuple[Case, np.ndarray, np.ndarray]:
    if (split, name) not in found:
        raise UserError(
            f"the data must be those that were scored; {root} has no {split} case {name}, "
            "give their folder as --data"
        )
    return found[split, name], *found[split, name].read()


def _photograph_on_grid(image: np.ndarray, protocol: Protocol) -> np.ndarray:
    return image if protocol.grid_px is None else resize_image(image, protocol.grid_px)


def _check_same(
    masks: np.ndarray,
    truth: np.ndarray,
    scored: Mapping[str, float],
    run: RunFolder,
    scoring: Scoring,
) -> None:
    for prediction, true, (structure, before) in zip(masks, truth, scored.items(), strict=True):
        now = dice(prediction, true, smooth=scoring.protocol.smooth)
        if not np.isnan(before) and abs(now - before) > SAME_DICE:
            raise UserError(
                f"{run.path} must predict what was scored; the {structure} of a case had a Dice of "
                f"{before:.4f} and has {now:.4f} now; score again with: {scoring.command([run])}"
            )
