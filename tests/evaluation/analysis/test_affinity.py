"""Figures and measures of affinity maps, on layers and courses made up for it."""

import numpy as np
import pytest
import torch
from torch import nn

from tvseg.evaluation.analysis.affinity import affinity_figure, course_figure, layer_table
from tvseg.ops import TVConv2d
from tvseg.runs.affinity import Course


def _layer() -> TVConv2d:
    torch.manual_seed(0)
    return TVConv2d(3, 6, affinity_channels=2, hidden_channels=8, hidden_layers=0)


def test_measures_are_those_of_the_maps() -> None:
    layer = _layer()
    with torch.no_grad():
        layer.affinity[0, 2] = 3.0
    (row,) = layer_table(nn.Sequential(nn.ReLU(), layer)).to_dict("records")
    assert (row["layer"], row["maps"], row["low"], row["high"]) == ("1", 2, 1.0, 3.0)
    assert row["spread"] == pytest.approx(np.std([1, 1, 3, 1, 1, 1]) / 2)
    kernels = layer.weight().detach().numpy()
    expected = kernels.var(axis=(2, 3)).mean() / (kernels**2).mean()
    assert row["kernels"] == pytest.approx(expected, rel=1e-4)
    assert row["kernels"] > row["kernels_constant"] > 0  # its padding tells positions apart


def test_maps_at_their_start_add_nothing_to_the_kernels() -> None:
    (row,) = layer_table(_layer()).to_dict("records")
    assert row["spread"] == 0
    assert row["kernels"] == row["kernels_constant"]
    assert layer_table(nn.ReLU()).empty


def test_every_map_is_drawn_on_one_scale_about_the_start() -> None:
    rng = np.random.default_rng(0)
    maps = {"first": 1 + 0.1 * rng.normal(size=(2, 4, 4)), "second": np.ones((3, 4, 4))}
    maps["second"][1, 2, 3] = 0.25
    images = [axes.images[0] for axes in affinity_figure(maps, "run").axes if axes.images]
    values = [*maps["first"], *maps["second"]]
    for image, expected in zip(images, values, strict=True):
        assert np.array_equal(image.get_array(), expected)
        assert (image.norm.vmin, image.norm.vmax) == (0.25, 1.75)


def test_the_course_shows_the_map_that_varies_most_from_first_to_last_epoch() -> None:
    epochs = np.arange(21)
    maps = np.ones((21, 2, 4, 4))
    maps[:, 1, 0, 0] += 0.01 * epochs
    figure = course_figure(Course(epochs, {"layer": maps}), "run")
    above, below = figure.subfigs
    panels = [axes for axes in above.axes if axes.images]
    assert [axes.get_title() for axes in panels] == [
        "start", *(f"epoch {epoch}" for epoch in (4, 8, 12, 16, 20)),
    ]  # fmt: skip
    assert panels[-1].images[0].get_array()[0, 0] == pytest.approx(1.2)
    flat, varying = below.axes[0].lines
    assert np.asarray(flat.get_ydata()) == pytest.approx(0)
    assert np.asarray(varying.get_ydata()) == pytest.approx(maps[:, 1].std(axis=(1, 2)))


def test_many_layers_have_a_scale_of_depth_and_short_labels() -> None:
    names = [f"backbone.features.{number}.conv.1.0" for number in range(1, 18)]
    maps = {name: np.ones((2, 1, 2, 2), np.float32) for name in names}
    figure = course_figure(Course(np.array([0, 1]), maps), "run")
    above, below = figure.subfigs
    assert above.axes[0].get_ylabel() == "features.1.\nconv.1.0\nmap 1"
    spreads, scale = below.axes
    assert spreads.get_legend() is None
    assert scale.get_ylabel() == "layer, from the first on"
