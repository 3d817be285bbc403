import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.inference.drawn import draw_prediction
from tvseg.data.centres import MaskEncoding
from tvseg.inference.output.formats import FORMATS


def test_masks_are_in_the_challenges_encoding_whatever_the_runs_own_is() -> None:
    prediction = draw_prediction()
    other = MaskEncoding({0: (), 1: ("disc",), 2: ("cup", "disc")}, ("cup", "disc"))
    cup, disc = prediction.placed.whole()
    expected = np.where(cup, 0, np.where(disc, 128, 255))
    for one in (prediction, replace(prediction, encoding=other)):
        picture = Image.open(io.BytesIO(FORMATS["refuge"].render(one)))
        assert (picture.format, picture.mode) == ("BMP", "L")
        assert np.array_equal(np.asarray(picture), expected)


def test_other_structures_are_refused() -> None:
    vessels = MaskEncoding({0: ("vessels", "disc"), 1: ("disc",), 2: ()}, ("vessels", "disc"))
    with pytest.raises(ValueError, match="takes the structures cup and disc, the model has vess"):
        FORMATS["refuge"].render(replace(draw_prediction(), encoding=vessels))
