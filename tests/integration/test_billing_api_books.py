"""The bank, the bookkeeping, dunning and feeds over HTTP; who changed what is noted with before and after."""

from __future__ import annotations

import asyncio
import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from balance.account import AccountState
from ocs.api.bank import STATEMENT_OCTETS_MAX
from ocs.billing.trail import FIELD, STREAM_KEY, decode_trail
from ocs.clock import local_date
from tests.integration.test_billing_api import Api, _billed, api
from tests.unit.test_bank_files import camt, ntry

__all__ = ("api",)  # a fixture
pytestmark = pytest.mark.integration


async def _changes(api: Api) -> dict[str, tuple[str, dict[str, Any], dict[str, Any]]]:
    """The last change by each operation: target, before and after."""
    found = {}
    for trail_id, fields in await api.world.redis.xrange(STREAM_KEY):
        entry = decode_trail(fields[FIELD], trail_id.decode())
        found[entry.action] = (entry.target, entry.before, entry.after)
    return found


async def test_a_statement_is_loaded_and_its_entries_settled(api: Api) -> None:
    """One entry is certain, one is assigned to the customer, one ignored; each once, and the audit log says so."""
    draft = await _billed(api)
    issued = await api.post(f"/invoices/{draft['invoice_id']}/issue")
    octets = camt(ntry("11.90", issued["number"]), ntry("2.00", "rest", name="a2"), ntry("3.00", "?", name="a3"))
    for loaded in (
        {"booked": 1, "returned": 0, "waiting": 2, "repeated": 0},
        {"booked": 0, "returned": 0, "waiting": 2, "repeated": 3},
    ):
        answer = await api.client.post("/v1/bank/statements", content=octets)
        assert (answer.status_code, answer.json()) == (200, loaded)
    second, third = await api.get("/bank/entries")
    assert (second["amount"], second["currency"], second["state"]) == ("2.00", "EUR", "open")
    assigned = await api.post(f"/bank/entries/{second['entry_id']}/assign", {"customer_id": "bakery"})
    assert (assigned["state"], assigned["payment_id"]) == ("booked", 2)
    assert (await api.post(f"/bank/entries/{third['entry_id']}/ignore", {"reason": "a fee"}))["note"] == "a fee"
    assert await api.get("/bank/entries") == []
    assert (await api.refused("POST", f"/bank/entries/{third['entry_id']}/ignore", {"reason": "x"}))[0] == 404
    assert (await api.refused("POST", f"/bank/entries/{third['entry_id']}/assign", {}))[0] == 422
    answer = await api.client.post("/v1/bank/statements", content=b"<a")
    assert (answer.status_code, "is no XML" in answer.text) == (409, True)
    assert await api.world.balance("bakery") == 2 * 10**9
    large = octets.replace(b"</Stmt>", b" " * (5 << 20) + b"</Stmt>")
    answer = await api.client.post("/v1/bank/statements", content=large)
    assert answer.json() == {"booked": 0, "returned": 0, "waiting": 0, "repeated": 3}
    answer = await api.client.post("/v1/bank/statements", content=b" " * (STATEMENT_OCTETS_MAX + 1))
    assert (answer.status_code, "ocs bank load" in answer.json()["cure"]) == (413, True)

    changes = await _changes(api)
    target = f"entry {second['entry_id']}"
    assert changes["assign_bank_entry"] == (
        target,
        {"state": "open", "payment_id": None},
        {"state": "booked", "payment_id": 2},
    )
    target, before, after = changes["issue_invoice"]
    assert (target, before["state"], after["state"], after["number"]) == (
        f"invoice {draft['invoice_id']}", "draft", "issued", issued["number"],
    )  # fmt: skip

    note = await api.post("/customers/bakery/notes", {"text": "called"})
    paid = {"amount": "4.00", "reference": "cash-1", "method": "cash"}
    payments = [await api.post("/customers/bakery/payments", paid) for _ in range(2)]
    refunds = [await api.post("/customers/bakery/refunds", {"amount": "6.00", "reference": "b-1"}) for _ in range(2)]
    keyed = {"Idempotency-Key": "k"}
    credited = await api.post(f"/invoices/{issued['number']}/credit-notes", {"reason": "wrong"}, **keyed)
    changes = await _changes(api)
    assert changes["create_note"] == (f"customer bakery note {note['note_id']}", {}, {"text": "called"})
    target, before, after = changes["create_payment"]
    assert (target, before, after["amount"]) == (f"payment {payments[0]['payment_id']}", {}, "4.00")
    assert changes["create_refund"] == (f"refund {refunds[0]['refund_id']}", {}, refunds[0])
    target, before, after = changes["create_credit_note"]
    assert (target, before, after["total"]) == (f"invoice {credited['invoice_id']}", {}, "-11.90")


async def test_a_draft_is_reviewed_and_may_be_held(api: Api) -> None:
    """Where reviews are demanded no draft is issued without one, by nobody and no run; what is held stays, whatever is reviewed."""
    draft = await _billed(api)
    name = draft["invoice_id"]
    path = api.billing._config.parent / "billing.toml"
    text = path.read_text("utf-8").replace("review_required = false", "review_required = true")
    path.write_text(text, "utf-8")
    api.billing.reload()
    assert [each["invoice_id"] for each in (await api.get("/invoices?unreviewed=true"))["invoices"]] == [name]
    why = f"invoice {name} is not reviewed: ocs bill review {name}"
    assert await api.refused("POST", f"/invoices/{name}/issue") == (409, why)
    run = await api.post("/bill-runs", {"until": "2026-10-01", "is_issuing": True})
    while (run := await api.get(f"/bill-runs/{run['run_id']}"))["state"] == "running":  # noqa: ASYNC110 - another process bills
        await asyncio.sleep(0.1)  # a key may ask so often
    assert (run["state"], run["issued"], run["failed"]) == ("done", 0, {})
    answer = await api.client.put(f"/v1/invoices/{name}/hold", json={"reason": "the discount?"})
    who = answer.json()["held_by"]
    assert (answer.json()["held_reason"], who[:4]) == ("the discount?", "api:")
    reviewed = await api.post(f"/invoices/{name}/review")
    assert (reviewed["state"], reviewed["reviewed_by"], reviewed["reviewed_at"] is None) == ("draft", who, False)
    assert reviewed == await api.post(f"/invoices/{name}/review")
    assert (await api.get("/invoices?unreviewed=true"))["invoices"] == []
    why = f"invoice {name} is held: the discount? (ocs bill release {name})"
    assert await api.refused("POST", f"/invoices/{name}/issue") == (409, why)
    await api.client.put(f"/v1/invoices/{name}/hold", json={"reason": ""})
    issued = await api.post(f"/invoices/{name}/issue")
    assert (issued["state"], issued["reviewed_by"]) == ("issued", who)
    assert (await api.refused("POST", f"/invoices/{name}/review"))[0] == 409
    changes = await _changes(api)
    assert changes["hold_invoice"] == (
        f"invoice {name}", {"held_by": who, "held_reason": "the discount?"}, {"held_by": "", "held_reason": ""},
    )  # fmt: skip
    target, before, after = changes["create_customer"]
    assert (target, before, after["name"]) == ("customer bakery", {}, "Bäckerei Müller")
    assert changes["start_bill_run"][2] == {"until": "2026-10-01", "is_issuing": True}


async def test_the_bookkeeping_is_streamed(api: Api) -> None:
    """An invoice that is voided: both documents, each adds up to nothing; as CSV and as JSON lines."""
    draft = await _billed(api)
    issued = await api.post(f"/invoices/{draft['invoice_id']}/issue")
    void = await api.post(f"/invoices/{issued['number']}/void", {"reason": "wrong address"})
    assert (void["number"], len(void["credit_notes"])) == (issued["number"], 1)
    assert void == await api.post(f"/invoices/{issued['number']}/void", {"reason": "again"})
    assert (await api.get(f"/invoices/{issued['number']}"))["state"] == "void"
    today = local_date()
    days = f"from={today - timedelta(days=1)}&until={today + timedelta(days=2)}"
    answer = await api.client.get(f"/v1/bookkeeping?{days}")
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [(row["document"], row["debit"], row["credit"]) for row in rows] == [
        (issued["number"], "11.90", ""), (issued["number"], "", "10.00"), (issued["number"], "", "1.90"),
        (void["credit_notes"][0], "", "11.90"), (void["credit_notes"][0], "10.00", ""), (void["credit_notes"][0], "1.90", ""),
    ]  # fmt: skip
    lines = (await api.client.get(f"/v1/bookkeeping?{days}&form=jsonl")).text.splitlines()
    assert len(lines) == 6
    assert (await api.refused("GET", f"/bookkeeping?from={today}&until={today}"))[0] == 422


async def test_dunning_is_run_page_by_page(api: Api) -> None:
    """What is due is done once; a promise is noted with what was before."""
    draft = await _billed(api)
    await api.post(f"/invoices/{draft['invoice_id']}/issue")
    await api.world.connection.execute("UPDATE invoice SET due_on = $1", date(2025, 1, 1))
    api.billing.issuers.dunning["standard"] = _without_hours(api)
    page = await api.post("/dunning/runs?limit=1")
    (standing,) = page["standings"]
    assert (standing["customer_id"], standing["block"], page["next_cursor"]) == ("bakery", "suspend", "bakery")
    assert [action["step"] for action in standing["actions"]] == ["remind-3", "late_fee-14", "warn-21"]
    assert (await api.post("/dunning/runs?limit=1&cursor=bakery"))["standings"] == []
    again = await api.post("/dunning/runs")
    assert (again["standings"][0]["actions"], again["next_cursor"]) == ([], "")
    account = await api.world.desk.account("bakery")
    assert account is not None
    assert account.state is AccountState.SUSPENDED
    promise = {"promised_until": "2999-01-01", "is_exempt": False}
    assert (await api.client.put("/v1/customers/bakery/leniency", json=promise)).status_code == 204
    assert (await _changes(api))["set_leniency"] == (
        "customer bakery", {"promised_until": None}, {"promised_until": "2999-01-01"},
    )  # fmt: skip


def _without_hours(api: Api) -> Any:
    """The sample's policy at any hour of any day: the test runs when it runs."""
    return msgspec.structs.replace(api.billing.issuers.dunning["standard"], quiet_days=(), hours=())


async def test_records_are_given_to_a_feed_again(api: Api, sample_config: Path) -> None:
    """What the feed has is put into its queue again; what waits there is not counted twice."""
    await _billed(api)
    assert await api.get("/feeds") == []
    (sample_config.parent / "feeds.toml").write_text(
        '[[feed]]\nname = "warehouse"\nto = "file"\nfolder = "out"\n', encoding="utf-8"
    )
    api.billing.reload()
    span = {"since": "2026-09-01T00:00:00Z", "until": "2026-10-01T00:00:00Z"}
    assert await api.post("/feeds/warehouse/replays", span) == {"records": 1}
    assert await api.post("/feeds/warehouse/replays", span) == {"records": 0}
    (state,) = await api.get("/feeds")
    assert (state["feed"], state["to"], state["waiting"]) == ("warehouse", "file", 1)
    assert (await api.refused("POST", "/feeds/nobody/replays", span))[0] == 404
    assert (await api.refused("POST", "/feeds/warehouse/replays", {**span, "until": span["since"]}))[0] == 422
