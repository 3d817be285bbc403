"""The error that users see as one line; any other exception is a bug and keeps its traceback."""

import os


class UserError(ValueError):
    """A wrong input, setting or file; the message says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(UserError):
    """A name, option or setting that is misspelt, of the wrong type or out of range."""

    exit_code = 2


def one_line(error: Exception) -> str:
    """Return what an error says on one line; of the system's errors the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        named = f"{os.fspath(error.filename)}: " if error.filename else ""
        return f"{named}{error.strerror}"
    return " ".join(str(error).split())
