"""Reasons not to start (or not to go on), each one line that an operator can act on.

Expected outcomes of charging are values (``ChargingStatus``), never exceptions; what stands here ends a process.
The exit statuses are those of sysexits.h, so that a service manager can tell "repair the file" from "try again".
"""

from __future__ import annotations

from typing import Final

EXIT_DIFFERENCES: Final = 1  # an audit or a comparison ran and found something
EXIT_UNKNOWN: Final = 66  # EX_NOINPUT: nothing of the name that was given is there
EXIT_INTERNAL: Final = 70  # EX_SOFTWARE: our bug
EXIT_TEMPORARY: Final = 75  # EX_TEMPFAIL: a port is taken, the folder is in use, a server is away, the disk is full
EXIT_CONFIG: Final = 78  # EX_CONFIG: the settings or the rate files have faults


class StartRefusedError(Exception):
    """The process cannot do its work here and now; the message is one line with the cure."""

    def __init__(self, message: str, exit_status: int = EXIT_TEMPORARY) -> None:
        super().__init__(message)
        self.exit_status = exit_status
