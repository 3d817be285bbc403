"""Put a run on phantoms and its localizer into the package as the starter weights.

``python scripts/pack_starter.py RUN``: half precision, and no path of this machine in the cards.
"""

import sys
from pathlib import Path

from tvseg.localizer.checkpoint import load_localizer
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.runs.starter import STARTER, STARTER_LOCALIZER

MAX_BYTES = 30_000_000


def main(run: RunFolder) -> None:
    """Write both files of the starter weights."""
    network, card = load_network(run.best)
    if card.settings.phantoms != 1:
        sys.exit(f"{run.path} was trained on photographs, whose weights may not be given away")
    encoder = Path(card.settings.encoder_weights).name
    settings = card.settings.model_copy(update={"encoder_weights": encoder})
    save_weights(STARTER, network.half(), card.model_copy(update={"settings": settings}))
    localizer, about = load_localizer(run.localizer)
    save_weights(STARTER_LOCALIZER, localizer.half(), about)
    size = STARTER.stat().st_size + STARTER_LOCALIZER.stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"both files take {size} bytes, at most {MAX_BYTES} are allowed")
    print(f"{STARTER} and {STARTER_LOCALIZER.name}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(RunFolder(Path(sys.argv[1])))
