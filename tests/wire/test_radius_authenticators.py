"""Known answers for everything the shared secret makes (RFC 2865, section 7; the rest computed by other programs)."""

from __future__ import annotations

import pytest

from protocols.radius import attributes as a
from protocols.radius.authenticators import (
    chap_response,
    has_valid_message_authenticator,
    has_valid_request_authenticator,
    hide_password,
    is_chap_password_right,
    reveal_password,
    sign_reply,
    zero_authenticator,
)
from protocols.radius.packet import attribute, decode
from protocols.radius.records import Credentials, credentials_of, is_password_right, is_secret_suspect
from tests.wire.radius_packets import COUNTING, SECRET, access_request, accounting_request, attributes_of

NEMO_SECRET = b"xyzzy5461"
NEMO = bytes.fromhex(
    "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003"
)
NEMO_ACCEPT = bytes.fromhex("0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103")
START = bytes.fromhex(
    "04070034d1773436ab15924206fb38d993a713842806000000012c076162632d31010d37343935313233343536370406c000020a"
)
START_RESPONSE = bytes.fromhex("05070014b59497d06347fa2141d5c7ce061502f3")
SIGNED_START = bytes.fromhex(
    "04080046200067cd3444b7dab06b387a21d82bc45012db851320064947666c2eaf31b28e51c82806000000012c076162632d31010d"
    "37343935313233343536370406c000020a"
)
ACCESS = bytes.fromhex(
    "01090043000102030405060708090a0b0c0d0e0f50125ee2c914729b3a65eaee7a23271386780107616c6963651f0d3734393530"
    "3030303030311e0934343230313233"
)
ACCESS_ACCEPT = bytes.fromhex(
    "020900488314e3506e785bd8f0793bd74fe279cd5012a78ac2ad30ccb595cb946851b56c43291b060000021c1a1c0000000966166833"
    "32332d6372656469742d74696d653d353430"
)


def test_rfc2865_password_and_accept() -> None:
    """RFC 2865, section 7.1: user nemo, password arctangent, and the Accept to it."""
    request = decode(NEMO)
    assert reveal_password(request.attributes[2][0], request.authenticator, NEMO_SECRET) == b"arctangent"
    assert hide_password(b"arctangent", request.authenticator, NEMO_SECRET) == request.attributes[2][0]
    body = attributes_of({6: 1, 15: 0, 14: bytes((192, 168, 1, 3))})
    assert sign_reply(2, request, body, NEMO_SECRET, with_message_authenticator=False) == NEMO_ACCEPT


def test_chap_response() -> None:
    """RFC 1994, section 4.1, with a challenge of its own."""
    challenge = bytes.fromhex("2aee86f08d0d55969ca5978e0d3367a2")
    response = bytes.fromhex("e97557c316185895f293ff6344077275")
    assert chap_response(0x16, b"arctangent", challenge) == response
    assert is_chap_password_right(b"\x16" + response, b"arctangent", challenge)
    assert not is_chap_password_right(b"\x16" + response, b"arctangenT", challenge)
    assert not is_chap_password_right(response, b"arctangent", challenge)


def test_a_password_of_two_blocks() -> None:
    """The second block is chained to the hidden first one (RFC 2865, section 5.2)."""
    hidden = bytes.fromhex("a29f083013a7e795f120994a046eee221ae219c0fda4fd4ef058cf4cb013b9f1")
    assert hide_password(b"a-longer-password-17+", COUNTING, SECRET) == hidden
    assert reveal_password(hidden, COUNTING, SECRET) == b"a-longer-password-17+"


@pytest.mark.parametrize("hidden", [b"", bytes(15), bytes(17), bytes(144)])
def test_a_hidden_password_of_an_unlawful_length_reveals_nothing(hidden: bytes) -> None:
    """Multiples of 16 octets, at most 128."""
    assert reveal_password(hidden, COUNTING, SECRET) is None


def test_accounting_request_and_response() -> None:
    """RFC 2866, section 3: the secret in the request's digest, the request's authenticator in the response's."""
    request = decode(START)
    assert has_valid_request_authenticator(request, SECRET)
    assert not has_valid_request_authenticator(request, b"other")
    assert sign_reply(5, request, b"", SECRET, with_message_authenticator=False) == START_RESPONSE
    assert accounting_request(START[20:], 7) == START


def test_message_authenticator_of_accounting_is_over_zeros() -> None:
    """It is computed first, over a zeroed authenticator; the Request Authenticator covers it."""
    request = decode(SIGNED_START)
    assert has_valid_request_authenticator(request, SECRET)
    assert has_valid_message_authenticator(request, SECRET, zero_authenticator())
    assert not has_valid_message_authenticator(request, SECRET, request.authenticator)
    assert accounting_request(START[20:], 8, sign=True) == SIGNED_START


def test_r20_the_accept_begins_with_message_authenticator() -> None:
    """An Access reply is signed as a whole, its signature in front."""
    request = decode(ACCESS)
    assert has_valid_message_authenticator(request, SECRET, request.authenticator)
    body = attributes_of({27: 540}) + a.vendor_attribute(9, 102, b"h323-credit-time=540")
    assert sign_reply(2, request, body, SECRET, with_message_authenticator=True) == ACCESS_ACCEPT


@pytest.mark.parametrize("damage", [{80: b""}, {80: bytes(15)}, {80: bytes(16)}, {80: [bytes(16), bytes(16)]}])
def test_r11_a_message_authenticator_that_is_wrong_in_any_way(damage: dict[int, bytes | list[bytes]]) -> None:
    """Wrong value, wrong length, or more than one."""
    packet = decode(access_request(attributes_of(dict(damage)), sign=False))
    assert not has_valid_message_authenticator(packet, SECRET, packet.authenticator)


def test_r11_two_valid_looking_ones_are_one_too_many() -> None:
    """The second could be a forger's."""
    packet = decode(access_request(attribute(80, bytes(16))))
    assert not has_valid_message_authenticator(packet, SECRET, packet.authenticator)


CHAP = b"\x01" + chap_response(1, b"wonder", COUNTING)
OWN_CHALLENGE = b"\x02" + chap_response(2, b"wonder", b"own challenge")


@pytest.mark.parametrize(
    ("attributes", "kind", "is_right"),
    [
        ({2: hide_password(b"wonder", COUNTING, SECRET)}, Credentials.PASSWORD, True),
        ({2: hide_password(b"Wonder", COUNTING, SECRET)}, Credentials.PASSWORD, False),
        ({2: hide_password(b"", COUNTING, SECRET)}, Credentials.PASSWORD, False),
        ({2: bytes(7)}, Credentials.PASSWORD, False),
        ({3: CHAP}, Credentials.CHAP, True),
        ({3: OWN_CHALLENGE, 60: b"own challenge"}, Credentials.CHAP, True),
        ({3: OWN_CHALLENGE}, Credentials.CHAP, False),
        ({2: hide_password(b"wonder", COUNTING, SECRET), 3: CHAP}, Credentials.UNSUPPORTED, False),
        ({1: "alice"}, Credentials.NONE, False),
        ({79: b"\x02"}, Credentials.UNSUPPORTED, False),
        ({206: b"a digest", 2: bytes(16)}, Credentials.UNSUPPORTED, False),
    ],
)
def test_r13_credentials(attributes: dict[int, bytes | str], kind: Credentials, is_right: bool) -> None:
    """PAP and CHAP are checked; both at once, a Digest or EAP are refused."""
    packet = decode(access_request(attributes_of(dict(attributes))))
    assert credentials_of(packet) is kind
    assert is_password_right(packet, SECRET, b"wonder") is is_right
    assert not is_password_right(packet, SECRET, b"")


def test_r14_garbage_for_a_password_suggests_another_secret() -> None:
    """A wrong secret shows as a password that is no text."""
    packet = decode(access_request(attributes_of({2: hide_password(b"wonder", COUNTING, b"another secret")})))
    assert is_secret_suspect(packet, SECRET)
    assert not is_secret_suspect(packet, b"another secret")
