"""Decoded cases kept on disk, so that trainings, scorings and sweeps decode each only once."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from filelock import FileLock

import tvseg
from tvseg.data.cache.folder import cache_folder, say_once
from tvseg.data.cases import Case
from tvseg.files import read_json, temporary_folder, write_json

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Decoded(NamedTuple):
    """Cases at one size, in order.

    Attributes:
        images: uint8 (N, S, S, 3).
        masks: uint8 (N, S, S, structures) of 0 and 1.
        digests: Three texts a case: of its photograph, of its masks, and the perceptual hash.
    """

    images: np.ndarray
    masks: np.ndarray
    digests: list[list[str]]


def cached_arrays(cases: Sequence[Case], size: int, decode: Callable[[], Decoded]) -> Decoded:
    """Return decoded cases of one centre, from the cache or else decoded and kept there.

    Files that changed since are noticed by their size and times. Processes that need the same cases
    at the same time wait for the first of them.

    Args:
        cases: Of one centre.
        size: Side in px.
        decode: Makes them.

    Returns:
        What ``decode`` returns; arrays from the cache are mapped into memory, read-only.
    """
    return _cached(cases, str(size), decode, _read_arrays, _write_arrays)


def cached_digests(cases: Sequence[Case], decode: Callable[[], list[list[str]]]) -> list[list[str]]:
    """Return the digests of cases of one centre; see :func:`cached_arrays`."""
    return _cached(cases, "digests", decode, _read_digests, _write_digests)


def _cached(
    cases: Sequence[Case],
    kind: str,
    make: Callable[[], T],
    read: Callable[[Path], T],
    write: Callable[[Path, T], None],
) -> T:
    root, centre = cases[0].root.resolve(), cases[0].centre
    folder = cache_folder(root)
    if folder is None:
        return make()
    owner = hashlib.sha256(f"{root}\0{centre.folder}".encode(errors="surrogateescape")).hexdigest()[
        :8
    ]
    family = f"{owner}-{_plain(centre.letter)}-{kind}"
    entry = folder / f"{family}-{_state_of(cases, kind)}"
    if (found := _read_sound(entry, read)) is not None:
        return found
    lock = FileLock(folder / f"{family}.lock")
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:  # a full disk, a file system without locks
        say_once(f"decoded photographs are not kept: {error}")
        return make()
    try:
        if (found := _read_sound(entry, read)) is not None:  # another process made it
            return found
        made = make()
        try:
            _replace(entry, family, made, write)
        except OSError as error:
            say_once(f"decoded photographs are not kept: {error}")
        return made
    finally:
        lock.release()


def _replace(entry: Path, family: str, made: T, write: Callable[[Path, T], None]) -> None:
    """Write an entry, and remove older ones of its centre and size."""
    for older in entry.parent.glob(f"{family}-*/"):
        shutil.rmtree(older, ignore_errors=True)
    with temporary_folder(entry.parent, "decoded") as unfinished:
        whole = unfinished / "whole"
        whole.mkdir()
        write(whole, made)
        whole.rename(entry)


def _read_sound(entry: Path, read: Callable[[Path], T]) -> T | None:
    """Return what an entry holds, ``None`` where it is missing or damaged."""
    if entry.is_dir():
        try:
            return read(entry)
        except FileNotFoundError:  # removed meanwhile
            return None
        except Exception:  # numpy raises many kinds, EOFError and BadZipFile among them
            pass
        _log.warning("%s is damaged and is made anew", entry)
    return None


def _state_of(cases: Sequence[Case], kind: str) -> str:
    """Return a digest of all that decides what decoding gives."""
    digest = hashlib.sha256(f"{tvseg.__version__} {PIL.__version__} {kind}".encode())
    for case in cases:
        encoding = f"{case.id}\0{sorted(case.centre.encoding.values.items())!r}"
        encoding += f"\0{case.centre.encoding.structures!r}"
        digest.update(encoding.encode(errors="surrogateescape"))
        for path in (case.image_path, case.mask_path):
            about = path.stat()
            digest.update(
                f"\0{path}\0{about.st_size}\0{about.st_mtime_ns}\0{about.st_ctime_ns}\n".encode(
                    errors="surrogateescape"
                )
            )
    return digest.hexdigest()[:24]


def _plain(letter: str) -> str:
    return "".join(mark if mark.isalnum() else "_" for mark in letter)


def _write_arrays(entry: Path, decoded: Decoded) -> None:
    for name in ("images", "masks"):
        with (entry / f"{name}.npy").open("xb") as file:
            np.save(file, getattr(decoded, name))
            file.flush()
            os.fsync(file.fileno())
    _write_sums(entry, decoded.digests, [_sum_of(decoded.images), _sum_of(decoded.masks)])


def _read_arrays(entry: Path) -> Decoded:
    images, masks = (
        np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("images", "masks")
    )
    return Decoded(images, masks, _read_sums(entry, [_sum_of(images), _sum_of(masks)]))


def _sum_of(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _write_digests(entry: Path, digests: list[list[str]]) -> None:
    _write_sums(entry, digests, [])


def _read_digests(entry: Path) -> list[list[str]]:
    return _read_sums(entry, [])


def _write_sums(entry: Path, digests: list[list[str]], sums: list[str]) -> None:
    """Write the digests of cases, and a digest of these and the arrays."""
    write_json(entry / "digests.json", {"cases": digests, "sum": _sum_of_texts(digests, sums)})


def _read_sums(entry: Path, sums: list[str]) -> list[list[str]]:
    """Return the digests of cases; raise ValueError unless all is as it was written."""
    about = read_json(entry / "digests.json")
    digests: list[list[str]] = about["cases"]
    if _sum_of_texts(digests, sums) != about["sum"]:
        raise ValueError(f"{entry} must be as it was written")
    return digests


def _sum_of_texts(*texts: object) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
