"""Stored payment methods, in PostgreSQL: whose they are, and what people know them by. The gateway keeps the rest."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ocs.payments.gateway import MethodKind, Owner, StoredMethod


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """``method_id`` and ``payer`` are the gateway's. ``expires`` is a month, "2027-04"; empty: never."""

    method_id: str
    payer: str
    kind: MethodKind
    brand: str
    last4: str
    expires: str
    is_default: bool


_FIELDS: Final = ", ".join(Method.__struct_fields__)
_KEEP: Final = """
    INSERT INTO payment_method (method_id, payer, kind, brand, last4, expires, owner_kind, owner_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (method_id) DO UPDATE SET brand = $4, last4 = $5, expires = $6
"""
_DEFAULT_IF_NONE: Final = """
    UPDATE payment_method SET is_default = true
    WHERE method_id = (
        SELECT method_id FROM payment_method WHERE owner_kind = $1 AND owner_id = $2 ORDER BY added_at DESC, method_id LIMIT 1
    ) AND NOT EXISTS (SELECT FROM payment_method WHERE owner_kind = $1 AND owner_id = $2 AND is_default)
"""


async def payer_of(connection: Any, owner: Owner) -> str:
    """The gateway's name for who pays; empty if it does not know him yet."""
    return await connection.fetchval("SELECT payer FROM payer WHERE owner_kind = $1 AND owner_id = $2", *owner) or ""


async def keep_payer(connection: Any, owner: Owner, payer: str) -> None:
    await connection.execute(
        "INSERT INTO payer (owner_kind, owner_id, payer) VALUES ($1, $2, $3) "
        "ON CONFLICT (owner_kind, owner_id) DO UPDATE SET payer = $3",
        *owner,
        payer,
    )


async def methods_of(connection: Any, owner: Owner) -> list[Method]:
    """The default one first, then the newest first."""
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM payment_method WHERE owner_kind = $1 AND owner_id = $2 "  # noqa: S608 - names of our own
        "ORDER BY is_default DESC, added_at DESC, method_id",
        *owner,
    )
    return [_method(row) for row in rows]


async def find_method(connection: Any, owner: Owner, method_id: str = "") -> Method | None:
    """One of the owner's methods; without an id the default one."""
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM payment_method "  # noqa: S608 - names of our own
        "WHERE owner_kind = $1 AND owner_id = $2 AND (method_id = $3 OR ($3 = '' AND is_default))",
        *owner,
        method_id,
    )
    return _method(row) if row is not None else None


async def keep_method(connection: Any, owner: Owner, found: StoredMethod) -> None:
    """Write a method down, or what is new of it. An owner's first one is his default."""
    async with connection.transaction():
        await _locked(connection, owner)
        await connection.execute(
            _KEEP, found.method_id, found.payer, found.kind.value, found.brand, found.last4, found.expires, *owner
        )
        await connection.execute(_DEFAULT_IF_NONE, *owner)


async def owner_of(connection: Any, method_id: str) -> Owner | None:
    row = await connection.fetchrow("SELECT owner_kind, owner_id FROM payment_method WHERE method_id = $1", method_id)
    return Owner(*row) if row is not None else None


async def drop_method(connection: Any, owner: Owner, method_id: str) -> None:
    """Of what is left the newest one becomes the default, if it was that."""
    async with connection.transaction():
        await _locked(connection, owner)
        await connection.execute("DELETE FROM payment_method WHERE method_id = $1", method_id)
        await connection.execute(_DEFAULT_IF_NONE, *owner)


async def set_default(connection: Any, owner: Owner, method_id: str) -> bool:
    """False: the owner has no such method."""
    async with connection.transaction():
        await _locked(connection, owner)
        if await find_method(connection, owner, method_id) is None:
            return False
        await connection.execute(
            "UPDATE payment_method SET is_default = false WHERE owner_kind = $1 AND owner_id = $2 AND is_default",
            *owner,
        )
        await connection.execute("UPDATE payment_method SET is_default = true WHERE method_id = $1", method_id)
    return True


async def _locked(connection: Any, owner: Owner) -> None:
    """Until the transaction ends, nobody else changes the owner's methods."""
    await connection.execute(
        "INSERT INTO payer (owner_kind, owner_id) VALUES ($1, $2) ON CONFLICT (owner_kind, owner_id) DO NOTHING", *owner
    )
    await connection.execute("SELECT 1 FROM payer WHERE owner_kind = $1 AND owner_id = $2 FOR UPDATE", *owner)


def _method(row: Any) -> Method:
    facts = {name: row[name] for name in Method.__struct_fields__}
    return Method(**(facts | {"kind": MethodKind(row["kind"])}))
