"""What ``tvseg eval`` has found of a run, for cards of other tools."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tvseg.errors import UserError
from tvseg.files import read_json
from tvseg.runs.folder import RunFolder

SHOWN = {"dice": "DSC, %", "hd95_px": "HD95, px at 800", "vcdr_error": "vCDR MAE"}
"""Metrics of ``summary.json`` that cards show, and what they call them."""


@dataclass(frozen=True)
class CentreScore:
    """The mean of a metric over the images of a centre.

    Attributes:
        centre: Its display name.
        structure: What was scored.
        metric: Key of `SHOWN`.
        mean: In the metric's unit.
        count: Images.
        missed: Images in which the structure was not predicted, though it is there.
        images: ``test`` or ``all`` of the centre's.
        scoring: Folder below ``eval``: protocol and options.
        words: The protocol in words.
        date: Of the scoring.
    """

    centre: str
    structure: str
    metric: str
    mean: float
    count: int
    missed: int
    images: str
    scoring: str
    words: str
    date: str


def read_scores(run: RunFolder) -> list[CentreScore]:
    """Return the scores of a run, of every scoring in its ``eval`` folder.

    Raises:
        UserError: A damaged ``summary.json``.
    """
    return list(_scores(run))


def _scores(run: RunFolder) -> Iterator[CentreScore]:
    settings = run.settings()
    for path in sorted(run.path.glob("eval/*/summary.json")):
        summary = read_json(path)
        date = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
        try:
            for row in summary["scores"]:
                if row["metric"] in SHOWN and row["variant"] == settings.display_name:
                    yield CentreScore(
                        centre=settings.centres[row["centre"]].name,
                        structure=row["structure"],
                        metric=row["metric"],
                        mean=float(row["mean"]),
                        count=int(row["n"]),
                        missed=int(row["n_missed"]),
                        images=summary["images"],
                        scoring=path.parent.name,
                        words=summary["words"],
                        date=date,
                    )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error!r}); run 'tvseg eval' again") from error


def table_of(scores: list[CentreScore]) -> str:
    """Return scores as a table in Markdown, or how to make some."""
    if not scores:
        return "Not scored: `tvseg eval RUN` before the export puts the figures here."
    lines = [
        "| centre | images | structure | metric | mean | missed | protocol | date |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in scores:
        mean = f"{one.mean:.3f}" if one.metric == "vcdr_error" else f"{one.mean:.2f}"
        lines.append(
            f"| {one.centre} | {one.count} ({one.images}) | {one.structure} | {SHOWN[one.metric]} "
            f"| {mean} | {one.missed} | {one.scoring} | {one.date} |"
        )
    protocols = dict.fromkeys(f"- {one.scoring}: {one.words}." for one in scores)
    return "\n".join([*lines, "", *protocols])
