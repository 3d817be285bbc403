"""Scores of runs by the values of their settings: the studies of Figure 10 and Tables 3 to 5."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tvseg.errors import UsageError, UserError
from tvseg.evaluation.tables.table import Table
from tvseg.verification.evaluation.scored_runs import ScoredRun


def effects(runs: Sequence[ScoredRun], *, keys: Sequence[str], by: str, name: str) -> pd.DataFrame:
    """Return mean accuracies over seeds by the value of each key.

    The runs of a key are those whose other keys have the value that most runs have.

    Args:
        runs: Scored runs.
        keys: Keys of the settings, such as ``jitter.rotation``; each counts once.
        by: Key whose values are compared at each point, such as ``operator``.
        name: Set of pairs.

    Returns:
        A row for each key, value and value of ``by``: ``key``, ``value``, ``line``, ``accuracy``
        in %, ``error`` (its standard deviation over seeds, nan for one) and ``seeds``.

    Raises:
        UsageError: There is no such key or set, or no key is given.
        UserError: Runs of one point differ in more than their seed.
    """
    keys = list(dict.fromkeys(keys))
    if not keys:
        raise UsageError("over must name a key of the settings or more, such as width; got none")
    table = pd.DataFrame([_row(run, [*keys, by], name) for run in runs])
    usual = {key: table[key].mode(dropna=False).iloc[0] for key in keys}
    parts = []
    for key in keys:
        others = [other for other in keys if other != key]
        chosen = table[(table[others] == pd.Series(usual)[others]).all(axis=1)]
        parts.append(_points(chosen, key, by))
    return pd.concat(parts, ignore_index=True)


def _points(table: pd.DataFrame, key: str, by: str) -> pd.DataFrame:
    rows = []
    for (value, line), own in table.groupby([key, by], sort=False):
        if own["identity"].nunique() > 1:
            raise UserError(
                f"runs with {key}={value} and {by}={line} must differ in their seed alone, but "
                f"{own['run'].iloc[0]} and {own['run'].iloc[-1]} differ in other settings; name "
                "fewer runs, or more keys"
            )
        rows.append(
            {
                "key": key, "value": value, "line": line, "accuracy": own["accuracy"].mean(),
                "error": own["accuracy"].std(), "seeds": len(own),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values("value", kind="stable", key=_sortable)


def _sortable(values: "pd.Series[Any]") -> "pd.Series[Any]":
    numbers = pd.to_numeric(values, errors="coerce")
    return values.astype(str) if numbers.isna().any() else numbers


def _row(run: ScoredRun, keys: Sequence[str], name: str) -> dict[str, Any]:
    tree = run.settings.model_dump(mode="json")
    accuracies = {score["set"]: float(score["accuracy"]) for score in run.scores}
    if name not in accuracies:
        raise UsageError(
            f"{run.folder.path} has no scores of {name!r}; scored are {', '.join(accuracies)}"
        )
    found = {key: _value(tree, key) for key in keys}
    identity = run.settings.model_dump_json(exclude={"seed", "name", "data"})
    about = {"run": run.folder.path.name, "accuracy": accuracies[name], "identity": identity}
    return found | about


def _value(tree: dict[str, Any], key: str) -> Any:
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UsageError(f"{key!r} is no key of the settings; see their example in configs/")
        value = value[part]
    if isinstance(value, dict):
        raise UsageError(
            f"{key!r} is a section; name a key of it, such as {key}.{next(iter(value))}"
        )
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "all" if value is None else value


def effect_table(found: pd.DataFrame, *, by: str, name: str) -> Table:
    """Return what :func:`effects` found as a table: a row a value, a column a value of ``by``."""
    cells = [
        f"{row.accuracy:.2f}" + ("" if row.seeds == 1 else f" ± {row.error:.2f} ({row.seeds})")
        for row in found.itertuples()
    ]
    text = found[["key", "value", "line"]].astype(str).assign(cell=cells)
    wide = text.pivot(index=["key", "value"], columns="line", values="cell").fillna("")
    order = pd.MultiIndex.from_frame(text[["key", "value"]].drop_duplicates())
    wide = wide.loc[order, text["line"].unique()].reset_index()
    words = f"Accuracy on {name} [%] by {by}, mean ± standard deviation (number) over seeds."
    return Table.of(words, wide, numbers=found, heads=2, name="effects")
