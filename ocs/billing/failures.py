"""How PostgreSQL's absence looks from here: whatever asyncpg raises on a connection means that it is lost."""

from __future__ import annotations

from typing import Final

import asyncpg

from balance.store import BackendUnavailable

# InternalClientError is no InterfaceError: asyncpg raises it, for example, when the server said good-bye to an idle
# connection (57P01) and the next statement comes before the end of the stream.
FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def unavailable(error: BaseException) -> BackendUnavailable:
    """One line for the log and the caller."""
    return BackendUnavailable(f"PostgreSQL: {error or type(error).__name__}")
