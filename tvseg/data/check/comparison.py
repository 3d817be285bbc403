"""Photographs that are in a data root twice, whatever they are called."""

from collections.abc import Iterator, Sequence

from tvseg.data.cases import Case
from tvseg.data.check.examine import Examination
from tvseg.data.check.findings import Finding
from tvseg.data.near_duplicates import COPY_BITS, EYE_BITS, close_pairs


def compare(examined: Sequence[Examination]) -> list[Finding]:
    """Compare all photographs with each other.

    Args:
        examined: Measures of all cases.

    Returns:
        Copies by their pixels or perceptual hashes, and photographs that are probably of one eye;
        pairs on both sides of a split before others.
    """
    firsts: dict[str, Examination] = {}
    found = []
    for one in examined:
        first = firsts.setdefault(one.digest, one)
        if first is not one:
            found.append(_copy(first.case, one.case, "the same pixels"))
    return found + sorted(_alike(list(firsts.values())), key=lambda finding: finding.kind)


def _alike(examined: Sequence[Examination]) -> Iterator[Finding]:
    pairs, differing = close_pairs([one.perceptual for one in examined], bits=EYE_BITS)
    cases = [(examined[one].case, examined[other].case) for one, other in pairs.tolist()]
    for (one, other), bits in sorted(
        zip(cases, differing.tolist(), strict=True), key=lambda pair: (_together(*pair[0]), pair[1])
    ):
        words = f"{bits} of 256 bits of their perceptual hashes differ"
        if bits <= COPY_BITS:
            yield _copy(one, other, words)
        else:
            yield Finding("alike", one.id, f"and {other.id}: {words}")


def _copy(one: Case, other: Case, words: str) -> Finding:
    kind = "repeat" if _together(one, other) else "copy"
    return Finding(kind, one.id, f"and {other.id}: {words}")


def _together(one: Case, other: Case) -> bool:
    return (one.centre.letter, one.split) == (other.centre.letter, other.split)
