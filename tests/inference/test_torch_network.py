import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tvseg.inference
from tests.inference.drawn import draw_picture, make_network
from tvseg.device import exact_fp32
from tvseg.errors import UserError
from tvseg.inference.torch_network import TorchNetwork
from tvseg.ops import TVConv2d
from tvseg.runs.starter import STARTER

FOLDER = Path(tvseg.inference.__file__).parent
MODULES = [
    "tvseg.inference." + ".".join(path.relative_to(FOLDER).with_suffix("").parts)
    for path in sorted(FOLDER.rglob("*.py"))
    if path.stem not in ("__init__", "torch_network")
]


def test_a_network_takes_and_returns_arrays_and_is_frozen() -> None:
    network = make_network(nn.Sequential(nn.Conv2d(3, 2, 1), TVConv2d(2, 64)))
    assert all(layer.frozen for layer in network.prepare().modules() if isinstance(layer, TVConv2d))
    logits = network(draw_picture(64, 64)[None])
    assert logits.dtype == np.float32
    assert logits.shape == (1, 2, 64, 64)


def test_fp32_proper_leaves_the_flags_of_the_process_alone_on_a_cpu() -> None:
    before = torch.backends.cudnn.allow_tf32
    with exact_fp32(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
    first, second = (exact_fp32(torch.device("cpu")) for _ in range(2))
    first.__enter__()
    second.__enter__()  # as two threads do
    assert torch.backends.cudnn.allow_tf32 == before
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32 == before


def test_calls_at_once_prepare_a_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[nn.Module] = []

    def prepare(network: nn.Module) -> None:
        time.sleep(0.05)  # others call meanwhile
        prepared.append(network)

    monkeypatch.setattr("tvseg.models.array_network.prepare_for_inference", prepare)
    network = make_network()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(network, [draw_picture(64, 64)[None]] * 8))
    assert prepared == [network.network]
    with pytest.raises(UserError, match="adapts before its first call"):
        network.adapt(draw_picture(64, 64)[None])


@pytest.mark.parametrize("device", ["meta", "toaster", "cuda:99"])
def test_a_device_that_computes_nothing_is_refused(device: str) -> None:
    with pytest.raises(UserError, match="device must be one that torch finds here"):
        TorchNetwork(STARTER, device)


FORBID_TORCH = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is forbidden", name="torch")

sys.meta_path.insert(0, Forbid())
"""


def test_everything_else_does_without_torch() -> None:
    assert len(MODULES) > 20
    cards = ["tvseg.runs.cards", "tvseg.localizer.card", "tvseg.cli.predict"]
    imports = "".join(f"import {name}\n" for name in (*MODULES, *cards))
    subprocess.run([sys.executable, "-c", FORBID_TORCH + imports], check=True)
    with_torch = FORBID_TORCH + "import tvseg.inference.torch_network"
    failed = subprocess.run([sys.executable, "-c", with_torch], capture_output=True, text=True)
    assert "torch is forbidden" in failed.stderr
