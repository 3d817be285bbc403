"""Copies of pictures, found by their perceptual hashes, in data sets of any size."""

from collections.abc import Sequence

import numpy as np

COPY_BITS = 8
"""Two hashes that differ in at most so many of 256 bits are of one picture. On four real centres
copies as JPEG or at another size differed in 0 to 6 bits, seldom 12, and no two photographs in
fewer than 18."""

EYE_BITS = 44
"""Two hashes that differ in at most so many bits are probably of one eye taken twice. On four real
centres all ten such pairs were, by their vessels; the next nearest differed in 49 bits."""

HASH_BYTES = 32
PAIRS_AT_ONCE = 2**19


def close_pairs(hashes: Sequence[bytes], *, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of hashes that differ in at most so many bits.

    Args:
        hashes: Of :func:`tvseg.data.fingerprint.perceptual_hash`; blank pictures have none and are
            in no pair.
        bits: Differing bits allowed.

    Returns:
        Indices of the pairs, int (P, 2), the smaller first and in ascending order, and their
        numbers of differing bits, int (P,).
    """
    known = np.array([index for index, one in enumerate(hashes) if one], np.int64)
    words = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(known), HASH_BYTES // 8)
    words = np.ascontiguousarray(words.T)  # (4, N)
    count = len(known)
    rows = max(1, PAIRS_AT_ONCE // max(count, 1))
    found = [np.zeros((0, 3), np.int64)]
    for start in range(0, count, rows):
        differing = np.zeros((min(rows, count - start), count - start), np.uint16)
        for word in words:
            differing += np.bitwise_count(word[start : start + rows, None] ^ word[None, start:])
        one, other = np.nonzero(differing <= bits)
        one, other = one[one < other], other[one < other]  # each pair once, none with itself
        found.append(np.stack([start + one, start + other, differing[one, other]], axis=1))
    pairs = np.concatenate(found)
    return known[pairs[:, :2]], pairs[:, 2]
