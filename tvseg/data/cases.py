"""Cases: a photograph and its mask on disk, found in the DoFE folder layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvseg.data.centres import Centre
from tvseg.data.images import IMAGE_SUFFIXES, read_image, read_labels
from tvseg.errors import UserError
from tvseg.files import as_text

SPLITS = ("train", "test")
DECODING_THREADS = 2  # Pillow releases the interpreter lock


@dataclass(frozen=True)
class Case:
    """One photograph with its mask: ``<root>/<folder>/<split>/ROIs/{image,mask}/<name>``."""

    centre: Centre
    split: str
    name: str
    image_path: Path
    mask_path: Path

    @property
    def id(self) -> str:
        """E.g. ``A/test/drishtiGS_001``, unique in a data root."""
        return f"{self.centre.letter}/{self.split}/{self.name}"

    @property
    def root(self) -> Path:
        """The data root."""
        return self.image_path.parents[len(Path(self.centre.folder).parts) + 3]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Decode the case.

        Returns:
            The photograph, uint8 (H, W, 3), and its masks, bool (S, H, W).

        Raises:
            ValueError: Unreadable, of two sizes, or with values outside the centre's encoding.
        """
        image = read_image(self.image_path)
        return image, self.decode(read_labels(self.mask_path), image.shape[:2])

    def decode(self, labels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Masks, bool (S, H, W), of the label image.

        Args:
            labels: uint8 (H, W).
            size: Height and width of the photograph in px.

        Raises:
            ValueError: Of another size, or with values outside the centre's encoding.
        """
        if labels.shape != size:
            raise UserError(
                f"{self.mask_path}: a mask must have its photograph's size, "
                f"{_size(size)}, got {_size(labels.shape)}"
            )
        try:
            return self.centre.encoding.decode(labels)
        except ValueError as error:
            raise UserError(f"{self.mask_path}: {error}") from error


@dataclass(frozen=True)
class Listing:
    """The files of one split: what makes a case, and what cannot.

    Attributes:
        centre: Whose split.
        split: ``train`` or ``test``.
        folder: ``<root>/<folder>/<split>/ROIs``.
        cases: Sorted by name.
        unpaired: Photographs without a mask, and masks without a photograph.
        twins: Pairs of files of one kind and name, which differ in their suffixes alone.
    """

    centre: Centre
    split: str
    folder: Path
    cases: list[Case]
    unpaired: list[Path]
    twins: list[tuple[Path, Path]]

    def lack_of_photographs(self) -> str | None:
        """Words for a split without any photograph; ``None`` for another."""
        if self.cases or any(partner_of(path) == "mask" for path in self.unpaired):
            return None
        return (
            f"centre {self.centre.letter} ({self.centre.name}) has no {self.split} photographs: "
            f"{self.folder / 'image'} must hold files such as NAME.png"
        )


def partner_of(path: Path) -> str:
    """What a file needs beside it: a photograph a mask, a mask a photograph."""
    return "mask" if path.parent.name == "image" else "photograph"


def find_root(*candidates: str | Path | None) -> Path:
    """The first data root that is given (option, settings, environment), checked to exist.

    Raises:
        ValueError: None is given, or the first given one is no folder.
    """
    given = next((Path(candidate).expanduser() for candidate in candidates if candidate), None)
    how = "make phantoms with 'tvseg data synth DIR', or see docs/own-centre.md for your own"
    if given is None:
        raise UserError(f"no data: give --data DIR, the key data, or $TVSEG_DATA; {how}")
    if not given.is_dir():
        raise UserError(f"data folder {given} does not exist; {how}")
    return given


def find_cases(root: Path, centre: Centre) -> list[Case]:
    """All cases of a centre, sorted by split and name.

    Args:
        root: Folder with one sub-folder a centre.
        centre: The centre.

    Returns:
        Train cases, then test cases.

    Raises:
        ValueError: No folder, an empty split, a photograph without a mask or the reverse, or two
            photographs of one name.
    """
    check_folder(root, centre)
    cases = []
    for split in SPLITS:
        listing = list_split(root, centre, split)
        for one, other in listing.twins:
            raise UserError(f"two files of one name: {one} and {other}")
        if words := listing.lack_of_photographs():
            raise UserError(words)
        if listing.unpaired:
            first = listing.unpaired[0]
            raise UserError(
                f"each photograph must have a mask of the same name: {len(listing.unpaired)} in "
                f"{listing.folder.parent} have no partner, first {first.stem} "
                f"(no {partner_of(first)})"
            )
        cases += listing.cases
    return cases


def check_folder(root: Path, centre: Centre) -> None:
    """Refuse a data root without the centre's folder.

    Raises:
        ValueError: There is no such folder.
    """
    folder = root / centre.folder
    if not folder.is_dir():
        raise UserError(
            f"centre {centre.letter} ({centre.name}) must have a folder {folder}; "
            "check --data, or the folders under the key centres"
        )


def list_split(root: Path, centre: Centre, split: str) -> Listing:
    """The files of one split of a centre, whether or not they are complete."""
    folder = root / centre.folder / split / "ROIs"
    images, twin_images = _pictures(folder / "image")
    masks, twin_masks = _pictures(folder / "mask")
    names = sorted(images.keys() & masks.keys())
    return Listing(
        centre=centre,
        split=split,
        folder=folder,
        cases=[Case(centre, split, name, images[name], masks[name]) for name in names],
        unpaired=[(images | masks)[name] for name in sorted(images.keys() ^ masks.keys())],
        twins=twin_images + twin_masks,
    )


def find_pictures(folder: Path) -> dict[str, Path]:
    """Pictures of a folder (not of its sub-folders) by stem, sorted; none where there is no folder.

    Raises:
        ValueError: Two files of one stem.
    """
    found, twins = _pictures(folder)
    for one, other in twins:
        raise UserError(f"two files of one name: {one} and {other}")
    return found


def _pictures(folder: Path) -> tuple[dict[str, Path], list[tuple[Path, Path]]]:
    """Return pictures of a folder by stem, in text that can be written, and pairs of one stem."""
    found: dict[str, Path] = {}
    twins = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        name = as_text(path.stem)
        if found.setdefault(name, path) is not path:
            twins.append((found[name], path))
    return found, twins


def _size(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]} px"


def by_centre(cases: Sequence[Case]) -> list[list[Case]]:
    """Group cases by their centres, those of each by their ids."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.centre.letter, []).append(case)
    return [sorted(group, key=lambda case: case.id) for group in groups.values()]
