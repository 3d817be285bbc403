"""``tvseg data prepare`` as a user calls it."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.data.prepare import miniatures
from tvseg.cli import cli
from tvseg.data.prepare.adapters import ADAPTERS

FRAME = ("--frame", "64px")


def tvseg(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def drishti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniatures.drishti_gs(tmp_path_factory.mktemp("drishti"), miniatures.fields("A", 4))


def test_help_names_every_kind_and_every_truth() -> None:
    text = tvseg("data", "prepare", "--help").output
    for kind, adapter in ADAPTERS.items():
        assert kind in text
        named = {"expert1", "expert5"} if kind == "chaksu" else set(adapter.truths)
        assert all(truth in text for truth in named | set(adapter.truths[:4]))


def test_four_centres_are_prepared_checked_and_trained(drishti: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    parts = {"train": miniatures.fields("C", 3), "val": miniatures.fields("D", 3)}
    refuge = miniatures.refuge(tmp_path / "refuge", parts)
    rim_one = miniatures.rim_one_r3(tmp_path, miniatures.fields("B", 3))
    for kind, source in (("drishti-gs", drishti), ("rim-one-r3", rim_one),
                         ("refuge-train", refuge), ("refuge-val", refuge)):  # fmt: skip
        result = tvseg("data", "prepare", kind, source, "--out", out, *FRAME)
        assert result.exit_code == 0, result.output
    assert f"{out / 'Domain4'}: 2 to train, 1 to test" in result.output
    assert "under centres" not in result.output
    checked = tvseg("data", "check", out)
    assert checked.exit_code == 0, checked.output
    trained = tvseg(
        "train", "--holdout", "A", "--data", out, "--out", tmp_path / "runs", "aspp=depthwise",
        "encoder_weights=none", "image_size=64", "train.epochs=1", "train.steps_per_epoch=1",
        "train.images_per_centre=1", "precision=fp32",
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output


def test_problems_are_listed_and_decide_the_exit_code(tmp_path: Path) -> None:
    source = miniatures.drishti_gs(tmp_path, miniatures.fields("A", 4))
    path = next(source.rglob("drishtiGS_002_ODsegSoftmap.png"))
    Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16)).save(path)
    command = ("data", "prepare", "drishti-gs", source, "--out", tmp_path / "out", *FRAME)
    refused = tvseg(*command)
    assert refused.exit_code == 1
    assert "Nothing was written." in refused.stderr
    listed = "".join(line.split("│")[2].strip() for line in refused.stderr.splitlines()
                     if line.count("│") == 4)  # fmt: skip
    assert "drishtiGS_002_ODsegSoftmap.png" in listed
    assert not (tmp_path / "out").exists()
    kept = tvseg(*command, "--skip-bad")
    assert kept.exit_code == 3
    assert "2 to train, 1 to test" in kept.stdout
    assert "1 left out, listed in problems.csv" in kept.stderr
    assert (tmp_path / "out" / "Domain1" / "problems.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("drishti",), "the kind must be one of drishti-gs, rim-one-r3"),
        (("drishti-gs", "--truth", "average"), "must be one of 4of4, 3of4"),
        (("dofe", "--truth", "average"), "no choice: there is one drawing"),
        (("drishti-gs", "--frame", "800"), "a frame must read 800px, 2.5d"),
        (("dofe", "--jitter", "0.1"), "jitter must lie in 0 to 0.5 and needs a window"),
        (("own", "--encoding", "{0: [cupp]}"), "an encoding maps pixel values to structures"),
        (("own", "--encoding", "0"), "an encoding maps pixel values to structures"),
        (("dofe", "--encoding", "{0: [cup]}"), "masks of dofe have an encoding of their own"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    drishti: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    kind, *options = arguments
    result = tvseg("data", "prepare", kind, drishti, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_own_masks_need_no_settings(tmp_path: Path) -> None:
    rows = ["photograph,mask"]
    for index, phantom in enumerate(miniatures.fields("D", 3)):
        miniatures.save(phantom.image, tmp_path / f"{index}.png")
        miniatures.save(miniatures.labels(phantom, 2, 1, 0), tmp_path / f"{index}-mask.png")
        rows.append(f"{index}.png,{index}-mask.png")
    (tmp_path / "own.csv").write_text("\n".join(rows))
    result = tvseg(
        "data", "prepare", "own", tmp_path / "own.csv", "--out", tmp_path / "out", "--frame",
        "3d", "--centre", "clinic", "--encoding", "{0: [], 1: [disc], 2: [cup, disc]}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "to use it, name it under centres: E: { name: ..., folder: clinic }" in result.output
    masks = list((tmp_path / "out" / "clinic").rglob("mask/*.png"))
    assert len(masks) == 3
    assert set(np.unique(np.asarray(Image.open(masks[0])))) == {0, 128, 255}


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = tvseg("data", "prepare", "dofe", tmp_path / "gone", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "gone: there is no such file or folder" in result.stderr
