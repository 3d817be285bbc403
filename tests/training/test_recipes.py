"""Keys that go beyond the published training: each does what it says, and nothing when off."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from torch import nn

from tvseg.config import load_settings
from tvseg.data.augment import Augmentation, Mixture
from tvseg.data.dataset import Draw, LoadedCases, TrainingSet
from tvseg.errors import UsageError, UserError
from tvseg.integrations.bundle_export import configs_of
from tvseg.models.mix_style import STAGES, _stage_modules, add_mix_style, mix_style
from tvseg.ops import TVConv2d
from tvseg.runs.affinity import affinity_maps
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network, network_of, tvconv_options
from tvseg.settings import SegmentationSettings
from tvseg.training.affinity_start import coordinate_maps, mean_masks, start_affinity
from tvseg.training.fit import make_optimizer
from tvseg.training.losses import LOSSES
from tvseg.training.train import train

pytestmark = pytest.mark.usefixtures("narrow_tvconv")

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=2",
        "train.steps_per_epoch=2", "train.images_per_centre=2"]  # fmt: skip


def test_dice_and_bce_are_added_up() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 2, 8, 8), torch.randint(2, (2, 2, 8, 8)).float()
    wanted = DiceLoss(sigmoid=True)(logits, labels) + LOSSES["bce"](logits, labels)
    torch.testing.assert_close(LOSSES["dice_bce"](logits, labels), wanted)


def test_affinity_maps_have_a_rate_and_a_decay_of_their_own() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), TVConv2d(4, 8, hidden_channels=4))
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = make_optimizer(network, 1e-3, affinity_rate=100, affinity_decay=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 0.1]
    sum(p.sum() for p in network.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    after = dict(network.named_parameters())
    moved = {name: float((after[name] - old).detach().abs().max()) for name, old in before.items()}
    assert moved["1.affinity"] == pytest.approx(0.1 * 0.5 + 0.1, rel=1e-3)  # decay, and Adam's step
    others = [value for name, value in moved.items() if name != "1.affinity"]
    assert others == pytest.approx([1e-3] * len(others), rel=1e-3)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(before)


def loaded_cases(phantoms: Path) -> LoadedCases:
    from tvseg.data.cases import find_cases
    from tvseg.data.centres import centres_of
    from tvseg.data.dataset import load_cases

    centres = centres_of(SegmentationSettings()).values()
    cases = [case for centre in centres for case in find_cases(phantoms, centre)]
    return load_cases(cases, image_size=64)[0]


@pytest.fixture(scope="module")
def loaded(phantoms: Path) -> LoadedCases:
    return loaded_cases(phantoms)


def test_affinity_maps_start_from_coordinates_or_masks(loaded: LoadedCases) -> None:
    row, column, distance, one = coordinate_maps((4, 2, 4))
    assert row.tolist() == [[-0.5] * 4, [0.5] * 4]
    assert column[0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert torch.equal(distance, torch.hypot(row, column))
    assert (one == 1).all()
    masks = mean_masks(loaded)
    by_centre = [loaded.masks[place : place + 6].mean(axis=0) for place in (0, 6, 12, 18)]
    np.testing.assert_allclose(masks, np.mean(by_centre, axis=0).transpose(2, 0, 1), rtol=1e-6)
    settings = load_settings(None, [*TINY, "tvconv.affinity_start=mean_masks"])
    network = network_of(settings, pretrained=False)
    start_affinity(network, "mean_masks", noise=0, seed=0, loaded=loaded)
    for maps in affinity_maps(network).values():
        assert torch.equal(torch.from_numpy(maps[0]), torch.from_numpy(maps[2]))
        assert maps[1].mean() == pytest.approx(float(masks[1].mean()), rel=1e-5)
    network, other = (network_of(settings, pretrained=False) for _ in range(2))
    start_affinity(network, "ones", noise=0.1, seed=1, loaded=loaded)
    first = affinity_maps(network)
    assert np.mean([maps.mean() for maps in first.values()]) == pytest.approx(1, abs=0.02)
    assert np.std([maps.std() for maps in first.values()]) < 0.02
    assert 0.05 < next(iter(first.values())).std() < 0.15
    start_affinity(other, "ones", noise=0.1, seed=1, loaded=loaded)
    again = affinity_maps(other)
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_training_begins_with_the_maps_it_is_given(phantoms: Path, tmp_path: Path) -> None:
    keys = ["tvconv.affinity_start=coordinates", "tvconv.affinity_rate=0", "train.epochs=1"]
    keys += ["tvconv.generator_padding=replicate", "tvconv.dynamic_bias=true", "mixstyle=1"]
    keys += ["mix=fourier", "augment=strong2", "train.loss=dice_bce", "train.steps_per_epoch=1"]
    run = train(load_settings(None, [*TINY, *keys]), holdout="A", root=phantoms, runs=tmp_path)
    network, card = load_network(RunFolder(run.path).best)
    definition = configs_of(card)["train.json"]["network_def"]
    assert definition["dynamic_bias"]
    assert (definition["generator_padding"], "align" in definition) == ("replicate", False)
    layer = network.decoder.aspp.wide[0][1]
    assert layer.dynamic_bias is not None
    assert layer.generator.layers[0].padding_mode == "replicate"
    for maps in affinity_maps(network).values():
        assert np.array_equal(maps, coordinate_maps(maps.shape).numpy())


def test_options_of_tvconv_need_tvconv() -> None:
    assert tvconv_options(SegmentationSettings()) == {}
    with pytest.raises(
        UserError, match=r"tvconv.affinity_rate must be left out unless aspp=tvconv"
    ):
        load_settings(None, ["aspp=dense", "tvconv.affinity_rate=10"])
    with pytest.raises(UserError, match=r"did you mean 'tvconv.affinity_rate'"):
        load_settings(None, ["tvconv.affinity_rat=10"])


def test_styles_are_means_and_deviations_of_maps() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 8, 8) * torch.arange(1, 7)[:, None, None, None]
    mixed = mix_style(x)
    plain, other = (
        (maps - maps.mean((2, 3), keepdim=True)) / maps.std((2, 3), keepdim=True)
        for maps in (x, mixed)
    )
    torch.testing.assert_close(plain, other, atol=1e-4, rtol=1e-4)  # what is shown stays
    deviations = mixed.std((2, 3))
    assert not torch.allclose(deviations, x.std((2, 3)))
    assert x.std((2, 3)).min() <= deviations.min()
    assert deviations.max() <= x.std((2, 3)).max()


@pytest.mark.parametrize("name", ["mobilenet_v2_320", "resnet18", "efficientnet-b0"])
def test_styles_are_mixed_behind_early_stages_in_training_alone(name: str) -> None:
    settings = load_settings(None, [*TINY, f"encoder={name}", "aspp=dense"])
    torch.manual_seed(0)
    encoder = network_of(settings, pretrained=False).encoder.eval()
    x = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        plain = encoder(x)
        for stage, source in zip(STAGES, _stage_modules(encoder), strict=True):
            hook = source.register_forward_hook(lambda module, inputs, maps: 0 * maps)
            assert not encoder(x)[stage].any()
            hook.remove()
        add_mix_style(encoder, 1.0)
        assert all(torch.equal(a, b) for a, b in zip(plain, encoder(x), strict=True))
        for module in encoder.modules():  # statistics stay those of evaluation
            module.training = not isinstance(module, nn.BatchNorm2d)
        mixed = encoder(x)
    changed = [not torch.equal(a, b) for a, b in zip(plain, mixed, strict=True)]
    assert changed == [False, True, True, True, True, True]


@pytest.mark.parametrize("name", ["fourier", "histogram"])
def test_half_of_the_photographs_take_colours_of_another_centre(
    name: str, loaded: LoadedCases
) -> None:
    plain = TrainingSet(loaded, Augmentation("none"))
    mixed = TrainingSet(loaded, Augmentation("none"), mixture=Mixture(name))
    images = [mixed[Draw(0, seed)]["image"] for seed in range(40)]
    again = [mixed[Draw(0, seed)]["image"] for seed in range(40)]
    original = plain[Draw(0, 0)]["image"]
    assert all(torch.equal(a, b) for a, b in zip(images, again, strict=True))  # type: ignore[arg-type]
    changed = [not torch.equal(image, original) for image in images]  # type: ignore[arg-type]
    assert 10 <= sum(changed) <= 30
    assert torch.equal(mixed[Draw(0, 3)]["label"], plain[Draw(0, 3)]["label"])  # type: ignore[arg-type]
    drawn = {mixed._of_another(0, np.random.default_rng(seed)).tobytes() for seed in range(60)}
    own = {loaded.images[place].tobytes() for place in range(6)}
    assert not drawn & own
    assert len(drawn) > 10


def test_colours_of_another_centre_need_two_centres(loaded: LoadedCases) -> None:
    alone = loaded.subset([case for case in loaded.cases if case.centre.letter == "A"])
    assert TrainingSet(alone, Augmentation("none"))[Draw(0, 0)]
    with pytest.raises(UsageError, match="all are of centre A"):
        TrainingSet(alone, Augmentation("none"), mixture=Mixture("fourier"))


def test_strong2_changes_light_tone_and_resolution_but_not_masks(loaded: LoadedCases) -> None:
    strong, stronger = Augmentation("strong"), Augmentation("strong2")
    first = len(strong.transform.transforms)
    names = [type(step).__name__ for step in stronger.transform.transforms[first:]]
    assert names == ["Illumination", "RandomToneCurve", "PlanckianJitter", "Downscale",
                     "ImageCompression"]  # fmt: skip
    image, masks = loaded.images[0], loaded.masks[0]
    for step in stronger.transform.transforms[first:]:
        alone = Augmentation("none")
        alone.transform.transforms = [copy.deepcopy(step)]
        results = [alone(image, masks, seed=seed) for seed in range(30)]
        changed = [not np.array_equal(image, result) for result, _ in results]
        assert 1 <= sum(changed) <= 20, step
        assert all(np.array_equal(masks, mask) for _, mask in results)
