"""Layout-aware medical image segmentation with translation-variant convolution (TVConv)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvseg.loading import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `load` when it is used, so that ``import tvseg`` takes no time."""
    if name == "load":
        from tvseg.loading import load

        return load
    raise AttributeError(f"module 'tvseg' has no attribute {name!r}")
