"""The public name of :mod:`tvseg.metrics`."""

from tvseg.metrics import (
    asd as asd,
)
from tvseg.metrics import (
    assd as assd,
)
from tvseg.metrics import (
    dice as dice,
)
from tvseg.metrics import (
    hd as hd,
)
from tvseg.metrics import (
    hd95 as hd95,
)
from tvseg.metrics import (
    surface_dice as surface_dice,
)
from tvseg.metrics import (
    vcdr as vcdr,
)
