from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tvseg.data.augment import Augmentation, ScaleCrop
from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.dataset import (
    PHANTOM,
    BalancedDraws,
    Draw,
    LoadedCases,
    TrainingSet,
    drawn_example,
    load_cases,
)
from tvseg.settings import SegmentationSettings

CENTRES = ["A"] * 50 + ["B"] * 3 + ["C"] * 9


@pytest.fixture(scope="module")
def loaded(phantoms: Path) -> LoadedCases:
    cases = [
        c
        for centre in centres_of(SegmentationSettings()).values()
        for c in find_cases(phantoms, centre)
    ]
    return load_cases(cases, image_size=64)[0]


def _epochs(loaded: LoadedCases, *, workers: int, seed: int = 0) -> list[torch.Tensor]:
    letters = [case.centre.letter for case in loaded.cases]
    draws = BalancedDraws(letters, per_centre=2, steps=6, seed=seed)
    loader = DataLoader(
        TrainingSet(loaded, Augmentation("strong")), batch_sampler=draws, num_workers=workers
    )
    return [batch["image"] for batch in loader]


def test_each_batch_holds_as_many_of_each_centre() -> None:
    for batch in BalancedDraws(CENTRES, per_centre=16, steps=5, seed=0):
        letters = [CENTRES[draw.place] for draw in batch]
        assert letters == ["A"] * 16 + ["B"] * 16 + ["C"] * 16


def test_draws_are_with_replacement_and_reach_every_image() -> None:
    draws = [
        d.place for batch in BalancedDraws(CENTRES, per_centre=16, steps=40, seed=0) for d in batch
    ]
    assert set(draws) == set(range(len(CENTRES)))
    assert len(next(iter(BalancedDraws(["B"] * 3, per_centre=16, steps=1, seed=0)))) == 16


def test_a_resumed_training_draws_the_same_batches() -> None:
    whole = list(BalancedDraws(CENTRES, per_centre=4, steps=10, seed=3))
    rest = list(BalancedDraws(CENTRES, per_centre=4, steps=10, seed=3, first_step=6))
    assert rest == whole[6:]
    assert len(BalancedDraws(CENTRES, per_centre=4, steps=10, seed=3, first_step=6)) == 4


def test_seeds_and_steps_differ() -> None:
    one, other = (list(BalancedDraws(CENTRES, per_centre=4, steps=3, seed=s)) for s in (0, 1))
    assert one != other
    assert len({draw.seed for batch in one for draw in batch}) == 3 * 12


def test_workers_change_nothing_and_batches_differ(loaded: LoadedCases) -> None:
    """albumentations' own random state would repeat itself in every worker and epoch."""
    alone, again, shared = (
        _epochs(loaded, workers=0), _epochs(loaded, workers=0), _epochs(loaded, workers=2),
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(alone, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0], alone[3])
    assert not torch.equal(alone[0], _epochs(loaded, workers=0, seed=1)[0])


def test_the_same_image_is_augmented_differently_by_other_seeds(loaded: LoadedCases) -> None:
    strong = Augmentation("strong")
    results = [strong(loaded.images[0], loaded.masks[0], seed=seed)[0] for seed in range(20)]
    assert len({image.tobytes() for image in results}) >= 19
    assert np.array_equal(results[2], strong(loaded.images[0], loaded.masks[0], seed=2)[0])


def test_scale_crop_enlarges_and_keeps_image_and_mask_together() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[24:40, 20:44] = 255
    mask = (image[..., :2] > 0).astype(np.uint8)
    augmentation = Augmentation("scale_crop")
    areas = []
    for seed in range(60):
        scaled, scaled_mask = augmentation(image, mask, seed=seed)
        assert scaled.shape == image.shape
        assert set(np.unique(scaled_mask)) <= {0, 1}
        inside = scaled_mask[..., 0] == 1
        assert abs(float(((scaled[..., 0] > 127) != inside).mean())) < 0.04
        areas.append(inside.mean() / mask[..., 0].mean())
    assert np.isclose(areas, 1).mean() == pytest.approx(0.5, abs=0.2)  # p = 0.5
    assert max(areas) < 1.5**2 + 0.1
    assert max(areas) > 1.5


def test_scale_crop_scales_both_directions_apart() -> None:
    transform = ScaleCrop(limit=1.5, p=1.0)
    windows = []
    for seed in range(50):
        transform.set_random_seed(seed)
        windows.append(
            transform.get_params_dependent_on_data({"shape": (90, 120, 3)}, {})["window"]
        )
    heights = np.array([bottom - top for top, _, bottom, _ in windows])
    widths = np.array([right - left for _, left, _, right in windows])
    assert heights.min() >= 60
    assert widths.min() >= 80
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.5


def test_framing_zooms_in_and_out_alike_and_draws_no_second_disc() -> None:
    rows, columns = np.mgrid[:128, :128] - 63.5
    image = np.repeat((np.hypot(rows, columns) < 36)[..., None], 3, axis=2).astype(np.uint8) * 255
    mask = image[..., :2] // 255
    augmentation = Augmentation("framing")
    sides = []
    for seed in range(240):
        reframed, reframed_mask = augmentation(image, mask, seed=seed)
        inside = reframed_mask[..., 0] == 1
        assert abs(float(((reframed[..., 0] > 127) != inside).mean())) < 0.01
        height, width = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        assert all(len(span) == np.ptp(span) + 1 for span in (height, width))  # one piece
        sides.append((max(map(np.ptp, (height, width))) + 1) / 72)
        if inside.sum() < 80**2:  # not cut by the frame
            assert np.ptp(height) == pytest.approx(np.ptp(width), abs=2)
    zooms = np.array(sides)
    assert np.isclose(zooms, 1).mean() == pytest.approx(0.2, abs=0.07)  # p = 0.8
    assert 0.58 < zooms.min() < 0.7
    assert 1.45 < zooms.max() < 1.62
    assert (zooms < 0.98).mean() == pytest.approx(0.4, abs=0.07)  # balanced


def test_augment_none_is_the_identity(loaded: LoadedCases) -> None:
    image, masks = Augmentation("none")(loaded.images[0], loaded.masks[0], seed=5)
    assert np.array_equal(image, loaded.images[0])
    assert np.array_equal(masks, loaded.masks[0])


def test_an_unknown_augmentation_lists_the_options() -> None:
    with pytest.raises(ValueError, match="none, scale_crop, strong, strong2, framing, got 'mild'"):
        Augmentation("mild")


def test_loaded_cases_keep_order_and_shape(loaded: LoadedCases) -> None:
    assert loaded.images.shape == (24, 64, 64, 3)
    assert loaded.masks.shape == (24, 64, 64, 2)
    assert loaded.images.dtype == loaded.masks.dtype == np.uint8
    some = loaded.subset(loaded.cases[5:7])
    assert np.array_equal(some.images, loaded.images[5:7])
    assert some.cases == loaded.cases[5:7]


def test_phantoms_follow_the_images_of_a_batch_and_never_repeat() -> None:
    plain = list(BalancedDraws(CENTRES, per_centre=2, steps=4, seed=0))
    mixed = list(BalancedDraws(CENTRES, per_centre=2, steps=4, seed=0, phantoms=3))
    assert [batch[:6] for batch in mixed] == plain
    drawn = [draw for batch in mixed for draw in batch[6:]]
    assert drawn == [Draw(PHANTOM, index) for index in range(12)]
    resumed = list(BalancedDraws(CENTRES, per_centre=2, steps=4, seed=0, first_step=3, phantoms=3))
    assert resumed == mixed[3:]


def test_a_phantom_is_drawn_from_the_seed_and_its_index(loaded: LoadedCases) -> None:
    examples = TrainingSet(loaded, Augmentation("strong"), seed=5)[Draw(PHANTOM, 2)]
    image, masks = drawn_example(5, 2, side_px=64, names=("cup", "disc"))
    assert examples["id"] == "phantom/5/2"
    assert torch.equal(examples["image"], torch.from_numpy(image).permute(2, 0, 1))  # type: ignore[arg-type]
    assert torch.equal(examples["label"], torch.from_numpy(masks).permute(2, 0, 1))  # type: ignore[arg-type]
    assert not np.array_equal(image, drawn_example(6, 2, side_px=64, names=("cup",))[0])


def test_structures_of_a_phantom_are_in_the_order_of_their_names() -> None:
    _, masks = drawn_example(0, 0, side_px=64, names=("disc", "cup"))
    assert (masks[..., 0] >= masks[..., 1]).all()
    assert masks[..., 0].sum() > masks[..., 1].sum() > 0
