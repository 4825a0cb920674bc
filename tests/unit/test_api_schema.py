"""The API keeps to its OpenAPI description: requests made of it (schemathesis) are answered as it says, whatever they hold."""

from __future__ import annotations

import asyncio
from functools import cache
from itertools import count
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ocs.api.app import create_app
from ocs.api.keys import Scope
from tests.unit.api_world import World, make_world

EXAMPLES: Final = 12
# A schema cannot say which currencies, plans and identities there are: 422 for those that there are not is right.
TOO_STRICT: Final = [positive_data_acceptance]


@cache
def world() -> tuple[World, str]:
    """Alice has an account and a subscriber; the key may do everything."""
    world = make_world()

    async def fill() -> str:
        token = await world.token(Scope.ADMIN)
        world.client.headers["Authorization"] = f"Bearer {token}"
        await world.post("/v1/accounts", {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"})
        body = {"subscriber_id": "alice", "account_id": "alice", "identities": ["e164:4915112345678"]}
        await world.post("/v1/subscribers", body)
        return token

    return world, asyncio.run(fill())


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(world()[0].context))
    return [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]  # a fault of it ends here


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_answers_are_as_the_description_says(operation: Any) -> None:
    """Status codes, headers, content types and bodies; no 5xx, no method that is not there, nothing without a key."""
    token, turns = world()[1], count()
    # There are no books here: what billing answers (503) still has to be as it is described.
    excluded = TOO_STRICT + ([not_a_server_error] if {"billing", "mediation"} & set(operation.tags or ()) else [])

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy())
    def play(case: Any) -> None:
        if next(turns) % 2:  # every other request is about somebody who is there
            for name in {"account_id", "subscriber_id"} & set(case.path_parameters or ()):
                case.path_parameters[name] = "alice"
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=excluded)

    play()
    assert next(turns) > 0
