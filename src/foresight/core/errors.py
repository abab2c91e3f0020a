"""The one exception that a user is meant to read."""

from __future__ import annotations


class ForesightError(Exception):
    """A mistake that the user can mend.

    The message is one clear sentence: the offending value, what was expected and what to do.
    The command line prints it without a traceback and ends with exit code 2.
    """


def first_line(error: Exception) -> str:
    """The first line of another library's error, short and without a full stop; else its kind."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0][:160].rstrip(".: ")
