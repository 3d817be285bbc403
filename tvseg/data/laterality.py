"""Which eye a photograph shows, in the words that clinics use."""

from typing import Literal

from tvseg.errors import UserError

Laterality = Literal["right", "left", "unknown"]

LETTERS: dict[Laterality, str] = {"right": "R", "left": "L", "unknown": ""}
_WORDS: dict[str, Laterality] = {
    "": "unknown", "unknown": "unknown", "r": "right", "od": "right", "right": "right",
    "l": "left", "os": "left", "left": "left",
}  # fmt: skip


def parse_laterality(text: str) -> Laterality:
    """Return ``right`` for R, OD or right, ``left`` for L, OS or left, ``unknown`` for nothing.

    Raises:
        UserError: Another word.
    """
    if text.strip().lower() not in _WORDS:
        raise UserError(f"laterality must be R, OD, right, L, OS, left or empty, got {text!r}")
    return _WORDS[text.strip().lower()]
