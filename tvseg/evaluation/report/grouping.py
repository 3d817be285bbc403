"""Which runs may stand in one table."""

import json
from collections.abc import Sequence

from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder

VARYING: dict[str, bool | dict[str, bool]] = {
    "name": True,
    "data": True,
    "seed": True,
    "aspp": True,
    "aspp_dilation": True,
    "train": {"log_affinity": True},
}
"""Settings in which the runs of one table may differ: variant, seed, where the data lie, and what
was only watched."""


def group_runs(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Group runs by data fingerprint and by all settings but variant and seed.

    Runs without a held-out centre are scored on centres they know, and stay apart from the others.

    Args:
        runs: Finished runs.

    Returns:
        Groups in the order of their first run.

    Raises:
        ValueError: Two runs of one group would stand in the same column, row and seed, or one
            column would mix variants.
    """
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        settings = run.settings().model_dump(mode="json", exclude=VARYING)
        info = run.info()
        key = json.dumps([info["fingerprint"], info["holdout"] == "none", settings], sort_keys=True)
        groups.setdefault(key, []).append(run)
    for group in groups.values():
        _check_distinct(group)
    return list(groups.values())


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
                f"{' '.join(variants[settings.display_name])}; evaluate them apart"
            )
        place = (settings.display_name, str(run.info()["holdout"]), settings.seed)
        if place in seen:
            raise UserError(
                f"runs of one table must differ in name, holdout or seed: {seen[place].path} and "
                f"{run.path} do not; evaluate them apart"
            )
        seen[place] = run
