"""What may go wrong between two protocol stacks: they broke the rules, or we did."""

from __future__ import annotations


class RemoteProtocolError(Exception):
    """The peer broke the protocol so badly that its stream cannot be read on; the connection has to be closed.

    ``reply_hint`` is the protocol's own result code for it (0: there is none), for the counters and the log.
    A fault that can be answered is a value of the codec, not this exception.
    """

    def __init__(self, message: str, reply_hint: int = 0) -> None:
        super().__init__(message)
        self.reply_hint = reply_hint


class LocalProtocolError(Exception):
    """We asked our own protocol core for something that the state of the connection forbids: a bug of ours."""
