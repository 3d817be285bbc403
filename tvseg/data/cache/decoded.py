"""Decoded cases kept on disk, so that trainings, scorings and sweeps decode each only once."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from filelock import FileLock

import tvseg
from tvseg.data.cache.folder import cache_folder, say_once
from tvseg.data.cases import Case
from tvseg.files import read_json, temporary_folder, write_json

ARRAYS = ("images", "masks")
"""What an entry holds beside digests, unless it is of digests alone."""

_log = logging.getLogger(__name__)


class Decoded(NamedTuple):
    """Cases at one size, in order.

    Attributes:
        digests: Three texts a case: of its photograph, of its masks, and the perceptual hash.
        arrays: Photographs, uint8 (N, S, S, 3), and masks, uint8 (N, S, S, structures) of 0 and 1;
            none where digests alone are kept.
    """

    digests: list[list[str]]
    arrays: tuple[np.ndarray, ...] = ()


def cached(cases: Sequence[Case], kind: str, decode: Callable[[], Decoded]) -> Decoded:
    """Return decoded cases of one centre, from the cache or else decoded and kept there.

    Files that changed since are noticed by their size and times. Processes that need the same cases
    at the same time wait for the first of them.

    Args:
        cases: Of one centre.
        kind: Side in px, or ``digests`` for these alone.
        decode: Makes them.

    Returns:
        What ``decode`` returns; arrays from the cache are mapped into memory, read-only.
    """
    root, centre = cases[0].root.resolve(), cases[0].centre
    folder = cache_folder(root)
    if folder is None:
        return decode()
    owner = hashlib.sha256(f"{root}\0{centre.folder}".encode(errors="surrogateescape"))
    letter = "".join(mark if mark.isalnum() else "_" for mark in centre.letter)
    family = f"{owner.hexdigest()[:8]}-{letter}-{kind}"
    entry = folder / f"{family}-{_state_of(cases, kind)}"
    if (found := _read_sound(entry)) is not None:
        return found
    lock = FileLock(folder / f"{family}.lock")
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:  # a full disk, a file system without locks
        say_once(f"decoded photographs are not kept: {error}")
        return decode()
    try:
        if (found := _read_sound(entry)) is not None:  # another process made it
            return found
        decoded = decode()
        try:
            _replace(entry, family, decoded)
        except OSError as error:
            say_once(f"decoded photographs are not kept: {error}")
        return decoded
    finally:
        lock.release()


def _replace(entry: Path, family: str, decoded: Decoded) -> None:
    """Write an entry, and remove older ones of its centre and size."""
    for older in entry.parent.glob(f"{family}-*/"):
        shutil.rmtree(older, ignore_errors=True)
    with temporary_folder(entry.parent, "decoded") as unfinished:
        whole = unfinished / "whole"
        whole.mkdir()
        for name, array in zip(ARRAYS, decoded.arrays, strict=False):
            with (whole / f"{name}.npy").open("xb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
        about = {"cases": decoded.digests, "sum": _sum_of(decoded)}
        write_json(whole / "digests.json", about)
        whole.rename(entry)


def _read_sound(entry: Path) -> Decoded | None:
    """Return what an entry holds, ``None`` where it is missing or damaged."""
    if not entry.is_dir():
        return None
    try:
        about = read_json(entry / "digests.json")
        files = [file for name in ARRAYS if (file := entry / f"{name}.npy").is_file()]
        arrays = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
        decoded = Decoded(about["cases"], tuple(arrays))
        if _sum_of(decoded) == about["sum"]:
            return decoded
    except FileNotFoundError:  # removed meanwhile
        return None
    except Exception:  # numpy raises many kinds, EOFError and BadZipFile among them
        pass
    _log.warning("%s is damaged and is made anew", entry)
    return None


def _sum_of(decoded: Decoded) -> str:
    """Return a digest of digests and arrays."""
    sums = [hashlib.sha256(np.ascontiguousarray(one).data).hexdigest() for one in decoded.arrays]
    return hashlib.sha256(json.dumps([decoded.digests, sums]).encode()).hexdigest()


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
