import numpy as np
import pytest
from scipy.special import logit

from tests.inference.drawn import ENCODING
from tvseg.cli import options
from tvseg.data.centres import MaskEncoding
from tvseg.errors import UserError
from tvseg.inference.postprocessing import SHAPES, Postprocessing

ONE = MaskEncoding({0: (), 1: ("disc",)}, ("disc",))


def test_postprocessing_keeps_one_whole_component() -> None:
    logits = np.full((2, 20, 20), -9.0)
    logits[1, 2:12, 2:12] = 9.0
    logits[1, 5:7, 5:7] = -9.0  # a hole
    logits[1, 15:18, 15:18] = 9.0  # a second island
    cup, disc = Postprocessing()(logits, ENCODING)
    assert not cup.any()
    assert disc.sum() == 100
    diagonal = np.full((1, 4, 4), -9.0)
    diagonal[0, 0, 0] = diagonal[0, 1, 1] = 9.0
    assert Postprocessing()(diagonal, ONE)[0].sum() == 2  # touching by a corner is touching


def test_the_cup_is_cut_at_the_disc_unless_told_otherwise() -> None:
    logits = np.full((2, 10, 10), -9.0)
    logits[0, 0:6, 0:6] = 9.0
    logits[1, 2:10, 2:10] = 9.0
    assert Postprocessing()(logits, ENCODING)[0].sum() == 16
    assert Postprocessing(clip_nested=False)(logits, ENCODING)[0].sum() == 36


def test_the_threshold_is_on_probabilities() -> None:
    logits = logit(np.float32([[[0.6, 0.7, 0.76, 0.9]]]))
    assert Postprocessing(threshold=0.75)(logits, ONE)[0, 0].tolist() == [False, False, True, True]
    assert Postprocessing(threshold=0.65)(logits, ONE)[0, 0].tolist() == [False, True, True, True]


def test_structures_that_exclude_each_other_share_no_pixel() -> None:
    encoding = MaskEncoding({0: (), 1: ("a",), 2: ("b",)}, ("a", "b"))
    logits = np.full((2, 10, 10), -9.0)
    logits[0, :6] = 2.0
    logits[1, 4:] = 3.0
    one, other = Postprocessing()(logits, encoding)
    assert one.sum() == 40
    assert other.sum() == 60
    encoding.encode(np.stack([one, other]))


def test_a_filled_hole_gives_way_to_what_excludes_it() -> None:
    encoding = MaskEncoding({0: (), 1: ("ring",), 2: ("core",)}, ("ring", "core"))
    logits = np.full((2, 12, 12), -9.0)
    logits[0, 1:11, 1:11] = 9.0
    logits[0, 4:8, 4:8] = -9.0
    logits[1, 5:7, 5:7] = 9.0
    ring, core = Postprocessing()(logits, encoding)
    assert core.sum() == 4
    assert ring.sum() == 100 - 4  # the rest of the hole is filled
    encoding.encode(np.stack([ring, core]))


def test_scattered_structures_keep_their_pieces_and_holes() -> None:
    logits = np.full((2, 20, 20), -9.0)
    logits[:, 2:12, 2:12] = 9.0
    logits[:, 5:7, 5:7] = -9.0
    logits[:, 15:18, 15:18] = 9.0
    encoding = MaskEncoding(
        {0: (), 1: ("lesion", "disc"), 2: ("lesion",), 3: ("disc",)},
        ("lesion", "disc"),
        scattered=("lesion",),
    )
    lesion, disc = Postprocessing()(logits, encoding)
    assert lesion.sum() == 100 - 4 + 9
    assert disc.sum() == 100


def test_an_ellipse_keeps_centre_axes_and_direction_and_fills_notches() -> None:
    rows, columns = np.mgrid[:90, :120]
    along = (columns - 60) * np.cos(0.5) + (rows - 40) * np.sin(0.5)
    across = (rows - 40) * np.cos(0.5) - (columns - 60) * np.sin(0.5)
    whole = (along / 36) ** 2 + (across / 20) ** 2 < 1
    notched = whole & ~((along > 28) & (abs(across) < 4))
    shaped = Postprocessing(shape="ellipse")
    (same,) = shaped(np.where(whole, 9.0, -9.0)[None], ONE)
    assert (same ^ whole).sum() < 0.02 * whole.sum()
    (filled,) = shaped(np.where(notched, 9.0, -9.0)[None], ONE)
    assert filled.sum() == pytest.approx(notched.sum(), rel=0.02)
    assert filled[whole & ~notched].mean() > 0.5
    assert not Postprocessing()(np.where(notched, 9.0, -9.0)[None], ONE)[0][whole & ~notched].any()


def test_an_ellipse_is_made_of_one_component_within_the_disc() -> None:
    logits = np.full((2, 40, 60), -9.0)
    logits[1, 5:35, 5:45] = 9.0
    logits[1, 2:6, 54:58] = 9.0  # an island
    logits[0, 10:25, 10:25] = 9.0
    logits[0, 16:18, 25:60] = 9.0  # a streak that leaves the disc
    cup, disc = Postprocessing(shape="ellipse")(logits, ENCODING)
    logits[0, 16:18, 45:60] = -9.0
    assert (Postprocessing(shape="ellipse")(logits, ENCODING)[0] == cup).all()
    assert not disc[2:6, 54:58].any()
    assert not disc[5, 5]
    assert cup.any()
    assert not (cup & ~disc).any()


def test_what_has_no_width_or_is_scattered_makes_no_ellipse() -> None:
    line = np.full((1, 9, 9), -9.0)
    shaped = Postprocessing(shape="ellipse")
    assert not shaped(line, ONE).any()
    line[0, 4, 1:8] = 9.0
    assert (shaped(line, ONE) == (line > 0)).all()
    spots = MaskEncoding({0: (), 1: ("spots",)}, ("spots",), scattered=("spots",))
    squares = np.full((1, 20, 20), -9.0)
    squares[0, 2:9, 2:9] = squares[0, 12:18, 12:18] = 9.0
    assert (shaped(squares, spots) == (squares > 0)).all()


def test_shapes_are_those_of_the_command_line() -> None:
    assert tuple(options.shape(lambda: None).__click_params__[0].type.choices) == SHAPES
    with pytest.raises(UserError, match="shape must be free or ellipse, got 'round'"):
        Postprocessing(shape="round")


def test_what_the_encoding_cannot_write_goes_to_the_likeliest_that_it_can() -> None:
    halves = {0: (), 1: ("left", "whole"), 2: ("right", "whole")}  # nothing is whole alone
    encoding = MaskEncoding(halves, ("left", "right", "whole"))
    logits = np.broadcast_to(np.array([-1.0, -2.0, 5.0])[:, None, None], (3, 8, 8)).copy()
    logits[2, 0, 0] = 0.5  # less likely whole than left is unlikely
    masks = Postprocessing()(logits, encoding)
    labels = encoding.encode(masks)
    assert labels[0, 0] == 0
    assert (labels == 1).sum() == 63
