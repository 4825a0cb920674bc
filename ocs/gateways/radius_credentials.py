"""Whether an Access-Request comes from whom it says: PAP, CHAP, Digest, or the client's address alone. Pure.

    first_look  -> refused, asked for a digest, let in, or the subscriber is to be looked up
    second_look -> what the subscriber's password says

What a process remembers (wrong attempts, used nonces) is bounded; what the others know is told to it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final, NamedTuple

from balance.store import Subscriber
from ocs.gateways.radius import Profile
from ocs.gateways.radius_names import identity_forms
from ocs.gateways.radius_profile import Reason
from ocs.settings import RadiusClient
from protocols.radius.attributes import STATE
from protocols.radius.digest import (
    Digest,
    Judgement,
    challenge,
    digest_of,
    judge,
    make_nonce,
    nonce_age_ms,
    proof_for_client,
)
from protocols.radius.packet import VALUE_OCTETS_MAX, Packet
from protocols.radius.reading import Field, Reading
from protocols.radius.records import Credentials, credentials_of, is_password_right, is_secret_suspect

NONCE_COUNT_DIGITS_MAX: Final = 12  # eight by the book; what is longer would not be exact everywhere it is kept
_HEX: Final = re.compile(r"[0-9A-Fa-f]+", re.ASCII)
NONCE_KEEP_MS: Final = 300_000
REMEMBERED_MAX: Final = 65_536


class Used(NamedTuple):
    """A nonce of ours, when it was made, and the client's count of its uses."""

    nonce: str
    issued_ms: int
    nonce_count: int


class Check(NamedTuple):
    """``reason`` None: let in, and ``octets`` are added to the Accept. With ``is_challenge`` they are a challenge's."""

    reason: Reason | None
    result: str
    octets: bytes = b""
    is_challenge: bool = False
    is_secret_suspect: bool = False


LET_IN: Final = Check(None, "success")
HEARD_BEFORE: Final = Check(Reason.WRONG_PASSWORD, "digest_heard_before")


class Attempts:
    """Wrong passwords by who tried: beyond ``attempts_max`` there is silence for ``lockout_ms`` [R-48]."""

    def __init__(self, attempts_max: int, lockout_ms: int) -> None:
        self._attempts_max = attempts_max
        self._lockout_ms = lockout_ms
        self._wrong: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def is_locked(self, who: tuple[str, str], now_ms: int) -> bool:
        count, until_ms = self._wrong.get(who, (0, 0))
        return count >= self._attempts_max and until_ms > now_ms

    def was_wrong(self, who: tuple[str, str], now_ms: int) -> None:
        count, until_ms = self._wrong.pop(who, (0, 0))
        self._wrong[who] = (count + 1 if until_ms > now_ms else 1, now_ms + self._lockout_ms)
        if len(self._wrong) > REMEMBERED_MAX:
            self._wrong.popitem(last=False)

    def were_wrong(self, who: tuple[str, str], count: int, now_ms: int) -> None:
        """So many in all, as other processes have counted as well."""
        if count > self._wrong.get(who, (0, 0))[0]:
            self._wrong[who] = (count, now_ms + self._lockout_ms)

    def was_right(self, who: tuple[str, str]) -> bool:
        """Whether the line had given wrong ones before."""
        return self._wrong.pop(who, None) is not None


class UsedNonces:
    """The highest nonce-count of each nonce: a lower one is a digest that somebody heard and says again [R-82]."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def is_heard_before(self, digest: Digest) -> bool:
        """An equal count is the client's own repeat."""
        count = _uses(digest)
        if count is None:
            return bool(digest.nonce_count)
        highest = self._counts.pop(digest.nonce, 0)
        self._counts[digest.nonce] = max(count, highest)
        if len(self._counts) > REMEMBERED_MAX:
            self._counts.popitem(last=False)
        return count < highest


def who_tries(reading: Reading, profile: Profile) -> tuple[str, str]:
    """By whom wrong attempts are counted: the caller's line, else the account's name."""
    return profile.client.name, reading.text(Field.CALLER) or reading.text(Field.ACCOUNT)


def first_look(packet: Packet, profile: Profile, chance: bytes, now_ms: int) -> Check | None:
    """What can be said without the subscriber; None: look him up. ``chance`` makes a nonce unpredictable."""
    if profile.client.credentials == "none":
        return LET_IN
    kind = credentials_of(packet)
    if kind is Credentials.DIGEST:
        digest = digest_of(packet)
        assert digest is not None, "that is what the kind says"
        return _first_look_at_digest(digest, packet, profile, chance, now_ms)
    if kind in (Credentials.PASSWORD, Credentials.CHAP):
        return None
    return Check(Reason.WRONG_PASSWORD, "no_credentials")


def second_look(
    packet: Packet, subscriber: Subscriber, secret: bytes, used: UsedNonces, *, is_protected: bool
) -> Check:
    """Judge by the subscriber's password. ``is_protected``: the connection hides what is said on it."""
    digest = digest_of(packet)
    if digest is not None:
        return _judged(digest, subscriber, used, is_protected=is_protected)
    if is_password_right(packet, secret, subscriber.password.encode()):
        return LET_IN
    return Check(Reason.WRONG_PASSWORD, "wrong_password", is_secret_suspect=is_secret_suspect(packet, secret))


def used_nonce(packet: Packet, profile: Profile, now_ms: int) -> Used | None:
    """The nonce of ours that a right digest used, to be compared with what other processes have heard; else None."""
    digest = digest_of(packet)
    age_ms = nonce_age_ms(digest.nonce, profile.secret, now_ms) if digest is not None else None
    if digest is None or age_ms is None:
        return None
    count = _uses(digest)
    return Used(digest.nonce, now_ms - age_ms, count) if count is not None else None


def _uses(digest: Digest) -> int | None:
    """nonce-count: eight hexadecimal digits (RFC 2617, section 3.2.2); None for anything that is no such number."""
    said = digest.nonce_count
    return int(said, 16) if len(said) <= NONCE_COUNT_DIGITS_MAX and _HEX.fullmatch(said) else None


def _first_look_at_digest(digest: Digest, packet: Packet, profile: Profile, chance: bytes, now_ms: int) -> Check | None:
    client = profile.client
    if digest.realm and client.realms and digest.realm not in client.realms:
        return Check(Reason.WRONG_PASSWORD, "wrong_realm")
    age_ms = nonce_age_ms(digest.nonce, profile.secret, now_ms)
    is_fresh = age_ms is not None and age_ms <= NONCE_KEEP_MS
    if digest.response and (is_fresh or (age_ms is None and client.nonces == "any")):
        return None
    if digest.is_draft or packet.has(STATE):
        # A request with State gets an end, never a second challenge (RFC 5090, section 2.1.3); the draft knows none.
        return Check(Reason.WRONG_PASSWORD, "stale_nonce" if digest.response else "no_digest")
    nonce = make_nonce(now_ms, chance, profile.secret)
    octets = challenge(_realm(digest, client), nonce, is_stale=bool(digest.response))
    return Check(None, "challenge", octets, is_challenge=True)


def _realm(digest: Digest, client: RadiusClient) -> str:
    """The client's first realm, else what it named, else the domain of what is called.

    Octets that are no text are longer when they are written out: what does not fit an attribute any more is no realm.
    """
    if client.realms:
        return client.realms[0]
    host = digest.uri.rpartition("@")[2].partition(";")[0]
    host = host.removeprefix("sip:").removeprefix("sips:").partition(":")[0]
    named = (each for each in (digest.realm, host) if each and len(each.encode()) <= VALUE_OCTETS_MAX)
    return next(named, client.name)


def _judged(digest: Digest, subscriber: Subscriber, used: UsedNonces, *, is_protected: bool) -> Check:
    judgement = judge(digest, subscriber.password)
    if judgement is not Judgement.RIGHT:
        return Check(Reason.WRONG_PASSWORD, judgement.value)
    if digest.sip_aor and not set(identity_forms(digest.sip_aor)) & set(subscriber.identities):
        return Check(Reason.WRONG_PASSWORD, "wrong_aor")
    if used.is_heard_before(digest):
        return HEARD_BEFORE
    return LET_IN._replace(octets=proof_for_client(digest, subscriber.password, is_protected=is_protected))
