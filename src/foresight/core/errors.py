"""The one exception that a user is meant to read."""

from __future__ import annotations


class ForesightError(Exception):
    """A mistake that the user can mend.

    The message is one clear sentence: the offending value, what was expected and what to do.
    The command line prints it without a traceback and ends with exit code 2.
    """
