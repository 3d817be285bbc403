"""Checkpoints that were damaged at random or made to harm: one line each, and nothing executes."""

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.runs.checkpoint import load_training, save_training, save_weights
from tvseg.verification.network import VERIFICATION, FaceCard, FaceNetwork
from tvseg.verification.settings import FaceSettings

SETTINGS = FaceSettings(width=0.1, image_size=32, embedding=8)
CARD = FaceCard(settings=SETTINGS, people=3, fingerprint="f00d", epoch=1, chosen="last epoch",
                normalisation=Normalisation())  # fmt: skip
"""Of the smallest network that there is; checkpoints of every task are read by the same code."""


class _Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The content of both kinds of file, by suffix."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    network = FaceNetwork(SETTINGS, 3)
    save_weights(folder / "best.safetensors", network, CARD)
    save_training(folder / "last.pt", network, CARD, {}, previous=folder / "previous.pt")
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def _flipped(content: bytes, rng: random.Random) -> bytes:
    """Flip bits of up to three bytes: anywhere, or among the first and last, where headers are."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        edge = min(4096, len(damaged))
        place = rng.choice(
            [rng.randrange(len(damaged)), rng.randrange(edge), -1 - rng.randrange(edge)]
        )
        damaged[place] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _spliced(content: bytes, rng: random.Random) -> bytes:
    """Repeat, drop or overwrite a stretch."""
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.randint(1, 5000))
    other = [b"", content[start:end] * 2, rng.randbytes(end - start), bytes(end - start)]
    return content[:start] + rng.choice(other) + content[end:]


def _changed(state: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return weights of which one is missing, renamed, surplus, or of another kind."""
    name = rng.choice(sorted(state))
    value = state.pop(name)
    dtypes = [torch.complex64, torch.int32, torch.bool, torch.float8_e5m2]
    kept = rng.choice(["missing", "renamed", "surplus", "shape", "nan", *dtypes])
    if kept == "renamed":
        state[f"{name}_"] = value
    elif kept == "surplus":
        state |= {name: value, "surplus": torch.zeros(1)}
    elif kept == "shape":
        state[name] = torch.zeros(*value.shape, 2)
    elif kept == "nan":
        state[name] = torch.full(value.shape, float("nan"))
    elif isinstance(kept, torch.dtype):
        state[name] = value.to(kept)
    return state


def _other_safetensors(content: bytes, rng: random.Random, folder: Path) -> bytes:
    path = folder / "whole.safetensors"
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["tvseg"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kind = rng.randrange(4)
    if kind == 0:  # a header longer than the file, or than anything that has one
        length = rng.choice([len(content), 2**31, 2**40, 2**63, 2**64 - 1])
        return struct.pack("<Q", length) + content[8:]
    if kind == 1:  # tensors that would fill any memory
        header = {"huge": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text
    if kind == 2:  # a checksum that belongs to other weights, or a card with surplus keys
        card["epoch" if rng.random() < 0.5 else "surplus"] = 7
    else:
        del card["sha256"]  # as in files of earlier versions
        state = _changed(state, rng)
    return save(state, metadata={"tvseg": json.dumps(card)})


def _other_training(content: bytes, rng: random.Random, sentinel: Path) -> bytes:
    file = io.BytesIO()
    tree = torch.load(io.BytesIO(content), weights_only=True)
    kind = rng.randrange(4)
    if kind == 0:  # the same in a packed archive, which may be a bomb
        with (
            zipfile.ZipFile(io.BytesIO(content)) as archive,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for name in archive.namelist():
                packed.writestr(name, archive.read(name))
    elif kind == 1:  # not even an archive
        pickle.dump(rng.choice([_harm(sentinel, rng), tree["card"], list(tree)]), file)
    elif kind == 2:
        part = rng.choice(["card", "network"])
        tree[part] = rng.choice([_harm(sentinel, rng), None, [1], "{}"])
        torch.save(tree, file)
    else:
        tree["network"] = _changed(dict(tree["network"]), rng)
        torch.save(tree, file)
    return file.getvalue()


def _harm(sentinel: Path, rng: random.Random) -> _Call:
    return rng.choice(
        [
            _Call(os.system, f"touch '{sentinel}'"),
            _Call(eval, f"open({str(sentinel)!r}, 'w')"),
            _Call(open, str(sentinel), "w"),
            _Call(Path.touch, sentinel),
            _Call(torch.save, {}, str(sentinel)),
        ]
    )


def _damaged(suffix: str, content: bytes, rng: random.Random, folder: Path) -> bytes:
    make = rng.choice([_flipped, _cut, _spliced, None, None])
    if make is not None:
        return make(content, rng)
    if suffix == ".pt":
        return _other_training(content, rng, folder / "executed")
    return _other_safetensors(content, rng, folder)


def _check(seed: int, whole: dict[str, bytes], folder: Path) -> str:
    """Damage a checkpoint and load it; return the line that refuses it."""
    rng = random.Random(seed)
    suffix = rng.choice(sorted(whole))
    path = folder / f"damaged{suffix}"
    path.write_bytes(_damaged(suffix, whole[suffix], rng, folder))
    try:
        network, card = VERIFICATION.load(path)
    except UserError as error:
        said = str(error)
    else:  # the flipped byte belongs to no content, such as the padding of archives
        said = ""
        torch.manual_seed(0)
        expected = FaceNetwork(SETTINGS, 3).state_dict()
        assert card == CARD
        assert all(torch.equal(v, expected[k]) for k, v in network.state_dict().items())
    assert not (folder / "executed").exists()
    assert "\n" not in said
    assert len(said) < 700
    return said


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_damaged_checkpoints_get_one_line(
    first: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    lines = [_check(seed, whole, tmp_path) for seed in range(first, first + 20)]
    assert len(list(filter(None, lines))) >= 15


@pytest.mark.slow
def test_a_thousand_damaged_checkpoints_get_one_line(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    lines = [_check(seed, whole, tmp_path) for seed in range(1000, 2000)]
    print(f"{len(list(filter(None, lines)))} of {len(lines)} refused; the others are as written")
    assert len(list(filter(None, lines))) > 900


def test_what_would_harm_harms_without_our_loader(tmp_path: Path) -> None:
    """The pickles above are no blanks."""
    for seed in range(5):
        sentinel = tmp_path / f"{seed}"
        pickle.loads(pickle.dumps(_harm(sentinel, random.Random(seed))))
        assert sentinel.exists()


def test_an_archive_with_a_harmful_pickle_is_refused(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    sentinel, file = tmp_path / "executed", tmp_path / "last.pt"
    with (
        zipfile.ZipFile(io.BytesIO(whole[".pt"])) as archive,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as other,
    ):
        for name in archive.namelist():
            harm = pickle.dumps(_Call(os.system, f"touch '{sentinel}'"))
            other.writestr(name, harm if name.endswith("data.pkl") else archive.read(name))
    with pytest.raises(
        UserError, match=r"last.pt is damaged or no checkpoint .*Weights only load failed"
    ):
        load_training(file)
    assert not sentinel.exists()
