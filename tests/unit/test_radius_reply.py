"""Charging answers to Accept, Reject and silence."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from balance.money import Currency
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    GroupKey,
    RequestKind,
)
from ocs.gateways.radius import Profile, profile_of
from ocs.gateways.radius_names import key_of_class
from ocs.gateways.radius_profile import Reason
from ocs.gateways.radius_reply import REASONS, AccessReply, authorization_reply, credit_amount, rejection
from ocs.rating.units import UnitKind
from ocs.settings import Radius, RadiusClient
from protocols.radius.attributes import sub_attributes
from protocols.radius.packet import decode
from tests.unit.test_radius_gateway import products

EUR = Currency("EUR", 978, 9, 2)
CURRENCIES = {"EUR": EUR}
STATUS = ChargingStatus


def profile(name: str = "generic", *, interim_s: int = 300, language: str = "") -> Profile:
    client = RadiusClient(
        name="sbc", networks=(), secret="s", profile=name, interim_s=interim_s, language=language
    )  # fmt: skip
    return profile_of(client, Radius(session_max_s=3600), products().dialect_of(client))


def initial(key: str = "ra:sbc:auth:x") -> ChargingRequest:
    return ChargingRequest(RequestKind.INITIAL, key, 0, (), "voice", 0, ())


def check(service: str = "voice") -> ChargingRequest:
    return ChargingRequest(RequestKind.EVENT, "ra:sbc:check:0", 0, (), service, 0, (), action=EventAction.CHECK_BALANCE)


def granted(seconds: int, status: ChargingStatus = STATUS.SUCCESS, available: int = 1_230_000_000) -> ChargingAnswer:
    group = GroupAnswer(GroupKey(), status, UnitKind.SECONDS, seconds)
    return ChargingAnswer(STATUS.SUCCESS, (group,), currency="EUR", available=available)


def read(reply: AccessReply | None) -> tuple[int, dict[int, bytes], dict[int, str]]:
    """Code, attributes and Cisco's texts of a reply."""
    assert reply is not None
    header = bytes((reply.code, 1)) + (20 + len(reply.attributes)).to_bytes(2, "big") + bytes(16)
    found = decode(header + reply.attributes).attributes
    cisco = {number: text.decode() for value in found.pop(26, []) for number, text in sub_attributes(value, (1, 1))}
    return reply.code, {kind: values[0] for kind, values in found.items()}, cisco


def reply_to(request: ChargingRequest, answer: ChargingAnswer, of: Profile | None = None) -> AccessReply | None:
    return authorization_reply(request, answer, of or profile(), CURRENCIES)


def test_r41_an_accept_says_how_long_and_what_is_left() -> None:
    """Session-Timeout and h323-credit-time alike; return code 0 always; Class brings the authorization back."""
    code, found, cisco = read(reply_to(initial(), granted(540)))
    assert code == 2
    assert found[27] == (540).to_bytes(4, "big")
    assert found[85] == (300).to_bytes(4, "big")
    assert key_of_class(found[25], b"s") == "ra:sbc:auth:x"
    assert cisco == {
        103: "h323-return-code=0",
        102: "h323-credit-time=540",
        101: "h323-credit-amount=1.23",
        110: "h323-currency=EUR",
        109: "h323-billing-model=1",
    }


def test_an_accept_tells_the_money_that_the_call_may_use() -> None:
    """What is set aside for this call is not gone yet: telling it as spent tells every caller 0.00 (radius 5)."""
    _, _, cisco = read(reply_to(initial(), replace(granted(540, available=0), held=1_230_000_000)))
    assert cisco[101] == "h323-credit-amount=1.23"


def test_the_billing_model_is_the_accounts() -> None:
    """An account with a credit limit is on credit, whatever is left of it."""
    _, _, cisco = read(reply_to(initial(), replace(granted(540), on_credit=True)))
    assert cisco[109] == "h323-billing-model=0"


def test_the_clients_dialect_may_be_without_names() -> None:
    """Both are in the field; some clients want no interims."""
    _, found, cisco = read(reply_to(initial(), granted(540), profile("freeswitch", interim_s=0)))
    assert cisco == {103: "0", 102: "540", 101: "1.23", 110: "EUR"}
    assert 85 not in found
    _, found, _ = read(reply_to(initial(), granted(540), profile("kamailio")))
    assert found[225] == b"credit:540"
    _, _, cisco = read(reply_to(initial(), granted(540), profile(language="de")))
    assert cisco[107] == "h323-preferred-lang=de"


def test_r42_the_longest_session_bounds_the_grant() -> None:
    """Very large values are mishandled by some switches; a free call gets all of it."""
    for answer in (granted(10**9), granted(10**9, STATUS.FREE)):
        code, found, _ = read(reply_to(initial(), answer))
        assert (code, found[27]) == (2, (3600).to_bytes(4, "big"))


def test_a_key_too_long_for_class_is_left_out() -> None:
    """The Accept is whole without it."""
    code, found, _ = read(reply_to(initial("ra:" + "x" * 300), granted(60)))
    assert (code, 25 in found) == (2, False)


@pytest.mark.parametrize(
    ("answer", "return_code"),
    [
        (granted(0, STATUS.CREDIT_LIMIT_REACHED), 12),
        (granted(0, STATUS.CREDIT_LIMIT_REACHED, available=0), 4),
        (granted(0, STATUS.CREDIT_LIMIT_REACHED, available=-5), 4),
        (replace(granted(0, STATUS.CREDIT_LIMIT_REACHED, available=0), on_credit=True), 6),
        (ChargingAnswer(STATUS.CREDIT_LIMIT_REACHED, available=0, held=5), 3),
        (replace(granted(0, STATUS.SERVICE_DENIED), is_expired=True), 5),
        (granted(0, STATUS.SERVICE_DENIED), 7),
        (ChargingAnswer(STATUS.CREDIT_LIMIT_REACHED, available=1, held=5), 12),
        (granted(0), 12),
        (granted(0, STATUS.RATING_FAILED), 9),
        (granted(0, STATUS.DESTINATION_BARRED), 9),
        (ChargingAnswer(STATUS.SUCCESS), 4),
        (ChargingAnswer(STATUS.USER_UNKNOWN), 1),
        (ChargingAnswer(STATUS.SERVICE_DENIED), 7),
        (ChargingAnswer(STATUS.TOO_MANY_CALLS), 3),
        (ChargingAnswer(STATUS.CONTRADICTION), 11),
        (ChargingAnswer(STATUS.INTERNAL_FAULT), 8),
    ],
)
def test_r40_a_reject_says_why_and_serves_nothing(answer: ChargingAnswer, return_code: int) -> None:
    """No Session-Timeout, no Class, no credit time; never an Accept over zero seconds."""
    code, found, cisco = read(reply_to(initial(), answer))
    assert code == 3
    assert set(found) == {18}
    assert cisco.pop(103) == f"h323-return-code={return_code}"
    assert set(cisco) <= {101}


@pytest.mark.parametrize("status", [STATUS.UNAVAILABLE, STATUS.TOO_BUSY])
def test_r36_silence_when_nothing_can_be_vouched_for(status: ChargingStatus) -> None:
    """The client asks another server, or asks again."""
    assert reply_to(initial(), ChargingAnswer(status)) is None
    assert reply_to(check(), ChargingAnswer(status)) is None


def test_every_status_has_a_return_code() -> None:
    """A new status cannot be forgotten."""
    assert REASONS.keys() == set(ChargingStatus)


def test_r48_the_phase_without_a_destination_tells_the_balance() -> None:
    """No time, no Class: nothing was reserved."""
    code, found, cisco = read(reply_to(check(), ChargingAnswer(STATUS.SUCCESS, currency="EUR", available=0)))
    assert (code, found) == (2, {})
    assert cisco == {
        103: "h323-return-code=0", 101: "h323-credit-amount=0.00", 110: "h323-currency=EUR", 109: "h323-billing-model=1",
    }  # fmt: skip
    code, found, cisco = read(reply_to(check(), ChargingAnswer(STATUS.USER_UNKNOWN)))
    assert (code, found, cisco) == (3, {18: b"account unknown"}, {103: "h323-return-code=1"})


def test_data_access_needs_money_and_gets_a_limit() -> None:
    """Its use is reported in interims; without credit it is refused."""
    code, found, _ = read(reply_to(check("data"), ChargingAnswer(STATUS.SUCCESS, currency="EUR", available=1)))
    assert (code, set(found)) == (2, {27, 85})
    code, found, cisco = read(reply_to(check("data"), ChargingAnswer(STATUS.SUCCESS, currency="EUR", available=0)))
    assert (code, set(found), cisco[103]) == (3, {18}, "h323-return-code=4")


@pytest.mark.parametrize(
    ("available", "currency", "text"),
    [
        (1_230_000_000, EUR, "1.23"),
        (1_239_999_999, EUR, "1.23"),
        (0, EUR, "0.00"),
        (-1, EUR, "0.00"),
        (1_234_567_890, Currency("KWD", 414, 9, 3), "1.234"),
        (1_234_567, Currency("JPY", 392, 6, 0), "1.23"),
    ],
)
def test_credit_amounts_have_two_to_four_decimals(available: int, currency: Currency, text: str) -> None:
    """Rounded down, never below zero: it is read out to the caller."""
    assert credit_amount(available, currency) == text


def test_a_currency_we_do_not_know_is_not_told() -> None:
    """Better no amount than one at a wrong scale."""
    _, _, cisco = read(authorization_reply(initial(), granted(5), profile(), {}))
    assert 101 not in cisco


def test_a_refusal_before_charging() -> None:
    """Wrong password."""
    code, found, cisco = read(rejection(Reason.WRONG_PASSWORD, profile()))
    assert (code, found, cisco) == (3, {18: b"wrong password"}, {103: "h323-return-code=2"})
    _, _, cisco = read(rejection(Reason.TOO_MANY_CALLS, profile("porta")))
    assert cisco == {103: "h323-return-code=114"}
