"""The weights that come with the package: trained on drawn photographs alone."""

from pathlib import Path

import tvseg

_FOLDER = Path(tvseg.__file__).parent / "weights"

STARTER = _FOLDER / "starter.safetensors"
"""A segmentation network's checkpoint; see docs/starter.md."""

STARTER_LOCALIZER = _FOLDER / "starter-localizer.safetensors"
"""The localizer that belongs to it."""
