"""Vouchers: codes that pay money into whatever account redeems them first, once.

Only a code's hash is stored: twenty digits by chance are too many to try. A code is claimed for an account before the money is
paid in under a key of its own, so after a crash in between the same account goes on, and nobody else gets it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

from balance.account import Source
from balance.money import Amount
from ocs.charging.operations import BucketOptions, RechargeResult, RechargeStatus
from ocs.charging.recharge import AccountDesk

CODE_DIGITS: Final = 20
CLAIM_MS: Final = 6 * 86_400_000
"""A claim can be gone on with while the key of its payment is remembered (seven days)."""

MISSES_MAX: Final = 10
LOCKOUT_S: Final = 900
WRITE_BATCH: Final = 1000
_DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})
_BATCH_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)

# Compare and set: the voucher moves on only from what it was read as.
_MOVE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0"


class VoucherFault(Enum):
    """Why a code pays nothing in."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"
    VOID = "void"
    LOCKED = "locked"  # too many wrong codes from this account


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """Vouchers that were made together. ``expires_at_ms`` 0: never; ``bucket_days`` 0: the main bucket, else one of its own."""

    name: str
    count: int
    amount: Amount
    currency: str
    made_at_ms: int
    actor: str
    expires_at_ms: int = 0
    bucket_days: int = 0
    is_void: bool = False


class Voucher(msgspec.Struct, array_like=True, frozen=True):
    """``account_id`` has claimed it at ``at_ms``; ``entry_number`` is the top-up that it became."""

    batch: str
    serial: int
    account_id: str = ""
    at_ms: int = 0
    entry_number: int = 0


class Printed(NamedTuple):
    """A voucher as it is handed out: the only time that its code is there to be read."""

    serial: int
    code: str


class BatchView(NamedTuple):
    """A batch, and how many of its vouchers have been redeemed."""

    batch: Batch
    redeemed: int


_batch = msgspec.msgpack.Decoder(Batch)
_voucher = msgspec.msgpack.Decoder(Voucher)
_encode = msgspec.msgpack.Encoder().encode


class VoucherDesk:
    """Works on a client of redis-py and the desk of the accounts."""

    def __init__(self, client: Any, desk: AccountDesk, clock: Callable[[], int]) -> None:
        self._client = client
        self._desk = desk
        self._clock = clock

    async def make(self, batch: Batch) -> AsyncIterator[list[Printed]]:
        """Make a batch and give its codes out, some at a time. Raises ValueError for a name that is taken, or none."""
        if _BATCH_NAME.fullmatch(batch.name) is None:
            raise ValueError(f"{batch.name!r} is no name for a batch: letters, digits, . _ -")
        if not await self._client.set(_batch_key(batch.name), _encode(batch), nx=True):
            raise ValueError(f"there is a batch {batch.name!r} already")
        await self._client.sadd(_BATCHES, batch.name)
        for first in range(1, batch.count + 1, WRITE_BATCH):
            serials = range(first, min(first + WRITE_BATCH, batch.count + 1))
            yield [Printed(serial, await self._put(Voucher(batch.name, serial))) for serial in serials]

    async def batches(self) -> list[BatchView]:
        """All batches, by name."""
        names = sorted(name.decode() for name in await self._client.smembers(_BATCHES))
        found = []
        for name in names:
            value, redeemed = await self._client.mget([_batch_key(name), _redeemed_key(name)])
            found.append(BatchView(_batch.decode(value), int(redeemed or 0)))
        return found

    async def void(self, name: str) -> bool:
        """Let what is left of a batch pay nothing more; False if there is none of that name."""
        value = await self._client.get(_batch_key(name))
        if value is None:
            return False
        await self._client.set(_batch_key(name), _encode(msgspec.structs.replace(_batch.decode(value), is_void=True)))
        return True

    async def find(self, code: str) -> Voucher | None:
        """What became of a code."""
        value = await self._client.get(_voucher_key(code))
        return _voucher.decode(value) if value is not None else None

    async def redeem(self, account_id: str, code: str, *, actor: str) -> RechargeResult | VoucherFault:
        """Pay a voucher in. A repeat by the same account is told the same; raises BackendUnavailable."""
        misses_key = f"ocs:voucher-misses:{account_id}"
        if int(await self._client.get(misses_key) or 0) >= MISSES_MAX:
            return VoucherFault.LOCKED
        key = _voucher_key(code)
        value = await self._client.get(key)
        found = await self._claimed(key, value, account_id) if value is not None else VoucherFault.UNKNOWN
        if isinstance(found, VoucherFault):
            if found in {VoucherFault.UNKNOWN, VoucherFault.USED}:
                await self._count_miss(misses_key)
            return found
        if isinstance(found, RechargeResult):
            return found
        return await self._paid(key, *found, actor=actor)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _put(self, voucher: Voucher) -> str:
        while True:
            code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
            if await self._client.set(_voucher_key(code), _encode(voucher), nx=True):
                return "-".join(code[at : at + 4] for at in range(0, CODE_DIGITS, 4))

    async def _claimed(
        self, key: str, value: bytes, account_id: str
    ) -> tuple[Voucher, Batch] | VoucherFault | RechargeResult:
        """The voucher as this account's, or why it cannot be."""
        voucher, now_ms = _voucher.decode(value), self._clock()
        batch = _batch.decode(await self._client.get(_batch_key(voucher.batch)))
        if voucher.account_id:
            is_own = voucher.account_id == account_id and now_ms - voucher.at_ms < CLAIM_MS
            return (voucher, batch) if is_own else VoucherFault.USED
        if batch.is_void:
            return VoucherFault.VOID
        if 0 < batch.expires_at_ms <= now_ms:
            return VoucherFault.EXPIRED
        account = await self._desk.account(account_id)
        if account is None:
            return RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN)
        if account.currency != batch.currency:
            return RechargeResult(RechargeStatus.CURRENCY_MISMATCH, account)
        claimed = msgspec.structs.replace(voucher, account_id=account_id, at_ms=now_ms)
        if not await self._client.eval(_MOVE, 1, key, value, _encode(claimed)):
            return await self._claimed(key, await self._client.get(key), account_id)  # somebody was faster
        return claimed, batch

    async def _paid(self, key: str, voucher: Voucher, batch: Batch, *, actor: str) -> RechargeResult:
        bucket = None
        if batch.bucket_days:
            bucket = BucketOptions(expires_at_ms=voucher.at_ms + batch.bucket_days * 86_400_000, origin=Source.PAID)
        name = f"voucher:{voucher.batch}:{voucher.serial}"
        result = await self._desk.top_up(
            voucher.account_id, batch.amount, batch.currency, key=name, actor=actor, reason=name, bucket=bucket
        )
        is_paid = result.status in _DONE
        after = (
            msgspec.structs.replace(voucher, entry_number=result.entry_number)
            if is_paid
            else Voucher(voucher.batch, voucher.serial)  # the account takes no money: the code is good for another
        )
        is_moved = await self._client.eval(_MOVE, 1, key, _encode(voucher), _encode(after))
        if is_moved and is_paid and not voucher.entry_number:
            await self._client.incr(_redeemed_key(batch.name))
        return result

    async def _count_miss(self, key: str) -> None:
        if await self._client.incr(key) == 1:
            await self._client.expire(key, LOCKOUT_S)


_BATCHES: Final = "ocs:voucher-batches"


def _batch_key(name: str) -> str:
    return f"ocs:voucher-batch:{name}"


def _redeemed_key(name: str) -> str:
    return f"ocs:voucher-redeemed:{name}"


def _voucher_key(code: str) -> str:
    digits = "".join(char for char in code if char.isdigit() and char.isascii())
    return f"ocs:voucher:{hashlib.sha256(digits.encode()).hexdigest()}"
