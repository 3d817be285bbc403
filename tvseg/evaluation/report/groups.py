"""Scores that runs have left on disk, gathered into groups that may be compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tvseg.errors import UserError
from tvseg.evaluation.schema import IMAGE, MEAN_MASK
from tvseg.evaluation.scoring.protocols import Scoring
from tvseg.evaluation.scoring.rows import read_cases
from tvseg.evaluation.variants import ordered
from tvseg.runs.folder import RunFolder
from tvseg.settings import held_out

CASES = "cases.csv"
NO_HOLDOUT = "none"
VARYING: dict[str, bool | dict[str, bool]] = {
    "name": True,
    "data": True,
    "seed": True,
    "aspp": True,
    "aspp_dilation": True,
    "precision": True,
    "tracking": True,
    "train": {"average": True, "log_affinity": True, "workers": True},
}
"""Settings in which the runs of one table may differ: variant, seed, where the data are, what
changes no result, and the wish for a precision: the one that was used counts."""


@dataclass(frozen=True)
class Group:
    """Runs that may be compared in one table, with their scores.

    Attributes:
        title: The settings in which they differ from the other groups.
        runs: At least one.
        cases: The rows of their ``cases.csv`` files; those of the mean mask, which runs of one
            hold-out share, once.
        scoring: What the rows are.
    """

    title: str
    runs: Sequence[RunFolder]
    cases: pd.DataFrame
    scoring: Scoring

    @property
    def networks(self) -> list[str]:
        """The variants that are networks, in the order of tables."""
        return [variant for variant in self.variants if variant != MEAN_MASK]

    @property
    def variants(self) -> list[str]:
        """All variants, the mean mask first."""
        return ordered(self.cases["variant"].unique().tolist())

    @property
    def centres(self) -> list[str]:
        """Letters of the centres that were scored."""
        return sorted(self.cases["centre"].unique())

    @property
    def holds_out(self) -> bool:
        """Whether the scored centres were unseen."""
        return _unseen(self.runs, self.scoring)


def group_runs(runs: Sequence[RunFolder], *, by_holdout: bool = False) -> list[list[RunFolder]]:
    """Group runs by data fingerprint, precision, and all settings but variant and seed.

    Runs without a held-out centre are scored on centres they know, and form groups without others;
    so do runs of the same several held-out centres.

    Args:
        runs: Finished runs.
        by_holdout: Whether runs of other held-out centres form groups of their own, too, as they
            must where they are scored on their sources.

    Returns:
        Groups in the order of their first run.

    Raises:
        UserError: Two runs of one group have the same variant, hold-out and seed, or runs of one
            name are of several variants.
    """
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        known = conditions(run, by_holdout=by_holdout)
        groups.setdefault(json.dumps(known, sort_keys=True), []).append(run)
    for group in groups.values():
        _check_distinct(group)
    return list(groups.values())


def conditions(run: RunFolder, *, by_holdout: bool = False) -> dict[str, Any]:
    """Return what the runs of one table share, nested keys joined with a dot."""
    info, settings = run.info(), run.settings()
    tree = settings.model_dump(mode="json", exclude=VARYING)
    sections = {name: tree.pop(name) for name in ("train", "tvconv")}
    alike = len(held_out(str(info["holdout"]))) == 1 and not by_holdout
    return {
        "data": info["fingerprint"],
        "holdout": "one" if alike else info["holdout"],
        "precision": info.get("precision", settings.precision),
        **tree,
        **{
            f"{name}.{key}": value
            for name, section in sections.items()
            for key, value in section.items()
        },
    }


def _check_distinct(group: Sequence[RunFolder]) -> None:
    seen: dict[tuple[str, str, int], RunFolder] = {}
    variants: dict[str, tuple[str, ...]] = {}
    for run in group:
        settings = run.settings()
        average = settings.train.average
        variant = (settings.aspp, settings.aspp_dilation, f"train.average={average}")
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


def gather(runs: Sequence[RunFolder], scoring: Scoring) -> list[Group]:
    """Read the scores of runs, grouped so that what is compared is comparable.

    Args:
        runs: Finished runs.
        scoring: Which of their scores.

    Returns:
        Groups in the order of their first run.

    Raises:
        UserError: Runs without these scores or with damaged ones, or two runs of the same variant,
            hold-out and seed.
    """
    groups = group_runs(runs, by_holdout=scoring.images == "sources")
    lacking = [run for run in runs if not (scoring.folder(run) / CASES).is_file()]
    if lacking:
        raise UserError(
            f"runs must have been scored, {len(lacking)} of {len(runs)} have no "
            f"{(scoring.folder(lacking[0]) / CASES).relative_to(lacking[0].path)}; make them with: "
            f"{scoring.command(lacking)}"
        )
    titles = _titles(groups, by_holdout=scoring.images == "sources")
    return [
        Group(title, group, _read(group, scoring), scoring)
        for title, group in zip(titles, groups, strict=True)
    ]


def _read(runs: Sequence[RunFolder], scoring: Scoring) -> pd.DataFrame:
    cases = pd.concat([_read_run(run, scoring) for run in runs], ignore_index=True)
    cases["seed"] = cases["seed"].where(cases["variant"] != MEAN_MASK, 0)
    return cases.drop_duplicates(["variant", "seed", "structure", *IMAGE], ignore_index=True)


def _read_run(run: RunFolder, scoring: Scoring) -> pd.DataFrame:
    path, settings = scoring.folder(run) / CASES, run.settings()
    try:
        cases = read_cases(path)
    except UserError as error:
        raise UserError(f"{error}, here: {scoring.command([run])}") from error
    known = {
        "variant": {settings.display_name, MEAN_MASK},
        "centre": set(settings.centres),
        "structure": set(settings.structures),
    }
    for column, names in known.items():
        if strange := sorted(set(cases[column]) - names):
            raise UserError(
                f"{path}: {column} must be one of {', '.join(sorted(names))}, got "
                f"{', '.join(strange)}; score again with: {scoring.command([run])}"
            )
    return cases.assign(run=run.path.name)  # a folder may have been renamed


def _titles(groups: Sequence[Sequence[RunFolder]], *, by_holdout: bool) -> list[str]:
    """Return for each group the settings that not all groups share."""
    known = [conditions(group[0], by_holdout=by_holdout) for group in groups]
    keys = [key for key in known[0] if len({repr(other.get(key)) for other in known}) > 1]
    titles = [", ".join(f"{key} {settings.get(key)}" for key in keys) for settings in known]
    return [title or "All runs" for title in titles]


def _unseen(runs: Sequence[RunFolder], scoring: Scoring) -> bool:
    return scoring.images != "sources" and str(runs[0].info()["holdout"]) != NO_HOLDOUT


def caption(runs: Sequence[RunFolder], scoring: Scoring) -> str:
    """Return the caption of a table of runs: images, protocol, selection, data."""
    rules = scoring.protocol
    masks = rules.prediction_words(runs[0].settings().scattered)
    chosen = {str(run.info()["chosen"]) for run in runs}
    selection = ", ".join(sorted(chosen)) if scoring.checkpoint == "best" else "last epoch"
    kept = rules.name == "paper" and "selected on target" not in chosen
    which = "test split" if scoring.images == "test" else "all images"
    unseen = _unseen(runs, scoring)
    whose = f"Unseen centre, {which}" if unseen else "Test splits of the centres trained on"
    whose += ", regions of interest by the localizer" if scoring.roi == "auto" else ""
    whose += ", averaged with mirror images" if scoring.tta else ""
    whose += ", batch norm adapted to these very images" if scoring.adapt != "none" else ""
    return (
        f"{whose}; protocol {rules.name}: {masks}, {rules.scoring_words}; "
        f"checkpoint {selection}"
        f"{' (kept as trained; the published code selects on target)' if kept else ''}; "
        f"data {runs[0].info()['fingerprint']}."
    )
