"""How much of a photograph becomes a region of interest."""

import re
from dataclasses import dataclass, replace

import numpy as np

from tvseg.config import ConfigError
from tvseg.data.geometry import Box
from tvseg.data.images import MAX_SIDE_PX
from tvseg.errors import UserError


@dataclass(frozen=True)
class Framing:
    """A square window about the structures, at native resolution, or the whole picture.

    The window's centre is that of the structures' bounding box (of the disc's, which holds the
    cup), as the benchmark cuts it. At most one of the two sides is given; neither: the whole
    picture.

    Args:
        side_px: Side of the window in px; the benchmark's is 800.
        diameters: Side as a multiple of the longer side of the bounding box.
        jitter: Largest shift of the window in rows and in columns, as a share of its side.

    Raises:
        ConfigError: Both sides are given, one is not positive, or a jitter outside 0 to 0.5 or of
            whole pictures.
    """

    side_px: int | None = None
    diameters: float | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        sides = [side for side in (self.side_px, self.diameters) if side is not None]
        if len(sides) > 1 or any(side <= 0 for side in sides):
            raise ConfigError(
                "a window's side must be one positive number, of px or of diameters, got "
                f"{self.side_px} px and {self.diameters} diameters"
            )
        if not 0 <= self.jitter <= 0.5 or (self.jitter and not sides):
            raise ConfigError(
                f"jitter must lie in 0 to 0.5 and needs a window to shift, got {self.jitter} of "
                f"{self.describe()}"
            )

    @staticmethod
    def parse(text: str, *, jitter: float = 0.0) -> "Framing":
        """From ``800px``, ``2.5d`` (diameters of the disc) or ``none`` (whole pictures).

        Raises:
            ConfigError: Neither of them.
        """
        if text == "none":
            return Framing(jitter=jitter)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(px|d)", text)
        if not match or (match[2] == "px" and "." in match[1]):
            raise ConfigError(f"a frame must read 800px, 2.5d (diameters) or none, got {text!r}")
        if match[2] == "px":
            return Framing(side_px=int(match[1]), jitter=jitter)
        return Framing(diameters=float(match[1]), jitter=jitter)

    def describe(self) -> str:
        """As :meth:`parse` reads it."""
        if self.side_px is not None:
            return f"{self.side_px}px"
        return "none" if self.diameters is None else f"{self.diameters:g}d"

    def window(self, drawn: np.ndarray, rng: np.random.Generator) -> Box | None:
        """Where to cut.

        Args:
            drawn: Pixels of any structure, bool (H, W), at least one.
            rng: Source of the jitter.

        Returns:
            The window, or ``None`` for the whole picture. Jitter never pushes a structure out.

        Raises:
            ValueError: The structures are larger than the window.
        """
        box = Box.of(drawn)
        if self.side_px is not None:
            side: float = self.side_px
        elif self.diameters is not None:
            side = self.diameters * box.side
        else:
            return None
        window = Box.about(*box.centre, side)
        if window.side > MAX_SIDE_PX:
            raise UserError(
                f"a frame must have at most {MAX_SIDE_PX} px a side, {self.describe()} takes "
                f"{window.side} px here"
            )
        if window.side < box.side:
            raise UserError(
                f"the structures are {box.side} px wide, more than the frame of {window.side} px; "
                "choose a larger frame"
            )
        reach = self.jitter * window.side
        row, col = (round(shift) for shift in rng.uniform(-reach, reach, 2))
        return replace(
            window,
            row=min(max(window.row + row, box.row + box.height - window.side), box.row),
            col=min(max(window.col + col, box.col + box.width - window.side), box.col),
        )
