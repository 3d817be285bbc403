import numpy as np
import pytest

from tvseg.data import near_duplicates as copies
from tvseg.data.near_duplicates import close_pairs


def test_all_close_pairs_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PAIRS_AT_ONCE", 150)  # several blocks, the last one short
    rng = np.random.default_rng(0)
    looks = rng.random((40, 256)) > 0.5
    looks[17] = looks[3]
    looks[39] = looks[38]
    looks[39, :8] ^= True
    looks[21] = looks[20]
    looks[21, 100:109] ^= True
    pairs, differing = close_pairs(looks, bits=8)
    assert pairs.tolist() == [[3, 17], [38, 39]]
    assert differing.tolist() == [0, 8]
    distances = (looks[:, None] != looks[None]).sum(axis=2)
    for bits in (9, 110, 256):
        expected = np.argwhere(np.triu(distances <= bits, 1))
        pairs, differing = close_pairs(looks, bits=bits)
        assert (pairs == expected).all()
        assert (differing == distances[tuple(expected.T)]).all()


def test_few_looks_make_no_pair() -> None:
    for count in (0, 1):
        pairs, differing = close_pairs(np.zeros((count, 256), bool), bits=8)
        assert pairs.shape == (0, 2)
        assert differing.shape == (0,)
