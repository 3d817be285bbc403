"""The report of scored runs as files; the page in a browser is tested in test_report_page.py."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from tests.evaluation.conftest import write_scored_run
from tvseg.errors import UserError
from tvseg.evaluation.report.build import chapter
from tvseg.evaluation.report.chapter import Chapter, Section
from tvseg.evaluation.report.groups import gather
from tvseg.evaluation.report.page import render
from tvseg.evaluation.report.write import check_free, write_report
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.runs.folder import RunFolder

HONEST = Scoring(PROTOCOLS["honest"], images="test", checkpoint="best")


def _chapters(runs: list[RunFolder]) -> list[Chapter]:
    device = torch.device("cpu")
    return [chapter(group, roots=None, device=device) for group in gather(runs, HONEST)]


@pytest.fixture(scope="module")
def chapters(scored_runs: list[RunFolder]) -> list[Chapter]:
    return _chapters(scored_runs)


@pytest.fixture(scope="module")
def out(chapters: list[Chapter], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "new" / "report"
    page = write_report(chapters, out, title="A report", runs=["one"])
    assert page == out / "report.html"
    return out


def _section(chapter: Chapter, title: str) -> Section:
    (found,) = [section for section in chapter.sections if section.title == title]
    return found


def test_each_figure_is_a_png_and_a_pdf_and_each_table_csv_and_markdown(out: Path) -> None:
    figures = {path.name for path in (out / "figures").iterdir()}
    stems = {"boxes-dsc", "boxes-hd95", "differences-dsc", "differences-hd95", "training-A"}
    stems |= {"training-B", "vcdr-dense", "vcdr-depthwise", "vcdr-tvconv"}
    pairs = ("depthwise-dense", "tvconv-dense", "tvconv-depthwise")
    stems |= {f"scatter-{metric}-{pair}" for metric in ("dsc", "hd95") for pair in pairs}
    assert figures == {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")}
    for path in (out / "figures").glob("*.png"):
        with Image.open(path) as picture:
            assert picture.size[0] == 1080  # 5.4 in at 200 dpi
    tables = {path.name for path in (out / "tables").iterdir()}
    stems = {
        "scores",
        "more-scores",
        "intervals",
        "mean-differences",
        "comparisons",
        "vcdr",
        "failures",
        "runs",
    }
    assert tables == {f"{stem}.{kind}" for stem in stems for kind in ("csv", "md")}
    listed = json.loads((out / "report.json").read_text())["files"]
    assert listed == sorted(
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and path.name != "report.json"
    )


def test_the_page_refers_to_nothing_outside_itself(out: Path) -> None:
    page = (out / "report.html").read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {address.split(",")[0] for address in addresses if not address.startswith("#")} == {
        "data:image/png;base64"
    }
    assert "url(" not in page
    assert "<script" not in page
    targets = {address[1:] for address in addresses if address.startswith("#")}
    assert targets == {f for f in re.findall(r'<section id="([^"]*)"', page) if "-" in f[6:]}


def test_numbers_of_the_table_are_those_of_the_rows(
    scored_runs: list[RunFolder], out: Path
) -> None:
    rows = pd.concat(pd.read_csv(HONEST.folder(run) / "cases.csv") for run in scored_runs)
    own = rows.query("variant == 'dense' and structure == 'disc' and centre == 'B'")
    by_seed = 100 * own.groupby("seed")["dice"].mean()
    cell = f"{by_seed.mean():.2f} ± {by_seed.std():.2f}"
    assert cell in (out / "report.html").read_text()
    assert cell in (out / "tables" / "scores.md").read_text()
    numbers = pd.read_csv(out / "tables" / "scores.csv")
    (mean,) = numbers.query(
        "metric == 'dice' and variant == 'dense' and structure == 'disc' and centre == 'B'"
    )["mean"]
    assert mean == pytest.approx(by_seed.mean())


def test_pairs_without_a_common_image_are_not_in_the_table_of_tests(out: Path) -> None:
    text = (out / "tables" / "comparisons.md").read_text()
    assert text.count("| tvconv vs dense | 8 |") == 2 * 2  # metrics x structures, on centre A alone
    assert text.count("| depthwise vs dense | 8 |") == 2 * 2 * 2
    assert "| 0 |" not in text


def test_failures_are_listed_by_name(out: Path) -> None:
    failures = pd.read_csv(out / "tables" / "failures.csv").to_dict("records")
    place = {"variant": "tvconv", "centre": "A", "split": "test", "case": "photo0"}
    assert failures == [place | {"structure": "cup", "failure": "missed", "seed": 0}]
    assert "1 missed (in the truth alone) and 0 invented" in (out / "report.html").read_text()


def test_readers_are_warned(chapters: list[Chapter], tmp_path: Path) -> None:
    (of_sources,) = chapters
    words = " ".join(of_sources.warnings)
    assert "Not scored: tvconv on B" in words
    assert "5 of 5 pairs of variant and centre have fewer than 3 seeds" in words
    assert "missed or invented: 1." in words
    assert "leak" not in words
    run = write_scored_run(tmp_path, "dense", "A", 0)
    run.write_info(chosen="selected on target")
    (of_target,) = _chapters([run])
    assert "a leak" in " ".join(of_target.warnings)
    assert "missed or invented" not in " ".join(of_target.warnings)
    failures = _section(of_target, "Failures")
    assert not failures.tables
    assert failures.words == [
        "No structure was missed or invented in 16 structures of all networks."
    ]
    one_variant = _section(of_target, "Variants compared")
    assert not one_variant.tables
    assert "nothing to compare" in one_variant.words[0]


def test_variants_without_common_images_are_not_compared(tmp_path: Path) -> None:
    runs = [
        write_scored_run(tmp_path, "dense", "A", 0),
        write_scored_run(tmp_path, "tvconv", "B", 0),
    ]
    (apart,) = _chapters(runs)
    section = _section(apart, "Variants compared")
    assert section.words == ["No two variants have scored the same images."]
    assert not section.illustrations


def test_the_same_runs_give_the_same_files(
    scored_runs: list[RunFolder], out: Path, tmp_path: Path
) -> None:
    write_report(_chapters(scored_runs), tmp_path / "again", title="A report", runs=["one"])
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        assert (tmp_path / "again" / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_an_earlier_report_gives_way_and_foreign_files_stay(
    chapters: list[Chapter], out: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(out, tmp_path / "old"))
    (old / "notes.txt").write_text("mine")
    (first,) = chapters
    write_report([replace(first, sections=first.sections[:1])], old, title="Less", runs=[])
    assert (old / "notes.txt").read_text() == "mine"
    assert not list((old / "figures").iterdir())
    assert {path.stem for path in (old / "tables").iterdir()} == {
        "scores",
        "more-scores",
        "intervals",
    }


def test_folders_that_hold_other_files_are_refused(tmp_path: Path, out: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="must be new, empty, or hold an earlier report"):
        check_free(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        check_free(tmp_path / "thesis.txt")
    check_free(out)
    check_free(tmp_path / "new")


@pytest.mark.parametrize("files", ["[]", '["../thesis.txt"]', '["/thesis.html"]', "[7]"])
def test_a_damaged_list_of_files_removes_nothing(
    files: str, chapters: list[Chapter], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text(f'{{"files": {files}}}')
    less = [replace(chapters[0], sections=[])]
    if files != "[]":
        with pytest.raises(ValueError, match=r"report.json is damaged"):
            write_report(less, tmp_path / "report", title="x", runs=[])
    else:
        write_report(less, tmp_path / "report", title="x", runs=[])
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_groups_get_chapters_and_files_of_their_own(tmp_path: Path) -> None:
    runs = [
        write_scored_run(tmp_path / "0", "dense", "A", 0),
        write_scored_run(tmp_path / "1", "dense", "A", 0, "train.epochs=3"),
    ]
    chapters = [replace(c, sections=[c.sections[0], c.sections[-1]]) for c in _chapters(runs)]
    page = write_report(chapters, tmp_path / "out", title="x", runs=[]).read_text()
    assert "<h2>train.epochs 40</h2>" in page
    assert "<h2>train.epochs 3</h2>" in page
    names = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert {"group1-scores.csv", "group2-scores.csv"} <= names


def test_names_cannot_break_the_page() -> None:
    facts = {"Networks": "<script>alert(1)</script> & co"}
    page = render("<b>", [Chapter("</h2>", facts, ['"<img src=x>'])], {})
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in page


@pytest.mark.parametrize(
    "content",
    [None, "", "epoch,loss\n1,0.5\n", "epoch,loss,dice\n1,x,0.5\n", "epoch,loss,dice\n1,0.5\n\x00"],
)
def test_damaged_metrics_are_told_in_one_line(content: str | None, tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 0)
    if content is None:
        run.metrics.unlink()
    else:
        run.metrics.write_text(content)
    with pytest.raises(UserError, match=r"metrics.csv must have a row an epoch") as error:
        _chapters([run])
    assert "\n" not in str(error.value)


def _shifted(run: RunFolder, **changes: object) -> Path:
    """Write Dice at two shifts beside a run's scores."""
    rows = [
        {"run": run.path.name, "variant": "dense", "holdout": "A", "seed": 0, "centre": "A",
         "split": "test", "case": "photo0", "structure": structure, "shift": shift,
         "dice": dice, "dice_limit": 1.0} | changes
        for structure in ("cup", "disc")
        for shift, dice in ((0.0, 0.9), (0.1, 0.8))
    ]  # fmt: skip
    path = HONEST.folder(run) / "shifts.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_shifts_are_in_the_report_where_they_were_scored(tmp_path: Path) -> None:
    runs = [write_scored_run(tmp_path, "dense", "A", seed) for seed in (0, 1)]
    (without,) = _chapters(runs)
    assert _section(without, "Shifted regions").words == [
        "No run was scored with 'tvseg eval --shifts'."
    ]
    _shifted(runs[0])
    (made,) = _chapters(runs)
    section = _section(made, "Shifted regions")
    assert section.words == ["1 of 2 runs were not scored so."]
    texts = [[cell.text for cell in row] for row in section.tables[0].rows]
    assert ["OD", "dense", "90.00", "80.00"] in texts


@pytest.mark.parametrize("change", [{"dice": "good"}, {"shift": "far"}])
def test_damaged_shifts_are_told_in_one_line(change: dict[str, object], tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 0)
    path = _shifted(run, **change)
    with pytest.raises(UserError, match=r"shifts.csv must be as") as error:
        _chapters([run])
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    path.write_text("")
    with pytest.raises(UserError, match=r"shifts.csv must be as"):
        _chapters([run])


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*: .*file: Not a directory"):
        check_free(tmp_path / "file" / "report")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
