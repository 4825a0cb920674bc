"""Billing over HTTP on real servers: from a customer to a paid invoice, and what is refused in which words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest

from ocs.api.app import create_app
from ocs.api.context import Context
from ocs.api.keys import KeyRing, Scope, new_token, store_key
from ocs.api.ports import PeerView
from ocs.api.postgres import ApiTrail, PostgresDeliveries, PostgresHistory
from ocs.billing_service import BillingService
from ocs.charging.money_desk import MoneyDesk
from ocs.clock import now_ms
from ocs.gateways.numbering import PLAIN_NUMBERING
from ocs.mediation_files import FolderWatch
from ocs.observe.counters import Counters
from ocs.observe.metrics import Metrics
from ocs.rate_desk import RateDesk
from ocs.vouchers import VoucherDesk
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.test_mediation import SWITCH, mediation_of, rows

pytestmark = pytest.mark.integration

CENT = 10**7


class Api:
    """A client with all rights, and the world behind."""

    def __init__(self, world: World, client: httpx.AsyncClient, billing: BillingService, context: Context) -> None:
        self.world, self.client, self.billing, self.context = world, client, billing, context

    async def get(self, path: str) -> Any:
        answer = await self.client.get(f"/v1{path}")
        assert answer.is_success, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self.client.post(f"/v1{path}", json={} if body is None else body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        answer = await self.client.request(method, f"/v1{path}", json=body, headers=headers)
        return answer.status_code, str(answer.json().get("detail", ""))


async def _no_peers() -> list[PeerView]:
    return []


@pytest.fixture
async def api(sample_config: Path, tmp_path: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[Api]:
    (sample_config.parent / "mediation.toml").write_text(SWITCH, encoding="utf-8")
    world = await open_world(sample_config, valkey_url, billing_dsn)
    billing = await BillingService.open(
        billing_dsn, config=sample_config, data_dir=tmp_path / "data",
        environment={"OCS_VALKEY_URL": valkey_url, "OCS_POSTGRES_DSN": billing_dsn}, redis=world.redis,
        accounts=world.desk, online=world.online, currencies=world.currencies, numbering=PLAIN_NUMBERING,
        clock=lambda: world.now_ms,
    )  # fmt: skip
    history = await PostgresHistory.open(billing_dsn)

    async def load() -> Any:
        raise NotImplementedError

    context = Context(
        accounts=world.desk, subscribers=world.desk.subscribers, history=history, deliveries=PostgresDeliveries(history.pool, now_ms), trail=ApiTrail(world.store.client, history.pool),
        money=MoneyDesk(world.desk, now_ms), vouchers=VoucherDesk(world.store.client, world.desk, now_ms), keys=KeyRing(world.store.client, now_ms),
        metrics=Metrics(Counters(), world.store.client, now_ms), currencies=world.currencies,
        rates=RateDesk(sample_config.parent, world.online, now_ms, load), billing=billing, clock=now_ms, checks={},
        peers=_no_peers,
    )  # fmt: skip
    token = new_token()
    await store_key(world.store.client, token, "test", (Scope.ADMIN,), now_ms())
    transport = httpx.ASGITransport(app=cast(Any, create_app(context)))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://ocs", headers=headers, timeout=60) as client:
        yield Api(world, client, billing, context)
    await billing.close()
    await history.close()
    await close_world(world)


async def _billed(api: Api) -> dict[str, Any]:
    """A customer with one call of 10.00 in September, and his draft by a run of another process."""
    customer = msgspec.structs.replace(BAKERY, since=date(2026, 9, 1))
    for name in customer.accounts:
        await api.world.desk.create_account(name, "EUR", "test-eur", 10**15, 0, actor="test")
        await api.world.desk.subscribers.create(name, name, (f"name:{name}",), "")
    body = msgspec.to_builtins(customer)
    assert (await api.post("/customers", body))["customer_id"] == "bakery"
    await api.world.call("bakery", "2026-09-10T10:00", "Europe/Berlin", 1000)
    await api.world.flush()
    run = await api.post("/bill-runs", {"until": "2026-10-01"})
    while (run := await api.get(f"/bill-runs/{run['run_id']}"))["state"] == "running":  # noqa: ASYNC110 - another process bills
        await asyncio.sleep(0.1)  # a key may ask so often
    assert (run["state"], run["customers"], run["drafts"], run["failed"]) == ("done", 1, 1, {})
    (draft,) = (await api.get("/invoices?state=draft"))["invoices"]
    return cast(dict[str, Any], draft)


async def test_from_a_customer_to_a_paid_invoice(api: Api) -> None:
    """Preview, run, issue, print, pay, dunning: as the commands do, and each said again changes nothing."""
    draft = await _billed(api)
    assert (draft["net"], draft["tax"], draft["total"], draft["number"]) == ("10.00", "1.90", "11.90", "")
    issued = await api.post(f"/invoices/{draft['invoice_id']}/issue")
    assert issued == await api.post(f"/invoices/{draft['invoice_id']}/issue")
    number = issued["number"]
    assert (issued["open"], issued["lines"][0]["used"], issued["lines"][0]["tax_percent"]) == ("11.90", 1000, "19")
    assert await api.world.balance("bakery") == -1190 * CENT
    for heading, first in (("names", "account_id,entry_number,"), ("words", "Konto,Satz,")):
        records = await api.client.get(f"/v1/invoices/{number}/records?heading={heading}")
        assert records.headers["content-type"] == "text/csv; charset=utf-8"
        assert records.text.startswith(first)
        assert (records.text.count("\n"), records.text.count("10.00,EUR")) == (2, 1)
    assert (await api.refused("GET", "/invoices/R-1/records"))[0] == 404
    pdf = await api.client.get(f"/v1/invoices/{number}/pdf?annex=true")
    assert (pdf.headers["Content-Type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    (standing,) = (await api.get("/dunning?on=2027-06-01"))["standings"]
    assert (standing["state"], standing["owed"], standing["block"]) == ("suspend-28", "11.90", "suspend")
    assert [each["step"] for each in standing["actions"]] == ["remind-3", "late_fee-14", "warn-21"]
    payment = {"amount": "11.90", "reference": "camt-1", "invoices": [number]}
    first, again = [await api.post("/customers/bakery/payments", payment) for _ in range(2)]
    assert (first["is_new"], again["is_new"], first["payment_id"]) == (True, False, again["payment_id"])
    assert (await api.get(f"/invoices/{number}"))["state"] == "paid"
    assert await api.world.balance("bakery") == 0
    reversed_ = await api.post(f"/payments/{first['payment_id']}/reverse")
    assert reversed_["credit"] == "0.00"
    assert (await api.get(f"/invoices/{number}"))["open"] == "11.90"
    assert [each["customer_id"] for each in (await api.get("/customers"))["customers"]] == ["bakery"]


async def test_charges_previews_and_credit_notes(api: Api) -> None:
    """A fee shows in the preview; a credit note is made once for each Idempotency-Key."""
    draft = await _billed(api)
    charge = {"charge_id": "line", "text": "Line", "amount": "10.00", "first": "2026-10-01", "months": 1}
    await api.post("/customers/bakery/charges", charge)
    preview = await api.get("/customers/bakery/invoice-preview?until=2026-10-16")
    assert [(each["text"], each["net"]) for each in preview["lines"]] == [("Line", "10.00")]
    await api.post("/customers/bakery/charges/line/end", {"after": "2026-10-01"})
    assert (await api.get("/customers/bakery/charges"))[0]["after"] == "2026-10-01"
    number = (await api.post(f"/invoices/{draft['invoice_id']}/issue"))["number"]
    body = {"reason": "wrong", "lines": [{"line": 1, "net": "0.40"}]}
    notes = [
        await api.post(f"/invoices/{number}/credit-notes", body, **{"Idempotency-Key": key}) for key in ("a", "a", "b")
    ]
    assert [each["total"] for each in notes] == ["-0.48", "-0.48", "-0.48"]
    assert notes[0]["invoice_id"] == notes[1]["invoice_id"] != notes[2]["invoice_id"]
    payments = await api.get("/customers/bakery/payments")
    assert [(each["method"], each["amount"]) for each in payments] == [("credit_note", "0.48"), ("credit_note", "0.48")]


async def test_what_is_refused_says_why(api: Api) -> None:
    """Unknown things are 404, what cannot be is 409, what is no date or amount 422; nothing is changed."""
    draft = await _billed(api)
    name = draft["invoice_id"]
    assert await api.refused("GET", "/customers/x") == (404, "there is no customer 'x': ocs customer list")
    assert (await api.refused("GET", "/invoices/R-1"))[0] == 404
    assert (await api.refused("GET", "/bill-runs/99"))[0] == 404
    status, why = await api.refused("POST", "/customers", {**msgspec.to_builtins(BAKERY), "country": "DE"})
    assert (status, why) == (409, "bakery: there is a customer of that id")
    status, why = await api.refused("POST", "/customers/bakery/payments", {"amount": "1.005", "reference": "r"})
    assert (status, "1.005" in why) == (409, True)
    assert (await api.refused("POST", "/bill-runs", {"until": "2999-01-01"}))[0] == 422
    status, why = await api.refused(
        "POST", f"/invoices/{name}/credit-notes", {"reason": "x"}, **{"Idempotency-Key": "k"}
    )
    assert (status, why) == (409, "a credit note corrects an issued invoice; a draft is discarded instead")
    assert (await api.refused("POST", f"/invoices/{name}/credit-notes", {"reason": "x"}))[0] == 400
    assert (await api.client.put(f"/v1/invoices/{name}/dispute", json={"is_disputed": True})).status_code == 204
    leniency = {"promised_until": "2026-12-01"}
    assert (await api.client.put("/v1/customers/bakery/leniency", json=leniency)).status_code == 204
    assert (await api.client.delete(f"/v1/invoices/{name}")).status_code == 204
    assert (await api.get("/invoices"))["invoices"] == []


async def test_files_of_switches_are_uploaded_and_their_faults_mended(api: Api) -> None:
    """A file laid down by HTTP is what the watcher takes; a row's fault is mended, replayed, dismissed."""
    world = api.world
    await world.add(BAKERY)
    octets = rows(1) + rows(2, caller="nobody").partition(b"\n")[2] + rows(3, caller="none").partition(b"\n")[2]
    answer = await api.client.post("/v1/mediation/s1/files", content=octets)
    assert (answer.status_code, answer.json()["octets"]) == (202, len(octets))
    world.now_ms = now_ms() + 60_000
    watch = FolderWatch(mediation_of(world), api.billing.switches, api.billing.data_dir, lambda: world.now_ms)
    for name in ("done", "refused"):
        (api.billing.data_dir / "incoming" / "s1" / name).mkdir()
    assert await watch.look() == 1
    (file,) = await api.get("/mediation/files")
    assert (file["charged"], file["faulty"], file["fingerprint"]) == (1, 2, answer.json()["fingerprint"])
    mend, dismiss = await api.get("/mediation/faults?switch=s1")
    assert mend["cells"]["a"] == "nobody"
    assert (await api.refused("POST", f"/mediation/faults/{mend['fault_id']}/replay", {"cells": {"z": "1"}}))[0] == 409
    report = await api.post(f"/mediation/faults/{mend['fault_id']}/replay", {"cells": {"a": "bakery"}})
    assert (report["charged"], report["faulty"]) == (1, 0)
    await api.post(f"/mediation/faults/{dismiss['fault_id']}/dismiss", {"reason": "test call"})
    assert await api.get("/mediation/faults") == []
    (kept,) = await api.get("/mediation/faults?state=dismissed")
    assert kept["why"].endswith("dismissed: test call")
    assert (await api.refused("POST", "/mediation/other/files"))[0] == 404
    assert await world.balance("bakery") == -20 * CENT


async def test_by_what_invoices_are_collected(api: Api) -> None:
    """Said and read, and noted; another word, a stranger and a missing gateway are refused."""
    for name in BAKERY.accounts:
        await api.world.desk.create_account(name, "EUR", "test-eur", 10**15, 0, actor="test")
    await api.post("/customers", msgspec.to_builtins(BAKERY))
    assert (await api.get("/customers/bakery/collection"))["collect"] == "none"
    answer = await api.client.put("/v1/customers/bakery/collection", json={"collect": "direct_debit"})
    assert answer.json() == {"customer_id": "bakery", "collect": "direct_debit"}
    assert (await api.get("/customers/bakery/collection"))["collect"] == "direct_debit"
    assert (await api.refused("PUT", "/customers/bakery/collection", {"collect": "cash"}))[0] == 422
    assert (await api.refused("PUT", "/customers/nobody/collection", {"collect": "card"}))[0] == 404
    assert (await api.refused("GET", "/invoices/R-2026-000009/collections"))[0] == 404
    assert (await api.refused("GET", "/customers/bakery/payment-methods"))[0] == 409
