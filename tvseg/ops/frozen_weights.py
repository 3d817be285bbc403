"""The copy of its weights that a TVConv layer keeps for inference, from its making to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from tvseg.ops.kernels import kernel_for
from tvseg.ops.memory_layout import WeightLayout

_MOST_COPIES = 4
"""Copies by size and layout that are kept (18 MB each at 1920 x 16 x 16)."""

Resample = Callable[[Tensor, tuple[int, int]], Tensor]
"""(weight (C, K, h, w), (height, width)) -> (C, K, height, width)."""


class FrozenWeights:
    """Weights of one layer, kept between its forward passes.

    Built by `keep`, cleared by `drop`. One copy is kept for each output size and each layout that
    a kernel asks for: layouts depend on the memory format of the maps and on whether there are few
    images or many. Only the last few copies are kept. The copies are out of date once a parameter
    that they were made from was changed in place; changes through ``.data`` go unnoticed.

    A deep copy has copies of its weights too; a pickled one has none, so neither
    `torch.save` nor a state dict ever holds them.
    """

    def __init__(self) -> None:
        # Empty, not None, while nothing is kept: export and compilation follow tensors. No buffer:
        # moving averages copy buffers, and one of the two modules may be frozen.
        self._weight = torch.empty(0)
        self._copies: dict[tuple[tuple[int, int], WeightLayout], Tensor] = {}
        self._sources: list[Tensor] = []  # parameters that count their changes
        self._changes: list[int] = []  # how often each was changed

    def __bool__(self) -> bool:
        """Return whether weights are kept that are no older than the parameters."""
        if self._weight.numel() == 0:
            return False
        if torch.compiler.is_compiling():
            return True
        return [source._version for source in self._sources] == self._changes

    @property
    def weight(self) -> Tensor:
        """Return the weights (C, K, h, w) at the layer's size; empty if there are none."""
        return self._weight

    @property
    def nbytes(self) -> int:
        """Return the bytes of all copies."""
        kept = {copy.data_ptr(): copy.nbytes for copy in (self._weight, *self._copies.values())}
        return sum(kept.values())

    def keep(self, generate: Callable[[], Tensor], sources: Iterable[Tensor]) -> None:
        """Generate weights and keep them in place of what was kept before.

        Args:
            generate: returns the weights (C, K, h, w); called without autograd and autocast.
            sources: parameters that the weights depend on.
        """
        self.drop()
        sources = list(sources)
        with _constants(), torch.autocast(sources[0].device.type, enabled=False):
            self._weight = generate()
        self._note(sources)

    def drop(self) -> None:
        """Forget all copies."""
        self._weight = self._weight.new_empty(0)
        self._copies.clear()
        self._note(())

    def copy_for(self, x: Tensor, size: tuple[int, int], resample: Resample) -> Tensor:
        """Return the weights for maps, laid out as their kernel reads them fastest.

        Args:
            x: input maps (B, C, H, W).
            size: (height, width) of the output map.
            resample: brings the weights to another size.

        Returns:
            (C, K, *size).
        """
        same_size = size == self._weight.shape[2:]
        if torch.compiler.is_compiling():
            return self._weight if same_size else resample(self._weight, size)
        lay_out = kernel_for(x.device).layout_for(x)
        known = self._copies.get((size, lay_out))
        if known is not None:
            return known
        with _constants():
            copy = lay_out(self._weight if same_size else resample(self._weight, size))
        if same_size and not any(kept_size == size for kept_size, _ in self._copies):
            self._weight = copy  # the same numbers: one copy less
        if len(self._copies) == _MOST_COPIES:
            del self._copies[next(iter(self._copies))]
        self._copies[size, lay_out] = copy
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenWeights:
        twin = FrozenWeights()
        if self:  # else the twin would take old weights for new ones: its parameters count from 0
            twin._weight = deepcopy(self._weight, memo)
            twin._copies = {key: deepcopy(copy, memo) for key, copy in self._copies.items()}
            twin._note(deepcopy(self._sources, memo))
        return twin

    def _note(self, sources: Iterable[Tensor]) -> None:
        # those made under inference_mode do not count their changes
        self._sources = [source for source in sources if not source.is_inference()]
        self._changes = [source._version for source in self._sources]

    def __reduce__(self) -> tuple[type[FrozenWeights], tuple[()]]:
        return FrozenWeights, ()


@contextmanager
def _constants() -> Iterator[None]:
    """Make results constants that any later pass may use, under inference_mode or not."""
    with torch.inference_mode(False), torch.no_grad():
        yield
