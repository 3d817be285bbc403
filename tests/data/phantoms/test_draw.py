from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import center_of_mass, label

from tvseg.data.phantoms import write as phantom_centres
from tvseg.data.phantoms.draw import MAX_OFFSET, Phantom, draw_field, draw_roi
from tvseg.data.phantoms.random.draw import draw_random_roi
from tvseg.data.phantoms.style import STYLES
from tvseg.data.phantoms.write import write_phantoms

SIDE_PX = 128
PER_CENTRE = 12

Draw = Callable[..., Phantom]


@pytest.fixture(scope="module")
def phantoms() -> dict[str, list[Phantom]]:
    return {
        letter: [
            draw_roi(style, np.random.default_rng([0, centre, index]), side_px=SIDE_PX)
            for index in range(PER_CENTRE)
        ]
        for centre, (letter, style) in enumerate(STYLES.items())
    }


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def components(mask: NDArray[np.bool_]) -> int:
    return int(label(mask, structure=np.ones((3, 3)))[1])


def write_small(root: Path, *, per_centre: int = 2, seed: int = 0, fields: int = 1) -> None:
    write_phantoms(root, per_centre=per_centre, seed=seed, side_px=64, fields=fields)


@pytest.mark.parametrize("draw", [draw_roi, draw_field])
def test_same_generator_same_picture_and_other_seed_another(draw: Draw) -> None:
    one, same, other = (
        draw(STYLES["B"], np.random.default_rng([seed, 1, 0]), side_px=SIDE_PX)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.cup, same.cup)
    assert np.array_equal(one.disc, same.disc)
    assert not np.array_equal(one.image, other.image)
    assert not np.array_equal(one.disc, other.disc)


def test_written_files_are_the_same_bytes_twice(tmp_path: Path) -> None:
    write_small(tmp_path / "one")
    write_small(tmp_path / "two")
    write_small(tmp_path / "seed1", seed=1)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    other = files(tmp_path / "seed1")
    assert all(other[name] != content for name, content in files(tmp_path / "one").items())


def test_random_styles_are_written_in_the_same_layout(tmp_path: Path) -> None:
    write_small(tmp_path / "centres")
    write_phantoms(tmp_path / "random", per_centre=2, seed=0, side_px=64, fields=1, style="random")
    fixed, random = files(tmp_path / "centres"), files(tmp_path / "random")
    assert set(random) == set(fixed)
    assert all(random[name] != content for name, content in fixed.items())
    rois = tmp_path / "random" / "Domain3" / "test" / "ROIs"
    drawn = draw_random_roi(np.random.default_rng([0, 2, 1]), side_px=64)
    image = np.asarray(Image.open(rois / "image" / "phantom-C-0001.png"))
    assert np.array_equal(image, drawn.image)


def test_a_file_does_not_depend_on_how_many_are_written(tmp_path: Path) -> None:
    write_small(tmp_path / "four", per_centre=4, fields=1)
    write_small(tmp_path / "six", per_centre=6, fields=2)
    few, many = files(tmp_path / "four"), files(tmp_path / "six")
    assert "Domain1/train/ROIs/image/phantom-A-0003.png" in few
    assert few.items() < many.items()


def test_no_two_pictures_are_alike(tmp_path: Path) -> None:
    write_small(tmp_path / "out", per_centre=3, fields=2)
    images = [content for name, content in files(tmp_path / "out").items() if "/image/" in name]
    assert len(images) == len(set(images)) == 4 * (3 + 2)


@pytest.mark.parametrize(("per_centre", "test"), [(2, [1]), (3, [1]), (6, [1, 4])])
def test_layout(tmp_path: Path, per_centre: int, test: list[int]) -> None:
    write_small(tmp_path / "out", per_centre=per_centre, fields=2)
    expected = set()
    for domain, letter in enumerate("ABCD", start=1):
        for kind in ("image", "mask"):
            for index in range(per_centre):
                split = "test" if index in test else "train"
                name = f"phantom-{letter}-{index:04d}.png"
                expected.add(f"Domain{domain}/{split}/ROIs/{kind}/{name}")
            expected |= {f"FullField/{kind}/{letter}-phantom-{i:04d}.png" for i in range(2)}
    assert set(files(tmp_path / "out")) == expected


def test_written_masks_encode_the_drawn_ones(tmp_path: Path) -> None:
    write_small(tmp_path / "out")
    masks = [*(tmp_path / "out").rglob("mask/*.png")]
    assert len(masks) == 4 * (2 + 1)  # two regions and a field per centre
    for path in masks:
        mask = Image.open(path)
        image = Image.open(path.parent.parent / "image" / path.name)
        assert (mask.mode, image.mode) == ("L", "RGB")
        assert mask.size == image.size
        assert set(np.unique(np.asarray(mask))) == {0, 128, 255}
    drawn = draw_roi(STYLES["C"], np.random.default_rng([0, 2, 1]), side_px=64)
    rois = tmp_path / "out" / "Domain3" / "test" / "ROIs"
    mask_c = np.asarray(Image.open(rois / "mask" / "phantom-C-0001.png"))
    assert np.array_equal(mask_c == 0, drawn.cup)
    assert np.array_equal(mask_c < 255, drawn.disc)
    image_c = np.asarray(Image.open(rois / "image" / "phantom-C-0001.png"))
    assert np.array_equal(image_c, drawn.image)


def test_cup_is_inside_disc_and_both_are_one_piece(phantoms: dict[str, list[Phantom]]) -> None:
    smallest = [
        draw(style, np.random.default_rng(seed), side_px=side_px)
        for draw, side_px in ((draw_roi, 64), (draw_field, 128))
        for style in STYLES.values()
        for seed in range(5)
    ]
    for phantom in [*smallest, *(p for centre in phantoms.values() for p in centre)]:
        assert phantom.image.dtype == np.uint8
        assert phantom.image.shape[:2] == phantom.cup.shape == phantom.disc.shape
        assert not (phantom.cup & ~phantom.disc).any()
        assert components(phantom.cup) == components(phantom.disc) == 1
        assert components(~phantom.disc) == components(~phantom.cup) == 1  # no holes
        assert phantom.cup.sum() < 0.9 * phantom.disc.sum()


def test_framing_and_offset_keep_to_their_ranges(phantoms: dict[str, list[Phantom]]) -> None:
    offsets = []
    for letter, centre in phantoms.items():
        smallest, largest = STYLES[letter].framing
        assert 0.3 <= smallest < largest <= 0.6
        for phantom in centre:
            diameter = 2.0 * np.sqrt(phantom.disc.sum() / np.pi) / SIDE_PX
            assert smallest - 0.01 <= diameter <= largest + 0.01
            middle = (SIDE_PX - 1) / 2.0
            row, col = center_of_mass(phantom.disc)
            offsets.append(float(np.hypot(row - middle, col - middle)) / SIDE_PX)
            edges = [phantom.disc[0], phantom.disc[-1], phantom.disc[:, 0], phantom.disc[:, -1]]
            assert not np.any(edges)
    assert max(offsets) <= MAX_OFFSET
    assert max(offsets) > 0.8 * MAX_OFFSET


def test_cup_sizes_vary_within_each_centre(phantoms: dict[str, list[Phantom]]) -> None:
    for letter, centre in phantoms.items():
        ratios = [np.sqrt(phantom.cup.sum() / phantom.disc.sum()) for phantom in centre]
        smallest, largest = STYLES[letter].cup_to_disc
        assert smallest - 0.03 <= min(ratios) < max(ratios) <= largest + 0.03
        assert max(ratios) - min(ratios) > 0.15


def test_centres_differ_in_colour_with_the_same_chance() -> None:
    colours = []
    for style in STYLES.values():
        rngs = [np.random.default_rng([3, index]) for index in range(PER_CENTRE)]
        images = [draw_roi(style, rng, side_px=64).image for rng in rngs]
        colours.append(np.mean(images, axis=(0, 1, 2)))
    for i, one in enumerate(colours):
        for other in colours[:i]:
            assert np.abs(one - other).max() > 15.0


def test_disc_and_cup_are_brighter_than_their_surround(phantoms: dict[str, list[Phantom]]) -> None:
    for centre in phantoms.values():
        for phantom in centre:
            green = phantom.image[..., 1].astype(float)
            regions = (phantom.cup, phantom.disc & ~phantom.cup, ~phantom.disc)
            cup, rim, retina = (np.percentile(green[region], 90) for region in regions)  # no blood
            assert cup > rim + 4.0
            assert rim > retina + 4.0


@pytest.mark.parametrize("holdout", list(STYLES))
def test_the_mean_mask_of_the_other_centres_scores_low(
    phantoms: dict[str, list[Phantom]], holdout: str
) -> None:
    masks = {k: np.array([(p.cup, p.disc) for p in centre]) for k, centre in phantoms.items()}
    mean = np.mean([m.mean(0) for k, m in masks.items() if k != holdout], axis=0) > 0.5
    target = masks[holdout]
    dice = 2.0 * (target & mean).sum((2, 3)) / (target.sum((2, 3)) + mean.sum((1, 2)))
    cup, disc = dice.mean(0)
    assert cup < 0.55
    assert disc < 0.68  # below 0.65 with 24 images per centre; a dozen scatter more


def test_field_is_round_on_black_with_a_small_disc_nasal_of_the_middle() -> None:
    sides = set()
    for seed in range(8):
        phantom = draw_field(STYLES["A"], np.random.default_rng(seed), side_px=256)
        height, width = phantom.disc.shape
        assert (height, width) == (218, 256)
        corners = phantom.image[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.max() < 12
        assert phantom.image[height // 2, width // 2].max() > 40
        diameter = 2.0 * np.sqrt(phantom.disc.sum() / np.pi) / (0.98 * width)
        assert 1.0 / 8.2 <= diameter <= 1.0 / 6.8
        off = (center_of_mass(phantom.disc)[1] - (width - 1) / 2.0) / width
        assert 0.1 < abs(off) < 0.35
        sides.add(off > 0)
        radius = diameter * 0.98 * width / 2.0
        disc_row, disc_col = center_of_mass(phantom.disc)
        row, col = disc_row + 0.5 * radius, disc_col - np.sign(off) * 5 * radius
        macula = phantom.image[int(row) - 2 : int(row) + 3, int(col) - 2 : int(col) + 3, 1]
        lit = phantom.image.max(-1) > 40
        assert macula.mean() < 0.85 * np.median(phantom.image[lit][:, 1])
    assert sides == {True, False}


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".out-12345678").mkdir()
    (tmp_path / ".out-12345678" / "half.png").write_bytes(b"")
    write_phantoms(tmp_path / "out", per_centre=2, seed=0, side_px=64, fields=0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_refuses_what_is_already_there(tmp_path: Path, taken: str) -> None:
    root = tmp_path / "out"
    if taken == "file":
        root.write_text("kept")
    else:
        root.mkdir()
        (root / "kept.txt").write_text("kept")
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="new or an empty folder"):
        write_small(root)
    assert files(tmp_path) == before


def test_makes_parents_and_takes_an_empty_folder(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "out"
    root.mkdir(parents=True)
    write_small(root)
    write_small(tmp_path / "new" / "out")
    assert files(root) == files(tmp_path / "new" / "out") != {}
    assert [path.name for path in root.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"per_centre": 1}, "per_centre must be at least 2"),
        ({"seed": -1}, "must not be negative"),
        ({"fields": -1}, "must not be negative"),
        ({"side_px": 63}, "side_px must be at least 64"),
    ],
)
def test_wrong_numbers_are_refused_and_leave_nothing(
    tmp_path: Path, wrong: dict[str, int], message: str
) -> None:
    numbers = {"per_centre": 2, "seed": 0, "side_px": 64, "fields": 0} | wrong
    with pytest.raises(ValueError, match=message):
        write_phantoms(tmp_path / "out", **numbers)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Phantom:
        assert sum(".png" in name for name in files(tmp_path)) == 4, "the first centre is written"
        raise OSError("no space left on device")

    monkeypatch.setattr(phantom_centres, "draw_field", fail)
    with pytest.raises(OSError, match="no space"):
        write_small(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
