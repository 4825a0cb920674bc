"""Stored payment methods of accounts and customers: kept when the gateway says so, listed, removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ocs.billing.failures import FAILURES, unavailable
from ocs.payments import methods
from ocs.payments.gateway import Checkout, Gateway, MethodKind, Owner
from ocs.payments.methods import Method


class MethodDesk:
    """Every method raises BackendUnavailable when PostgreSQL or the gateway is away: the same again goes on."""

    def __init__(self, gateway: Gateway, pool: Any) -> None:
        self._gateway = gateway
        self._pool = pool

    async def start_setup(self, owner: Owner, currency: str, kinds: frozenset[MethodKind], *, key: str) -> Checkout:
        """Begin to store a method. Raises GatewayRefusedError."""
        async with self._connection() as connection:
            payer = await methods.payer_of(connection, owner)
        if not payer:
            payer = await self._gateway.new_payer(owner)
            async with self._connection() as connection:
                await methods.keep_payer(connection, owner, payer)
        full_key = f"setup:{owner.kind}:{owner.owner_id}:{key}"
        return await self._gateway.start_setup(owner, payer, currency, kinds, key=full_key)

    async def list(self, owner: Owner) -> list[Method]:
        """The default one first."""
        async with self._connection() as connection:
            return await methods.methods_of(connection, owner)

    async def remove(self, owner: Owner, method_id: str) -> Method | None:
        """Forget a method here and at the gateway; None: the owner has no such method."""
        async with self._connection() as connection:
            found = await methods.find_method(connection, owner, method_id)
        if found is not None:
            await self._gateway.forget_method(method_id)
            await self.gone(method_id)
        return found

    async def choose(self, owner: Owner, method_id: str) -> bool:
        """Make a method the default; False: the owner has no such method."""
        async with self._connection() as connection:
            return await methods.set_default(connection, owner, method_id)

    async def added(self, owner: Owner, method_id: str) -> None:
        """Keep what a payer has stored at the gateway."""
        found = await self._gateway.method(method_id)
        if found is not None:
            async with self._connection() as connection:
                await methods.keep_method(connection, owner, found)

    async def changed(self, method_id: str) -> None:
        """Keep what the payer's bank has changed: a new expiry, new digits."""
        async with self._connection() as connection:
            owner = await methods.owner_of(connection, method_id)
        if owner is not None:
            await self.added(owner, method_id)

    async def gone(self, method_id: str) -> None:
        """Forget what the gateway has forgotten."""
        async with self._connection() as connection:
            owner = await methods.owner_of(connection, method_id)
            if owner is not None:
                await methods.drop_method(connection, owner, method_id)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise unavailable(error) from error
