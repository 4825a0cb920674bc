"""HTTP Digest over RADIUS (RFC 5090), and the draft's form of it that SIP proxies still send: what was said, and
whether it is right.

A digest proves the password without showing it: response = H(H(A1):nonce:H(A2)), with nonce-count, cnonce and qop
between where there is a qop (RFC 2617, section 3.2.2).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from protocols.radius import attributes as a
from protocols.radius.attributes import text
from protocols.radius.packet import Packet, attribute

# RFC 5090, section 3
RESPONSE: Final = 103
REALM: Final = 104
NONCE: Final = 105
RESPONSE_AUTH: Final = 106
METHOD: Final = 108
URI: Final = 109
QOP: Final = 110
ALGORITHM: Final = 111
ENTITY_BODY_HASH: Final = 112
CNONCE: Final = 113
NONCE_COUNT: Final = 114
USERNAME: Final = 115
STALE: Final = 120
HA1: Final = 121
SIP_AOR: Final = 122
# draft-sterman-aaa-sip: Digest-Response and the sub-attributes of Digest-Attributes
DRAFT_RESPONSE: Final = 206
DRAFT_ATTRIBUTES: Final = 207

_FIELDS: Final = {
    "realm": (REALM, 1),
    "nonce": (NONCE, 2),
    "method": (METHOD, 3),
    "uri": (URI, 4),
    "qop": (QOP, 5),
    "algorithm": (ALGORITHM, 6),
    "body_hash": (ENTITY_BODY_HASH, 7),
    "cnonce": (CNONCE, 8),
    "nonce_count": (NONCE_COUNT, 9),
    "username": (USERNAME, 10),
}
HA1_MARK: Final = "{HA1}"  # before what is kept instead of a password; no password begins so
_NONCE_MARK: Final = "ocs1."
_SIGNATURE_DIGITS: Final = 32


class Judgement(Enum):
    """What a digest turned out to be; the value is the word in metrics."""

    RIGHT = "right"
    WRONG = "wrong_digest"
    INCOMPLETE = "incomplete_digest"
    UNSUPPORTED = "unsupported_digest"


class Digest(msgspec.Struct, frozen=True):
    """What one request says, quotes and escapes resolved. "" is not said. ``response`` "" asks for a challenge."""

    response: str
    realm: str = ""
    nonce: str = ""
    method: str = ""
    uri: str = ""
    qop: str = ""
    algorithm: str = ""
    body_hash: str = ""
    cnonce: str = ""
    nonce_count: str = ""
    username: str = ""
    sip_aor: str = ""
    is_draft: bool = False


def digest_of(packet: Packet) -> Digest | None:
    """The request's digest, or its wish for a challenge (method and URI without a nonce); None if it has neither."""
    if packet.has(a.DIGEST_RESPONSE_OF_DRAFT):
        said = _draft_fields(packet.values(DRAFT_ATTRIBUTES))
        response = _plain(text(packet.first(DRAFT_RESPONSE) or b""))
        fields = {name: said.get(number, "") for name, (_, number) in _FIELDS.items()}
        return msgspec.structs.replace(Digest(response, is_draft=True), **fields)
    if not packet.has(RESPONSE) and not (packet.has(METHOD) and packet.has(URI)):
        return None
    first = {kind: _plain(text(values[0])) for kind, values in packet.attributes.items()}
    fields = {name: first.get(kind, "") for name, (kind, _) in _FIELDS.items()}
    return msgspec.structs.replace(Digest(first.get(RESPONSE, ""), sip_aor=first.get(SIP_AOR, "")), **fields)


def _draft_fields(values: Sequence[bytes]) -> dict[int, str]:
    """One sub-attribute in each Digest-Attributes, or several; what has wrong lengths is left out [R-85]."""
    found: dict[int, str] = {}
    for value in values:
        offset = 0
        while offset + 2 <= len(value):
            number, size = value[offset], value[offset + 1]
            if size < 2 or offset + size > len(value):
                break
            found.setdefault(number, _plain(text(value[offset + 2 : offset + size])))
            offset += size
    return found


def _plain(said: str) -> str:
    """Without the quotes of the header it came from, its escapes resolved."""
    if len(said) < 2 or said[0] != '"' or said[-1] != '"':
        return said
    inner = said[1:-1]
    return inner.replace('\\"', '"').replace("\\\\", "\\") if "\\" in inner else inner


def stored_digests(by_realm: Mapping[str, str]) -> str:
    """What is kept instead of a password: H(A1) = MD5(user:realm:password) for each realm [R-84]."""
    return HA1_MARK + "\n".join(f"{digits.lower()} {realm}" for realm, digits in by_realm.items())


def digests_by_realm(kept: str) -> dict[str, str] | None:
    """The other way; None for a password in clear."""
    if not kept.startswith(HA1_MARK):
        return None
    lines = (line.partition(" ") for line in kept.removeprefix(HA1_MARK).split("\n"))
    return {realm: digits for digits, _, realm in lines}


def made_of(username: str, password: str, kept: str) -> bool:
    """Whether one of the kept digests is of this password."""
    return any(
        hmac.compare_digest(_hash(f"{username}:{realm}:{password}"), digits)
        for realm, digits in (digests_by_realm(kept) or {}).items()
    )


def judge(digest: Digest, password: str) -> Judgement:
    """Whether the digest was made with this password, or with what is kept of it. An empty one lets nobody in."""
    if digest.algorithm.lower() not in ("", "md5", "md5-sess") or digest.qop.lower() not in ("", "auth", "auth-int"):
        return Judgement.UNSUPPORTED
    needed = [digest.response, digest.realm, digest.nonce, digest.method, digest.uri, digest.username]
    if digest.qop or digest.algorithm.lower() == "md5-sess":
        needed.append(digest.cnonce)
    if digest.qop:
        needed.append(digest.nonce_count)
    if digest.qop.lower() == "auth-int":
        needed.append(digest.body_hash)
    if not all(needed):
        return Judgement.INCOMPLETE
    expected = _response(digest, password, digest.method)
    is_known = bool(password) and bool(_user_secret(digest, password))
    is_right = is_known and hmac.compare_digest(expected.encode(), digest.response.lower().encode())
    return Judgement.RIGHT if is_right else Judgement.WRONG


def proof_for_client(digest: Digest, password: str, *, is_protected: bool) -> bytes:
    """What an Accept adds, so that the client can believe us in turn: Digest-Response-Auth, or for auth-int, where we
    do not know the answer's body, Digest-HA1 if nobody else can use it (RFC 5090, section 2.1.3).
    """
    if digest.is_draft:
        return b""
    if digest.qop.lower() == "auth-int":
        is_session = digest.algorithm.lower() == "md5-sess"
        return attribute(HA1, _ha1(digest, password).encode()) if is_session or is_protected else b""
    return attribute(RESPONSE_AUTH, _response(digest, password, "").encode())


def _ha1(digest: Digest, password: str) -> str:
    """H(A1), which for MD5-sess is bound to the two nonces."""
    secret = _user_secret(digest, password)
    return _hash(f"{secret}:{digest.nonce}:{digest.cnonce}") if digest.algorithm.lower() == "md5-sess" else secret


def _user_secret(digest: Digest, password: str) -> str:
    """MD5(user:realm:password), of the password or as it is kept; "" for a realm that nothing is kept of."""
    kept = digests_by_realm(password)
    if kept is None:
        return _hash(f"{digest.username}:{digest.realm}:{password}")
    return kept.get(digest.realm, "")


def _response(digest: Digest, password: str, method: str) -> str:
    secret = _ha1(digest, password)
    action = f"{method}:{digest.uri}"
    if digest.qop.lower() == "auth-int":
        action += f":{digest.body_hash}"
    between = f"{digest.nonce_count}:{digest.cnonce}:{digest.qop}:" if digest.qop else ""
    return _hash(f"{secret}:{digest.nonce}:{between}{_hash(action)}")


def _hash(octets: str) -> str:
    return hashlib.md5(octets.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


# --- challenges -------------------------------------------------------------------------------------------------


def make_nonce(now_ms: int, chance: bytes, secret: bytes) -> str:
    """A nonce that any of our processes can check without having kept it [R-82]."""
    body = f"{now_ms:x}.{chance.hex()}"
    return f"{_NONCE_MARK}{body}.{_signature(body, secret)}"


def nonce_age_ms(nonce: str, secret: bytes, now_ms: int) -> int | None:
    """How old a nonce of ours is; None for one that we did not make."""
    if not nonce.startswith(_NONCE_MARK):
        return None
    body, _, signature = nonce.removeprefix(_NONCE_MARK).rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(body, secret).encode()):
        return None
    return now_ms - int(body.partition(".")[0], 16)


def _signature(body: str, secret: bytes) -> str:
    return hmac.digest(secret, b"nonce" + body.encode("utf-8", "replace"), "sha256").hex()[:_SIGNATURE_DIGITS]


def challenge(realm: str, nonce: str, *, is_stale: bool) -> bytes:
    """The attributes of an Access-Challenge; State is required, and the nonce serves for it (RFC 5090, section 2.1.2)."""
    said = [(NONCE, nonce), (REALM, realm), (ALGORITHM, "MD5"), (QOP, "auth"), (a.STATE, nonce)]
    if is_stale:
        said.append((STALE, "true"))
    return b"".join(attribute(kind, value.encode()) for kind, value in said)
