"""API keys: what a token looks like, what is stored of it, and how a request's token is checked.

The token ``ocs_<id>_<secret>`` is shown once; stored is the SHA-256 of its secret. A slow password hash would add
nothing: the secret is 32 bytes from the system's generator, and 2^256 guesses are out of reach at any speed, whereas
a fast hash costs a request about a microsecond.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.clock import now_ms

ID_LENGTH: Final = 12
CACHE_TTL_MS: Final = 5_000
LOOKUP_TIMEOUT_S: Final = 2.0
CACHE_KEYS_MAX: Final = 1_000
INDEX_KEY: Final = "ocs:apikeys"  # ids of all keys: a SCAN would walk a million accounts

_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_TOKEN: Final = re.compile(r"ocs_([a-z0-9]{12})_([0-9a-f]{64})", re.ASCII)


class Scope(StrEnum):
    """What a key may do. ADMIN may do everything."""

    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    TOPUP = "topup"
    CDRS_READ = "cdrs:read"
    RATES_READ = "rates:read"
    RATES_WRITE = "rates:write"
    PEERS_READ = "peers:read"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored. ``disabled_at_ms`` 0: in force. A revoked key stays, so that its name in the journal is known.

    ``tenant``: it sees and changes only what has a name that begins with it and a colon; empty: everything.
    ``expires_at_ms``: the first instant at which it is no longer good; 0: never.
    """

    key_id: str
    hash: bytes
    scopes: tuple[Scope, ...]
    name: str
    created_at_ms: int
    disabled_at_ms: int = 0
    tenant: str = ""
    expires_at_ms: int = 0

    @property
    def prefix(self) -> str:
        """How the names begin that this key may know; empty: all of them."""
        return f"{self.tenant}:" if self.tenant else ""

    def is_good(self, now_ms: int) -> bool:
        return not self.disabled_at_ms and (not self.expires_at_ms or now_ms < self.expires_at_ms)

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Token(NamedTuple):
    key_id: str
    secret: str

    def __str__(self) -> str:
        return f"ocs_{self.key_id}_{self.secret}"


def new_token() -> Token:
    return Token("".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_LENGTH)), secrets.token_hex(32))


def parse_token(text: str) -> Token | None:
    match = _TOKEN.fullmatch(text)
    return Token(match[1], match[2]) if match else None


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("ascii")).digest()


def record_key(key_id: str) -> str:
    return f"ocs:apikey:{key_id}"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ApiKey)


async def store_key(
    redis: Redis, token: Token, name: str, scopes: Iterable[Scope], created_at_ms: int, tenant: str = ""
) -> ApiKey:
    """Write the record first and the index last: a key that works but is not listed yet is the lesser evil."""
    key = ApiKey(
        key_id=token.key_id,
        hash=hash_secret(token.secret),
        scopes=tuple(scopes),
        name=name,
        created_at_ms=created_at_ms,
        tenant=tenant,
    )
    await redis.set(record_key(key.key_id), _encoder.encode(key))
    await redis.sadd(INDEX_KEY, key.key_id)
    return key


async def load_key(redis: Redis, key_id: str) -> ApiKey | None:
    data = await redis.get(record_key(key_id))
    return _decoder.decode(data) if isinstance(data, bytes) else None


async def list_keys(redis: Redis) -> list[ApiKey]:
    ids = sorted(one.decode() for one in await redis.smembers(INDEX_KEY) if isinstance(one, bytes))
    found = [await load_key(redis, key_id) for key_id in ids]
    return sorted((key for key in found if key is not None), key=lambda key: key.created_at_ms)


async def revoke_key(redis: Redis, key_id: str, at_ms: int) -> ApiKey | None:
    """Disable a key for good. Servers notice within CACHE_TTL_MS. None: there is no such key."""
    key = await load_key(redis, key_id)
    if key is None or key.disabled_at_ms:
        return key
    key = msgspec.structs.replace(key, disabled_at_ms=at_ms)
    await redis.set(record_key(key_id), _encoder.encode(key))
    return key


async def rotate_key(
    redis: Redis, key_id: str, token: Token, at_ms: int, grace_ms: int
) -> tuple[ApiKey, ApiKey] | None:
    """Make a key that may do the same, and let the old one be good for a while; both. None: there is none in force.

    The new one is there before the old one ends: a crash in between leaves two that are good.
    """
    old = await load_key(redis, key_id)
    if old is None or not old.is_good(at_ms):
        return None
    new = await store_key(redis, token, old.name, old.scopes, at_ms, old.tenant)
    until_ms = at_ms + grace_ms
    old = msgspec.structs.replace(old, expires_at_ms=min(until_ms, old.expires_at_ms or until_ms))
    await redis.set(record_key(key_id), _encoder.encode(old))
    return old, new


async def ensure_admin_key(redis: Redis, path: Path) -> str:
    """Make the first admin key of an empty store and keep its token in ``path``, readable by the owner only.

    Returns the token of the file, or "" if keys exist and the file was removed: then somebody took charge of the keys,
    and a fresh all-powerful one at every start would be a hole. The file is written before the record, so that a crash
    between the two leaves a token that the next start registers, never a record whose secret nobody has.
    """
    token = _read_token(path)
    if await redis.scard(INDEX_KEY):
        return str(token) if token else ""
    if token is None:
        token = new_token()
        _write_private(path, f"{token}\n")
    await store_key(redis, token, "first admin", (Scope.ADMIN,), now_ms())
    return str(token)


def _read_token(path: Path) -> Token | None:
    try:
        return parse_token(path.read_text().strip())
    except FileNotFoundError:
        return None


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class _Cached(NamedTuple):
    key: ApiKey | None
    until_ms: int


class KeyRing:
    """Checks tokens against the store, with a small cache so that a busy client costs no round trip per request."""

    def __init__(self, redis: Redis, clock: Callable[[], int]) -> None:
        self._redis = redis
        self._clock = clock
        self._cache: dict[str, _Cached] = {}

    def is_cached(self, key_id: str) -> bool:
        cached = self._cache.get(key_id)
        return cached is not None and cached.until_ms > self._clock()

    async def check(self, token: Token) -> ApiKey | None:
        """The key of a token that is known, right and in force, else None. Raises BackendUnavailable."""
        key = await self._lookup(token.key_id)
        # Constant time: how many leading bytes are right must not show in the answer's time.
        if key is None or not hmac.compare_digest(key.hash, hash_secret(token.secret)):
            return None
        return key if key.is_good(self._clock()) else None

    async def _lookup(self, key_id: str) -> ApiKey | None:
        cached = self._cache.get(key_id)
        if cached is not None and cached.until_ms > self._clock():
            return cached.key
        try:
            key = await asyncio.wait_for(load_key(self._redis, key_id), LOOKUP_TIMEOUT_S)
        except (RedisError, OSError, TimeoutError) as error:
            raise BackendUnavailable("API keys cannot be read") from error
        if len(self._cache) >= CACHE_KEYS_MAX:
            self._cache.clear()
        self._cache[key_id] = _Cached(key, self._clock() + CACHE_TTL_MS)
        return key
