import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tvseg.data.geometry import Box
from tvseg.inference.upsampling import Square, box_above, enlarge, enlarge_whole


@pytest.mark.parametrize("side", [16, 37, 100, 9])
def test_a_part_is_that_of_the_whole_enlarged(side: int) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32)
    whole = F.interpolate(torch.from_numpy(maps)[None], size=(side, side), mode="bilinear")[0]
    part = enlarge(maps, Square(0, 0, side), Box(2, 3, 6, 5))
    assert part == pytest.approx(whole[:, 2:8, 3:8].numpy(), abs=1e-5)
    moved = enlarge(maps, Square(-40, 70, side), Box(-38, 73, 6, 5))
    assert (moved == part).all()
    assert enlarge_whole(maps[None], side)[0] == pytest.approx(whole.numpy(), abs=1e-5)


@pytest.mark.parametrize(("size", "side"), [(64, 801), (100, 37), (256, 300)])
def test_the_last_bit_is_torchs(size: int, side: int) -> None:
    """Masks of earlier versions, which used grid_sample, stay the same."""
    maps = np.random.default_rng(1).normal(0, 4, (2, size, size)).astype(np.float32)
    lines = [(2 * torch.arange(first, first + 20) + 1) / side - 1 for first in (4, 9)]
    grid = torch.stack(torch.meshgrid(lines[1], lines[0], indexing="xy"), dim=-1)
    expected = F.grid_sample(
        torch.from_numpy(maps)[None], grid[None], padding_mode="border", align_corners=False
    )
    found = enlarge(maps, Square(0, 0, side), Box(4, 9, 20, 20))
    assert found == pytest.approx(expected[0].numpy(), abs=4e-6)
    if "AVX" in torch.backends.cpu.get_cpu_capability():  # others do not fuse
        assert (found == expected[0].numpy()).all()


@pytest.mark.parametrize("side", [16, 37, 100, 9])
def test_nothing_outside_the_box_is_above(side: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        maps = np.full((2, 16, 16), -3.0, np.float32)
        row, col = rng.integers(0, 13, 2)
        maps[1, row : row + 3, col : col + 3] = 3.0
        box = box_above(maps, 0.5, Square(0, 0, side))
        above = enlarge_whole(maps[None], side)[0] > 0.5
        assert above[:, *box.slices].sum() == above.sum() > 0
        assert box.height < side
        assert box_above(maps, 0.5, Square(5, -7, side)) == box.shifted(5, -7)
    assert box_above(maps, 4.0, Square(0, 0, side)).is_empty
