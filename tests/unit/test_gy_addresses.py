"""Subscribers' and called parties' addresses in the one form that charging uses (gy-ro 15, 17)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.gateways.addresses import called_number, nai_identity, number_identity, sip_identities


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("", ""),
        ("442079460123", "442079460123"),
        ("+442079460123", "442079460123"),
        ("tel:+44-20-7946-0123", "442079460123"),
        ("TEL:+442079460123;phone-context=example.net", "442079460123"),
        ("sip:+442079460123@ims.example.net;user=phone", "442079460123"),
        ("sips:442079460123@example.net:5061", "442079460123"),
        ("sip:+442079460123;npdi;rn=+44207@example.net", "442079460123"),
        ("sip:bob@example.net", "bob"),
        ("sip:*21#@example.net", "*21#"),
        ("sip:example.net", "example.net"),
        ("١٢٣", "١٢٣"),
    ],
)
def test_called_number(address: str, number: str) -> None:
    """Scheme, plus sign, separators, parameters and domain go; a name stays a name."""
    assert called_number(address) == number


@pytest.mark.parametrize(
    ("number", "identity"),
    [
        ("4915112345", "e164:4915112345"),
        ("+4915112345", "e164:4915112345"),
        ("tel:+4915112345;isub=1", "e164:4915112345"),
        ("unknown", "e164:unknown"),
    ],
)
def test_number_identity(number: str, identity: str) -> None:
    """client-expectations 2.2: the plus sign does not make another subscriber."""
    assert number_identity(number) == identity


@pytest.mark.parametrize(
    ("uri", "identities"),
    [
        ("sip:alice@Example.NET", ("sip:alice@example.net",)),
        ("SIP:Alice@example.net;user=phone", ("sip:Alice@example.net",)),
        ("alice@example.net", ("sip:alice@example.net",)),
        ("sip:+4915112345@example.net", ("sip:+4915112345@example.net", "e164:4915112345")),
        ("sip:1001@pbx.example.net", ("sip:1001@pbx.example.net",)),
        ("sip:alice@example.net?subject=x", ("sip:alice@example.net",)),
        ("tel:+4915112345", ("e164:4915112345",)),
        ("+4915112345", ("e164:4915112345",)),
        ("sip:example.net", ("sip:example.net",)),
    ],
)
def test_sip_identities(uri: str, identities: tuple[str, ...]) -> None:
    """The domain has no case, the user part has (RFC 3261, 19.1.4); a global number is a second name."""
    assert sip_identities(uri) == identities


def test_nai_identity() -> None:
    """The realm has no case."""
    assert nai_identity("Alice@Example.NET") == "nai:Alice@example.net"
    assert nai_identity("alice") == "nai:alice"


@given(st.text(max_size=40))
def test_any_text_has_a_form(text: str) -> None:
    """Nothing a client writes is an error here, and a number found is stable."""
    number = called_number(text)
    assert called_number(number) == number or not number.isdigit()
    assert sip_identities(text)
    assert number_identity(text).startswith("e164:")
