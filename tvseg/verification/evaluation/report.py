"""The report page of scored face verification runs."""

from collections.abc import Sequence

import pandas as pd

from tvseg.errors import UserError
from tvseg.evaluation.report.chapter import Chapter, Illustration, Section
from tvseg.evaluation.tables.table import Table
from tvseg.verification.evaluation.figures import roc_figure, training_figure
from tvseg.verification.evaluation.scored_runs import ScoredRun, score_rows
from tvseg.verification.evaluation.tables import over_seeds, score_tables

ENOUGH_SEEDS = 3
NOTICE = (
    "Pictures of faces are biometric data, and one average hides how accuracy differs between "
    "groups of people: these scores are for research, and must not decide about anybody."
)


def face_chapter(runs: Sequence[ScoredRun]) -> Chapter:
    """Return the chapter of scored runs.

    Args:
        runs: Scored under one protocol on the same sets of pairs.

    Raises:
        UserError: Runs were scored on different sets, or a file of a run is damaged.
    """
    sets = {tuple(score["set"] for score in run.scores) for run in runs}
    if len(sets) > 1:
        listed = " and ".join(", ".join(names) for names in sorted(sets))
        raise UserError(f"runs must be scored on the same sets of pairs, found {listed}")
    rows = score_rows(runs)
    sections = [_scores(runs, rows), _rocs(runs, rows), _training(runs), _runs(runs)]
    return Chapter("Face verification", _facts(runs, rows), _warnings(runs, rows), sections)


def _facts(runs: Sequence[ScoredRun], rows: pd.DataFrame) -> dict[str, str]:
    pairs = rows.drop_duplicates("set")
    return {
        "Protocol": runs[0].protocol,
        "Variants": ", ".join(rows["variant"].unique()),
        "Seeds": ", ".join(map(str, sorted(rows["seed"].unique()))),
        "Sets": ", ".join(
            f"{name} ({count} pairs)"
            for name, count in zip(pairs["set"], pairs["pairs"], strict=True)
        ),
        "Training data": ", ".join(sorted({str(run.folder.info()["fingerprint"]) for run in runs})),
        "Image size": ", ".join(f"{s} px" for s in sorted({r.settings.image_size for r in runs})),
    }


def _warnings(runs: Sequence[ScoredRun], rows: pd.DataFrame) -> list[str]:
    found = [NOTICE]
    if runs[0].protocol == "paper":
        found.append(
            "The protocol paper leaks: embeddings of a fold depend on those of the other folds."
        )
    means = over_seeds(rows)
    few = int((means["seeds"] < ENOUGH_SEEDS).sum())
    if few:
        found.append(
            f"{few} of {len(means)} pairs of variant and set have fewer than {ENOUGH_SEEDS} seeds: "
            "a difference between them may be chance of a single training."
        )
    if len({run.folder.info()["fingerprint"] for run in runs}) > 1:
        found.append("The runs were trained on different pictures.")
    return found


def _scores(runs: Sequence[ScoredRun], rows: pd.DataFrame) -> Section:
    words = (
        "Pairs are scored in folds: the threshold of a fold is chosen on the others. TAR at FAR is "
        "the true accept rate at a false accept rate, EER the rate at which both errors are equal."
    )
    tables = score_tables(rows, protocol=runs[0].protocol)
    return Section("Scores", [words], tables=tables[::-1])


def _rocs(runs: Sequence[ScoredRun], rows: pd.DataFrame) -> Section:
    drawn = []
    for name in rows["set"].unique():
        pairs: dict[str, list[pd.DataFrame]] = {}
        for run in runs:
            pairs.setdefault(run.variant, []).append(run.distances(name))
        caption = f"{name}: true accept rate by false accept rate, a line for each run."
        alt = f"ROC curves of {', '.join(pairs)} on {name}, on a logarithmic axis."
        drawn.append(Illustration(f"roc-{name}", caption, alt, roc_figure(pairs)))
    return Section("ROC", illustrations=drawn)


def _training(runs: Sequence[ScoredRun]) -> Section:
    epochs = pd.concat([_epochs(run) for run in runs])
    chosen = ", ".join(sorted({run.chosen for run in runs}))
    drawn = Illustration(
        "training", "A line for each run.",
        "Curves of training loss and of accuracy on the validation pairs by epoch.",
        training_figure(epochs),
    )  # fmt: skip
    return Section("Training", [f"The epoch that is scored: {chosen}."], illustrations=[drawn])


def _epochs(run: ScoredRun) -> pd.DataFrame:
    try:
        rows = pd.DataFrame(run.folder.read_metrics())[["epoch", "loss", "accuracy"]]
        numbers = rows.apply(pd.to_numeric)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{run.folder.metrics} must have a row for each epoch with the columns epoch, loss and "
            f"accuracy ({' '.join(str(error).split())}); restore the file or leave this run out"
        ) from error
    named: pd.DataFrame = numbers.assign(run=run.folder.path.name, variant=run.variant)
    return named


def _runs(runs: Sequence[ScoredRun]) -> Section:
    rows = []
    for run in runs:
        info = run.folder.info()
        rows.append(
            {
                "Run": run.folder.path.name, "Variant": run.variant, "Seed": run.settings.seed,
                "Epoch kept": info.get("best_epoch"),
                "Minutes": round((info.get("train_seconds") or 0) / 60, 1),
                "Device": info.get("device"), "tvseg": info.get("tvseg"),
                "Commit": info.get("commit"), "Finished": str(info.get("finished"))[:10],
            }
        )  # fmt: skip
    numbers = pd.DataFrame(rows)
    text = numbers.astype(object).where(numbers.notna(), "")
    table = Table.of("Every run of this report.", text, numbers=numbers, heads=2, name="trainings")
    return Section("Runs", tables=[table])
