"""HTTP Digest over RADIUS: known answers, both forms, nonces and challenges [R-80] to [R-85]."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.radius.digest import (
    Digest,
    Judgement,
    challenge,
    digest_of,
    digests_by_realm,
    judge,
    make_nonce,
    nonce_age_ms,
    proof_for_client,
    stored_digests,
)
from protocols.radius.packet import decode
from protocols.radius.records import Credentials, credentials_of, has_digest
from tests.wire.radius_packets import access_request, attributes_of

CALL = Digest(
    "", realm="example.net", nonce="n1", method="INVITE", uri="sip:+4420123@example.net", username="alice"
)  # fmt: skip
QOP: dict[str, Any] = {"qop": "auth", "nonce_count": "00000001", "cnonce": "c1"}
NOW_MS = 1_700_000_000_000


def said(**fields: Any) -> Digest:
    values = {name: getattr(CALL, name) for name in Digest.__struct_fields__}
    return Digest(**(values | fields))


@pytest.mark.parametrize(
    ("fields", "response"),
    [
        ({}, "5eeb3aeb13ba779789713709803f0115"),
        (QOP, "54e155a0141e05537cb4e16d45050b32"),
        ({**QOP, "algorithm": "MD5-sess"}, "7e11192b9dc25925518977df963aa432"),
    ],
)
def test_r80_known_answers(fields: dict[str, str], response: str) -> None:
    """Without qop, with it, and bound to the session; another password, method or case of the user is wrong."""
    assert judge(said(response=response, **fields), "wonder") is Judgement.RIGHT
    assert judge(said(response=response.upper(), **fields), "wonder") is Judgement.RIGHT
    assert judge(said(response=response, **fields), "Wonder") is Judgement.WRONG
    assert judge(said(response=response, **{**fields, "method": "BYE"}), "wonder") is Judgement.WRONG
    assert judge(said(response=response, **{**fields, "username": "Alice"}), "wonder") is Judgement.WRONG
    assert judge(said(response=response, **fields), "") is Judgement.WRONG


def test_r84_what_is_kept_of_passwords_reads_back() -> None:
    """Realms may have blanks; a password in clear is none of it, and a realm that is not kept lets nobody in."""
    kept = {"example.net": "7714653fcc269f6c8a1979ecc788eb01", "a realm": "0" * 32}
    assert digests_by_realm(stored_digests(kept)) == kept
    assert digests_by_realm("wonder") is None
    response = "5eeb3aeb13ba779789713709803f0115"
    assert judge(said(response=response), stored_digests(kept)) is Judgement.RIGHT
    assert judge(said(response=response), stored_digests({"other": "0" * 32})) is Judgement.WRONG
    empty = said(realm="other", response="")
    forged = hashlib.md5(f":n1:{hashlib.md5(b'INVITE:sip:+4420123@example.net').hexdigest()}".encode()).hexdigest()
    assert judge(said(realm="other", response=forged), stored_digests(kept)) is Judgement.WRONG
    assert judge(empty, stored_digests(kept)) is Judgement.INCOMPLETE


def test_r80_the_proof_for_the_client() -> None:
    """Response-Auth uses ":" and the URI; for auth-int it is H(A1), and only where nobody else can use it."""
    answer = digest_of(decode(access_request(proof_for_client(said(**QOP), "wonder", is_protected=False))))
    assert answer is None
    assert proof_for_client(said(**QOP), "wonder", is_protected=False) == attributes_of(
        {106: "fb323437f0b525e1a44e6bb05ac30691"}
    )
    whole = said(**{**QOP, "qop": "auth-int", "body_hash": "0" * 32})
    assert proof_for_client(whole, "wonder", is_protected=False) == b""
    assert proof_for_client(whole, "wonder", is_protected=True) == attributes_of(
        {121: "7714653fcc269f6c8a1979ecc788eb01"}
    )


@pytest.mark.parametrize(
    ("fields", "judgement"),
    [
        ({"algorithm": "SHA-256"}, Judgement.UNSUPPORTED),
        ({"qop": "auth-conf"}, Judgement.UNSUPPORTED),
        ({"nonce": ""}, Judgement.INCOMPLETE),
        ({"username": ""}, Judgement.INCOMPLETE),
        ({"qop": "auth", "cnonce": "c1"}, Judgement.INCOMPLETE),
        ({**QOP, "qop": "auth-int"}, Judgement.INCOMPLETE),
        ({"algorithm": "MD5-sess"}, Judgement.INCOMPLETE),
    ],
)
def test_what_cannot_be_judged_is_refused(fields: dict[str, str], judgement: Judgement) -> None:
    """Algorithms we do not have, and digests that leave out what they need."""
    assert judge(said(response="0" * 32, **fields), "wonder") is judgement


def digest_in(values: dict[int, Any]) -> Digest | None:
    return digest_of(decode(access_request(attributes_of(values))))


def test_r85_the_drafts_form() -> None:
    """One sub-attribute in each Digest-Attributes, or several in one; quotes are no part of the text."""
    subs = [(10, "alice"), (1, '"example.net"'), (2, "n1"), (4, "sip:+4420123@example.net"), (3, "INVITE")]
    octets = [bytes((kind, len(text) + 2)) + text.encode() for kind, text in subs]
    for parts in (octets, [b"".join(octets)]):
        found = digest_in({206: "5eeb3aeb13ba779789713709803f0115", 207: parts})
        assert found is not None
        assert (found.username, found.realm, found.is_draft) == ("alice", "example.net", True)
        assert judge(found, "wonder") is Judgement.RIGHT
        assert proof_for_client(found, "wonder", is_protected=True) == b""
    broken = digest_in({206: "x", 207: [b"\x01\x09ab", b"\x01", b"\x02\x01"]})
    assert broken is not None
    assert (broken.realm, broken.nonce) == ("", "")


def test_rfc_5090s_form() -> None:
    """Each field an attribute of its own; escapes are resolved."""
    found = digest_in(
        {103: "r", 104: r'"a \"b\" \\c"', 105: "n", 108: "INVITE", 109: "sip:x", 115: "u", 122: "sip:u@x"}
    )
    assert found == Digest("r", r'a "b" \c', "n", "INVITE", "sip:x", username="u", sip_aor="sip:u@x")
    assert digest_in({108: "INVITE", 109: "sip:x"}) == Digest("", method="INVITE", uri="sip:x")
    assert digest_in({108: "INVITE", 2: bytes(16)}) is None


@pytest.mark.parametrize(
    ("values", "kind", "is_rfc"),
    [
        ({103: "r"}, Credentials.DIGEST, True),
        ({108: "INVITE", 109: "sip:x"}, Credentials.DIGEST, True),
        ({206: "r", 207: b"\x01\x03x"}, Credentials.DIGEST, False),
        ({103: "r", 2: bytes(16)}, Credentials.UNSUPPORTED, True),
        ({2: bytes(16), 3: bytes(17)}, Credentials.UNSUPPORTED, False),
        ({79: b"\x02"}, Credentials.UNSUPPORTED, False),
        ({}, Credentials.NONE, False),
    ],
)
def test_r13_r23_what_proves_the_user(values: dict[int, Any], kind: Credentials, is_rfc: bool) -> None:
    """One kind at a time; the RFC's form demands a Message-Authenticator, the draft's clients do not know it."""
    packet = decode(access_request(attributes_of(values)))
    assert (credentials_of(packet), has_digest(packet)) == (kind, is_rfc)


def test_r82_a_nonce_of_ours_is_known_without_having_been_kept() -> None:
    """By its signature; nobody can make one, nor change its age."""
    nonce = make_nonce(NOW_MS, b"chance", b"secret")
    assert nonce_age_ms(nonce, b"secret", NOW_MS + 5000) == 5000
    assert nonce_age_ms(nonce, b"other", NOW_MS) is None
    assert nonce_age_ms(nonce.replace(f"{NOW_MS:x}", f"{NOW_MS + 1:x}"), b"secret", NOW_MS) is None
    assert nonce_age_ms("n1", b"secret", NOW_MS) is None
    assert make_nonce(NOW_MS, b"other!", b"secret") != nonce


def test_a_challenge_has_one_realm_and_a_state() -> None:
    """RFC 5090, section 2.1.2."""
    found = decode(access_request(challenge("example.net", "n", is_stale=True))).attributes
    del found[80]
    expected = {105: (b"n",), 104: (b"example.net",), 111: (b"MD5",), 110: (b"auth",), 24: (b"n",), 120: (b"true",)}
    assert found == expected


@given(st.binary(max_size=120), st.binary(max_size=120))
def test_no_octets_make_it_fail(first: bytes, second: bytes) -> None:
    """Clients send what they like."""
    found = digest_in({206: first or b"x", 207: [second, first]})
    assert found is not None
    judge(found, "wonder")
    nonce_age_ms(found.nonce, b"s", NOW_MS)
