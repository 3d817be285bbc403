"""Layout of pictures whose layout is known, and what is drawn and said of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tvseg.data.cases import Case
from tvseg.data.centres import centres_of
from tvseg.data.normalisation import Normalisation
from tvseg.evaluation.analysis.layout_statistics import (
    Layout,
    interpretation,
    layout_figure,
    layout_table,
    layouts,
)
from tvseg.settings import SegmentationSettings

SIDE_PX = 32

ON_CPU = {"device": torch.device("cpu"), "normalisation": Normalisation()}


class Pixels(nn.Module):
    """Its last map is the mean colour of each 4 x 4 px: variances can be told from the pictures."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, nn.functional.avg_pool2d(x, 4)]


def _cases(folder: Path, letter: str, pictures: Sequence[np.ndarray]) -> list[Case]:
    centre = centres_of(SegmentationSettings())[letter]
    cases = []
    for index, picture in enumerate(pictures):
        path = folder / f"{letter}{index}.png"
        Image.fromarray(picture).save(path)
        cases.append(Case(centre, "train", path.stem, path, folder / "no mask"))
    return cases


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Layout]:
    """Centre A: one bright square at one place, a little noise. Centre B: the square anywhere."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    square = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    square[4:16, 12:24] = 200
    fixed = [square + rng.integers(0, 20, square.shape, dtype=np.uint8) for _ in range(20)]
    loose = [np.roll(p, tuple(rng.integers(SIDE_PX, size=2)), (0, 1)) for p in fixed]
    cases = {"A": _cases(folder, "A", fixed), "B": _cases(folder, "B", loose)}
    return layouts(cases, Pixels(), image_size=SIDE_PX, **ON_CPU)


def test_a_layout_is_seen_where_there_is_one_and_goes_when_pictures_are_moved(
    found: dict[str, Layout],
) -> None:
    assert found["A"].placed.cross < 0.01
    assert found["A"].placed.ratio > 100
    assert found["A"].moved.cross == pytest.approx(1, abs=0.1)
    assert found["B"].placed.cross == pytest.approx(1, abs=0.1)
    assert found["A"].placed.cross < found["all"].placed.cross < found["B"].placed.cross
    assert [one.images for one in found.values()] == [20, 20, 40]


def test_the_sentence_names_both_ends(found: dict[str, Layout]) -> None:
    words = interpretation(found)
    shares = {name: f"{100 * (1 - one.placed.cross):.0f} %" for name, one in found.items()}
    assert f"from {shares['B']} at centre B to {shares['A']} at centre A" in words
    assert words.startswith(f"Position alone explains {shares['all']}")


def test_bars_and_maps_show_the_numbers(found: dict[str, Layout]) -> None:
    figure = layout_figure(found)
    above, below = figure.subfigs
    heights = [bar.get_height() for bar in above.axes[0].patches]
    table = layout_table(found)
    expected = np.concatenate([table[c] for c in ("intra", "cross", "cross_moved")])
    assert heights == pytest.approx(expected)
    drawn = {axes.get_title(): axes for axes in below.axes if axes.images}
    shown = drawn["B"].images[0].get_array()
    assert np.array_equal(shown, found["B"].placed.cross_map)


def test_batches_of_any_size_give_the_same_variances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(5)]
    sizes = []

    class Watched(Pixels):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            sizes.append(len(x))
            return super().forward(x)

    cases = {"A": _cases(tmp_path, "A", pictures), "B": _cases(tmp_path, "B", pictures[:2])}
    whole = layouts(cases, Pixels(), image_size=8, **ON_CPU)
    monkeypatch.setattr("tvseg.evaluation.analysis.layout_statistics.BATCH", 2)
    found = layouts(cases, Watched(), image_size=8, **ON_CPU)
    assert max(sizes) == 2
    for name, layout in found.items():
        assert layout.images == whole[name].images
        assert layout.moved.cross == pytest.approx(whole[name].moved.cross)
        assert layout.placed.cross_map == pytest.approx(whole[name].placed.cross_map)
