"""The error that users see as one line; any other exception is a bug and keeps its traceback."""

import os
import re


class UserError(ValueError):
    """A wrong input, setting or file; the message says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(UserError):
    """A name, option or setting that is misspelt, of the wrong type or out of range."""

    exit_code = 2


_ACTED_ON = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Line ends, control characters and changes of direction: names of files may have them."""


def escaped(text: str) -> str:
    r"""Return text on one line, the characters escaped that a terminal would act on.

    Example:
        >>> print(escaped("a\x1b[2J.png"))
        a\x1b[2J.png
    """
    return _ACTED_ON.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(error: Exception) -> str:
    """Return what an error says on one line; of the system's errors the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        named = f"{os.fspath(error.filename)}: " if error.filename else ""
        return escaped(f"{named}{error.strerror}")
    return escaped(" ".join(str(error).split()))
