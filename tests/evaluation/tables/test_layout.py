import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.tables.test_summary import make_cases
from tvseg.evaluation.tables.latex import to_latex
from tvseg.evaluation.tables.layout import layout, shift_table
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import Table, to_csv, to_markdown
from tvseg.evaluation.tables.write import write_tables


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return summarise(make_cases())


@pytest.fixture
def table(summary: pd.DataFrame) -> Table:
    return layout(summary, "Caption of protocol honest.")


def _texts(table: Table, column: str) -> list[str]:
    index = list(table.columns).index(column)
    return [row[index].marked() for row in table.rows]


def test_the_table_is_laid_out_like_the_papers(table: Table) -> None:
    assert table.columns == ["Metric", "Task", "Centre", "dense", "tvconv"]
    block = [("OC", "A"), ("OC", "D"), ("OD", "A"), ("OD", "D"), ("mean", "")]
    ratio = [("OC/OD", "A"), ("OC/OD", "D"), ("mean", "")]
    assert [tuple(cell.text for cell in row[:3]) for row in table.rows] == [
        *(("DSC [%] ↑", *names) for names in block),
        *(("HD95 [px] ↓", *names) for names in block),
        *(("vCDR MAE ↓", *names) for names in ratio),
        *(("vCDR bias → 0", *names) for names in ratio),
    ]
    assert table.feet == {4, 9, 12, 15}
    assert [row for row in range(16) if table.begins_block(row)] == [0, 5, 10, 13]


def test_a_cell_shows_mean_deviation_and_missed_structures(
    table: Table, summary: pd.DataFrame
) -> None:
    rows = summary.query("metric == 'dice' and structure == 'cup' and centre == 'A'")
    dense, tvconv = (rows[rows.variant == name].iloc[0] for name in ("dense", "tvconv"))
    assert table.rows[0][3].marked() == f"{dense['mean']:.2f} (0/6)"
    cell = table.rows[0][4]
    assert cell.text == f"{tvconv['mean']:.2f} ± {tvconv['sd']:.2f}"
    assert cell.note == f"(1/10; found {tvconv['found_mean']:.2f})"
    assert re.fullmatch(r"-?\d\.\d{3} .*", _texts(table, "dense")[10])


@pytest.mark.parametrize(
    ("found_mean", "text"),
    [
        (-0.0002, "0.000 ± 0.020 (2/9)"),  # the same as shown; no minus before a zero
        (-0.01, "0.000 ± 0.020 (2/9; found -0.010)"),
        (np.nan, "0.000 ± 0.020 (2/9)"),
    ],
)
def test_a_cell_shows_the_found_mean_where_it_differs(
    summary: pd.DataFrame, found_mean: float, text: str
) -> None:
    row = summary.query("metric == 'vcdr_bias'").iloc[:1]
    row = row.assign(mean=-0.0001, sd=0.02, found_mean=found_mean, n=9, n_missed=2)
    assert layout(row, "").rows[0][3].marked() == text


def test_a_mean_without_any_value_is_said_in_words(summary: pd.DataFrame) -> None:
    """Every disc was missed: no ratio has a value."""
    row = summary.query("metric == 'vcdr_error' and centre == 'A' and variant == 'dense'")
    table = layout(row.assign(mean=np.nan, found_mean=np.nan, n=3, n_missed=3), "")
    assert table.rows[0][3].marked() == "no disc (3/3)"
    for text in (to_markdown(table), to_latex(table), to_csv(table)):
        assert "nan" not in text
    assert "no disc {\\scriptsize (3/3)}" in to_latex(table)


def test_intervals_are_written_beside_means_on_request(table: Table, summary: pd.DataFrame) -> None:
    wide = layout(summary, "", intervals=True)
    row = summary.query(
        "metric == 'dice' and structure == 'cup' and centre == 'A' and variant == 'tvconv'"
    ).iloc[0]
    cell = wide.rows[0][4]
    assert cell.text == f"{table.rows[0][4].text} [{row['low']:.2f}, {row['high']:.2f}]"
    assert row["low"] < row["mean"] < row["high"]
    assert "bootstrap 95 % interval" in wide.caption
    assert "bootstrap" not in table.caption
    assert "[" not in wide.rows[4][4].text  # a mean over centres has none
    assert cell.text.replace("±", r"\pm") in to_latex(wide)
    alone = layout(summary.assign(low=np.nan, high=np.nan), "", intervals=True)
    assert alone.rows == table.rows


def test_the_foot_is_the_mean_over_the_block(table: Table) -> None:
    for variant in ("dense", "tvconv"):
        means = table.numbers[f"{variant} mean"][:5]
        assert means[4] == pytest.approx(np.mean(means[:4]))
        counts = table.numbers[f"{variant} n"][:5]
        assert counts[4] == sum(counts[:4])


def test_a_variant_without_all_centres_gets_no_mean(summary: pd.DataFrame) -> None:
    table = layout(summary.query("variant == 'tvconv' or centre == 'A'"), "")
    for row in (1, 4):
        assert [cell.text == "" for cell in table.rows[row][3:]] == [True, False]


def test_one_row_needs_no_mean(summary: pd.DataFrame) -> None:
    assert not layout(summary.query("centre == 'A' and structure == 'cup'"), "").feet


@pytest.mark.parametrize(
    ("metric", "means", "best"),
    [
        ("dice", [90.0, 91.0, 80.0], [False, True, False]),
        ("hd95_px", [9.0, 8.0, 30.0], [False, True, False]),
        ("vcdr_bias", [-0.02, 0.01, -0.5], [False, True, False]),
        ("dice", [90.001, 90.002, 80.0], [True, True, False]),  # the same as shown
        ("dice", [np.nan, 91.0, 80.0], [False, True, False]),
    ],
)
def test_the_best_is_marked_by_what_is_better(
    summary: pd.DataFrame, metric: str, means: list[float], best: list[bool]
) -> None:
    row = summary.query("metric == @metric and centre == 'A' and structure == 'cup'").iloc[:1]
    rows = [
        row.assign(variant=name, mean=mean)
        for name, mean in zip(("mean mask", "dense", "tvconv"), means, strict=True)
    ]
    cells = layout(pd.concat(rows), "", metrics=[metric]).rows[0][3:]
    assert [cell.bold for cell in cells] == best
    assert not layout(rows[1], "", metrics=[metric]).rows[0][3].bold


def test_markdown_has_caption_rows_and_bold_best(table: Table) -> None:
    text = to_markdown(table)
    assert text.startswith("Caption of protocol honest. Cells: mean ± standard deviation")
    lines = text.splitlines()[2:]
    assert len(lines) == 2 + len(table.rows)
    assert {line.count("|") for line in lines} == {6}
    for row, shown in zip(table.rows, lines[2:], strict=True):
        best = [cell.text for cell in row if cell.bold]
        assert [f"**{value}**" in shown for value in best] == [True] * len(best)
        assert shown.count("**") == 2 * len(best) > 0


def test_names_cannot_break_markdown() -> None:
    text = to_markdown(Table.of("", pd.DataFrame({"Case": ["a|b\nc"]})))
    assert text.splitlines()[-1] == "| a\\|b c |"


def test_latex_has_as_many_cells_as_columns_and_escapes(summary: pd.DataFrame) -> None:
    named = summary.assign(variant=summary["variant"].replace("tvconv", "my_net&co"))
    text = to_latex(layout(named, "100 % of A_1."))
    assert r"\caption{100 \% of A\_1." in text
    assert r"my\_net\&co" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 16
    assert {row.replace(r"\&", "").count("&") for row in rows} == {4}
    assert text.count(r"\midrule") == 4
    assert text.count(r"\cmidrule(l){2-5}") == 4
    assert text.isascii()
    assert r"\mathbf{" in rows[1]
    assert r" \pm " in rows[1]


def test_csv_has_plain_numbers(table: Table, summary: pd.DataFrame) -> None:
    read = pd.read_csv(io.StringIO(to_csv(table)))
    assert len(read) == len(table.rows)
    row = summary.query("metric == 'dice' and structure == 'cup' and centre == 'A'")
    tvconv = row[row.variant == "tvconv"].iloc[0]
    for name in ("mean", "sd", "low", "high", "found_mean", "n", "n_missed"):
        assert read.loc[0, f"tvconv {name}"] == pytest.approx(tvconv[name])


def test_every_form_is_written_and_equals_the_rows(tmp_path: Path) -> None:
    cases = make_cases()
    write_tables(cases, "Caption.", [tmp_path / "one", tmp_path / "two"])
    for folder in ("one", "two"):
        names = sorted(path.name for path in (tmp_path / folder).iterdir())
        assert names == ["summary.csv", "table.csv", "table.md", "table.tex"]
    disc = cases[(cases.variant == "dense") & (cases.centre == "D") & (cases.structure == "disc")]
    shown = f"{100 * disc.dice.mean():.2f} (0/6)"
    line = next(
        line for line in (tmp_path / "two" / "table.md").read_text().splitlines()
        if line.startswith("| DSC [%] ↑ | OD | D |")
    )  # fmt: skip
    assert shown in line.replace("**", "")


def test_shifts_have_a_column_each() -> None:
    index = pd.MultiIndex.from_tuples([("disc", "dense"), ("disc", "limit")])
    index.names = ["structure", "variant"]
    means = pd.DataFrame({0.0: [90.0, 100.0], 0.05: [88.123, 99.0]}, index=index)
    table = shift_table(means)
    assert table.columns == ["Task", "Variant", "0 %", "5 %"]
    assert [cell.text for cell in table.rows[0]] == ["OD", "dense", "90.00", "88.12"]
