"""Tables of face verification: all runs, and Table 1's layout over seeds."""

import pandas as pd

from tvseg.evaluation.tables.table import Table


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the rows of :func:`evaluate_faces` over seeds.

    Returns:
        A row for each backbone, width, operator and set: ``accuracy`` and ``tar_at_far_1e2`` as
        means, ``sd`` of the accuracy over seeds (nan for one), ``seeds``.
    """
    keys = ["backbone", "width", "operator", "set"]
    table = rows.groupby(keys, sort=False).agg(
        accuracy=("accuracy", "mean"),
        sd=("accuracy", "std"),
        standard_error=("standard_error", "mean"),
        tar_at_far_1e2=("tar_at_far_1e2", "mean"),
        eer=("eer", "mean"),
        seeds=("seed", "size"),
    )
    return table.reset_index()


def score_tables(rows: pd.DataFrame, *, protocol: str) -> list[Table]:
    """Return the tables of scores: one of all runs, and one over seeds in Table 1's layout.

    Args:
        rows: Of :func:`evaluate_faces`.
        protocol: Of the scores, said in the captions.
    """
    caption = f"Face verification, protocol {protocol}"
    if protocol == "paper":
        caption += " (leaks: embeddings of a fold depend on those of the others)"
    runs = pd.DataFrame(
        {
            "run": rows["run"],
            "set": rows["set"],
            "accuracy [%]": [
                f"{mean:.2f} ± {error:.2f}"
                for mean, error in zip(rows["accuracy"], rows["standard_error"], strict=True)
            ],
            "threshold": rows["threshold"].map("{:.3f}".format),
            "TAR at FAR 1e-2 [%]": rows["tar_at_far_1e2"].map("{:.1f}".format),
            "TAR at FAR 1e-3 [%]": rows["tar_at_far_1e3"].map("{:.1f}".format),
            "AUC": rows["auc"].map("{:.4f}".format),
            "EER [%]": rows["eer"].map("{:.1f}".format),
        }
    )
    first = Table.of(
        f"{caption}: accuracy as mean ± standard error over folds.", runs, numbers=rows, heads=2,
        name="runs",
    )  # fmt: skip
    means = over_seeds(rows)
    cells = [
        f"{row.accuracy:.2f}" + ("" if row.seeds == 1 else f" ± {row.sd:.2f} ({row.seeds} seeds)")
        for row in means.itertuples()
    ]
    index = [means["backbone"], means["width"].map("x{:g}".format), means["operator"]]
    wide = pd.DataFrame(
        {"backbone": index[0], "width": index[1], "operator": index[2], "set": means["set"],
         "cell": cells}
    ).pivot(index=["backbone", "width", "operator"], columns="set", values="cell")  # fmt: skip
    second = Table.of(
        f"{caption}: accuracy [%], mean ± standard deviation over seeds.",
        wide.fillna("").reset_index(), numbers=means, heads=3, name="table1",
    )  # fmt: skip
    return [first, second] if len(rows) > len(means) or len(rows) > 1 else [first]
