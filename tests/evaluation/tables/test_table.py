import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.tables.test_summary import make_cases
from tvseg.evaluation.tables.latex import to_latex
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import Cell, Table, layout, to_csv, to_markdown
from tvseg.evaluation.tables.write import write_tables


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    return summarise(make_cases())


@pytest.fixture
def table(summary: pd.DataFrame) -> Table:
    return layout(summary, "Caption of protocol honest.")


def test_the_table_is_laid_out_like_the_papers(table: Table) -> None:
    assert table.heads == ("Metric", "Task", "Centre", "dense", "tvconv")
    places = [(line.metric, line.task, line.centre) for line in table.lines]
    block = [("OC", "A"), ("OC", "D"), ("OD", "A"), ("OD", "D"), ("mean", "")]
    ratio = [("OC/OD", "A"), ("OC/OD", "D"), ("mean", "")]
    assert places == [
        *(("DSC [%] ↑", *place) for place in block),
        *(("HD95 [px] ↓", *place) for place in block),
        *(("vCDR MAE ↓", *place) for place in ratio),
        *(("vCDR bias → 0", *place) for place in ratio),
    ]
    assert [line.is_foot for line in table.lines[:5]] == [False] * 4 + [True]


def test_a_cell_tells_mean_deviation_and_what_was_missed(
    table: Table, summary: pd.DataFrame
) -> None:
    rows = summary.query("metric == 'dice' and structure == 'cup' and centre == 'A'")
    dense, tvconv = (rows[rows.variant == name].iloc[0] for name in ("dense", "tvconv"))
    one, two = table.lines[0].cells
    assert one is not None
    assert two is not None
    assert f"{one.value} {one.note}" == f"{dense['mean']:.2f} (0/6)"
    assert two.value == f"{tvconv['mean']:.2f} ± {tvconv['sd']:.2f}"
    assert two.note == f"(1/10; found {tvconv['found_mean']:.2f})"
    ratio = table.lines[10].cells[0]
    assert ratio is not None
    assert len(ratio.value.split(".")[1]) == 3


def test_a_cell_tells_the_found_mean_where_it_is_another() -> None:
    cell = Cell(
        mean=-0.0001,
        sd=0.02,
        low=0.0,
        high=0.0,
        found_mean=-0.0002,
        n=9,
        n_missed=2,
        digits=3,
        is_best=False,
    )
    assert (cell.value, cell.note) == ("0.000 ± 0.020", "(2/9)")
    assert replace(cell, found_mean=-0.01).note == "(2/9; found -0.010)"
    assert replace(cell, found_mean=math.nan).note == "(2/9)"


def test_the_foot_is_the_mean_over_the_block(table: Table) -> None:
    for place in (0, 1):
        block = [line.cells[place] for line in table.lines[:5]]
        means = [cell.mean for cell in block if cell]
        assert means[4] == pytest.approx(np.mean(means[:4]))
        assert block[4] is not None
        assert block[4].n == sum(cell.n for cell in block[:4] if cell)


def test_a_variant_without_all_centres_gets_no_mean(summary: pd.DataFrame) -> None:
    table = layout(summary.query("variant == 'tvconv' or centre == 'A'"), "")
    assert [cell is None for cell in table.lines[1].cells] == [True, False]
    assert [cell is None for cell in table.lines[4].cells] == [True, False]


def test_one_place_needs_no_mean(summary: pd.DataFrame) -> None:
    table = layout(summary.query("centre == 'A' and structure == 'cup'"), "")
    assert not any(line.is_foot for line in table.lines)


@pytest.mark.parametrize(
    ("metric", "means", "best"),
    [
        ("dice", [90.0, 91.0, 80.0], [False, True, False]),
        ("hd95_px", [9.0, 8.0, 30.0], [False, True, False]),
        ("vcdr_bias", [-0.02, 0.01, -0.5], [False, True, False]),
        ("dice", [90.001, 90.002, 80.0], [True, True, False]),  # the same as shown
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
    cells = layout(pd.concat(rows), "", metrics=[metric]).lines[0].cells
    assert [cell.is_best for cell in cells if cell] == best
    alone = layout(rows[0], "", metrics=[metric]).lines[0].cells[0]
    assert alone is not None
    assert not alone.is_best


def test_markdown_has_caption_rows_and_bold_best(table: Table) -> None:
    text = to_markdown(table)
    assert text.startswith("Caption of protocol honest. Cells: mean ± standard deviation")
    lines = text.splitlines()[2:]
    assert len(lines) == 2 + len(table.lines)
    assert {line.count("|") for line in lines} == {6}
    for line, shown in zip(table.lines, lines[2:], strict=True):
        best = [cell.value for cell in line.cells if cell and cell.is_best]
        assert [f"**{value}**" in shown for value in best] == [True] * len(best)
        assert shown.count("**") == 2 * len(best) > 0


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
    assert len(read) == len(table.lines)
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
