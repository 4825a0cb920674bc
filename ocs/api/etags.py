"""Entity tags (RFC 9110, section 8.8.3): a client that read something may have its change refused if it changed meanwhile."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from litestar.params import HeaderParameter

from ocs.api.problems import Kind, Problem

ANY: Final = "*"

IfMatch: TypeAlias = Annotated[
    str | None, HeaderParameter(name="If-Match", description="The ETag that was read: change it only if it is still so")
]
IfNoneMatch: TypeAlias = Annotated[
    str | None, HeaderParameter(name="If-None-Match", description="The ETag that is known: 304 if it is still so")
]


def quoted(tag: str) -> str:
    return f'"{tag}"'


def expected(if_match: str | None) -> frozenset[str]:
    """The tags of an If-Match header, without their quotes; empty: anything will do."""
    if if_match is None or if_match.strip() == ANY:
        return frozenset()
    tags = [each.strip() for each in if_match.split(",")]
    if not all(len(tag) > 2 and tag[0] == tag[-1] == '"' for tag in tags):
        raise Problem(Kind.BAD_REQUEST, 'If-Match has to be an ETag as it was sent, such as "1f3a9c02"')
    return frozenset(tag[1:-1] for tag in tags)


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has this very thing already."""
    known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return ANY in known or quoted(tag) in known
