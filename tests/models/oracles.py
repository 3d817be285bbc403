"""Numbers of the operators' original code, and how a layer is compared with them."""

import json
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SHARED

Values = Mapping[str, Tensor]


class Oracle:
    """One case of a file: tensors by their names in the original code."""

    def __init__(self, file: str, case: str) -> None:
        path = SHARED / "oracles" / f"{file}.npz"
        if not path.is_file():
            pytest.skip(f"needs the numbers of the original code, {path}")
        with np.load(path) as arrays:
            self.settings = json.loads(str(arrays["meta_json"]))["cases"][case]
            self.values = {
                name.removeprefix(f"{case}/"): torch.from_numpy(arrays[name])
                for name in arrays.files
                if name.startswith(f"{case}/")
            }

    def part(self, folder: str) -> dict[str, Tensor]:
        """The tensors of ``in``, ``param``, ``buffer``, ``grad_in`` or ``grad_param``."""
        return {
            name.partition("/")[2]: value
            for name, value in self.values.items()
            if name.startswith(f"{folder}/")
        }


def assert_agrees(
    layer: nn.Module,
    oracle: Oracle,
    ours: Callable[[Values], dict[str, Tensor]],
    call: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Load an oracle's weights and hold output, input gradient and every parameter's gradient.

    Args:
        layer: in the dtype of its making; brought to float64.
        oracle: the case.
        ours: from the original's parameters or their gradients to ours, by our names.
        call: computes the output; the layer where it is None.
    """
    layer.double().train(oracle.settings["mode"] == "train")
    weights = ours({**oracle.part("param"), **oracle.part("buffer")})
    own = layer.state_dict()
    parameters = dict(layer.named_parameters())
    assert set(parameters) <= set(weights) <= set(own), set(own) ^ set(weights)
    layer.load_state_dict(own | weights)
    x = oracle.values["in/x"].clone().requires_grad_()
    out = (call or layer)(x)
    (out * oracle.values["cotangent"]).sum().backward()
    close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)
    close(out, oracle.values["out"])
    close(x.grad, oracle.values["grad_in/x"])
    wanted = ours(oracle.part("grad_param"))
    for name, parameter in parameters.items():
        assert wanted[name].abs().max() > 0, name
        close(parameter.grad, wanted[name], msg=lambda text, name=name: f"{name}: {text}")
