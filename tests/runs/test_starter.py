import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import tvseg
from tvseg.cli import cli
from tvseg.config import load_settings
from tvseg.data.dataset import drawn_example
from tvseg.data.normalisation import Normalisation
from tvseg.data.phantoms.random.draw import draw_random_field
from tvseg.inference.load import load
from tvseg.metrics import dice
from tvseg.models import TVDeepLabV3Plus
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.first import FirstWeights
from tvseg.runs.segmentation import load_network, network_of
from tvseg.runs.starter import STARTER, STARTER_LOCALIZER
from tvseg.settings import SegmentationSettings
from tvseg.training.prepare import prepare
from tvseg.training.train import train


def test_the_files_are_small_and_say_what_they_are() -> None:
    assert STARTER.stat().st_size + STARTER_LOCALIZER.stat().st_size <= 30e6
    _, card = load_network(STARTER)
    assert card.settings.phantoms == 1  # nothing but phantoms
    assert card.holdout == "none"
    assert "/" not in card.settings.encoder_weights  # of another machine


def test_regions_that_it_has_not_seen_are_segmented() -> None:
    model = load(roi="none")
    scores = []
    for index in range(12):
        image, masks = drawn_example(2**40, index, side_px=192, names=("cup", "disc"))
        predicted = model(image).masks
        scores.append([dice(predicted[n], masks[..., c] > 0) for c, n in enumerate(predicted)])
    cup, disc = np.mean(scores, axis=0)
    assert disc > 0.9
    assert cup > 0.75


def test_the_disc_is_found_in_full_photographs() -> None:
    model = load()
    assert model.localizer == STARTER_LOCALIZER
    found = []
    for index in range(6):
        field = draw_random_field(np.random.default_rng([2**40, index]), side_px=400)
        result = model(field.image)
        found.append(dice(result.masks["disc"], field.disc) > 0.6)
    assert sum(found) >= 5


def test_predict_without_a_model_says_what_it_uses(phantoms: Path, tmp_path: Path) -> None:
    photograph = next((phantoms / "FullField" / "image").iterdir())
    arguments = ["predict", str(photograph), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("starter weights") == 1
    assert "Predicted 1 of 1" in result.output


def test_masks_are_ellipses_where_that_is_asked_for(phantoms: Path, tmp_path: Path) -> None:
    photograph = next((phantoms / "Domain1/test/ROIs/image").iterdir())
    arguments = ["predict", str(photograph), "--roi", "none", "--formats", "mask", "--out"]
    for name, words in {"free": [], "ellipse": ["--shape", "ellipse"]}.items():
        result = CliRunner().invoke(cli, [*arguments, str(tmp_path / name), *words])
        assert result.exit_code == 0, result.output
    free, ellipse = (
        np.array(Image.open(next((tmp_path / name / "masks").iterdir()))) < 255
        for name in ("free", "ellipse")
    )
    assert 0.5 < dice(ellipse, free) < 1
    shaped = tvseg.load(roi="none", shape="ellipse")
    assert (shaped(photograph).masks["disc"] == ellipse).all()
    about = [
        json.loads((tmp_path / name / "run.json").read_text())["about"]
        for name in ("free", "ellipse")
    ]
    assert [one["shape"] for one in about] == ["free", "ellipse"]


def _start(network: nn.Module, settings: SegmentationSettings) -> int:
    first = FirstWeights.of(settings)
    assert first
    return first.load_into(network, settings)


@pytest.mark.parametrize(("aspp", "random"), [("depthwise", 0), ("dense", 18)])
def test_a_network_begins_with_the_starter_weights(aspp: str, random: int) -> None:
    settings = load_settings(None, [f"aspp={aspp}", "init=starter"])
    network = network_of(settings, pretrained=False)
    assert _start(network, settings) == random
    trained, state = load_network(STARTER)[0].state_dict(), network.state_dict()
    other = [n for n, value in trained.items() if n not in state or not state[n].equal(value)]
    assert all(name.startswith("decoder.aspp.wide.") for name in other)
    assert bool(other) == bool(random)


@pytest.mark.parametrize(
    ("init", "keys", "message"),
    [
        ("nowhere.safetensors", [], "does not exist"),
        (str(STARTER.parent), [], "such as RUN/checkpoints/best.safetensors; .* is a folder"),
        ("starter", ["encoder=resnet18"], "same encoder, resnet18; it is of mobilenet_v2_320"),
        ("starter", ["structures=[disc,cup]"], "same structures, disc, cup; it is of cup, disc"),
    ],
)
def test_weights_that_do_not_fit_are_refused(init: str, keys: list[str], message: str) -> None:
    settings = load_settings(None, ["aspp=depthwise", f"init={init}", *keys])
    with pytest.raises(ValueError, match=message):
        _start(network_of(settings, pretrained=False), settings)


def test_operators_keep_their_weights_where_an_option_is_added(
    narrow_tvconv: None, tmp_path: Path
) -> None:
    file = tmp_path / "plain.safetensors"
    keys = ["aspp=tvconv", f"init={file}", "image_size=64"]
    plain = _save(file, keys)
    settings = load_settings(None, [*keys, "tvconv.align=true"])
    network = network_of(settings, pretrained=False)
    _start(network, settings)
    state = network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in plain.state_dict().items())


def _save(file: Path, keys: list[str]) -> TVDeepLabV3Plus:
    """Save random weights of a network as a checkpoint."""
    settings = load_settings(None, keys)
    network = network_of(settings, pretrained=False)
    card = SegmentationCard(
        settings=settings, holdout="none", fingerprint="f00d", epoch=1, chosen="last epoch",
        normalisation=Normalisation(),
    )  # fmt: skip
    save_weights(file, network, card)
    return network


def test_operators_of_another_size_begin_anew_as_a_whole(
    narrow_tvconv: None, tmp_path: Path
) -> None:
    file = tmp_path / "small.safetensors"
    keys = ["aspp=tvconv", f"init={file}", "image_size=64"]
    small = _save(file, keys)
    settings = load_settings(None, [*keys, "image_size=128"])
    network = network_of(settings, pretrained=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count = _start(network, settings)
    state, trained = network.state_dict(), small.state_dict()
    operators = [name for name in state if re.match(r"decoder\.aspp\.wide\.\d\.1\.", name)]
    assert count == len(operators) > 9
    assert all(torch.equal(state[name], before[name]) for name in operators)
    assert all(torch.equal(state[name], trained[name]) for name in state if name not in operators)


@pytest.mark.parametrize("start", ["ones", "coordinates"])
def test_tvconv_begins_as_the_starter_s_depthwise_convolutions(
    start: str, narrow_tvconv: None, phantoms: Path
) -> None:
    keys = ["init=starter", "image_size=64", "precision=fp32", f"tvconv.affinity_start={start}"]
    settings = load_settings(None, keys)
    network, *_ = prepare(settings, "A", phantoms, torch.device("cpu"), begins=True)
    starter = load_network(STARTER)[0].eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(x), starter(x), rtol=1e-3, atol=1e-3)


def test_kernels_of_other_operators_are_left_alone(narrow_tvconv: None, tmp_path: Path) -> None:
    file = tmp_path / "dense.safetensors"
    _save(file, ["aspp=dense", "image_size=64"])
    settings = load_settings(None, ["aspp=tvconv", f"init={file}", "image_size=64"])
    network = network_of(settings, pretrained=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = FirstWeights.of(settings)
    assert first
    first.give_kernels_to(network)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_a_training_starts_from_them(
    narrow_tvconv: None, phantoms: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(
        None,
        ["init=starter", "aspp=tvconv", "image_size=64", "precision=fp32", "train.epochs=1",
         "train.steps_per_epoch=1", "train.images_per_centre=2", "train.learning_rate=1e-9"],
    )  # fmt: skip
    caplog.set_level("INFO", logger="tvseg")
    run = train(settings, holdout="A", root=phantoms, runs=tmp_path)
    assert "42 tensors, all of ASPP branches, are not taken from it" in caplog.text
    assert "3 TVConv layers begin as its depthwise convolutions of the same names" in caplog.text
    encoder = load_network(run.best)[0].encoder.state_dict()
    starter = load_network(STARTER)[0].encoder.state_dict()
    name = "features.1.conv.0.0.weight"
    assert torch.allclose(encoder[name], starter[name], atol=1e-6)
