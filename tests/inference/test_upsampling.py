import pytest
import torch
from torch.nn import functional as F

from tvseg.data.geometry import Box
from tvseg.inference.upsampling import box_above, enlarge


@pytest.mark.parametrize("side", [16, 37, 100, 9])
def test_a_part_is_that_of_the_whole_enlarged(side: int) -> None:
    maps = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = F.interpolate(maps[None], size=(side, side), mode="bilinear")[0]
    part = enlarge(maps, side_px=side, extent=Box(2, 3, 6, 5))
    torch.testing.assert_close(part, whole[:, 2:8, 3:8], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [16, 37, 100, 9])
def test_nothing_outside_the_box_is_above(side: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        maps = torch.full((2, 16, 16), -3.0)
        row, col = torch.randint(0, 13, (2,), generator=generator).tolist()
        maps[1, row : row + 3, col : col + 3] = 3.0
        box = box_above(maps, 0.5, side_px=side)
        above = F.interpolate(maps[None], size=(side, side), mode="bilinear")[0] > 0.5
        inside = above[:, *box.slices]
        assert inside.sum() == above.sum() > 0
        assert box.height < side
    assert box_above(maps, 4.0, side_px=side) == Box(0, 0, 0, 0)
