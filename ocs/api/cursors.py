"""Pages: how long they may be, and the cursors that name the page before: an instant and what orders rows of the same one."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from litestar.params import QueryParameter

from ocs.api.problems import Problem, invalid
from ocs.billing.search import FAR_FUTURE_MS, PAGE_MAX

Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
Cursor: TypeAlias = Annotated[str, QueryParameter(description="next_cursor of the page before; empty to begin")]


def not_ours() -> Problem:
    return invalid("cursor", "the cursor is not one of ours: start again without it")


def position(cursor: str) -> tuple[int, str]:
    """The instant of a cursor and the rest of it; the first page begins at the end of all days. Raises Problem."""
    if not cursor:
        return FAR_FUTURE_MS, ""
    number, _, rest = cursor.partition(".")
    if not is_number(number) or "\x00" in rest or int(number) > FAR_FUTURE_MS:
        raise not_ours()
    return int(number), rest


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
