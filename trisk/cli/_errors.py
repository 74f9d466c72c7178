"""What a command tells its user instead of a traceback."""


class CommandError(Exception):
    """Data or files that a command cannot use; the message says which and what to do."""
