import numpy as np
import pytest

from tvseg.data import near_duplicates as copies
from tvseg.data.near_duplicates import close_pairs


def test_all_close_pairs_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PAIRS_AT_ONCE", 150)  # several blocks, the last one short
    rng = np.random.default_rng(0)
    bits_of = rng.random((40, 256)) > 0.5
    bits_of[17] = bits_of[3]
    bits_of[39] = bits_of[38]
    bits_of[39, :8] ^= True
    bits_of[21] = bits_of[20]
    bits_of[21, 100:109] ^= True
    hashes = [np.packbits(one).tobytes() for one in bits_of]
    pairs, differing = close_pairs(hashes, bits=8)
    assert pairs.tolist() == [[3, 17], [38, 39]]
    assert differing.tolist() == [0, 8]
    distances = (bits_of[:, None] != bits_of[None]).sum(axis=2)
    for bits in (9, 110, 256):
        expected = np.argwhere(np.triu(distances <= bits, 1))
        pairs, differing = close_pairs(hashes, bits=bits)
        assert (pairs == expected).all()
        assert (differing == distances[tuple(expected.T)]).all()


def test_few_pictures_make_no_pair() -> None:
    for hashes in ([], [bytes(32)]):
        pairs, differing = close_pairs(hashes, bits=8)
        assert pairs.shape == (0, 2)
        assert differing.shape == (0,)


def test_blank_pictures_are_in_no_pair() -> None:
    pairs, _ = close_pairs([b"", bytes(32), b"", bytes(32), b""], bits=8)
    assert pairs.tolist() == [[1, 3]]
