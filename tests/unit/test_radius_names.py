"""Names of subscribers, numbers, gateways, calls and authorizations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.gateways.radius_names import (
    authorization_key,
    class_of_key,
    client_prefix,
    identities_of,
    identity_forms,
    key_of_class,
    nas_prefix,
    normal_number,
)
from ocs.settings import RadiusClient
from protocols.radius.reading import Field, Reading
from tests.wire.radius_packets import named, reading_of

SECRET = b"s3cret"


FIELDS = {
    Field.ACCOUNT: ("Asterisk-Acc-Code", "User-Name", "Asterisk-Src"),
    Field.CALLER: ("Calling-Station-Id",),
    Field.CALLEE: ("Called-Station-Id",),
    Field.CALL: ("h323-conf-id", "call-id"),
}


def record(user_name: str = "", called: str = "", calling: str = "", **more: str) -> Reading:
    names = {"User-Name": user_name, "Called-Station-Id": called, "Calling-Station-Id": calling}
    values = names | {name.replace("_", "-"): value for name, value in more.items()}
    return reading_of([], FIELDS, named({name: f'"{value}"' for name, value in values.items() if value}))


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("4915112345", ("e164:4915112345", "name:4915112345")),
        ("+4915112345", ("e164:4915112345", "name:+4915112345")),
        ("+49 (151) 12-345", ("e164:4915112345", "name:+49 (151) 12-345")),
        ("tel:+4915112345;phone-context=x", ("e164:4915112345", "name:tel:+4915112345;phone-context=x")),
        ("sip:alice@Example.NET", ("sip:alice@example.net", "name:sip:alice@Example.NET")),
        ("SIP:+49151@x.net;user=phone", ("e164:49151", "sip:+49151@x.net", "name:SIP:+49151@x.net;user=phone")),
        ("alice@example.net", ("sip:alice@example.net", "name:alice@example.net")),
        ("alice", ("name:alice",)),
        (" alice ", ("name:alice",)),
        ("1234567890123456", ("name:1234567890123456",)),
        ("@x", ("name:@x",)),
        ("192.0.2.7", ("ip:192.0.2.7", "name:192.0.2.7")),
        ("2001:DB8::7", ("ip:2001:db8::7", "name:2001:DB8::7")),
        ("", ()),
        ("  ", ()),
        ("٤٩", ("name:٤٩",)),
    ],
)
def test_identity_forms(text: str, forms: tuple[str, ...]) -> None:
    """A number, a SIP address and a bare name are looked up in this order."""
    assert identity_forms(text) == forms


def test_every_account_name_is_tried_in_the_order_of_the_profile() -> None:
    """Asterisk's User-Name is a channel's name: the account code comes first, the caller's number last."""
    assert identities_of(record(user_name="alice", calling="49151")) == ("name:alice",)
    assert identities_of(record(calling="49151")) == ()
    call = record("SIP/trunk-1", Asterisk_Acc_Code="acc1", Asterisk_Src="49151")
    assert identities_of(call) == ("name:acc1", "name:SIP/trunk-1", "e164:49151", "name:49151")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("442012345", "442012345"),
        ("+44 20-12345", "442012345"),
        ("sip:+442012345@gw.example.net;user=phone", "442012345"),
        ("tel:+442012345", "442012345"),
        ("sip:bob@example.net", "bob"),
        ("*100#", "*100#"),
        ("", ""),
    ],
)
def test_numbers_to_rate(text: str, number: str) -> None:
    """Digits where there are digits, else the user part."""
    assert normal_number(text) == number


def test_one_gateways_prefix_is_never_the_beginning_of_anothers_name() -> None:
    """Colons inside names are escaped, and a gateway called "auth" is no authorization."""
    prefix = client_prefix(RadiusClient(name="a:b", networks=(), secret="x"))
    assert prefix == "ra:a%3Ab:"
    assert nas_prefix(prefix, "2001:db8::1") == "ra:a%3Ab:2001%3Adb8%3A%3A1:"
    assert not nas_prefix(prefix, "2001:db8::1").startswith(nas_prefix(prefix, "2001"))
    assert not authorization_key(record("alice"), prefix).startswith(nas_prefix(prefix, "auth"))


def test_r35_an_authorization_is_named_by_who_calls_whom() -> None:
    """The same call has the same name, whatever form its conf-id has; another call has another."""
    first = authorization_key(record("a", "44", "49", h323_conf_id="A 1 2 3"), "ra:c:")
    again = authorization_key(record("a", "44", "49", h323_conf_id="0000000a 1 2 3"), "ra:c:")
    assert first == again
    others = {
        authorization_key(record("a", "44", "49"), "ra:c:"),
        authorization_key(record("a", "44", "49", call_id="x"), "ra:c:"),
        authorization_key(record("a", "44", "4"), "ra:c:"),
        authorization_key(record("b", "44", "49"), "ra:c:"),
        authorization_key(record("b", "449", "4"), "ra:c:"),
        authorization_key(record("a", "44", "49"), "ra:d:"),
        first,
    }
    assert len(others) == 7
    assert len(first) == len("ra:c:auth:") + 32


@given(st.text(max_size=180).filter(lambda text: text.isprintable()))
def test_r44_class_brings_the_key_back(key: str) -> None:
    """What we signed we believe, if it fits one attribute."""
    value = class_of_key(key, SECRET)
    if value is not None:
        assert len(value) <= 253
        assert key_of_class(value, SECRET) == key
        assert key_of_class(value, b"other") is None


@pytest.mark.parametrize("value", [b"", b"ocs1.", b"ocs1.000000000000000000000000.ra:c:x", b"theirs", b"\xff\x00"])
def test_r44_a_class_that_is_not_ours_says_nothing(value: bytes) -> None:
    """Forged, of another server, or broken."""
    assert key_of_class(value, SECRET) is None


def test_r44_a_key_too_long_for_class_is_left_out() -> None:
    """Its length comes from an Acct-Session-Id, which binds the Start as well."""
    assert class_of_key("k" * 300, SECRET) is None
