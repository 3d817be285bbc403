"""Checkpoints of every task: weights and a card, from which a network is rebuilt or refused."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tvseg.errors import UserError
from tvseg.files import open_atomically, parse_json, write_bytes
from tvseg.runs.cards import METADATA_KEYS, Card, CardT, read_card

State = Mapping[str, Tensor]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types that floating-point weights may be stored in."""


NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class Task(Generic[CardT, NetworkT]):
    """A kind of network: how its checkpoints are read and its networks are built.

    Args:
        card: Class of its cards.
        build: Makes the network of a card, with random weights.
        command: The command that writes its checkpoints, for messages.
    """

    card: type[CardT]
    build: Callable[[CardT], NetworkT]
    command: str

    def load(self, path: Path) -> tuple[NetworkT, CardT]:
        """Rebuild a network from one file.

        Args:
            path: A ``.safetensors`` file of :func:`save_weights` or a ``.pt`` file of
                :func:`save_training`; of the latter the average of the weights, where it has one.

        Returns:
            The network in eval mode on the CPU, and its card.

        Raises:
            UserError: Not a checkpoint of this task, a damaged one, or one with weights that are
                not finite.
        """
        try:
            if path.suffix == ".pt":
                content = load_training(path)
                text, state = content["card"], _averaged(content, path)
            else:
                text, state = load_weights(path)
            card = read_card(self.card, text, path)
            with torch.device("meta"):  # takes no memory
                wanted = self.build(card).state_dict()
            check_weights(wanted, state, path)
        except UserError as error:
            raise UserError(f"{error}; fetch the file again, or run '{self.command}'") from error
        network = self.build(card)
        network.load_state_dict(dict(state))
        return network.eval(), card


def _averaged(content: Mapping[str, Any], path: Path) -> State:
    """Return the average of a training's weights; the latest where none is taken yet."""
    average = content.get("average", {"n_averaged": torch.tensor(0)})
    count = average.get("n_averaged") if isinstance(average, dict) else None
    if not isinstance(count, Tensor) or count.numel() != 1:
        raise UserError(f"{path}: its part average is damaged")
    if not count:
        latest: State = content["network"]
        return latest
    return {str(k).removeprefix("module."): v for k, v in average.items() if k != "n_averaged"}


def check_weights(wanted: State, state: State, path: Path) -> None:
    """Raise UserError unless weights have a network's names, shapes and types and are finite."""
    missing, surplus = wanted.keys() - state.keys(), state.keys() - wanted.keys()
    for kind, names in (("lacks", missing), ("must not have", surplus)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"{path} {kind} the weights {min(map(str, names)):.100}{more}")
    for name, right in wanted.items():
        value = state[name]
        if not isinstance(value, Tensor) or value.shape != right.shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"{path}: weights {name} must have shape {tuple(right.shape)}, got {got}"
            )
        dtypes = FLOATS if right.dtype in FLOATS else (right.dtype,)
        dense = value.layout == torch.strided and value.device.type == "cpu"
        if value.dtype not in dtypes or not dense:
            found = value.dtype if dense else f"{value.layout} on {value.device}"
            raise UserError(f"{path}: weights {name} must be {right.dtype}, got {found}")
    bad = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        tensors = "1 tensor holds" if len(bad) == 1 else f"{len(bad)} tensors hold"
        raise UserError(f"{path}: weights must be finite; {tensors} NaN or Inf, first {bad[0]}")


def save_weights(path: Path, network: nn.Module, card: Card) -> None:
    """Write weights and card, with a checksum of both, as a ``.safetensors`` file."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    tree = card.model_dump(mode="json")
    text = json.dumps(tree | {"sha256": _digest(tree, state)})
    write_bytes(path, save(state, metadata={METADATA_KEYS[0]: text}))


def load_weights(path: Path) -> tuple[str, dict[str, Tensor]]:
    """Read what :func:`save_weights` wrote: the card, as JSON, and the weights.

    Raises:
        UserError: Not such a file, or one whose checksum differs; earlier versions wrote none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            text = next((metadata[key] for key in METADATA_KEYS if key in metadata), None)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or no .safetensors file ({error!s:.200})") from error
    if text is None:
        raise UserError(f"{path} must be a checkpoint of tvseg; it has no card")
    tree = parse_json(text, f"{path}: card")
    if isinstance(tree, dict) and (checksum := tree.pop("sha256", None)) is not None:
        if checksum != _digest(tree, state):
            raise UserError(f"{path} is damaged: its checksum differs")
        text = json.dumps(tree)
    return text, state


def _digest(card: Mapping[str, Any], state: State) -> str:
    digest = hashlib.sha256(json.dumps(card).encode())
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_training(
    path: Path, network: nn.Module, card: Card, state: Mapping[str, Any], *, previous: Path
) -> None:
    """Write weights, card and all that training needs to continue, as a ``.pt`` file.

    Args:
        path: The file.
        network: Its weights are kept.
        card: Of the network.
        state: Everything else.
        previous: Gets what ``path`` held until now, once the new content is written.
    """
    content = {"card": card.model_dump_json(), "network": network.state_dict(), **state}
    with open_atomically(path) as file:
        writer: Any = _Writer(file)  # all of a file that torch uses
        try:
            torch.save(content, writer)
        except RuntimeError:
            if writer.error is None:
                raise
            raise writer.error from None
        file.flush()
        if path.exists():
            path.replace(previous)


class _Writer:
    """Passes bytes to a file and keeps the error of the first that it does not take.

    torch's own writer says "unexpected pos", and a buffer would take twice the checkpoint's memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()


def load_training(path: Path) -> dict[str, Any]:
    """Read what :func:`save_training` wrote; tensors are on the CPU.

    Raises:
        UserError: Not such a file, or a damaged one; torch's archives have checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist())
            damaged = "a compressed part" if packed else archive.testzip()
        if damaged:
            raise UserError(f"{path} is damaged ({damaged})")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (UserError, FileNotFoundError):
        raise
    except Exception as error:  # zip, pickle and torch raise errors of every class
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}".partition(". ")[0]
        raise UserError(f"{path} is damaged or no checkpoint ({reason:.150})") from error
    for part, kind in {"card": str, "network": dict}.items():
        if not isinstance(content, dict) or not isinstance(content.get(part), kind):
            raise UserError(f"{path} must be a checkpoint of tvseg; its part {part} is missing")
    return content
