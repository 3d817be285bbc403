"""Tables of face verification: all runs, and Table 1's layout over seeds."""

import pandas as pd

from tvseg.evaluation.tables.table import Table

HEADS = ["backbone", "width", "operator", "variant"]
"""What names the rows of Table 1's layout; runs of one variant differ in their seed alone."""


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the rows of :func:`tvseg.verification.evaluation.evaluate.evaluate_faces` over seeds.

    Returns:
        A row for each backbone, width, operator, variant and set: means over seeds of ``accuracy``
        and its ``standard_error`` over folds, of ``tar_at_far_1e2``, ``tar_at_far_1e3``, ``auc``
        and ``eer``; ``sd``, the standard deviation of the accuracy over seeds (nan for one); and
        ``seeds``, their number.
    """
    table = rows.groupby([*HEADS, "set"], sort=False).agg(
        accuracy=("accuracy", "mean"),
        sd=("accuracy", "std"),
        standard_error=("standard_error", "mean"),
        tar_at_far_1e2=("tar_at_far_1e2", "mean"),
        tar_at_far_1e3=("tar_at_far_1e3", "mean"),
        auc=("auc", "mean"),
        eer=("eer", "mean"),
        seeds=("seed", "size"),
    )
    return table.reset_index()


def score_tables(rows: pd.DataFrame, *, protocol: str) -> list[Table]:
    """Return the tables of scores: one of all runs and, of several, Table 1's layout.

    Args:
        rows: Of :func:`tvseg.verification.evaluation.evaluate.evaluate_faces`.
        protocol: Of the scores, said in the captions.
    """
    caption = f"Face verification, protocol {protocol}"
    if protocol == "paper":
        caption += " (leaks: embeddings of a fold depend on those of the others)"
    tables = [_run_table(rows, caption)]
    return tables if rows["run"].nunique() == 1 else [*tables, _seed_table(rows, caption)]


def _run_table(rows: pd.DataFrame, caption: str) -> Table:
    accuracy = [
        f"{mean:.2f} ± {error:.2f}"
        for mean, error in zip(rows["accuracy"], rows["standard_error"], strict=True)
    ]
    text = pd.DataFrame(
        {
            "run": rows["run"],
            "set": rows["set"],
            "accuracy [%]": accuracy,
            "threshold": rows["threshold"].map("{:.3f}".format),
            "TAR at FAR 1e-2 [%]": rows["tar_at_far_1e2"].map("{:.1f}".format),
            "TAR at FAR 1e-3 [%]": rows["tar_at_far_1e3"].map("{:.1f}".format),
            "AUC": rows["auc"].map("{:.4f}".format),
            "EER [%]": rows["eer"].map("{:.1f}".format),
        }
    )
    words = f"{caption}: accuracy as mean ± standard error over folds."
    return Table.of(words, text, numbers=rows, heads=2, name="runs")


def _seed_table(rows: pd.DataFrame, caption: str) -> Table:
    """Return accuracies in Table 1's layout: a row a network, a column a set of pairs."""
    means = over_seeds(rows)
    text = means[HEADS].assign(
        width=means["width"].map("x{:g}".format),
        set=means["set"],
        cell=[
            f"{row.accuracy:.2f}"
            + ("" if row.seeds == 1 else f" ± {row.sd:.2f} ({row.seeds} seeds)")
            for row in means.itertuples()
        ],
    )
    heads = list(HEADS)
    if not means.duplicated(["backbone", "width", "operator", "set"]).any():
        heads.remove("variant")  # it says nothing that the others do not
    wide = text.pivot(index=heads, columns="set", values="cell").fillna("")
    order = text[heads].drop_duplicates()
    wide = wide.loc[pd.MultiIndex.from_frame(order)].reset_index()
    words = f"{caption}: accuracy [%], mean ± standard deviation over seeds."
    return Table.of(words, wide, numbers=means, heads=len(heads), name="table1")
