"""Delivery without servers: when a message may leave, how it is signed, what its words and its settings may say."""

from __future__ import annotations

from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.billing_letters import ANNOUNCED, COLLECTION_FAILED
from ocs.charging.account_events import EVENT_TYPES
from ocs.charging.refused import ALL_REASONS
from ocs.delivery.attempts import retry_after_s
from ocs.delivery.check import check_delivery, read_delivery
from ocs.delivery.contacts import Contact, faults_of
from ocs.delivery.settings import Delivery, Sms, load_delivery
from ocs.delivery.sms import body_of
from ocs.delivery.timing import Patience, Quiet, out_of_quiet_ms, quiet_of, wait_ms
from ocs.delivery.webhooks import signature, verified
from ocs.delivery.words import Dictionary, WordsError, load_words

CONFIG = Path(__file__).parents[2] / "config"
NIGHT = Quiet(time(21), time(8))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


@pytest.mark.parametrize(
    ("at", "zone", "until"),
    [
        ("2026-06-01T12:00", "Europe/Berlin", "2026-06-01T12:00"),
        ("2026-06-01T20:59", "Europe/Berlin", "2026-06-01T20:59"),
        ("2026-06-01T21:00", "Europe/Berlin", "2026-06-02T08:00"),
        ("2026-06-02T00:00", "Europe/Berlin", "2026-06-02T08:00"),
        ("2026-06-02T07:59", "Europe/Berlin", "2026-06-02T08:00"),
        ("2026-06-02T08:00", "Europe/Berlin", "2026-06-02T08:00"),
        ("2026-03-28T22:00", "Europe/Berlin", "2026-03-29T08:00"),  # the night is an hour shorter
        ("2026-06-01T23:00", "Asia/Kathmandu", "2026-06-02T08:00"),
    ],
)
def test_quiet_hours_end_by_the_receivers_clock(at: str, zone: str, until: str) -> None:
    """Half-open, over midnight, through changes of the clock."""
    assert out_of_quiet_ms(ms(at, zone), NIGHT, zone) == ms(until, zone)


def test_a_contact_has_quiet_hours_of_its_own() -> None:
    """Its own go before those for all; the same time twice is none; nothing said is those for all."""
    noon = ms("2026-06-01T13:00")
    assert out_of_quiet_ms(noon, quiet_of("12:00", "14:30", NIGHT), "UTC") == ms("2026-06-01T14:30")
    night = ms("2026-06-01T23:00")
    assert out_of_quiet_ms(night, quiet_of("00:00", "00:00", NIGHT), "UTC") == night
    assert quiet_of("", "", NIGHT) is NIGHT


def test_quiet_hours_by_day() -> None:
    """They need not lie over midnight; the same time twice is none."""
    noon = Quiet(time(12), time(14))
    assert out_of_quiet_ms(ms("2026-06-01T13:00"), noon, "UTC") == ms("2026-06-01T14:00")
    assert out_of_quiet_ms(ms("2026-06-01T11:59"), noon, "UTC") == ms("2026-06-01T11:59")
    assert out_of_quiet_ms(ms("2026-06-01T12:00"), Quiet(time(12), time(12)), "UTC") == ms("2026-06-01T12:00")


@given(
    at_ms=st.integers(0, 4_000_000_000_000),
    begins=st.times(),
    ends=st.times(),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"]),
)
def test_what_waited_for_the_end_of_quiet_hours_waits_no_longer(
    at_ms: int, begins: time, ends: time, zone: str
) -> None:
    """Never back in time, never a second time, and never more than a day and what a clock can be changed by."""
    quiet = Quiet(begins.replace(microsecond=0), ends.replace(microsecond=0))
    until_ms = out_of_quiet_ms(at_ms, quiet, zone)
    assert at_ms <= until_ms <= at_ms + 25 * 3_600_000
    assert out_of_quiet_ms(until_ms, quiet, zone) == until_ms or begins.hour in range(5) or ends.hour in range(5)


def test_waits_grow_and_end() -> None:
    """5, 10, 20 .. seconds, at most an hour, up to a fifth longer; the last attempt is followed by none."""
    patience = Patience(attempts_max=12, first_s=5, longest_s=3600)
    waits = [wait_ms(patience, attempts, "m") for attempts in range(1, 13)]
    assert waits[-1] is None
    for attempts, wait in enumerate(waits[:-1]):
        base = min(3600, 5 << attempts) * 1000
        assert wait is not None
        assert base <= wait <= base * 12 // 10
    assert len({wait_ms(patience, 1, str(number)) for number in range(100)}) > 5, "they do not come at once"


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference libraries."""
    body = b'{"test": 2432232314}'
    signed = signature([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_while_they_are_changed() -> None:
    """A receiver that knows either of them verifies; one that knows another does not, nor does a changed body."""
    old, new, other = (f"whsec_{character * 40}" for character in "abc")
    signed = signature([new, old], "m", 1, b"{}")
    assert [verified([secret], "m", 1, b"{}", signed) for secret in (old, new, other)] == [True, True, False]
    assert not verified([old], "m", 1, b"{ }", signed)
    assert not verified([old], "m", 2, b"{}", signed)


def test_an_sms_text_cannot_change_its_bodys_form() -> None:
    """Quotes, braces and marks in a text stay text."""
    text = '"}, {to} & text={id}'
    assert b'"text":"\\"}, {to} & text={id}"' in body_of(Sms(), "+49", text, "m")
    form = Sms(content_type="application/x-www-form-urlencoded", body="to={to}&text={text}&from=ocs")
    assert body_of(form, "+49", text, "m") == b"to=%2B49&text=%22%7D%2C+%7Bto%7D+%26+text%3D%7Bid%7D&from=ocs"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("Thu, 01 Jan 1970 00:01:00 GMT", 60), ("-1", 0), ("soon", 0), ("", 0), ("999999999", 86_400)],
)
def test_retry_after(text: str, seconds: int) -> None:
    """Seconds or a date (RFC 9110, section 10.2.3), bounded; anything else says nothing."""
    assert retry_after_s(text, 0) == seconds


def dictionary() -> Dictionary:
    words = load_words(CONFIG)
    assert isinstance(words, Dictionary)
    return words


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Your balance is €0.45. Please top up."),
        ("de", "Ihr Guthaben beträgt 0,45 €. Bitte laden Sie auf."),
        ("de-AT", "Ihr Guthaben beträgt 0,45 €. Bitte laden Sie auf."),
        ("fr", "Votre solde est de 0,45 €. Pensez à recharger."),
        ("xx", "Your balance is €0.45. Please top up."),
    ],
)
def test_words_are_in_the_receivers_language(language: str, said: str) -> None:
    """The language, its plain form, or the fallback."""
    assert dictionary().sms("low_balance", language, {"balance": "0.45", "currency": "EUR"}).text == said


ALWAYS = {"account_id": "alice", "at": "2026-01-31T12:00:00.000Z", "currency": "EUR", "amount": "-2.50"}
FACTS: dict[str, dict[str, str]] = {
    "account_opened": {"actor": "api:1"},
    "state_changed": {"reason": "active -> suspended"},
    "top_up": {"reference": "order-1", "balance": "3.00"},
    "payment": {"reference": "camt-1"},
    "adjustment": {},
    "refund": {},
    "transfer": {"reason": "to bob: gift"},
    "reversal": {"reference": "reversal:1"},
    "merged": {"reference": "merge:bob:1", "reason": "from bob", "balance": "3.00"},
    "expired": {},
    "low_balance": {"balance": "0.45", "threshold": "0.50"},
    "fraud_suspected": {"why": "5.10 are spent in a minute", "action": "block"},
    "cap_warning": {"cap": "roaming", "percent": "80", "most": "50.00"},
    "cap_reached": {"cap": "kid", "percent": "100", "units": "2 GB"},
    "tier_reached": {"counter": "data", "tier": "2", "used": "10", "status": "slow", "ends_at_ms": "1"},
    "bundle_warning": {"bundle": "Minutes", "percent": "80"},
    "bundle_used": {"bundle": "Minutes", "percent": "100"},
    "package_bought": {"package": "Starter", "price": "5.00"},
    "renewed": {"package": "Starter", "price": "5.00"},
    "renewal_failed": {"package": "Starter", "price": "5.00", "balance": "1.00"},
    "subscription_ended": {"package": "Starter", "reason": "Starter: as cancelled"},
    "expiry_near": {"what": "money", "ends_on": "2026-02-01", "ends_at_ms": "1", "balance": "1.00"},
    "plan_changed": {"plan_before": "a", "plan": "b"},
    "automatic_top_up": {"reference": "pi_1", "balance": "12.00"},
    "automatic_top_up_failed": {"threshold": "2.00", "why": "card_declined"},
    "automatic_top_up_stopped": {"threshold": "2.00", "why": "card_declined"},
    "chargeback": {"reference": "pi_1", "reason": "disputed", "balance": "-3.00"},
    "session_refused": {"why": "no_money", "service": "voice", "destination": "4930"},
}
"""The least that each event brings beside ``ALWAYS``, as docs/events.md lists it."""


@pytest.mark.parametrize("language", sorted(path.stem for path in (CONFIG / "messages").glob("*.toml")))
def test_each_event_has_words_in_each_language(language: str) -> None:
    """None of them falls back to another language, and nothing that the event does not bring is asked for."""
    assert FACTS.keys() == EVENT_TYPES
    words = load_words(CONFIG, language)
    assert isinstance(words, Dictionary)
    for kind, facts in FACTS.items():
        assert words.has(kind, language), f"messages/{language}.toml lacks [{kind}]"
        values = ALWAYS | facts
        mail = words.mail(kind, language, values)
        assert {"en": "Account", "de": "Konto", "fr": "Compte"}[language] + " alice" in mail.text
        assert words.sms(kind, language, values).text


@pytest.mark.parametrize("language", ["en", "de", "fr"])
@pytest.mark.parametrize("on", ["2026-11-03", ""])
@pytest.mark.parametrize("kind", [ANNOUNCED, COLLECTION_FAILED])
def test_collections_have_words_in_each_language(kind: str, on: str, language: str) -> None:
    """With the day that they are about, and without one where there is none."""
    if kind == ANNOUNCED and not on:
        return  # it always has one
    words = load_words(CONFIG, language)
    assert isinstance(words, Dictionary)
    assert words.has(kind, language)
    values = {"name": "B", "number": "R-1", "open": "11.90", "currency": "EUR", "method": "", "on": on, "issuer": "E"}
    for text in (words.mail(kind, language, values).text, words.sms(kind, language, values).text):
        assert ("2026" in text or "26" in text) is bool(on)
        assert "11" in text


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_each_reason_of_a_refusal_is_said_in_words(language: str) -> None:
    """No customer reads the name of a reason."""
    said = {
        dictionary().sms("session_refused", language, ALWAYS | {"service": "voice", "why": why}).text
        for why in ALL_REASONS
    }
    assert len(said) == len(ALL_REASONS)
    assert not any(why in text for why in ALL_REASONS - {"expired"} for text in said if "_" in why)


def test_words_cannot_reach_out() -> None:
    """The sandbox: templates show values and nothing else; what is missing is said."""
    words = dictionary()
    with pytest.raises(WordsError, match="balance"):
        words.sms("low_balance", "en", {})
    with pytest.raises(WordsError, match="no words"):
        words.mail("nothing", "en", {})


def test_a_subject_is_one_line() -> None:
    """A value with line breaks makes no header of its own."""
    said = dictionary().mail(
        "bundle_used", "en", {"bundle": "a\r\nBcc: b@c", "account_id": "x", "at": "2026-01-01T00:00Z"}
    )
    assert said.subject == "a Bcc: b@c is used up"


def test_the_sample_has_no_faults() -> None:
    """As `ocs config check` says it; and it delivers nothing before it is told where."""
    read = read_delivery(CONFIG)
    assert not isinstance(read, list)
    assert not read[0].is_needed


def test_every_fault_is_named_with_place_and_cure(tmp_path: Path) -> None:
    """All of them at once."""
    (tmp_path / "delivery.toml").write_text(
        'language = "en"\nspeed = 1\n[mail]\nhost = "m"\nsender = "x"\n[sms]\nurl = "ftp://x"\nbody = "{"\n'
        '[[webhook]]\nname = "crm"\nurl = "crm"\nsecrets = ["short"]\nevents = ["low_balanc"]\ntimeout_s = 0\n'
        '[[tell]]\nevents = ["top_up"]\nby = ["fax"]\n[quiet]\nbegins = "25:00"\ntime_zone = "Mars"\n[retry]\nfirst_s = 0\n'
    )
    found = [str(fault) for fault in check_delivery(tmp_path)]
    assert found[0].startswith("delivery.toml:2: speed: is not a known field"), found
    assert any("tell.by" in fault for fault in found)
    text = (tmp_path / "delivery.toml").read_text().replace("speed = 1\n", "").replace('"fax"', '"mail"')
    (tmp_path / "delivery.toml").write_text(text)
    found = [str(fault) for fault in check_delivery(tmp_path)]
    for words in (
        "mail.sender: is missing",
        "sms.url: 'ftp://x' is no address",
        "sms.body: is no JSON",
        "webhook.url: 'crm' is no address",
        "webhook.secrets: each is whsec_",
        "there is no event 'low_balanc' (did you mean low_balance?)",
        "webhook.timeout_s: has to be 1 to 60",
        "quiet.begins: '25:00' is no time",
        "quiet.time_zone: 'Mars' is no zone",
        "retry.first_s: has to be 1 or more",
    ):
        assert any(words in fault for fault in found), (words, found)


def test_who_is_told_needs_words(tmp_path: Path) -> None:
    """An event without a template is found before it happens."""
    (tmp_path / "delivery.toml").write_text('[[tell]]\nevents = ["expired"]\nby = ["mail"]\n')
    (fault,) = check_delivery(tmp_path)
    assert "there are no words for expired" in str(fault)
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "en.toml").write_text('[expired]\nsubject = "{{ amount"\nmail = ""\n')
    (fault,) = check_delivery(tmp_path)
    assert "messages/en.toml:2: expired.subject" in str(fault)


def test_without_a_file_nothing_is_delivered(tmp_path: Path) -> None:
    """And nothing is wrong."""
    found = load_delivery(tmp_path)
    assert isinstance(found, Delivery)
    assert not found.is_needed


def test_a_contact_is_checked() -> None:
    """Each wrong field by its name."""
    wrong = Contact(account_id="a", mail="a@b\nBcc: c", phone="0151", language="german", time_zone="X", muted=("y",))
    assert [fault.field for fault in faults_of(wrong)] == ["mail", "phone", "language", "time_zone", "muted"]
    right = Contact(account_id="a", mail="a.b+c@example.net", phone="+4915112345678", language="de-AT", time_zone="UTC")
    assert faults_of(right) == []
