"""Segmentation metrics: pure functions of two masks."""

from tvseg.metrics.segmentation import (
    asd as asd,
)
from tvseg.metrics.segmentation import (
    assd as assd,
)
from tvseg.metrics.segmentation import (
    dice as dice,
)
from tvseg.metrics.segmentation import (
    hd as hd,
)
from tvseg.metrics.segmentation import (
    hd95 as hd95,
)
from tvseg.metrics.segmentation import (
    surface_dice as surface_dice,
)
from tvseg.metrics.segmentation import (
    vcdr as vcdr,
)
from tvseg.metrics.surface import (
    SurfaceDistances as SurfaceDistances,
)
from tvseg.metrics.surface import (
    surface_distances as surface_distances,
)
