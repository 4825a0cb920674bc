"""Billing without PostgreSQL, for tests of the API that want none."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from balance.store import BackendUnavailable
from ocs.billing_desk import BillingDesk
from ocs.feeds.settings import Feed
from ocs.gateways.switch_files import Switch
from ocs.mediation import Mediation


class AwayBilling:
    """PostgreSQL is away: what billing does is tested on a real one (tests/integration/test_billing_api.py)."""

    switches: ClassVar[dict[str, Switch]] = {}
    feeds: ClassVar[dict[str, Feed]] = {}
    data_dir = Path()

    def desk(self) -> AbstractAsyncContextManager[BillingDesk]:
        raise BackendUnavailable("away")

    def mediation(self) -> AbstractAsyncContextManager[tuple[Any, Mediation]]:
        raise BackendUnavailable("away")

    async def start_run(self, until: date, *, is_issuing: bool) -> int:
        raise BackendUnavailable("away")
