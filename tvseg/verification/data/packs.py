"""Read InsightFace's verification packs ``NAME.bin`` without executing what they hold.

A pack is a pickle of ``(2n encoded pictures, n booleans)``, written by Python 2 or 3. The reader
answers the three harmless names that such files use by functions of its own, and refuses every
other one, so that nothing in a file is ever called.
"""

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvseg.errors import UserError

MAX_PICTURE_BYTES = 16 * 2**20
_NUMPY_BOOL = {b"\x00": False, b"\x01": True}


def read_pack(path: Path) -> tuple[list[bytes], list[bool]]:
    """Read the encoded pictures and the labels of a verification pack.

    Args:
        path: ``NAME.bin``.

    Returns:
        2n encoded pictures, pair k being pictures 2k and 2k + 1, and n labels, True where both
        show the same person.

    Raises:
        UserError: The file is no such pack, is damaged, or asks for anything to be called.
    """
    try:
        data = path.read_bytes()
        _check_memo(data)
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, OverflowError, MemoryError, RecursionError, struct.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:100]
        raise UserError(
            f"{path} must be a verification pack, a pickle of pictures and labels "
            f"({type(error).__name__}: {reason}); copy it again"
        ) from error
    return _checked(path, content)


def _check_memo(data: bytes) -> None:
    """Raise UserError for memo indices that no file of this size needs: they allocate memory."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(data):
            raise UserError(f"numbers an object {argument}, in a file of {len(data)} bytes")


def _checked(path: Path, content: object) -> tuple[list[bytes], list[bool]]:
    if not (isinstance(content, tuple | list) and len(content) == 2):
        raise UserError(f"{path} must hold pictures and labels, holds {type(content).__name__}")
    pictures, labels = content
    if not (isinstance(pictures, list | tuple) and isinstance(labels, list | tuple)):
        raise UserError(f"{path} must hold a list of pictures and a list of labels")
    if len(pictures) != 2 * len(labels) or not labels:
        raise UserError(
            f"{path} must hold two pictures for each label, holds {len(pictures)} pictures and "
            f"{len(labels)} labels"
        )
    encoded = [_picture_bytes(path, number, picture) for number, picture in enumerate(pictures)]
    if not all(isinstance(label, bool | int) and label in (0, 1) for label in labels):
        raise UserError(f"{path} must hold labels that are true or false")
    return encoded, [bool(label) for label in labels]


def _picture_bytes(path: Path, number: int, picture: object) -> bytes:
    if isinstance(picture, _Array):
        picture = picture.content
    if not isinstance(picture, bytes | bytearray) or not 0 < len(picture) <= MAX_PICTURE_BYTES:
        raise UserError(
            f"{path}: picture {number} must be 1 byte to {MAX_PICTURE_BYTES >> 20} MiB of an "
            f"encoded picture, is {type(picture).__name__}"
        )
    return bytes(picture)


class _Array:
    """Stands for a numpy array of bytes: keeps the state that a pickle gives it, as data."""

    content = b""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, content = state
        if not isinstance(content, bytes) or dtype != "u1" or shape != (len(content),):
            raise UserError("arrays must be flat and of bytes")
        self.content = content


class _Dtype(str):
    """Stands for a numpy dtype: its name; the byte order that follows is of no concern."""

    def __setstate__(self, state: Any) -> None:
        """Take the byte order and drop it."""


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise UserError("only text in latin1 can be bytes")
    return text.encode("latin1")


def _dtype(name: Any, *_: Any) -> _Dtype:
    text = name.decode("latin1") if isinstance(name, bytes) else str(name)
    if text not in ("b1", "u1"):
        raise UserError(f"arrays must hold bytes or booleans, hold {text[:20]!r}")
    return _Dtype(text)


def _scalar(dtype: Any, content: Any) -> bool:
    if dtype != "b1" or content not in _NUMPY_BOOL:
        raise UserError("numpy scalars must be booleans")
    return _NUMPY_BOOL[content]


def _array(*_: Any) -> _Array:
    return _Array()


def _frombuffer(content: Any, dtype: Any, shape: Any, _order: Any) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, False, bytes(content)))
    return array


_HARMLESS: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _Array,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("scalar", _scalar), ("_reconstruct", _array))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    """Builds lists, tuples, bytes and booleans, and refuses to fetch any object by name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise UserError(
                f"asks to call {module}.{name}, which no verification pack does: it may be an "
                "attack; nothing was called"
            )
        return _HARMLESS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise UserError("refers to objects outside the file")
