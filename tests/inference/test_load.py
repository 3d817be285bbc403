from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.drawn import draw_field, make_pipeline
from tvseg.inference.load import Model

FIELD = draw_field(120, 60, 50, 20)


@pytest.fixture
def model() -> Model:
    return Model(make_pipeline())


def test_files_pictures_and_arrays_give_the_same(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(FIELD).save(path)
    by_path, by_text, by_picture, by_array = model([path, str(path), Image.fromarray(FIELD), FIELD])
    assert by_path.photograph.id == by_text.photograph.id == "one"
    for other in (by_text, by_picture, by_array, model(path)):
        assert all((by_path.masks[name] == other.masks[name]).all() for name in ("cup", "disc"))
    assert by_path.measurements["vcdr"] == model(FIELD).measurements["vcdr"] > 0


def test_a_prediction_says_all_that_is_written(model: Model, tmp_path: Path) -> None:
    found = model(FIELD)
    disc, chance = found.masks["disc"], found.probabilities["disc"]
    assert disc.shape == chance.shape == (120, 120)
    assert ((chance > 0.5) == disc).mean() > 0.999
    assert [len(polygons) for polygons in found.contours.values()] == [1, 1]
    assert found.flags == []
    assert found.overlay().shape == FIELD.shape
    assert (found.overlay() != FIELD).any()
    files = found.save(tmp_path, formats=["mask", "geojson"])
    assert files == [tmp_path / "masks/photograph0.png", tmp_path / "geojson/photograph0.geojson"]
    assert (np.array(Image.open(files[0])) == found.labels).all()


def test_what_is_no_photograph_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\), got float64 \(9, 9\)"):
        model(np.zeros((9, 9)))
    with pytest.raises(ValueError, match="at least 32 px a side"):
        model(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(FileNotFoundError):
        model(tmp_path / "none.png")
