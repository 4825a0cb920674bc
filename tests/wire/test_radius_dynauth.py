"""Disconnect and CoA on the wire: known answers, and which answers are believed (RFC 5176)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.radius.dynauth import DELAYS_MS, TRANSMISSIONS_MAX, DynamicAnswer, delay_ms, dynamic_request, read_answer
from tests.wire.radius_packets import SECRET, attributes_of

REQUEST = dynamic_request(40, 3, attributes_of({44: "abc-1"}), SECRET)


def reply(code: int, body: bytes = b"", identifier: int = 3, secret: bytes = SECRET) -> bytes:
    head = bytes((code, identifier)) + (20 + len(body)).to_bytes(2, "big")
    return head + hashlib.md5(head + REQUEST[4:20] + body + secret).digest() + body


def test_the_known_answer() -> None:
    """Secret s3cret, identifier 3, Acct-Session-Id abc-1."""
    assert bytes.fromhex("2803001b2903888bad956eef5218a2202fb12cdb2c076162632d31") == REQUEST


@pytest.mark.parametrize(
    ("octets", "answer"),
    [
        (reply(41), DynamicAnswer(is_ack=True, error_cause=0)),
        (reply(42, attributes_of({101: 503})), DynamicAnswer(is_ack=False, error_cause=503)),
        (reply(42, attributes_of({101: b"\x01"})), DynamicAnswer(is_ack=False, error_cause=0)),
        (reply(44), None),
        (reply(41, identifier=4), None),
        (reply(41, secret=b"guess"), None),
        (reply(41, attributes_of({80: bytes(16)})), None),
        (reply(41)[:19], None),
        (b"", None),
    ],
)
def test_r10_r11_only_the_gateways_own_answer_is_believed(octets: bytes, answer: DynamicAnswer | None) -> None:
    """Its code, identifier, authenticator and, if there is one, Message-Authenticator have to be right."""
    assert read_answer(octets, REQUEST, SECRET) == answer


def test_r90_repeats_take_longer_and_longer() -> None:
    """RFC 5080, section 2.2.1: 2 s doubling to 16, a tenth around, five transmissions within half a minute or so."""
    assert [delay_ms(n, 500) for n in range(1, TRANSMISSIONS_MAX + 1)] == [*DELAYS_MS, DELAYS_MS[0]]
    assert (delay_ms(1, 0), delay_ms(1, 1000)) == (1800, 2200)
    assert sum(DELAYS_MS) == 30_000


@given(st.binary(max_size=60))
def test_no_octets_make_it_fail(octets: bytes) -> None:
    """Anybody can send to the port."""
    assert read_answer(octets, REQUEST, SECRET) is None
