"""A summary laid out like the paper's Table 2, and written as Markdown, LaTeX and CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tvseg.evaluation.schema import MEAN_MASK, METRICS, Metric

ORDER = (MEAN_MASK, "dense", "depthwise", "tvconv")
SHORT = {"cup": "OC", "disc": "OD"}
BOTH = "OC/OD"  # what the vertical ratio is of
SHOWN = ("dice", "hd95_px", "vcdr_error", "vcdr_bias")
LEGEND = (
    "Cells: mean ± standard deviation over seeds (missed/scored structures over all seeds; mean "
    "over the found ones where it differs). The best of a row is bold."
)
_ARROWS = {"highest": "↑", "lowest": "↓", "nearest to zero": "→ 0"}


@dataclass(frozen=True)
class Cell:
    """A mean and its spread, as :func:`tvseg.evaluation.tables.summary.summarise` computes them.

    The mean at a table's foot has neither deviation nor interval.
    """

    mean: float
    sd: float
    low: float
    high: float
    found_mean: float
    n: int
    n_missed: int
    digits: int
    is_best: bool

    @property
    def value(self) -> str:
        """The mean, and the standard deviation over seeds where there is one."""
        text = self._rounded(self.mean)
        return text if np.isnan(self.sd) else f"{text} ± {self._rounded(self.sd)}"

    @property
    def note(self) -> str:
        """How many were missed of how many, and the mean over the found ones if it is another."""
        counts = f"{self.n_missed}/{self.n}"
        found = self._rounded(self.found_mean)
        if not self.n_missed or np.isnan(self.found_mean) or found == self._rounded(self.mean):
            return f"({counts})"
        return f"({counts}; found {found})"

    def _rounded(self, number: float) -> str:
        return f"{number:z.{self.digits}f}"  # z: no minus before a zero


@dataclass(frozen=True)
class Line:
    """One line of a table: its heads, and a cell a variant, ``None`` where there is no number."""

    metric: str
    task: str
    centre: str
    cells: tuple[Cell | None, ...]
    is_foot: bool = False


@dataclass(frozen=True)
class Table:
    """What every form of the table shows."""

    caption: str
    variants: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """The titles of the columns."""
        return ("Metric", "Task", "Centre", *self.variants)


def layout(summary: pd.DataFrame, caption: str, *, metrics: Sequence[str] = SHOWN) -> Table:
    """Lay a summary out like the paper's Table 2: a line per metric, structure and centre.

    Args:
        summary: Result of :func:`tvseg.evaluation.tables.summary.summarise`.
        caption: Names the protocol, the images and the data; the meaning of cells is added.
        metrics: Which metrics to show, in this order, where the summary has them.

    Returns:
        The lines of each metric, and at their foot the mean over them, for variants that have
        them all.
    """
    variants = ordered(summary["variant"].unique().tolist())
    lines: list[Line] = []
    for metric in metrics:
        of_metric = summary[summary["metric"] == metric]
        block = [
            _line(metric, str(structure), str(centre), here, variants)
            for (structure, centre), here in of_metric.groupby(["structure", "centre"])
        ]
        lines += [*block, _foot(METRICS[metric], block)] if len(block) > 1 else block
    return Table(f"{caption} {LEGEND}", tuple(variants), tuple(lines))


def to_markdown(table: Table) -> str:
    """A table as Markdown, its caption before it."""
    rows = [
        [line.metric, line.task, line.centre, *(_marked(cell, "**") for cell in line.cells)]
        for line in table.lines
    ]
    lines = ["| " + " | ".join(table.heads) + " |", "|" + " --- |" * len(table.heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return f"{table.caption}\n\n" + "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """A table as CSV of plain numbers: ``<variant> mean``, ``sd``, ``found mean``, ``n``, ..."""
    rows = []
    for line in table.lines:
        row: dict[str, object] = {"metric": line.metric, "task": line.task, "centre": line.centre}
        for variant, cell in zip(table.variants, line.cells, strict=True):
            for name in ("mean", "sd", "low", "high", "found_mean", "n", "n_missed"):
                row[f"{variant} {name}"] = getattr(cell, name) if cell else None
        rows.append(row)
    return pd.DataFrame(rows).to_csv(index=False)


def _line(
    key: str, structure: str, centre: str, here: pd.DataFrame, variants: Sequence[str]
) -> Line:
    metric = METRICS[key]
    records = {str(row["variant"]): row for row in here.to_dict("records")}
    means = [records[v]["mean"] if v in records else np.nan for v in variants]
    best = _best(metric, means)
    cells = [
        Cell(
            mean=row["mean"],
            sd=row["sd"],
            low=row["low"],
            high=row["high"],
            found_mean=row["found_mean"],
            n=row["n"],
            n_missed=row["n_missed"],
            digits=metric.digits,
            is_best=is_best,
        )
        if (row := records.get(variant))
        else None
        for variant, is_best in zip(variants, best, strict=True)
    ]
    task = BOTH if key.startswith("vcdr") else SHORT.get(structure, structure)
    return Line(_title(metric), task, centre, tuple(cells))


def _foot(metric: Metric, block: Sequence[Line]) -> Line:
    columns = list(zip(*(line.cells for line in block), strict=True))
    whole = [[cell for cell in column if cell is not None] for column in columns]
    complete = [len(cells) == len(block) for cells in whole]
    means = [
        float(np.mean([cell.mean for cell in cells])) if all_there else np.nan
        for cells, all_there in zip(whole, complete, strict=True)
    ]
    cells = [
        Cell(
            mean=mean,
            sd=np.nan,
            low=np.nan,
            high=np.nan,
            found_mean=float(np.mean([cell.found_mean for cell in cells])),
            n=sum(cell.n for cell in cells),
            n_missed=sum(cell.n_missed for cell in cells),
            digits=metric.digits,
            is_best=is_best,
        )
        if all_there
        else None
        for cells, all_there, mean, is_best in zip(
            whole, complete, means, _best(metric, means), strict=True
        )
    ]
    return Line(_title(metric), "mean", "", tuple(cells), is_foot=True)


_LOSS: dict[str, Callable[[float], float]] = {
    "highest": lambda mean: -mean,
    "lowest": lambda mean: mean,
    "nearest to zero": abs,
}


def _best(metric: Metric, means: Sequence[float]) -> list[bool]:
    """Which means are the best as they are shown; none where there is nothing to compare."""
    losses = [_LOSS[metric.best](round(mean, metric.digits)) for mean in means]
    known = [loss for loss in losses if not np.isnan(loss)]
    return [len(known) > 1 and loss == min(known) for loss in losses]


def _title(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return f"{metric.name}{unit} {_ARROWS[metric.best]}"


def _marked(cell: Cell | None, mark: str) -> str:
    if cell is None:
        return ""
    value = f"{mark}{cell.value}{mark}" if cell.is_best else cell.value
    return f"{value} {cell.note}"


def ordered(variants: Sequence[str]) -> list[str]:
    """Variants as tables show them: the mean mask, the three of the paper, others by name."""
    known = [variant for variant in ORDER if variant in variants]
    return known + sorted(set(variants) - set(known))
