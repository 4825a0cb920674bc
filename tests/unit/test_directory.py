"""Who is read while his identities move on is found as he is, or as he was: never as nobody, and never as somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balance.store import Subscriber
from balance.valkey import keys
from balance.valkey.codec import encode_subscriber
from balance.valkey.directory import ValkeyDirectory


class Moving:
    """A Valkey that has other keys after each look at identities; the last ones stay."""

    def __init__(self, *steps: dict[str, bytes]) -> None:
        self._steps = list(steps)

    async def mget(self, names: Sequence[str]) -> list[bytes | None]:
        there = self._steps[0]
        if names[0].startswith(keys.identity_key("")) and len(self._steps) > 1:
            del self._steps[0]
        return [there.get(name) for name in names]


def step(way: str, owner: Subscriber | None) -> dict[str, bytes]:
    """T's first identity, and who has it."""
    pointer = {keys.subscriber_key("T"): way.encode()}
    return pointer if owner is None else {**pointer, keys.identity_key(way): encode_subscriber(owner)}


def of(subscriber_id: str, identity: str) -> Subscriber:
    return Subscriber(subscriber_id, "A", (identity,), "", 1)


async def read(*steps: dict[str, bytes]) -> Subscriber | None:
    client: Any = Moving(*steps)
    return await ValkeyDirectory(client).read("T")


async def test_an_identity_that_is_gone_between_the_two_questions() -> None:
    """He has another one by then."""
    assert await read(step("e164:1", None), step("e164:2", of("T", "e164:2"))) == of("T", "e164:2")


async def test_an_identity_that_is_another_s_by_then() -> None:
    """It was ported in between: the other one is not taken for him."""
    ported = step("e164:1", of("S", "e164:1"))
    assert await read(ported, step("e164:2", of("T", "e164:2"))) == of("T", "e164:2")


async def test_a_way_that_leads_nowhere_and_stays_is_nobody() -> None:
    """It is not asked for ever."""
    assert await read(step("e164:1", None)) is None
    assert await read(step("e164:1", of("S", "e164:1"))) is None
