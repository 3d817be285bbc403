import numpy as np
import pytest

from tvseg.data.centres import MaskEncoding, centres_of, parse_encoding
from tvseg.errors import UsageError
from tvseg.settings import SegmentationSettings

STRUCTURES = ("cup", "disc")
BENCHMARK = MaskEncoding({0: ("cup", "disc"), 128: ("disc",), 255: ()}, STRUCTURES)
LABELS = np.array([[255, 128, 128], [255, 0, 128]], dtype=np.uint8)


def test_decode_gives_cup_then_disc() -> None:
    cup, disc = BENCHMARK.decode(LABELS)
    assert cup.tolist() == [[False, False, False], [False, True, False]]
    assert disc.tolist() == [[False, True, True], [False, True, True]]


def test_encode_undoes_decode() -> None:
    assert (BENCHMARK.encode(BENCHMARK.decode(LABELS)) == LABELS).all()


def test_a_strange_value_is_named_and_counted() -> None:
    labels = LABELS.copy()
    labels[0, 0] = 77
    with pytest.raises(
        ValueError, match=r"0 \(cup, disc\), 128 \(disc\), 255 \(background\); found 77 \(1 px\)"
    ):
        BENCHMARK.decode(labels)


def test_a_cup_outside_the_disc_cannot_be_encoded() -> None:
    masks = np.zeros((2, 3, 3), dtype=bool)
    masks[0, 0, 0] = True
    with pytest.raises(ValueError, match="1 px combine them otherwise"):
        BENCHMARK.encode(masks)


def test_nested_pairs_come_from_the_values() -> None:
    assert BENCHMARK.nested() == [(0, 1)]
    disjoint = MaskEncoding({0: (), 1: ("a",), 2: ("b",)}, ("a", "b"))
    assert disjoint.nested() == []
    assert disjoint.disjoint() == [(0, 1)]
    assert BENCHMARK.disjoint() == []
    chain = MaskEncoding({0: "abc", 1: "bc", 2: "c", 3: ""}, ("a", "b", "c"))
    assert sorted(chain.nested()) == [(0, 1), (0, 2), (1, 2)]
    assert chain.nested()[0][1] == chain.nested()[1][1] == 2  # the widest outer structure first


def test_encoding_rejects_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="from 0 to 255"):
        MaskEncoding({300: ("disc",)}, ("disc",))
    with pytest.raises(ValueError, match="structures"):
        MaskEncoding({1: ("iris",)}, ("disc",))


def test_the_default_centres_are_the_benchmark() -> None:
    centres = centres_of(SegmentationSettings())
    assert {c.letter: c.folder for c in centres.values()} == {
        "A": "Domain1", "B": "Domain2", "C": "Domain3", "D": "Domain4",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["{0: [cup, disc], 128: [disc], 255: []}", "0=cup+disc,128=disc,255="]
)
def test_an_encoding_is_read_in_either_notation(text: str) -> None:
    encoding = parse_encoding(text)
    assert encoding.structures == ("cup", "disc")
    assert encoding.values == {0: ("cup", "disc"), 128: ("disc",), 255: ()}


@pytest.mark.parametrize(
    "text", ["", "0", "{0: cup}", "{0: [cupp]}", "{999: [cup]}", "[" * 3000, "0=cup,x"]
)
def test_an_encoding_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="an encoding maps pixel values to structures out of"):
        parse_encoding(text, ("cup", "disc"))
