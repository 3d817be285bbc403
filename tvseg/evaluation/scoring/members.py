"""Which runs make an ensemble, and the name of the folder that gets its scores."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

One = TypeVar("One")

_LONGEST = 200
"""Characters of a name that are kept; a file's name may have 255 bytes."""


def members(
    group: Sequence[One], kinds: Collection[str], about: Callable[[One], tuple[str, str]]
) -> list[list[One]]:
    """Return the members of each ensemble: those of one hold-out, where there are several.

    Args:
        group: Runs of one table, or what stands for them.
        kinds: ``seeds`` for an ensemble of each variant's runs, ``variants`` for one of all
            variants', where there are several.
        about: One of the group -> the name of its variant, and its hold-out.
    """
    found: dict[tuple[str, str, str], list[One]] = {}
    several = len({about(one)[0] for one in group}) > 1
    for kind in kinds:
        for one in group if kind == "seeds" or several else ():
            variant, holdout = about(one)
            found.setdefault((kind, variant if kind == "seeds" else "", holdout), []).append(one)
    return [ones for ones in found.values() if len(ones) > 1]


def ensemble_name(variants: Iterable[str], holdout: str) -> str:
    """Return the name of an ensemble's folder, long lists of variants shortened by a digest.

    Args:
        variants: Of its members; each counts once.
        holdout: Of its members.
    """
    name = f"{'+'.join(dict.fromkeys(variants))}-holdout-{holdout}"
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return f"{name}-ensemble"
