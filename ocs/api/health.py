"""For orchestrators and Prometheus: is the process alive, may it get traffic, what are its figures. No key needed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.params import FromPath

from ocs.api.context import Given
from ocs.api.operations import problem_responses
from ocs.api.ports import Check
from ocs.api.problems import Kind, Problem
from ocs.api.schemas import Body
from ocs.observe.metrics import CONTENT_TYPE

CHECK_TIMEOUT_S: Final = 2.0


class Liveness(msgspec.Struct, frozen=True):
    status: str = "live"


class Readiness(msgspec.Struct, frozen=True):
    checks: dict[str, str]
    status: str = "ready"


@get("/live", name="live", tags=["health"], security=[])
async def live() -> Liveness:
    """The loop turns. Nothing else is looked at: restarting us does not bring a lost database back."""
    return Liveness()


@get("/ready", name="ready", tags=["health"], security=[], responses=problem_responses(Kind.NOT_READY))
async def ready(context: Given) -> Readiness:
    """All that a charging request needs is there: else 503, so that load balancers look elsewhere."""
    faults = await asyncio.gather(*(_outcome(check) for check in context.checks.values()))
    checks = {name: fault or "ok" for name, fault in zip(context.checks, faults, strict=True)}
    if any(faults):
        missing = ", ".join(f"{name}: {fault}" for name, fault in checks.items() if fault != "ok")
        raise Problem(Kind.NOT_READY, missing, checks=checks)
    return Readiness(checks)


async def _outcome(check: Check) -> str:
    try:
        return await asyncio.wait_for(check(), CHECK_TIMEOUT_S)
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"


@get("/metrics", name="metrics", tags=["health"], security=[], media_type=MediaType.TEXT)
async def metrics(context: Given) -> Response[bytes]:
    """Prometheus text format."""
    return Response(await context.metrics.render(), media_type=CONTENT_TYPE)


@get("/openapi.json", name="openapi", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """OpenAPI 3.1: every route, body and problem. What clients send has no other fields: the framework leaves that out."""
    schema: dict[str, Any] = request.app.openapi_schema.to_schema()
    known = schema["components"]["schemas"]
    for name in {body.__name__ for body in Body.__subclasses__()} & known.keys():
        known[name]["additionalProperties"] = False
    return schema


@get(
    "/problems/{slug:str}",
    name="problem",
    tags=["health"],
    security=[],
    media_type=MediaType.TEXT,
    responses=problem_responses(Kind.NO_ROUTE),
)
async def explain_problem(slug: FromPath[str]) -> str:
    """What a problem's ``type`` means and what to do about it."""
    for kind in Kind:
        if kind.value.slug == slug:
            return f"{kind.value.title} (HTTP {kind.value.status})\n\n{kind.value.cure}\n"
    raise Problem(Kind.NO_ROUTE)


ROUTES: Final[tuple[Any, ...]] = (live, ready, metrics, openapi, explain_problem)
