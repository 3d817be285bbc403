"""Where decoded photographs are kept."""

import logging
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = ".tvseg-cache"
"""In the data root."""

VARIABLE = "TVSEG_CACHE"
"""Names another folder; ``none`` for no cache."""

_log = logging.getLogger(__name__)


@cache
def cache_folder(root: Path) -> Path | None:
    """Return where decoded cases of a data root are kept; made if it is not there.

    ``$TVSEG_CACHE``, else a hidden folder of the data root, else, where that cannot be written, one
    of the user.

    Args:
        root: The data root.

    Returns:
        The folder, ``None`` where there is none to be written.
    """
    given = os.environ.get(VARIABLE)
    if given == "none":
        return None
    homes = [Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tvseg"]
    candidates = [Path(given).expanduser()] if given else [root / FOLDER, *homes]
    for folder in candidates:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                if folder in homes:
                    say_once(f"{root} cannot be written; decoded photographs are kept in {folder}")
                return folder
    say_once(f"decoded photographs are not kept: {candidates[0]} cannot be written")
    return None


@cache
def say_once(text: str) -> None:
    """Warn, once in a process."""
    _log.warning("%s", text)
