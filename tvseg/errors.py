"""The error that users see as one line; any other exception is a bug and keeps its traceback."""


class UserError(ValueError):
    """A wrong input, setting or file; the message says what is wrong, where, and what to do."""

    exit_code = 1
