"""Cases: a photograph and its mask on disk, found in the DoFE folder layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvseg.data.centres import Centre
from tvseg.data.images import IMAGE_SUFFIXES, read_image, read_labels

SPLITS = ("train", "test")


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

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Decode the case.

        Returns:
            The photograph, uint8 (H, W, 3), and its masks, bool (S, H, W).

        Raises:
            ValueError: Unreadable, of two sizes, or with values outside the centre's encoding.
        """
        image = read_image(self.image_path)
        labels = read_labels(self.mask_path)
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"{self.mask_path}: a mask must have its photograph's size, "
                f"{_size(image)}, got {_size(labels)}"
            )
        try:
            return image, self.centre.encoding.decode(labels)
        except ValueError as error:
            raise ValueError(f"{self.mask_path}: {error}") from error


def find_root(*candidates: str | Path | None) -> Path:
    """The first data root that is given (option, settings, environment), checked to exist.

    Raises:
        ValueError: None is given, or the first given one is no folder.
    """
    given = next((Path(candidate).expanduser() for candidate in candidates if candidate), None)
    how = "make phantoms with 'tvseg data synth DIR', or lay out your photographs as in the README"
    if given is None:
        raise ValueError(f"no data: give --data DIR, the key data, or $TVSEG_DATA; {how}")
    if not given.is_dir():
        raise ValueError(f"data folder {given} does not exist; {how}")
    return given


def find_cases(root: Path, centre: Centre) -> list[Case]:
    """All cases of a centre, sorted by split and name.

    Args:
        root: Folder with one sub-folder a centre.
        centre: The centre to look for.

    Returns:
        Train cases, then test cases.

    Raises:
        ValueError: No folder, an empty split, a photograph without a mask or the reverse, or two
            photographs of one name.
    """
    folder = root / centre.folder
    if not folder.is_dir():
        raise ValueError(
            f"centre {centre.letter} ({centre.name}) must have a folder {folder}; "
            "check --data, or the folders under the key centres"
        )
    return [case for split in SPLITS for case in _find_split(folder, centre, split)]


def _find_split(folder: Path, centre: Centre, split: str) -> list[Case]:
    images = find_pictures(folder / split / "ROIs" / "image")
    masks = find_pictures(folder / split / "ROIs" / "mask")
    if not images:
        raise ValueError(
            f"centre {centre.letter} ({centre.name}) has no {split} photographs: "
            f"{folder / split / 'ROIs' / 'image'} must hold files such as NAME.png"
        )
    if unpaired := sorted(images.keys() ^ masks.keys()):
        lacking = "mask" if unpaired[0] in images else "photograph"
        raise ValueError(
            f"each photograph must have a mask of the same name: {len(unpaired)} in "
            f"{folder / split} have no partner, first {unpaired[0]} (no {lacking})"
        )
    return [Case(centre, split, name, images[name], masks[name]) for name in sorted(images)]


def find_pictures(folder: Path) -> dict[str, Path]:
    """Pictures of a folder (not of its sub-folders) by stem, sorted; none where there is no folder.

    Raises:
        ValueError: Two files of one stem.
    """
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(f"two files of one name: {found[path.stem]} and {path}")
            found[path.stem] = path
    return found


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]} px"
