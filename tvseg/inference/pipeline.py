"""From photographs to masks in their own coordinates: find the region, look, paste back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvseg.data.geometry import Box
from tvseg.inference.ensemble import Ensemble, Opinion
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.predictor import Postprocessing, check_side
from tvseg.inference.regions import Locator, cut, extent_inside, window_of
from tvseg.localizer.locate import Location


@dataclass(frozen=True)
class Finding:
    """What was found in one photograph.

    Attributes:
        location: Where to look, as it was told.
        window: The square that the network saw; ``None`` where no disc was found.
        placed: The masks.
        disagreement: float32 (S, s, s) of the window, see :class:`~.ensemble.Opinion`; ``None``
            where there is one view only, or none.
    """

    location: Location
    window: Box | None
    placed: PlacedMasks
    disagreement: np.ndarray | None


class Pipeline:
    """Applies an ensemble to photographs.

    Args:
        ensemble: Looks at regions.
        locate: Says where to look.
    """

    def __init__(self, ensemble: Ensemble, locate: Locator) -> None:
        self.ensemble = ensemble
        self.encoding = ensemble.encoding
        self.locate = locate
        self.postprocessing = Postprocessing()

    def __call__(self, images: Sequence[np.ndarray]) -> list[Finding | ValueError]:
        """Predict photographs as one batch.

        Args:
            images: uint8 (H, W, 3) each, of any sizes.

        Returns:
            A finding a photograph, in order, or why there is none.
        """
        sound = [image for image in images if _unfit(image) is None]
        located = iter(zip(sound, self.locate(sound), strict=True))
        places = [_unfit(image) or _place(*next(located)) for image in images]
        regions = [
            cut(image, place.window)
            for image, place in zip(images, places, strict=True)
            if isinstance(place, _Place) and place.window is not None
        ]
        opinions = iter(_singly(self.ensemble(regions)) if regions else ())
        return [
            place
            if isinstance(place, ValueError)
            else self._finding(place, image, None if place.window is None else next(opinions))
            for image, place in zip(images, places, strict=True)
        ]

    def _finding(self, place: "_Place", image: np.ndarray, opinion: Opinion | None) -> Finding:
        height, width = image.shape[:2]
        window = place.window
        if window is None or opinion is None:
            nothing = PlacedMasks.nothing(len(self.encoding.structures), height, width)
            return Finding(place.location, None, nothing, None)
        masks, top, left = self.postprocessing.at_size(
            opinion.logits,
            self.encoding,
            side_px=window.side,
            extent=extent_inside(window, height, width),
        )
        placed = PlacedMasks(
            masks, Box(window.row + top, window.col + left, *masks.shape[1:]), height, width
        )
        apart = None if opinion.disagreement is None else opinion.disagreement.cpu().numpy()
        return Finding(place.location, window, placed, apart)


@dataclass(frozen=True)
class _Place:
    location: Location
    window: Box | None


def _unfit(image: np.ndarray) -> ValueError | None:
    try:
        check_side(*image.shape[:2])
    except ValueError as error:
        return error
    return None


def _place(image: np.ndarray, location: Location) -> _Place | ValueError:
    height, width = image.shape[:2]
    window = window_of(location, height, width)
    try:
        if window is not None:
            extent_inside(window, height, width)
    except ValueError as error:
        return error
    return _Place(location, window)


def _singly(opinion: Opinion) -> list[Opinion]:
    """Each region's own."""
    if opinion.disagreement is None:
        return [Opinion(logits, None) for logits in opinion.logits]
    return [Opinion(*pair) for pair in zip(opinion.logits, opinion.disagreement, strict=True)]
