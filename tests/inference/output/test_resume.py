import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.inference.drawn import make_pipeline
from tests.inference.predicted import draw_fields, read_rows, read_tree, run
from tvseg.cli import cli
from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.files import write_json
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.read_back import read_written
from tvseg.inference.pipeline import Pipeline, Segmentation
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.record import RunRecord
from tvseg.runs.segmentation import network_of


def _stop_at(pipeline: Pipeline, batch: int) -> Pipeline:
    """The same pipeline, interrupted in a batch."""
    calls: list[int] = []

    class Interrupted(Pipeline):
        def __call__(self, images: Sequence[np.ndarray]) -> list[Segmentation | UserError]:
            calls.append(len(images))
            if len(calls) > batch:
                raise KeyboardInterrupt
            return super().__call__(images)

    return Interrupted(pipeline.ensemble, pipeline.locate)


def test_what_is_done_is_kept_and_a_resumed_run_ends_like_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 7)
    (tmp_path / "in" / "03.png").write_bytes(b"broken")
    formats = ["mask", "coco", "overlay"]
    run(photographs, tmp_path / "whole", formats=formats, batch_size=2)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(photographs, out, formats=formats, batch_size=2,
                 pipeline=_stop_at(make_pipeline(), 3))  # fmt: skip
    done = [row["id"] for row in read_rows(out / "measurements.csv")]
    assert done == ["00", "01", "02"]
    assert [row["id"] for row in read_rows(out / "failures.csv")] == ["03"]
    stamps = {path: path.stat().st_mtime_ns for path in (out / "masks").iterdir()}
    (out / "masks" / f".tvseg-{'0' * 32}").write_bytes(b"half")  # as a kill leaves it
    outcome = run(photographs, out, formats=formats, batch_size=2, resume=True)
    assert (outcome.predicted, outcome.failed) == (6, 1)
    assert read_tree(out) == read_tree(tmp_path / "whole")
    finished = [out / "masks" / f"{name}.png" for name in ("00", "01", "02")]
    assert all(path.stat().st_mtime_ns == stamps[path] for path in finished)


def test_a_mended_file_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 3)
    good = (tmp_path / "in" / "01.png").read_bytes()
    run(photographs, tmp_path / "whole")
    (tmp_path / "in" / "01.png").write_bytes(good[:100])
    out = tmp_path / "out"
    assert run(photographs, out).failed == 1
    (tmp_path / "in" / "01.png").write_bytes(good)
    assert run(photographs, out, resume=True).failed == 0
    assert not (out / "failures.csv").exists()
    whole, mended = read_tree(tmp_path / "whole"), read_tree(out)
    assert whole["measurements.csv"] == mended["measurements.csv"]
    (tmp_path / "in" / "01.png").write_bytes(b"")  # and the reverse leaves no stale mask
    assert run(photographs, out, resume=True).failed == 1
    assert not (out / "masks" / "01.png").exists()


def test_new_photographs_join_a_resumed_run(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 7)
    out = tmp_path / "out"
    run(photographs[:5], out, batch_size=2)
    assert run(photographs, out, batch_size=2, resume=True).predicted == 7
    run(photographs, tmp_path / "whole", batch_size=2)
    assert read_tree(out) == read_tree(tmp_path / "whole")
    with pytest.raises(ValueError, match="1 missing, first 06"):
        run(photographs[:6], out, batch_size=2, resume=True)


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 2)
    run(photographs, tmp_path / "out", about="one")
    with pytest.raises(ValueError, match="model changed from one to other"):
        run(photographs, tmp_path / "out", about="other", resume=True)
    with pytest.raises(ValueError, match="batch_size changed from 4 to 3"):
        run(photographs, tmp_path / "out", about="one", batch_size=3, resume=True)


def test_ids_that_changed_are_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 2)
    run(photographs, tmp_path / "out")
    (tmp_path / "in" / "00.bmp").write_bytes(b"a twin")
    with pytest.raises(ValueError, match=r"ids changed, 00 is now 00\.png"):
        run(tmp_path / "in", tmp_path / "out", resume=True)


def test_a_folder_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 2)
    run(photographs, tmp_path / "out")
    folder = OutputFolder(tmp_path / "out", formats=("mask",), structures=("cup", "disc"))
    with folder.lock(), pytest.raises(ValueError, match="being written by another tvseg predict"):
        run(photographs, tmp_path / "out", resume=True)
    assert run(photographs, tmp_path / "out", resume=True).predicted == 2


def test_a_run_that_could_not_even_begin_leaves_a_folder_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 2)

    def full_disk(self: RunRecord, **changes: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "update", full_disk)
        with pytest.raises(OSError, match="No space"):
            run(photographs, tmp_path / "out")
    assert run(photographs, tmp_path / "out").predicted == 2


def test_odd_names_are_predicted_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (photograph,) = draw_fields(tmp_path / "in", 1)
    content = photograph.path.read_bytes()
    photograph.path.unlink()
    for name in (b"=1+1.png", b"a\rb.png", b"M\xfcller.png", b"x" * 251 + b".png"):
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)).write_bytes(content)
    formats = ["mask", "overlay", "geojson", "labelme", "coco", "nifti"]
    assert run(tmp_path / "in", tmp_path / "out", formats=formats).predicted == 4
    about = {"formats": formats, "structures": ["cup", "disc"], "encoding": {}}
    write_json(tmp_path / "out" / "run.json", {"about": about})
    written = read_written(tmp_path / "out")
    ids = [row["id"] for row in written.rows]
    assert sorted(ids, key=len)[:3] == ["a_b", "=1+1", "M\ufffdller"]
    assert all(written.outlines(name) for name in ids)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint of a small network with random weights."""
    settings = load_settings(None, ["encoder_weights=none", "image_size=64", "aspp=dense"])
    torch.manual_seed(0)
    card = SegmentationCard(
        settings=settings,
        holdout="A",
        fingerprint="0",
        epoch=1,
        chosen="drawn",
        normalisation=Normalisation(),
    )
    path = tmp_path / "model.safetensors"
    save_weights(path, network_of(settings, pretrained=False), card)
    return path


def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    draw_fields(tmp_path / "in", 20)
    (tmp_path / "in" / "11.png").write_bytes(b"broken")
    formats = "mask,overlay,geojson,coco,nifti"

    def words(out: str) -> list[str]:
        return ["predict", str(tmp_path / "in"), "--model", str(model), "--out",
                str(tmp_path / out), "--formats", formats, "--batch-size", "2",
                "--device", "cpu", "--tta"]  # fmt: skip

    process = subprocess.Popen([sys.executable, "-m", "tvseg", *words("killed")])
    records = tmp_path / "killed" / ".progress"
    while len(list(records.glob("*.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = len(list(records.glob("*.json")))
    assert left < 10
    assert not (tmp_path / "killed" / "measurements.csv").exists()
    runner = CliRunner()
    resumed = runner.invoke(cli, [*words("killed"), "--resume"])
    assert resumed.exit_code == 3, resumed.output
    assert runner.invoke(cli, words("whole")).exit_code == 3
    assert read_tree(tmp_path / "killed") == read_tree(tmp_path / "whole")
    assert len(read_rows(tmp_path / "killed" / "measurements.csv")) == 19
