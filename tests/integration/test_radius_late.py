"""RADIUS calls that do not go as planned: no Start, no Stop, too late, too long, counters that fall; charged for real."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from msgspec import structs

from ocs.charging.cdr import CdrFlag
from protocols.radius import authenticators
from protocols.radius.responder import Role
from tests.integration.radius_world import playing
from tests.integration.test_radius_charging import CALL, INTERIM, ON, START, STOP, T0_S
from tests.scenario.world import POLICY, amount
from tests.wire.radius_packets import access_request, accounting_request, attributes_of
from tests.wire.test_radius_responder import receive

pytestmark = pytest.mark.integration


async def test_r45_an_authorization_without_a_call_ends_and_a_late_stop_is_charged() -> None:
    """R-45: after the grant and the time a phone may ring the money is free; a Stop later is charged all the same."""
    async with playing() as gateway:
        assert (await gateway.access(CALL))["seconds"] == 1000
        gateway.world.clock.now_ms += 2 * 3600 * 1000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (1000, 0)
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 30})
        assert await gateway.figures() == (970, 0)


async def test_r45_an_attempt_that_costs_something_is_charged_without_a_start() -> None:
    """R-45: authorized, and nothing came of it that the gateway reports: the fee for the attempt, and a record of it.
    Should records come after all, the fee is not taken again.
    """
    attempt = {**CALL, 30: "400555", 44: "s1"}
    async with playing() as gateway:
        await gateway.access(attempt)
        gateway.world.clock.now_ms += 4 * 3_600_000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (995, 0)
        (record,) = await gateway.records()
        assert (record.cost, record.flags, record.groups[0].used) == (amount("0.05"), CdrFlag.NO_FINAL_REPORT, 0)
        await gateway.account(STOP, {**attempt, 46: 65, 41: 4 * 3600})
        assert await gateway.figures() == (930, 0), "65 s, and the fee once"


async def test_r46_r47_a_second_call_is_decided_on_what_is_left() -> None:
    """R-46, R-47: the first call takes all that is affordable, so there is none for the second, and it is told so."""
    async with playing() as gateway:
        await gateway.access({**CALL, 44: "s1"})
        second = await gateway.access({**CALL, 30: "100777", 44: "s2"})
        assert (second["code"], second["seconds"]) == (3, None)
        assert second["return_code"] != "0"
        assert await gateway.figures() == (1000, 1000)


async def test_65_a_counter_that_falls_gives_nothing_back() -> None:
    """R-63: 100 s, then 50 s, then a Stop of 60 s: 100 s are paid, once."""
    async with playing() as gateway:
        await gateway.account(START, {**CALL, 44: "s1"})
        for total_s in (100, 50):
            await gateway.account(INTERIM, {**CALL, 44: "s1", 46: total_s})
            assert (await gateway.figures())[0] == 900
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 60})
        assert await gateway.figures() == (900, 0)
        assert (await gateway.records())[0].flags & CdrFlag.COUNTER_WENT_DOWN


GIB = 2**30
DATA = {1: "4915100000001", 6: 2, 7: 1, 32: "bras1", 44: "d1"}  # Framed: 0.05 a started MiB


@pytest.mark.parametrize(
    ("reports", "mib", "is_flagged"),
    [
        (((3 * GIB, 0), (GIB // 2, 0)), 4096 + 512, True),  # lower by more than half the range: it began again
        (((3 * GIB, 0), (2 * GIB, 0)), 3072, True),  # lower by less: whatever it is, it is no wrap
        (((3 * GIB, 0), (0, 0), (GIB, 0), (2 * GIB, 0)), 4096 + 2048, True),
        (((3 * GIB, 0), (3 * GIB + 1, 0)), 3073, False),
    ],
)
async def test_r63_a_counter_of_octets_begins_again_at_four_gigabytes(
    reports: tuple[tuple[int, int], ...], mib: int, is_flagged: bool
) -> None:
    """R-63: a gateway without Gigawords; the record says that the counter fell."""
    async with playing("1000.00") as gateway:
        await gateway.account(START, DATA)
        for seconds, (received, sent) in enumerate(reports, 1):
            await gateway.account(INTERIM, {**DATA, 46: 300 * seconds, 42: received, 43: sent})
        received, sent = reports[-1]
        await gateway.account(STOP, {**DATA, 46: 9000, 42: received, 43: sent})
        assert await gateway.figures() == (100_000 - 5 * mib, 0)
        assert bool((await gateway.records())[0].flags & CdrFlag.COUNTER_WENT_DOWN) == is_flagged


async def test_r63_gigawords_say_how_often_a_counter_began_again() -> None:
    """R-63: then nothing is assumed, and a counter that falls gives and takes nothing."""
    async with playing("1000.00") as gateway:
        await gateway.account(START, DATA)
        await gateway.account(INTERIM, {**DATA, 46: 300, 42: 0, 52: 1})
        await gateway.account(INTERIM, {**DATA, 46: 600, 42: 5, 52: 0})
        await gateway.account(STOP, {**DATA, 46: 900, 42: 0, 52: 1})
        assert await gateway.figures() == (100_000 - 5 * 4096, 0)


async def test_r66_use_beyond_the_reservation_is_charged_in_full() -> None:
    """R-66: the balance may fall below zero, and then there is no further call (statement 52)."""
    async with playing() as gateway:
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 1200})
        assert await gateway.figures() == (-200, 0)
        assert (await gateway.access(CALL))["code"] == 3


async def test_r71_a_call_without_stop_is_closed_at_its_last_interim() -> None:
    """R-71: supervision ends it; what the last interim told is what it costs."""
    async with playing() as gateway:
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(INTERIM, {**CALL, 44: "s1", 46: 60})
        gateway.world.clock.now_ms += 2 * 3600 * 1000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (940, 0)


async def test_r71_a_call_of_which_nothing_was_reported_is_held() -> None:
    """R-71: its money waits for the Stop, for a time; then it is free, and its record says what happened."""
    policy = structs.replace(POLICY, silent_calls="hold", hold_ms=3_600_000)
    async with playing(policy=policy) as gateway:
        await gateway.account(START, {**CALL, 44: "s1"})
        gateway.world.clock.now_ms += 2 * 3_600_000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (1000, 1000)
        gateway.world.clock.now_ms += 3_600_000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (1000, 0)
        (record,) = await gateway.records()
        assert record.flags == CdrFlag.NO_FINAL_REPORT | CdrFlag.HELD
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 30})
        assert await gateway.figures() == (970, 0)


async def test_r71_a_stop_ends_what_is_held() -> None:
    """R-71: an interim is a sign as well: what it told is charged when nothing follows."""
    policy = structs.replace(POLICY, silent_calls="hold", hold_ms=3_600_000)
    async with playing(policy=policy) as gateway:
        for name, report in (("s1", {40: STOP, 46: 100}), ("s2", {40: INTERIM, 46: 50})):
            await gateway.account(START, {**CALL, 44: name})
            gateway.world.clock.now_ms += 2 * 3_600_000
            await gateway.world.close_silent_sessions()
            await gateway.account(report[40], {**CALL, 44: name, 46: report[46]})
        gateway.world.clock.now_ms += 2 * 3_600_000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (850, 0)


@pytest.mark.parametrize(("stop_s", "left"), [(30, 970), (1000, 0), (1100, -100)])
async def test_r71_r72_a_call_charged_as_granted_is_put_right_by_its_stop(stop_s: int, left: int) -> None:
    """R-72: the difference between what it cost and what was taken, either sign, once."""
    async with playing(policy=structs.replace(POLICY, silent_calls="granted")) as gateway:
        await gateway.account(START, {**CALL, 44: "s1"})
        gateway.world.clock.now_ms += 2 * 3_600_000
        await gateway.world.close_silent_sessions()
        assert await gateway.figures() == (0, 0)
        (record,) = await gateway.records()
        assert record.flags == CdrFlag.NO_FINAL_REPORT | CdrFlag.ASSUMED
        for delay_s in (0, 5):
            await gateway.account(STOP, {**CALL, 44: "s1", 46: stop_s, 41: delay_s})
            assert await gateway.figures() == (left, 0)


async def test_r71_accounting_on_holds_nothing() -> None:
    """R-70: the gateway itself says that its calls are over: what was not reported is zero, and flagged."""
    for silent_calls in ("hold", "granted"):
        async with playing(policy=structs.replace(POLICY, silent_calls=silent_calls)) as gateway:
            await gateway.account(START, {**CALL, 44: "s1"})
            gateway.world.clock.now_ms += 60_000
            await gateway.account(ON, {32: "gw1", 44: "boot"})
            assert await gateway.figures() == (1000, 0)


async def test_r73_an_id_that_is_used_again_is_a_new_call() -> None:
    """R-73: a gateway that was started anew counts from one again: same id, later begin, another charge."""
    async with playing() as gateway:
        for turn in range(2):
            begun_s = T0_S + turn * 600
            gateway.world.clock.now_ms = begun_s * 1000
            await gateway.account(START, {**CALL, 44: "1", 55: begun_s})
            gateway.world.clock.now_ms += 10_000
            await gateway.account(STOP, {**CALL, 44: "1", 46: 10, 55: begun_s + 10})
        assert await gateway.figures() == (980, 0)
        assert len(await gateway.records()) == 2


def test_r12_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-12: each of the three ways to check a digest goes through hmac.compare_digest."""
    compared: list[int] = []
    genuine = hmac.compare_digest

    def spying(first: Any, second: Any) -> bool:
        compared.append(len(first))
        return genuine(first, second)

    monkeypatch.setattr(authenticators, "compare_digest", spying)
    body = attributes_of({1: "4915112345", 40: 1, 44: "s"})
    receive(accounting_request(body), Role.ACCOUNTING)
    receive(access_request(body), Role.AUTHENTICATION)
    assert compared == [16, 16]
    chap = authenticators.chap_response(7, b"wonder", b"challenge")
    assert authenticators.is_chap_password_right(b"\7" + chap, b"wonder", b"challenge")
    assert compared == [16, 16, 16]
