"""Two months of three customers through the real daemon: calls by Diameter, billing by HTTP, at dates that are simulated.

Three currencies, time zones, languages and tax regimes; a plan changed in mid-month, a record that comes late, a credit note, a
payment in part, dunning to suspension and back. Every amount stands here and can be checked by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from ocs.api.keys import Scope, new_token, store_key
from ocs.auditor import audit
from ocs.daemon import Daemon, Endpoints
from ocs.gateways.numbering import PLAIN_NUMBERING
from ocs.gateways.switch_files import parse_switches
from ocs.mediation import Mediation
from ocs.rating.faults import FaultList
from ocs.settings import Settings, load_settings
from ocs.tools.ccr import INITIAL, TERMINATION, Answer, Asked, Interrogation, read_answer, request_avps
from ocs.tools.diameter_client import Connection
from protocols.diameter import codes
from protocols.diameter.node import LocalNode
from tests.integration.books import flush_all
from tests.integration.invoice_world import BAKERY, CARRIER, KAISHA, PLAN_OF, PLANS, TAXES, at

pytestmark = pytest.mark.integration

BERLIN, NEW_YORK, TOKYO = "Europe/Berlin", "America/New_York", "Asia/Tokyo"
NUMBERS = {"bakery": "4930555001", "bakery-oven": "4930555002", "carrier": "12125550001", "kaisha": "81355500001"}
SWITCH = """
[[switch]]
name = "s1"
key = ["id"]
zone = "Asia/Tokyo"
columns = { began = "answer", used = "sec", called = "b", session = "id" }
charged = [{ column = "a" }]
"""


class Month:
    """The daemon with its clock, a switch on Diameter, an operator on HTTP."""

    def __init__(self, daemon: Daemon, valkey_url: str, dsn: str, http: httpx.AsyncClient, switch: Connection) -> None:
        self.daemon, self.valkey_url, self.dsn, self.http, self.switch = daemon, valkey_url, dsn, http, switch
        self.now_ms = at("2026-09-01T00:00", BERLIN)
        self.today = date(2026, 9, 1)
        self.calls = 0

    async def get(self, path: str) -> Any:
        answer = await self.http.get(f"/v1{path}")
        assert answer.is_success, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self.http.post(f"/v1{path}", json={} if body is None else body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def ask(self, kind: int, number: int, who: str, called: str, group: Asked) -> Answer:
        asked = Interrogation(
            f"switch.example.net;{self.calls}", kind, number, "32260@3gpp.org", NUMBERS[who], called, self.now_ms,
            codes.CC_TIME, (group,),
        )  # fmt: skip
        return read_answer(await self.switch.ask(request_avps(asked, self.switch.node, "example.net")))

    async def call(self, who: str, when: str, zone: str, seconds: int, called: str = "100123") -> int:
        """One call over the socket, from its beginning to its end; the result of the beginning."""
        self.calls += 1
        self.now_ms = at(when, zone)
        begun = await self.ask(INITIAL, 0, who, called, Asked(wanted=0))
        if begun.least != 2001:
            return begun.least
        self.now_ms += seconds * 1000
        assert (await self.ask(TERMINATION, 1, who, called, Asked(used=seconds))).result_code == 2001
        return begun.least

    async def bill(self, until: str) -> dict[str, Any]:
        """A bill run by another process, then every draft issued on that day; the invoices by customer."""
        self.today = date.fromisoformat(until)
        self.now_ms = at(f"{until}T09:00", BERLIN)
        await flush_all(self.valkey_url, self.dsn)
        run = await self.post("/bill-runs", {"until": until})
        while run["state"] == "running":
            run = await self.get(f"/bill-runs/{run['run_id']}")
        assert (run["state"], run["failed"], run["waiting"]) == ("done", {}, [])
        drafts = (await self.get("/invoices?state=draft"))["invoices"]
        return {
            each["customer_id"]: await self.post(f"/invoices/{each['invoice_id']}/issue")
            for each in sorted(drafts, key=lambda each: str(each["customer_id"]))
        }

    async def dun(self, day: str) -> list[str]:
        """What a dunning run does on a day."""
        self.today = date.fromisoformat(day)
        async with self.daemon.billing.desk() as desk:
            found = await desk.invoicing.dunning.run(self.today, is_dry=False)
        return [f"{each.customer.customer_id} {task.step.name}" for each in found for task in each.verdict.tasks]

    async def balance(self, account: str) -> str:
        return str((await self.get(f"/accounts/{account}"))["balance"])


@pytest.fixture
async def month(
    sample_config: Path, valkey_url: str, billing_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Month]:
    for name, text in PLANS.items():
        (sample_config.parent / "rateplans" / f"{name}.toml").write_text(text, encoding="utf-8")
    billing = sample_config.parent / "billing.toml"
    billing.write_text(billing.read_text(encoding="utf-8") + TAXES, encoding="utf-8")
    settings = load_settings(sample_config)
    assert isinstance(settings, Settings)
    settings = msgspec.structs.replace(settings, node=msgspec.structs.replace(settings.node, data_dir=str(tmp_path)))
    clock = [at("2026-09-01T00:00", BERLIN)]
    monkeypatch.setattr("ocs.daemon.now_ms", lambda: clock[0])
    monkeypatch.setattr("ocs.daemon._settle_memory", lambda: None)
    started = asyncio.Event()
    endpoints = Endpoints(sample_config.parent, valkey_url, billing_dsn, None, sample_config)
    daemon = await Daemon.open(settings, endpoints)
    task = asyncio.create_task(daemon.run(lambda _: started.set()))
    await asyncio.wait({task, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert started.is_set(), task
    token = new_token()
    async with Redis.from_url(valkey_url) as redis:
        await store_key(redis, token, "test", (Scope.ADMIN,), clock[0])
    host, _, port = settings.diameter.listen[0].rpartition(":")
    switch = await Connection.connect(host, int(port), LocalNode("switch.example.net", "example.net"))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://{settings.http.listen}", headers=headers, timeout=60) as http:

        class Clocked(Month):
            """Its time is the daemon's."""

            @property
            def now_ms(self) -> int:
                return clock[0]

            @now_ms.setter
            def now_ms(self, value: int) -> None:
                clock[0] = value

        month = Clocked(daemon, valkey_url, billing_dsn, http, switch)
        monkeypatch.setattr("ocs.api.billing.local_date", lambda: month.today)
        yield month
    await switch.close()
    daemon.stop()
    await task


async def _add_customers(month: Month) -> None:
    for customer in (BAKERY, CARRIER, KAISHA):
        for name in customer.accounts:
            plan = {"currency": customer.currency, "rate_plan": PLAN_OF[customer.currency], "credit_limit": "100000"}
            await month.post("/accounts", {"account_id": name, **plan})
            identity = f"e164:{NUMBERS[name]}"
            await month.post("/subscribers", {"subscriber_id": name, "account_id": name, "identities": [identity]})
        await month.post("/customers", msgspec.to_builtins(customer))
    # The plan changes in mid-month: the small line until the 15th, the big one from the 16th on.
    small = {"charge_id": "small", "text": "Line S", "amount": "10.00", "first": "2026-09-01", "months": 1}
    await month.post("/customers/bakery/charges", small)
    await month.post("/customers/bakery/charges/small/end", {"after": "2026-09-16"})
    big = {"charge_id": "big", "text": "Line L", "amount": "20.00", "first": "2026-09-16", "months": 1}
    await month.post("/customers/bakery/charges", big)


async def _september(month: Month) -> dict[str, Any]:
    await month.call("bakery", "2026-09-10T10:00", BERLIN, 100)  # 1.00
    await month.call("bakery-oven", "2026-09-30T23:30", BERLIN, 61, "200123")  # 0.60: two started minutes
    await month.call("carrier", "2026-09-03T10:00", NEW_YORK, 60_000)  # 1,000 minutes at 0.007: 7.00
    await month.call("carrier", "2026-09-20T10:00", NEW_YORK, 60)  # 0.007, of the period from the 15th on
    await month.call("kaisha", "2026-09-30T10:00", TOKYO, 7)  # 10.5 yen, the tax inside
    await month.call("bakery", "2026-10-01T00:10", BERLIN, 20)  # October's, though still September in UTC
    invoices = await month.bill("2026-10-01")
    assert {name: (each["net"], each["tax"], each["total"]) for name, each in invoices.items()} == {
        # 1.00 + 0.60 + 15/30 of 10.00 + 15/30 of 20.00 + October's 20.00 = 36.60; 19 % is 6.954
        "bakery": ("36.60", "6.95", "43.55"),
        # From 1 to 14 September: 14 of 31 days of the minimum of 100.00; reverse charge
        "carrier": ("45.16", "0.00", "45.16"),
        "kaisha": ("10", "1", "11"),
    }
    assert [(line["text"], line["net"]) for line in invoices["bakery"]["lines"]] == [
        ("0.01 per second", "1.00"), ("0.30 per started minute", "0.60"), ("Line S", "5.00"), ("Line L", "10.00"),
        ("Line L", "20.00"),
    ]  # fmt: skip
    assert [invoices[name]["number"] for name in invoices] == ["R-2026-000001", "R-2026-000002", "INV-2026-000001"]
    balances = [await month.balance(name) for name in ("bakery", "bakery-oven", "carrier", "kaisha")]
    assert balances == ["-43.75", "0.00", "-45.167", "-11"], "what is owed, and what was used since"
    return invoices


async def _october(month: Month) -> dict[str, Any]:
    # A payment in part, and a call that is taken back: 0.60 and 0.11 of tax.
    await month.post("/customers/bakery/payments", {"amount": "20.00", "reference": "camt-1"})
    await month.post("/customers/carrier/payments", {"amount": "45.16", "reference": "wire-1"})
    lines = {"reason": "wrong number", "lines": [{"line": 2, "net": "0.60"}]}
    note = await month.post("/invoices/R-2026-000001/credit-notes", lines, **{"Idempotency-Key": "k1"})
    assert (note["number"], note["net"], note["tax"], note["total"]) == ("G-2026-000001", "-0.60", "-0.11", "-0.71")
    assert (await month.get("/invoices/R-2026-000001"))["open"] == "22.84"
    # The switch in Tokyo tells on 5 October of a call on 29 September: 10 s, 15 yen.
    month.now_ms = at("2026-10-05T10:00", TOKYO)
    connection = await asyncpg.connect(month.dsn)
    async with Redis.from_url(month.valkey_url) as redis:
        mediation = Mediation(connection, redis, month.daemon.online, PLAIN_NUMBERING, lambda: month.now_ms)
        switch = parse_switches(SWITCH, FaultList("mediation.toml"))["s1"]
        row = f"id,answer,sec,a,b\n1,2026-09-29 10:00:00,10,{NUMBERS['kaisha']},100123\n".encode()
        assert (await mediation.take_file(switch, "late.csv", row)).charged == 1
    await connection.close()
    await month.call("kaisha", "2026-10-10T10:00", TOKYO, 10)  # 15 yen
    await month.call("bakery", "2026-10-12T10:00", BERLIN, 30)  # 0.30, beside October's 0.20
    assert await month.dun("2026-10-19") == ["bakery remind-3"]
    assert await month.dun("2026-10-29") == ["bakery late_fee-14"]
    return await month.bill("2026-11-01")


async def test_two_months_through_the_daemon(month: Month) -> None:
    """From the first call to books that add up."""
    await _add_customers(month)
    await _september(month)
    invoices = await _october(month)
    assert {name: (each["net"], each["tax"], each["total"]) for name, each in invoices.items()} == {
        # 0.50 of calls, November's 20.00 and the late fee of 5.00; 19 % of 25.50 is 4.845
        "bakery": ("25.50", "4.85", "30.35"),
        # From 15 September to 14 October: 0.007 of calls, and what is missing to 100.00
        "carrier": ("100.00", "0.00", "100.00"),
        # The late call and October's: 30 yen with the tax inside
        "kaisha": ("27", "3", "30"),
    }
    assert await month.dun("2026-11-05") == ["bakery warn-21"]
    assert await month.dun("2026-11-12") == []
    assert (await month.get("/accounts/bakery"))["state"] == "suspended"
    assert await month.call("bakery", "2026-11-12T10:00", BERLIN, 10) != 2001
    assert await month.call("bakery", "2026-11-12T10:05", BERLIN, 10, "112") == 2001, "emergency calls pass always"
    await month.post("/customers/bakery/payments", {"amount": "53.19", "reference": "camt-2"})  # 22.84 + 30.35
    assert (await month.get("/accounts/bakery"))["state"] == "active"
    assert await month.call("bakery", "2026-11-12T11:00", BERLIN, 10) == 2001
    assert await month.balance("bakery") == "-0.10", "all is paid; ten seconds were used since"
    await month.post("/customers/kaisha/payments", {"amount": "41", "reference": "camt-3"})
    assert await month.balance("kaisha") == "0"
    for name in ("R-2026-000001", "G-2026-000001", "R-2026-000002", "INV-2026-000001"):
        pdf = await month.http.get(f"/v1/invoices/{name}/pdf?annex=true")
        assert pdf.content[:5] == b"%PDF-"
    states = {each["number"]: each["state"] for each in (await month.get("/invoices"))["invoices"]}
    assert {number for number, state in states.items() if state != "paid"} == {"G-2026-000001", "R-2026-000004"}
    await flush_all(month.valkey_url, month.dsn)
    assert (await audit(month.valkey_url, month.dsn)).is_clean
