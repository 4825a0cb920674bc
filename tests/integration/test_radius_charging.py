"""RADIUS calls charged for real: packets over UDP, the gateway, the charging core and the memory store.

Prefix 100 costs 0.01 per second (T1), prefix 200 costs 0.30 per started minute (T2).
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from balance.account import AccountState
from ocs.charging.cdr import CdrFlag
from tests.integration.radius_world import playing
from tests.scenario.world import CONFIG, START_MS, amount
from tests.wire.radius_packets import cisco

pytestmark = pytest.mark.integration

USER = "4915100000001"
START, STOP, INTERIM, ON, FAILED = 1, 2, 3, 7, 15
WHO = {1: USER, 31: USER, 32: "gw1"}
CALL = {**WHO, 30: "100555"}
T0_S = START_MS // 1000


async def test_a_call_with_class_interims_and_stop() -> None:
    """All that is affordable is reserved; each report is debited; what is left comes back at the end [R-44] [R-62]."""
    async with playing() as gateway:
        accept = await gateway.access(CALL)
        assert accept["code"] == 2
        assert (accept["seconds"], accept["return_code"], accept["amount"]) == (1000, "0", "10.00")
        assert await gateway.figures() == (1000, 1000)
        call = {**CALL, 44: "s1", 25: accept["class"]}
        await gateway.account(START, call)
        assert await gateway.figures() == (1000, 1000)
        await gateway.account(INTERIM, {**call, 46: 300})
        assert await gateway.figures() == (700, 700)
        await gateway.account(STOP, {**call, 46: 361, 49: 1})
        assert await gateway.figures() == (639, 0)
        (record,) = await gateway.records()
        assert (record.destination, record.cause, record.cost) == ("100555", "user request", amount("3.61"))


async def test_kamailio_without_class_session_time_and_numbers_in_the_stop() -> None:
    """misc_radius and acc_radius: bound by who calls whom, charged by the events' times; two Stops, one charge [R-64]
    [C-1] [C-3].
    """
    async with playing(require_message_authenticator="no") as gateway:
        user = f"sip:{USER}@example.net"
        call = {1: user, 30: "sip:100555@example.net", 31: user, 4: bytes((127, 0, 0, 1))}
        assert (await gateway.access({**call, 6: 30}))["seconds"] == 1000
        dialog = {44: "call-id@host", 4: bytes((127, 0, 0, 1)), 6: 15, 101: 1, 104: "tag"}
        await gateway.account(START, {**call, **dialog, 55: T0_S})
        assert await gateway.figures() == (1000, 1000)
        gateway.world.clock.now_ms += 61_000
        await gateway.account(STOP, {**dialog, 55: T0_S + 61})
        await gateway.account(STOP, {**dialog, 55: T0_S + 61, 41: 0})
        assert await gateway.figures() == (939, 0)


async def test_r44_a_start_that_names_its_call_finds_the_authorization_that_did_not() -> None:
    """Between the same parties; so the money is reserved once."""
    async with playing() as gateway:
        assert (await gateway.access(CALL))["seconds"] == 1000
        await gateway.account(START, {**CALL, 44: "s1", 26: [cisco(24, "1 2 3 4")]})
        assert await gateway.figures() == (1000, 1000)
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 10})
        assert await gateway.figures() == (990, 0)


async def test_r44_a_call_is_no_authorization_whatever_class_says() -> None:
    """Both legs bring the Class of one authorization: the second one is a call of its own, and the first one stays."""
    async with playing("20.00") as gateway:
        accept = await gateway.access({**CALL, 44: "s1"})
        await gateway.account(START, {**CALL, 44: "s1", 25: accept["class"]})
        await gateway.account(START, {**CALL, 44: "s2", 25: accept["class"]})
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 10})
        await gateway.account(STOP, {**CALL, 44: "s2", 46: 20})
        assert await gateway.figures() == (1970, 0)


async def test_r35_a_repeated_authorization_reserves_once_and_a_later_call_anew() -> None:
    """The same Access-Request in another packet; then, after the call, the same parties talk again."""
    async with playing() as gateway:
        for delay_s in range(2):
            assert (await gateway.access({**CALL, 41: delay_s}))["seconds"] == 1000
            assert await gateway.figures() == (1000, 1000)
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 100})
        assert await gateway.figures() == (900, 0)
        assert (await gateway.access(CALL))["seconds"] == 900
        assert await gateway.figures() == (900, 900)


@pytest.mark.parametrize("session", [{}, {44: "s1"}], ids=["unnamed", "named"])
async def test_r35_the_same_parties_half_a_minute_later_ask_anew(session: dict[int, Any]) -> None:
    """A busy number, say: money that was paid in meanwhile counts, and a suspended account is refused and holds nothing."""
    async with playing() as gateway:
        assert (await gateway.access(CALL | session))["seconds"] == 1000
        await gateway.world.change("5.00")
        for waited_s, seconds in ((30, 1000), (1, 1500)):
            gateway.world.clock.now_ms += 1000 * waited_s
            assert (await gateway.access(CALL | session))["seconds"] == seconds
            assert await gateway.figures() == (1500, seconds)
        await gateway.world.set_state(AccountState.SUSPENDED)
        gateway.world.clock.now_ms += 31_000
        assert (await gateway.access(CALL | session))["return_code"] == "7"
        assert await gateway.figures() == (1500, 0)


@pytest.mark.parametrize(("profile", "waits_s"), [("kamailio", 240), ("generic", 1240)])
async def test_r43_money_waits_for_a_start_that_will_come_and_for_the_grant_where_none_will(
    profile: str, waits_s: int
) -> None:
    """Nobody answered, and nothing was said: the caller can call elsewhere. A Start that comes later finds what is left."""
    async with playing(profile=profile) as gateway:
        assert (await gateway.access(CALL))["seconds"] == 1000
        for waited_s, reserved in ((waits_s - 1, 1000), (1, 0)):
            gateway.world.clock.now_ms += 1000 * waited_s
            await gateway.world.close_silent_sessions()
            assert await gateway.figures() == (1000, reserved)
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 10})
        assert await gateway.figures() == (990, 0)


async def test_r35_with_an_acct_session_id_start_takes_the_reservation_over() -> None:
    """Authorization and call bear one name."""
    async with playing() as gateway:
        assert (await gateway.access({**CALL, 44: "s1"}))["seconds"] == 1000
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 5})
        assert await gateway.figures() == (995, 0)


async def test_statement_25_a_stop_in_another_packet_is_not_charged_again() -> None:
    """New identifier, Acct-Delay-Time and Event-Timestamp: the packet cache cannot know it, the core does [R-33]."""
    async with playing() as gateway:
        await gateway.account(START, {**CALL, 44: "s1", 55: T0_S})
        for delay_s in (0, 5, 60):
            await gateway.account(STOP, {**CALL, 44: "s1", 46: 30, 41: delay_s, 55: T0_S + 30 + delay_s})
            assert await gateway.figures() == (970, 0)


RECORDS: dict[int, dict[int, Any]] = {
    START: {55: T0_S},
    INTERIM: {46: 30, 55: T0_S + 30},
    STOP: {46: 61, 55: T0_S + 61},
}


@pytest.mark.parametrize("order", list(itertools.permutations(RECORDS)))
async def test_statement_26_any_order_ends_in_the_same_money(order: tuple[int, ...]) -> None:
    """Stop before Start, Interim after Stop, each of them twice [R-67]."""
    async with playing() as gateway:
        for status in order + order:
            await gateway.account(status, {**CALL, 44: "s1", **RECORDS[status]})
        assert await gateway.figures() == (939, 0)
        assert len(await gateway.records()) == 1


async def test_a_stop_alone_is_charged() -> None:
    """Asterisk's cdr_radius: the account in a vendor attribute, the numbers too, User-Name a channel's name [R-121]
    [C-15].
    """
    async with playing(profile="asterisk") as gateway:
        digium = (22736).to_bytes(4, "big")
        fields = {101: USER.encode(), 102: USER.encode(), 103: b"200555", 114: (61).to_bytes(4, "big")}
        values = [digium + bytes((number, len(value) + 2)) + value for number, value in fields.items()]
        await gateway.account(STOP, {1: "SIP/trunk-0001", 44: "1535845879.560741", 26: values})
        assert await gateway.figures() == (940, 0)


async def test_a_failed_attempt_gives_the_reservation_back() -> None:
    """Missed calls cost nothing [C-4]."""
    async with playing() as gateway:
        await gateway.access(CALL)
        await gateway.account(FAILED, {**CALL, 44: "s1"})
        assert await gateway.figures() == (1000, 0)


async def test_r69_the_leg_to_the_destination_is_not_charged() -> None:
    """A B2BUA reports both legs with one Acct-Session-Id: the other leg neither costs nor closes anything."""
    async with playing(charged_leg="answer") as gateway:
        legs = {leg: {**CALL, 44: "s1", 26: [cisco(26, f"h323-call-origin={leg}")]} for leg in ("answer", "originate")}
        for leg in legs.values():
            await gateway.account(START, leg)
        await gateway.account(STOP, {**legs["originate"], 46: 100})
        assert (await gateway.figures())[0] == 1000
        await gateway.account(STOP, {**legs["answer"], 46: 20})
        assert await gateway.figures() == (980, 0)


async def test_r70_an_authorization_ends_with_its_gateway_and_a_later_one_stays() -> None:
    """Without an Acct-Session-Id its key names no gateway: the one that asked is kept with it, under whatever name."""
    async with playing() as gateway:
        await gateway.access({**CALL, 4: bytes((192, 0, 2, 1))})
        gateway.world.clock.now_ms += 1000
        on = {44: "boot", 55: T0_S}
        for others in ({32: "gw2"}, {4: bytes((192, 0, 2, 1))}, {32: "gw1"}):
            await gateway.account(ON, {**on, **others})
            assert await gateway.figures() == (1000, 1000), "another gateway's, or begun after that restart"
        await gateway.account(ON, {32: "gw1", 4: bytes((192, 0, 2, 9)), 44: "boot"})
        assert await gateway.figures() == (1000, 0)
        assert await gateway.records() == []


async def test_r69_each_leg_by_itself_and_the_records_find_each_other() -> None:
    """Where settings say that each is charged: sessions of their own, one h323-conf-id, also in both records [C-17]."""
    async with playing(profile="cisco", charged_leg="any") as gateway:
        for number, (leg, seconds) in enumerate((("answer", 20), ("originate", 18))):
            values = [
                cisco(26, f"h323-call-origin={leg}"),
                cisco(24, "h323-conf-id=16087660 E2B011D7 8C0B0003 BA0A5A1F"),
            ]
            call = {**CALL, 44: f"0000001{number}", 26: values}
            await gateway.account(START, call)
            await gateway.account(STOP, {**call, 46: seconds})
        assert await gateway.figures() == (1000 - 38, 0)
        names = [dict(record.details)["h323-conf-id"] for record in await gateway.records()]
        assert names == ["16087660 E2B011D7 8C0B0003 BA0A5A1F"] * 2


async def test_r70_accounting_on_closes_at_the_last_known_use() -> None:
    """The gateway restarted; calls of another gateway go on (statement 114)."""
    async with playing() as gateway:
        other = {**CALL, 32: "gw2", 44: "s1"}
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(INTERIM, {**CALL, 44: "s1", 46: 100})
        gateway.world.clock.now_ms += 100_000
        await gateway.account(ON, {32: "gw1", 44: "boot"})
        assert await gateway.figures() == (900, 0)
        await gateway.account(START, other)
        await gateway.account(STOP, {**other, 46: 10})
        assert await gateway.figures() == (890, 0)


async def test_r71_r72_a_stop_after_the_call_was_given_up_is_charged_by_its_difference() -> None:
    """A gateway was cut off: its call is closed at the last report, and its buffered Stop tells the rest, once."""
    async with playing() as gateway:
        await gateway.account(START, {**CALL, 44: "s1", 30: "200555"})
        await gateway.account(INTERIM, {**CALL, 44: "s1", 46: 100})
        gateway.world.clock.now_ms += 4 * 3_600_000
        assert await gateway.world.close_silent_sessions() == 1
        assert await gateway.figures() == (940, 0)
        await gateway.account(INTERIM, {**CALL, 44: "s1", 46: 150})
        assert await gateway.figures() == (940, 0)
        for delay_s in (0, 60):
            await gateway.account(STOP, {**CALL, 44: "s1", 46: 185, 41: delay_s})
            assert await gateway.figures() == (880, 0)
        first, late = await gateway.records()
        assert (first.cost, late.cost) == (amount("0.60"), amount("0.60"))
        assert (first.groups[0].used, late.groups[0].used) == (100, 85)
        assert (first.flags & CdrFlag.NO_FINAL_REPORT, late.flags & CdrFlag.LATE_REPORT) == (1, 256)


async def test_r72_a_stop_that_tells_nothing_new_costs_nothing() -> None:
    """After Accounting-On, with the use that was known: answered, and no record more."""
    async with playing() as gateway:
        await gateway.account(START, {**CALL, 44: "s1"})
        await gateway.account(INTERIM, {**CALL, 44: "s1", 46: 100})
        gateway.world.clock.now_ms += 100_000
        await gateway.account(ON, {32: "gw1", 44: "boot"})
        await gateway.account(STOP, {**CALL, 44: "s1", 46: 100})
        assert await gateway.figures() == (900, 0)
        assert len(await gateway.records()) == 1


@pytest.mark.parametrize("values", [{**CALL, 1: "nobody"}, {**CALL, 30: "999555"}, {44: "s1", 32: "gw1"}])
async def test_r61_use_that_cannot_be_charged_is_answered_and_written_down(values: dict[int, Any]) -> None:
    """Nobody pays for it, so the log has to have it: whose, how much, and why."""
    async with playing() as gateway:
        with capture_logs() as lines:
            await gateway.account(STOP, {44: "s1", **values, 46: 61})
        (line,) = [line for line in lines if line["event"] == "radius_use_not_charged"]
        assert (line["session"], line["used"]) == ("ra:sbc:gw1:s1", [("seconds", 61)])
        assert await gateway.figures() == (1000, 0)


@pytest.mark.parametrize(
    ("balance", "values", "return_code"),
    [
        ("10.00", {**CALL, 1: "nobody"}, "1"),
        ("10.00", {**CALL, 30: "999555"}, "9"),
        ("0", CALL, "4"),
        ("0.10", {**CALL, 30: "200555"}, "12"),
    ],
)
async def test_r40_why_a_call_is_refused(balance: str, values: dict[int, Any], return_code: str) -> None:
    """And nothing is reserved."""
    async with playing(balance) as gateway:
        reject = await gateway.access(values)
        assert (reject["code"], reject["return_code"]) == (3, return_code)
        assert (await gateway.figures())[1] == 0


@pytest.mark.parametrize(("number", "return_code"), [("800555", "13"), ("112", "13"), ("100555", "0")])
async def test_a_free_call_has_a_return_code_of_its_own(tmp_path: Path, number: str, return_code: str) -> None:
    """``free`` of [return_codes]: a toll-free call holds no money and tells the code of the profile, repeated or not
    (radius 5, step 4).
    """
    shutil.copytree(CONFIG, tmp_path / "config")
    profiles = tmp_path / "config" / "profiles"
    text = (profiles / "generic.toml").read_text(encoding="utf-8")
    (profiles / "toll-free.toml").write_text(f"{text}\n[return_codes]\nfree = 13\n", encoding="utf-8")
    async with playing(config=tmp_path / "config", profile="toll-free") as gateway:
        for _ in range(2):
            accept = await gateway.access({**CALL, 30: number})
            assert (accept["code"], accept["return_code"], accept["amount"]) == (2, return_code, "10.00")
            held = (3600, (1000, 0)) if return_code == "13" else (1000, (1000, 1000))
            assert (accept["seconds"], await gateway.figures()) == held
        await gateway.account(START, {**CALL, 30: number, 44: "s1"})
        await gateway.account(STOP, {**CALL, 30: number, 44: "s1", 46: 50})
        assert await gateway.figures() == ((1000, 0) if return_code == "13" else (950, 0))


async def test_r48_without_a_destination_the_balance_is_told() -> None:
    """Asked twice, told twice, nothing reserved."""
    async with playing() as gateway:
        for told in ("10.00", "12.50"):
            reply = await gateway.access(WHO)
            assert (reply["code"], reply["seconds"], reply["amount"]) == (2, None, told)
            await gateway.world.change("2.50")
            assert (await gateway.figures())[1] == 0


async def test_r46_a_limited_account_takes_calls_and_makes_none() -> None:
    """His own number is called, by another's: authorized, started and charged, also where a limit finds the call open."""
    async with playing() as gateway:
        await gateway.world.desk.subscribers.create("own", "A", ("e164:100555",), "")
        await gateway.world.set_state(AccountState.LIMITED)
        assert (await gateway.access(CALL))["code"] == 3
        called = {1: "100555", 30: "100555", 31: "4930123456", 32: "gw1"}
        assert (await gateway.access({**called, 44: "s1"}))["seconds"] == 1000
        await gateway.account(START, {**called, 44: "s1"})
        await gateway.account(INTERIM, {**called, 44: "s1", 46: 100})
        assert await gateway.figures() == (900, 900)
        await gateway.account(STOP, {**called, 44: "s1", 46: 200})
        assert await gateway.figures() == (800, 0)
        assert (await gateway.access({**called, 31: "100555"}))["code"] == 3
