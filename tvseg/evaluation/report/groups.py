"""Scores that runs have left on disk, gathered into groups that may be compared."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tvseg.errors import UserError
from tvseg.evaluation.report.grouping import VARYING, group_runs
from tvseg.evaluation.schema import IMAGE, MEAN_MASK
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Protocol
from tvseg.evaluation.scoring.rows import read_cases
from tvseg.evaluation.scoring.runs import evaluation_folder
from tvseg.evaluation.tables.layout import ordered
from tvseg.runs.folder import RunFolder

NO_HOLDOUT = "none"


@dataclass(frozen=True)
class Scoring:
    """Which scores of a run are meant: as ``tvseg eval`` was told.

    Attributes:
        protocol: How masks were scored.
        images: ``test`` or ``all``.
        checkpoint: ``best`` or ``last``.
    """

    protocol: Protocol
    images: str
    checkpoint: str

    def file(self, run: RunFolder) -> Path:
        """Where a run keeps them."""
        folder = evaluation_folder(run, self.protocol, self.images, self.checkpoint)
        return folder / "cases.csv"

    def command(self, runs: Sequence[RunFolder]) -> str:
        """The command that makes them."""
        words = ["tvseg", "eval", *(str(run.path) for run in runs)]
        own = PROTOCOLS[self.protocol.name]
        words += ["--protocol", self.protocol.name] if self.protocol.name != "honest" else []
        if self.protocol.grid_px != own.grid_px:
            words += ["--size", str(self.protocol.grid_px or "native")]
        words += ["--images", self.images] if self.images != "test" else []
        words += ["--checkpoint", self.checkpoint] if self.checkpoint != "best" else []
        return shlex.join(words)


@dataclass(frozen=True)
class Group:
    """Runs that may stand in one table, with their scores.

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
        return str(self.runs[0].info()["holdout"]) != NO_HOLDOUT


def gather(runs: Sequence[RunFolder], scoring: Scoring) -> list[Group]:
    """Read the scores of runs, grouped so that what is compared is comparable.

    Args:
        runs: Finished runs.
        scoring: Which of their scores.

    Returns:
        Groups in the order of their first run.

    Raises:
        ValueError: Runs without these scores or with scores of an older form, or runs that would
            stand in one place of a table.
    """
    groups = group_runs(runs)
    lacking = [run for run in runs if not scoring.file(run).is_file()]
    if lacking:
        raise UserError(
            f"runs must have been scored, {len(lacking)} of {len(runs)} have no "
            f"{scoring.file(lacking[0]).relative_to(lacking[0].path)}; make them with: "
            f"{scoring.command(lacking)}"
        )
    titles = _titles(groups)
    return [
        Group(title, group, _read(group, scoring), scoring)
        for title, group in zip(titles, groups, strict=True)
    ]


def _read(runs: Sequence[RunFolder], scoring: Scoring) -> pd.DataFrame:
    tables = []
    for run in runs:
        try:
            tables.append(read_cases(scoring.file(run)))
        except ValueError as error:  # pandas' own say nothing of the file
            raise UserError(
                f"{scoring.file(run)} cannot be used ({error}); "
                f"score again with: {scoring.command([run])}"
            ) from error
    cases = pd.concat(tables, ignore_index=True)
    cases["seed"] = cases["seed"].where(cases["variant"] != MEAN_MASK, 0)
    return cases.drop_duplicates(["variant", "seed", "structure", *IMAGE], ignore_index=True)


def _titles(groups: Sequence[Sequence[RunFolder]]) -> list[str]:
    """For each group, the settings that not all groups share."""
    known = [_flat(group[0]) for group in groups]
    keys = [key for key in known[0] if len({repr(other.get(key)) for other in known}) > 1]
    titles = [", ".join(f"{key} {settings.get(key)}" for key in keys) for settings in known]
    return [title or "All runs" for title in titles]


def _flat(run: RunFolder) -> dict[str, Any]:
    info = run.info()
    tree = {"data": info["fingerprint"], "holdout": "none" if info["holdout"] == "none" else "one"}
    settings = run.settings().model_dump(mode="json", exclude=VARYING)
    nested = settings.pop("train")
    return tree | settings | {f"train.{key}": value for key, value in nested.items()}


def caption(runs: Sequence[RunFolder], scoring: Scoring) -> str:
    """What must stand above every table of runs: images, protocol, selection, data."""
    rules = scoring.protocol
    chosen = {str(run.info()["chosen"]) for run in runs}
    selection = ", ".join(sorted(chosen)) if scoring.checkpoint == "best" else "last epoch"
    kept = rules.name == "paper" and "selected on target" not in chosen
    which = "test split" if scoring.images == "test" else "all images"
    unseen = runs[0].info()["holdout"] != NO_HOLDOUT
    whose = f"Unseen centre, {which}" if unseen else "Test splits of the centres trained on"
    return (
        f"{whose}; protocol {rules.name}: {rules.prediction_words}, {rules.scoring_words}; "
        f"checkpoint {selection}"
        f"{' (kept as trained; the published code selects on target)' if kept else ''}; "
        f"data {runs[0].info()['fingerprint']}."
    )
