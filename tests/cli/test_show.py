"""``tvseg show`` as a user calls it."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tvseg.cli.show import show
from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import network_of
from tvseg.training.train import train

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=1",
        "train.steps_per_epoch=1", "train.images_per_centre=1"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


@pytest.fixture(scope="module")
def watched(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A short run whose affinity maps were kept."""
    settings = load_settings(None, [*TINY, "train.log_affinity=true"])
    return train(settings, holdout="A", root=phantoms, runs=tmp_path_factory.mktemp("runs"))


def _show(*arguments: object) -> Result:
    # wide lines, whatever width a test before this one has left in the environment
    return CliRunner(env={"COLUMNS": "160"}).invoke(show, [str(a) for a in arguments])


def test_maps_and_their_course_are_drawn(watched: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "maps.png"
    shown = _show("affinity", watched.path, "--out", out)
    assert shown.exit_code == 0, shown.output
    assert "decoder.aspp.wide.2.1" in shown.stdout
    for name in ("maps.png", "maps-course.png"):
        assert f"Drew {tmp_path / name}" in shown.stdout
        assert Image.open(tmp_path / name).width > 900


def test_without_a_record_the_maps_alone_are_drawn_into_the_run_folder(
    watched: RunFolder,
) -> None:
    record = watched.affinity.read_bytes()
    watched.affinity.unlink()
    try:
        shown = _show("affinity", watched.path, "--checkpoint", "last")
    finally:
        watched.affinity.write_bytes(record)
    assert shown.exit_code == 0, shown.output
    assert "train.log_affinity=true" in shown.stdout
    drawn = {path.name for path in watched.path.glob("*.png")}
    assert drawn == {"affinity.png"}


def test_a_network_without_tvconv_has_nothing_to_show(tmp_path: Path) -> None:
    settings = load_settings(None, [*TINY, "aspp=dense"])
    card = SegmentationCard(
        settings=settings,
        holdout="A",
        fingerprint="fingerprint",
        epoch=1,
        chosen="last epoch",
        normalisation=Normalisation(),
    )
    save_weights(RunFolder(tmp_path).best, network_of(settings, pretrained=False), card)
    shown = _show("affinity", tmp_path)
    assert isinstance(shown.exception, ValueError)
    assert "aspp=dense has none" in str(shown.exception)


def test_layout_is_a_row_a_centre_and_one_of_all(phantoms: Path, tmp_path: Path) -> None:
    out, csv = tmp_path / "layout.png", tmp_path / "layout.csv"
    shown = _show("layout", phantoms, "--out", out, "--csv", csv,
                  "encoder_weights=none", "image_size=64")  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "Position alone explains" in shown.stdout
    assert "weights are random" in shown.stdout
    table = pd.read_csv(csv)
    assert table["centre"].tolist() == ["A", "B", "C", "D", "all"]
    assert table["images"].tolist() == [6, 6, 6, 6, 24]
    assert Image.open(out).width > 900
    again = _show("layout", phantoms, "--csv", csv, "encoder_weights=none", "image_size=64")
    assert again.exit_code == 0
    assert pd.read_csv(csv).equals(table)
    starter = _show("layout", phantoms, "--csv", csv, "image_size=64")
    assert "weights starter" in starter.stdout
    assert "weights are random" not in starter.stdout
    assert not pd.read_csv(csv).equals(table)
