"""Which runs may stand in one table."""

import json
from collections.abc import Sequence
from typing import Any

from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder

VARYING: dict[str, bool | dict[str, bool]] = {
    "name": True,
    "data": True,
    "seed": True,
    "aspp": True,
    "aspp_dilation": True,
    "precision": True,
    "train": {"log_affinity": True},
}
"""Settings in which the runs of one table may differ: variant, seed, where the data are, what was
only logged, and the wish for a precision: the one that was used counts."""


def group_runs(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Group runs by data fingerprint, precision, and all settings but variant and seed.

    Runs without a held-out centre are scored on centres they know, and form groups without others.

    Args:
        runs: Finished runs.

    Returns:
        Groups in the order of their first run.

    Raises:
        UserError: Two runs of one group have the same variant, hold-out and seed, or runs of one
            name are of several variants.
    """
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        groups.setdefault(json.dumps(conditions(run), sort_keys=True), []).append(run)
    for group in groups.values():
        _check_distinct(group)
    return list(groups.values())


def conditions(run: RunFolder) -> dict[str, Any]:
    """Return what the runs of one table share, nested keys joined with a dot."""
    info, settings = run.info(), run.settings()
    tree = settings.model_dump(mode="json", exclude=VARYING)
    nested = tree.pop("train")
    return {
        "data": info["fingerprint"],
        "holdout": "none" if info["holdout"] == "none" else "one",
        "precision": info.get("precision", settings.precision),
        **tree,
        **{f"train.{key}": value for key, value in nested.items()},
    }


def _check_distinct(group: Sequence[RunFolder]) -> None:
    seen: dict[tuple[str, str, int], RunFolder] = {}
    variants: dict[str, tuple[str, str]] = {}
    for run in group:
        settings = run.settings()
        variant = (settings.aspp, settings.aspp_dilation)
        if variants.setdefault(settings.display_name, variant) != variant:
            raise UserError(
                f"runs named {settings.display_name} must be of one variant to share a column: "
                f"{run.path} is {' '.join(variant)}, another is "
                f"{' '.join(variants[settings.display_name])}; evaluate them one by one"
            )
        key = (settings.display_name, str(run.info()["holdout"]), settings.seed)
        if key in seen:
            raise UserError(
                f"runs of one table must differ in name, holdout or seed: {seen[key].path} and "
                f"{run.path} do not; evaluate them one by one"
            )
        seen[key] = run
