"""What each operation declares: its scope, and the problems it may answer with. One place, so that OpenAPI is true."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from ocs.api.keys import Scope
from ocs.api.problems import MEDIA_TYPE, Kind

SECURITY_SCHEME: Final = "apiKey"

_COMMON: Final = (
    Kind.BAD_REQUEST,
    Kind.UNAUTHENTICATED,
    Kind.FORBIDDEN,
    Kind.INVALID,
    Kind.RATE_LIMITED,
    Kind.UNAVAILABLE,
)


class FieldError(msgspec.Struct, frozen=True):
    field: str
    detail: str


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """RFC 9457. ``type`` is stable and may be relied on; ``detail``, and ``cure``, which says what to do, are for people."""

    type: str
    title: str
    status: int
    instance: str
    detail: str = ""
    cure: str = ""
    errors: tuple[FieldError, ...] = ()


def operation(name: str, scope: Scope, *kinds: Kind, for_tenants: bool = False) -> dict[str, Any]:
    """The keyword arguments of a route under /v1: ``name`` is also the metrics' type label.

    ``for_tenants``: its handler keeps to the names of the key's tenant by itself. All others are for keys without a tenant,
    unless their path names an account or subscriber, which the guard looks at.
    """
    return {
        "name": name,
        "operation_id": name,
        "summary": name.replace("_", " ").capitalize(),
        "opt": {"scope": scope, "for_tenants": for_tenants},
        "security": [{SECURITY_SCHEME: [scope.value]}],
        "responses": problem_responses(*_COMMON, *kinds),
    }


NOTED: Final = "noted"


def noted(route: dict[str, Any]) -> dict[str, Any]:
    """The same route; what it changes is noted in the audit log with the body that asked for it, not by its handler."""
    return {**route, "opt": {**route["opt"], NOTED: True}}


def problem_responses(*kinds: Kind) -> dict[int, ResponseSpec]:
    titles: defaultdict[int, list[str]] = defaultdict(list)
    for kind in kinds:
        titles[kind.value.status].append(f"`{kind.value.slug}`: {kind.value.title}")
    return {
        status: ResponseSpec(
            ProblemDetails, description=". ".join(texts), media_type=MEDIA_TYPE, generate_examples=False
        )
        for status, texts in sorted(titles.items())
    }
