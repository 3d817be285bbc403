"""The two scoring protocols, and what is scored, as values."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tvseg.inference.postprocessing import Postprocessing
from tvseg.runs.folder import RunFolder

REFERENCE_SIDE_PX = 800  # distances are in pixels of a region of interest of this side
SIZES: dict[str, int | None] = {"native": None, "800": REFERENCE_SIDE_PX}


@dataclass(frozen=True)
class Protocol:
    """How a prediction is made into masks and scored.

    Attributes:
        name: ``honest`` or ``paper``.
        postprocessing: How probabilities become masks.
        grid_px: Side of the grid to score on; ``None`` for the photograph's own.
        smooth: Added to numerator and denominator of Dice.
        hd95_rule: Meaning of the 95th percentile, see :func:`tvseg.metrics.segmentation.hd95`.
        missed_px: Distance charged for a structure that only one of the two has; ``None`` for
            the image's diagonal.
    """

    name: str
    postprocessing: Postprocessing
    grid_px: int | None
    smooth: float
    hd95_rule: Literal["max", "pooled"]
    missed_px: float | None

    def on_grid(self, size: str | None) -> "Protocol":
        """Return this protocol on the grid of a size.

        Args:
            size: One of ``SIZES``, or ``None`` for the protocol's own.
        """
        return self if size is None else replace(self, grid_px=SIZES[size])

    def shaped(self, shape: str) -> "Protocol":
        """Return this protocol on masks of a shape, ``free`` or ``ellipse``."""
        return replace(self, postprocessing=replace(self.postprocessing, shape=shape))

    @property
    def label(self) -> str:
        """The name, with what is not the protocol's own: ``honest-800``, ``honest-ellipse``."""
        own, shape = PROTOCOLS[self.name], self.postprocessing.shape
        grid = "" if self.grid_px == own.grid_px else f"-{self.grid_px or 'native'}"
        return self.name + grid + (f"-{shape}" if shape != "free" else "")

    def prediction_words(self, scattered: Collection[str] = ()) -> str:
        """Return what a table's caption says of how masks are made.

        Args:
            scattered: Structures that keep all their pieces and holes.
        """
        clipped = ", inner structures clipped to outer" if self.postprocessing.clip_nested else ""
        whole = f" (not of {', '.join(scattered)})" if scattered else ""
        threshold = f"threshold {self.postprocessing.threshold:g}"
        ellipses = ", made ellipses" if self.postprocessing.shape == "ellipse" else ""
        return f"{threshold}, largest component, holes filled{ellipses}{whole}{clipped}"

    @property
    def scoring_words(self) -> str:
        """What a table's caption says of how masks are scored."""
        grid = "native grid" if self.grid_px is None else f"{self.grid_px} px grid"
        s = f"{self.smooth:g}"
        dice = f"(2I+{s})/(P+G+{s})" if self.smooth else "without smoothing"
        rule = {"max": "larger directed", "pooled": "pooled"}[self.hd95_rule]
        missed = "the image's diagonal" if self.missed_px is None else f"{self.missed_px:g} px"
        return (
            f"{grid}, Dice {dice}, HD95 = {rule} percentile in px at {REFERENCE_SIDE_PX}, "
            f"a missed structure costs {missed}"
        )


@dataclass(frozen=True)
class Scoring:
    """What is scored of runs, by which rules, and with which options of ``tvseg predict``.

    Attributes:
        protocol: How masks are made and scored.
        images: ``test`` for the held-out centre's test split, ``all`` for all its images,
            ``sources`` for the test splits of the centres trained on; a run without a held-out
            centre is scored on all centres' test splits.
        checkpoint: ``best`` or ``last``.
        tta: Average with the answers to mirror images.
        roi: ``none``: every picture is a region of interest; ``auto``: the localizer finds it.
        adapt: ``batchnorm``: statistics of batch norm are taken from the scored images; ``none``.
    """

    protocol: Protocol
    images: str = "test"
    checkpoint: str = "best"
    tta: bool = False
    roi: str = "none"
    adapt: str = "none"

    def folder(self, run: RunFolder) -> Path:
        """Return where a run keeps it: ``eval/<protocol>``, other options in the folder's name."""
        parts = [self.protocol.label]
        parts += [self.images] if self.images != "test" else []
        parts += [self.checkpoint] if self.checkpoint != "best" else []
        parts += ["tta"] if self.tta else []
        parts += [f"roi-{self.roi}"] if self.roi != "none" else []
        parts += [f"adapt-{self.adapt}"] if self.adapt != "none" else []
        return run.path / "eval" / "-".join(parts)

    def command(self, runs: Sequence[RunFolder]) -> str:
        """Return the command that scores runs so."""
        rules = self.protocol
        words = ["tvseg", "eval", *(str(run.path) for run in runs)]
        words += ["--protocol", rules.name] if rules.name != "honest" else []
        own = PROTOCOLS[rules.name].grid_px
        words += ["--size", str(rules.grid_px or "native")] if rules.grid_px != own else []
        shape = rules.postprocessing.shape
        words += ["--shape", shape] if shape != "free" else []
        words += ["--images", self.images] if self.images != "test" else []
        words += ["--checkpoint", self.checkpoint] if self.checkpoint != "best" else []
        words += ["--tta"] * self.tta
        words += ["--roi", self.roi] if self.roi != "none" else []
        words += ["--adapt", self.adapt] if self.adapt != "none" else []
        return shlex.join(words)


PROTOCOLS = {
    "honest": Protocol(
        name="honest",
        postprocessing=Postprocessing(threshold=0.5, clip_nested=True),
        grid_px=None,
        smooth=0.0,
        hd95_rule="max",
        missed_px=None,
    ),
    "paper": Protocol(
        name="paper",
        postprocessing=Postprocessing(threshold=0.75, clip_nested=False),
        grid_px=REFERENCE_SIDE_PX,
        smooth=1.0,
        hd95_rule="pooled",
        missed_px=100.0,
    ),
}
