"""What a centre is: where its files lie and what its masks' pixel values mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from tvseg.documents import parse_yaml
from tvseg.errors import UsageError, UserError
from tvseg.settings import SegmentationSettings

CUP_AND_DISC = ("cup", "disc")

_ENCODING = TypeAdapter(dict[int, tuple[str, ...]])


class MaskEncoding:
    """Pixel values of label images and the structures that each value belongs to.

    Args:
        values: Pixel value (0 to 255) -> names of the structures that such a pixel belongs to.
        structures: All structures, in the channel order of masks, e.g. ``("cup", "disc")``.
        scattered: Structures that may lie in several pieces, such as lesions.

    Raises:
        ValueError: A value outside 0 to 255, or an unknown structure.
    """

    def __init__(
        self,
        values: Mapping[int, Sequence[str]],
        structures: Sequence[str],
        *,
        scattered: Sequence[str] = (),
    ) -> None:
        self.values = {value: tuple(names) for value, names in sorted(values.items())}
        self.structures = tuple(structures)
        self.scattered = frozenset(scattered)
        named = {name for names in values.values() for name in names}
        unknown = (named | self.scattered) - set(structures)
        if unknown or not all(0 <= value <= 255 for value in values):
            raise UserError(
                f"an encoding maps values from 0 to 255 to structures out of {self.structures}, "
                f"got {self.values}"
            )
        self._table = np.zeros((256, len(self.structures)), dtype=bool)
        for value, names in self.values.items():
            self._table[value] = [name in names for name in self.structures]

    def __eq__(self, other: object) -> bool:
        """Whether values, structures with their order, and scattered structures are the same."""
        return isinstance(other, MaskEncoding) and self._key() == other._key()

    def __hash__(self) -> int:
        """Of all that equality compares."""
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return tuple(self.values.items()), self.structures, self.scattered

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Turn a label image into one mask a structure.

        Args:
            labels: uint8 (H, W).

        Returns:
            bool (S, H, W), channels in the order of ``structures``.

        Raises:
            ValueError: A pixel value that the encoding does not name.
        """
        counts = np.bincount(labels.ravel(), minlength=256)
        strange = [int(value) for value in np.flatnonzero(counts) if value not in self.values]
        if strange:
            found = ", ".join(f"{value} ({counts[value]} px)" for value in strange[:5])
            more = ", ..." if len(strange) > 5 else ""
            raise UserError(f"mask values must be {self.describe()}; found {found}{more}")
        return np.take(np.ascontiguousarray(self._table.T), labels, axis=1)  # (S, H, W)

    def encode(self, masks: np.ndarray) -> np.ndarray:
        """Turn masks (bool (S, H, W)) back into a label image (uint8 (H, W)).

        Raises:
            ValueError: A pixel whose structures belong together in no value, such as a cup
                outside the disc.
        """
        of_pixel = np.zeros(masks.shape[1:], np.int64)  # (H, W), a bit a structure
        for channel, mask in enumerate(masks):
            of_pixel |= mask.astype(np.int64) << channel
        bits = 1 << np.arange(len(self.structures))
        codes = {int(self._table[value] @ bits): value for value in reversed(self.values)}
        counts = np.bincount(of_pixel.ravel())
        strange = set(np.flatnonzero(counts).tolist()) - set(codes)
        if strange:
            raise UserError(
                f"masks must combine structures as the encoding does ({self.describe()}); "
                f"{sum(int(counts[code]) for code in strange)} px combine them otherwise"
            )
        value_of = np.zeros(max(codes) + 1, dtype=np.uint8)
        value_of[list(codes)] = list(codes.values())
        return value_of[of_pixel]

    def inverted(self, masks: np.ndarray) -> list[str]:
        """Return whether cup or disc touch all four borders of a photograph, by name.

        Inverted masks do, and those whose shape is in another channel than was read.

        Args:
            masks: bool (S, H, W).
        """
        return [
            name
            for name, mask in zip(self.structures, masks, strict=True)
            if name in CUP_AND_DISC
            and all(border.any() for border in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        ]

    def nested(self) -> list[tuple[int, int]]:
        """Pairs (inner, outer) of channels, e.g. cup in disc, the widest outer structures first."""
        marked = [
            set(np.flatnonzero(self._table[:, i]).tolist()) for i in range(len(self.structures))
        ]
        pairs = [
            (inner, outer)
            for inner in range(len(marked))
            for outer in range(len(marked))
            if marked[inner] < marked[outer]
        ]
        return sorted(pairs, key=lambda pair: -len(marked[pair[1]]))

    def disjoint(self) -> list[tuple[int, int]]:
        """Pairs of channels that no pixel may have both of."""
        count = len(self.structures)
        pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
        return [(a, b) for a, b in pairs if not (self._table[:, a] & self._table[:, b]).any()]

    def describe(self) -> str:
        """E.g. ``0 (cup, disc), 128 (disc), 255 (background)``."""
        return ", ".join(
            f"{value} ({', '.join(names) or 'background'})" for value, names in self.values.items()
        )


@dataclass(frozen=True)
class Centre:
    """One clinical centre: the letter it goes by, its display name, folder and mask encoding.

    ``patient_pattern`` is a regular expression whose group is the patient's part of a file's name,
    ``None`` where names do not tell the patient.
    """

    letter: str
    name: str
    folder: str
    encoding: MaskEncoding
    patient_pattern: str | None = None


def parse_encoding(text: str, structures: Sequence[str] | None = None) -> MaskEncoding:
    """Return the encoding that an option states.

    Args:
        text: ``{0: [cup, disc], 128: [disc], 255: []}``; ``0=cup+disc,128=disc,255=`` of older
            commands means the same.
        structures: In the order of channels; ``None`` for those in the text.

    Raises:
        UsageError: Neither notation, a value outside 0 to 255, or another structure.
    """
    plain = text
    if "=" in text:
        values = (part.partition("=") for part in text.split(","))
        pairs = (f"{value}: [{names.replace('+', ', ')}]" for value, _, names in values)
        plain = f"{{{', '.join(pairs)}}}"
    try:
        encoding = _ENCODING.validate_python(parse_yaml(plain, "encoding"))
        named = dict.fromkeys(name for names in encoding.values() for name in names)
        return MaskEncoding(encoding, list(named) if structures is None else structures)
    except ValueError as error:
        allowed = f" out of {', '.join(structures)}" if structures else ""
        raise UsageError(
            f"an encoding maps pixel values to structures{allowed}, e.g. "
            f"{{0: [], 1: [disc], 2: [cup, disc]}}; got {text:.200}"
        ) from error


def output_encoding(settings: SegmentationSettings) -> MaskEncoding:
    """The encoding of the label images that predictions write: that of all centres."""
    return MaskEncoding(settings.encoding, settings.structures, scattered=settings.scattered)


def centres_of(settings: SegmentationSettings) -> dict[str, Centre]:
    """The centres that the settings describe, by letter."""
    return {
        letter: Centre(
            letter=letter,
            name=centre.name,
            folder=centre.folder,
            encoding=MaskEncoding(
                centre.encoding or settings.encoding,
                settings.structures,
                scattered=settings.scattered,
            ),
            patient_pattern=centre.patient_pattern,
        )
        for letter, centre in settings.centres.items()
    }
