"""What ends a play before its time."""

from __future__ import annotations


class PlayError(Exception):
    """A server did not answer, or not in its protocol; the message is one line that names it and the cure."""
