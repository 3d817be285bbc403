"""The error that users see as one line; any other exception is a bug and keeps its traceback."""


class UserError(ValueError):
    """A wrong input, setting or file; the message says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(UserError):
    """A name, option or setting that is misspelt, of the wrong type or out of range."""

    exit_code = 2
