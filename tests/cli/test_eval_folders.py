"""``tvseg eval --predictions`` and ``tvseg data check-refuge``, as a user calls them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tvseg.cli import cli


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(
        cli, [str(argument) for argument in arguments], env={"COLUMNS": "1000"}
    )


def _told(result: Result) -> list[str]:
    """What stands on stderr, but for progress bars: only a process of its own goes without."""
    return [line for line in result.stderr.splitlines() if line.strip() and "/s]" not in line]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and truths of two photographs; the disc of the second is missed."""
    for folder, left in (("theirs", 12), ("truth", 10)):
        (tmp_path / folder).mkdir()
        for index in range(2):
            labels = np.full((60, 60), 255, np.uint8)
            if folder == "truth" or index == 0:
                labels[10:40, left : left + 30] = 128
                labels[20:30, left + 10 : left + 20] = 0
            Image.fromarray(labels).save(tmp_path / folder / f"{index}.bmp")
    return tmp_path / "theirs", tmp_path / "truth"


def test_masks_of_any_origin_get_the_table(folders: tuple[Path, Path], tmp_path: Path) -> None:
    theirs, truth = folders
    done = _run("eval", "--predictions", theirs, "--truth", truth, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "protocol honest: native grid" in done.stdout
    cases = pd.read_csv(tmp_path / "out" / "cases.csv")
    disc = cases[cases["structure"] == "disc"]
    assert disc["missed"].tolist() == [False, True]
    assert f"{50 * disc['dice'][1]:.2f} (1/2; found {100 * disc['dice'][1]:.2f})" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "cases.csv", "summary.json", "summary.csv", "table.md", "table.csv", "table.tex"
    }  # fmt: skip


def test_one_line_and_exit_code_3_for_what_cannot_be_scored(folders: tuple[Path, Path]) -> None:
    theirs, truth = folders
    (theirs / "0.bmp").rename(theirs / "other.bmp")
    done = _run("eval", "--predictions", theirs, "--truth", truth)
    assert done.exit_code == 3
    lines = _told(done)
    assert len(lines) == 3
    assert lines[0].startswith("0: no file of this name")
    assert lines[1].startswith("other: no file of this name")
    (theirs / "1.bmp").unlink()
    done = _run("eval", "--predictions", theirs, "--truth", truth)
    assert done.exit_code == 1
    assert "0 of 3 pairs scored, 3 failed" in done.stderr


def test_pixel_values_are_what_the_user_says(folders: tuple[Path, Path]) -> None:
    theirs, truth = folders
    for path in truth.iterdir():
        labels = np.array(Image.open(path))
        Image.fromarray(np.select([labels == 0, labels == 128], [2, 1], 7).astype(np.uint8)).save(
            path
        )
    sources = ("eval", "--predictions", theirs, "--truth", truth)
    refused = _run(*sources)
    assert refused.exit_code == 1
    assert "found 1 (800 px), 2 (100 px), 7 (2700 px)" in refused.stderr
    done = _run(
        *sources,
        *("--centre-encoding", "2=cup+disc,1=disc,7="),
        *("--prediction-encoding", "0=cup+disc,128=disc,255="),
    )
    assert done.exit_code == 0, done.output
    for wrong in ("cup=0", "2=cup+disc,x=disc", "999=disc"):
        done = _run(*sources, "--centre-encoding", wrong)
        assert done.exit_code == 2, wrong
        assert "an encoding" in done.stderr


MASKS = ["--predictions", "x", "--truth", "y"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--predictions", "x"], "must be given together"),
        (["--truth", "x"], "must be given together"),
        ([*MASKS, "runs"], "RUNS cannot be used with --predictions"),
        ([*MASKS, "--shifts", "5"], "--shifts cannot be used with --predictions"),
        ([*MASKS, "--images", "test", "--checkpoint", "last", "--data", "/nowhere", "--device",
          "toaster"], "--data, --images, --checkpoint, --device cannot be used with --predictions"),
        ([*MASKS, "--tta", "--roi", "none", "--ensemble"], "--tta, --roi, --ensemble cannot be"),
        (["--out", "x"], "--out cannot be used without --predictions; leave it out"),
        (["--centre-encoding", "{0: [cup]}", "--prediction-encoding", "{0: [cup]}"],
         "--prediction-encoding cannot be used without --predictions; leave them out"),
        (["--shifts", "a,b"], "percentages such as 0,5,10,20"),
        (["--size", "900"], "'native', '800'"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_wrong_usage(arguments: list[str], words: str) -> None:
    done = _run("eval", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_a_submission_is_checked(folders: tuple[Path, Path]) -> None:
    theirs, truth = folders
    done = _run("data", "check-refuge", theirs, "--images", truth)
    assert done.exit_code == 0, done.output
    (theirs / "1.bmp").unlink()
    done = _run("data", "check-refuge", theirs, "--images", truth)
    assert done.exit_code == 1
    assert _told(done) == ["1.bmp: missing", "1 problem."]


def test_intervals_are_written_on_request(folders: tuple[Path, Path], tmp_path: Path) -> None:
    theirs, truth = folders
    sources = ("eval", "--predictions", theirs, "--truth", truth, "--out", tmp_path / "out")
    plain, wide = _run(*sources), _run(*sources, "--intervals")
    assert plain.exit_code == wide.exit_code == 0
    assert "bootstrap" not in plain.stdout
    assert "bootstrap 95 % interval over images" in wide.stdout
    assert " [0.00, " in (tmp_path / "out" / "table.md").read_text()


def test_a_folder_that_cannot_be_written_is_refused_before_scoring(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    theirs, truth = folders
    (tmp_path / "file").write_text("")
    (theirs / "0.bmp").unlink()  # would be listed by the scoring
    done = _run("eval", "--predictions", theirs, "--truth", truth, "--out", tmp_path / "file" / "o")
    assert done.exit_code == 1
    assert "cannot write to" in done.stderr
    assert "no file of this name" not in done.stderr
