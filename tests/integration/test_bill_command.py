"""``ocs customer`` and ``ocs bill``: from a customer's file to a paid invoice and its PDF, as an operator does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from balance.account import Account
from ocs import clock
from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES
from tests.integration.invoice_world import LIMIT, World, at, close_world, open_world
from tests.integration.test_invoices import BERLIN
from tests.unit.test_bank_files import camt, ntry

pytestmark = pytest.mark.integration

BAKERY = """
customer_id = "bakery"
legal_entity = "example"
name = "Bäckerei Müller"
address = ["Hauptstr. 1", "10115 Berlin"]
country = "DE"
currency = "EUR"
accounts = ["bakery"]
since = 2026-09-01
language = "de"
time_zone = "Europe/Berlin"
"""


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """An account with two calls; a session of the tools finds its servers by the environment."""
    world = await open_world(sample_config, valkey_url, billing_dsn)
    assert isinstance(await world.desk.create_account("bakery", "EUR", "test-eur", LIMIT, 0, actor="test"), Account)
    await world.desk.subscribers.create("bakery", "bakery", ("name:bakery",), "")
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("bakery", "2026-09-11T10:00", BERLIN, 61, "200123")
    await world.flush()
    yield world
    await close_world(world)


class Operator:
    """Types commands."""

    def __init__(self, config: Path, world: World) -> None:
        self._config = config
        self._environment = {"OCS_VALKEY_URL": world.valkey_url, "OCS_POSTGRES_DSN": world.dsn}

    def says(self, *words: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, [*words, "--config", str(self._config)], env=self._environment)
        assert result.exit_code == status, result.output
        return result.output

    def asks(self, *words: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.says(*words, "--json"))
        return answer


async def test_an_operator_bills_a_customer(
    world: World, sample_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Add, agree, preview, run, issue, print, pay, credit: each command says what it did, and the amounts are right."""
    monkeypatch.setattr(clock, "now_ms", lambda: at("2026-10-05T12:00", BERLIN))

    await asyncio.to_thread(_bill, Operator(sample_config, world), tmp_path)
    assert await world.balance("bakery") == -85 * 10**7 + 5 * 10**7  # all was paid but 0.85, and 0.05 came back


def _bill(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "bakery.toml"
    file.write_text(BAKERY, encoding="utf-8")
    assert operator.asks("customer", "add", str(file))["customers"][0]["accounts"] == "bakery"
    assert "there is a customer of that id" in operator.says("customer", "add", str(file), status=EXIT_CONFIG)
    operator.says(
        "customer", "charge", "bakery", "line", "10.00", "--text", "Anschluss", "--from", "2026-10-01", "--months", "1"
    )
    preview = operator.asks("bill", "preview", "bakery")
    assert (preview["net"], preview["tax_amount"], preview["total"]) == ("11.60", "2.20", "13.80")
    assert [line["tax"] for line in preview["lines"]] == ["vat 19 %"] * 3
    until = operator.asks("bill", "preview", "bakery", "--until", "2026-09-11")
    assert (until["net"], until["after"]) == ("1.00", "2026-09-11")

    assert "has not come" in operator.says("bill", "run", "--until", "2026-11-01", status=EXIT_CONFIG)
    report = operator.asks("bill", "run", "--until", "2026-10-01")
    assert (report["customers"], len(report["drafts"])) == (1, 1)
    assert "no invoices" in operator.says("bill", "list", "--state", "issued")
    (draft,) = operator.asks("bill", "review")["invoices"]
    operator.says("bill", "hold", str(draft["id"]), "--reason", "is the discount agreed?", "--by", "ann")
    assert operator.asks("bill", "run", "--until", "2026-10-01", "--issue")["kept"] == [
        f"invoice {draft['id']} is held: is the discount agreed? (ocs bill release {draft['id']})"
    ]
    assert "is held" in operator.says("bill", "issue", str(draft["id"]), status=EXIT_CONFIG)
    operator.says("bill", "release", str(draft["id"]))
    assert operator.asks("bill", "review", str(draft["id"]), "--by", "ann")["invoices"][0]["review"] == "ann"
    assert operator.asks("bill", "review")["invoices"] == []
    (issued,) = operator.asks("bill", "issue", "--on", "2026-10-01")["invoices"]
    assert (issued["number"], issued["due"], issued["open"]) == ("R-2026-000001", "2026-10-15", "13.80")
    assert "Anschluss" in operator.says("bill", "show", "R-2026-000001")

    paper = tmp_path / "invoice.pdf"
    operator.says("bill", "pdf", "R-2026-000001", "--annex", "--out", str(paper))
    assert paper.read_bytes().startswith(b"%PDF-")
    broken = tmp_path / "broken.typ"
    broken.write_text("#let", encoding="utf-8")
    words = operator.says("bill", "pdf", "R-2026-000001", "--template", str(broken), status=EXIT_CONFIG)
    assert "the template cannot be set" in words

    pay = ("bill", "pay", "bakery", "12.95", "--reference", "camt-1", "--on", "2026-10-05")
    assert operator.asks(*pay)["payments"][0]["credit"] == "0.00"
    assert "had been booked before" in operator.says(*pay)
    assert operator.asks("bill", "show", "R-2026-000001")["open"] == "0.85"
    assert "no date" in operator.says(*pay[:-1], "5.10.2026", status=EXIT_CONFIG)
    assert "more than 2 decimals" in operator.says("bill", "pay", "bakery", "1.001", "-r", "x", status=EXIT_CONFIG)

    _bring_statement(operator, tmp_path)
    (note,) = operator.asks("bill", "credit", "R-2026-000001", "--reason", "Kulanz", "--line", "1=0.04")["invoices"]
    assert (note["kind"], note["total"]) == ("credit_note", "-0.05")
    assert "has no line 9" in operator.says(
        "bill", "credit", "R-2026-000001", "-r", "x", "--line", "9=1", status=EXIT_CONFIG
    )
    methods = [each["method"] for each in operator.asks("bill", "payments", "bakery")["payments"]]
    assert sorted(methods) == ["bank", "credit_note"]
    book = tmp_path / "october.csv"
    operator.says("bill", "export", "--from", "2026-10-01", "--until", "2026-10-06", "--out", str(book))
    assert book.read_text(encoding="utf-8").splitlines() == [
        "day,document,issuer,customer,account,debit,credit,currency,text",
        "2026-10-01,R-2026-000001,example,bakery,1400,13.80,,EUR,R-2026-000001",
        "2026-10-01,R-2026-000001,example,bakery,8401,,10.00,EUR,recurring",
        "2026-10-01,R-2026-000001,example,bakery,8400,,1.60,EUR,usage",
        "2026-10-01,R-2026-000001,example,bakery,1776,,2.20,EUR,USt. vat",
        "2026-10-05,G-2026-000001,example,bakery,1400,,0.05,EUR,G-2026-000001",
        "2026-10-05,G-2026-000001,example,bakery,8400,0.04,,EUR,usage",
        "2026-10-05,G-2026-000001,example,bakery,1776,0.01,,EUR,USt. vat",
        "2026-10-05,camt-1,example,bakery,1200,12.95,,EUR,bank camt-1",
        "2026-10-05,camt-1,example,bakery,1400,,12.95,EUR,bank camt-1",
    ]
    assert "there is no invoice" in operator.says("bill", "show", "R-2026-000009", status=EXIT_CONFIG)
    assert "there is no customer" in operator.says("bill", "preview", "butcher", status=EXIT_CONFIG)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('legal_entity = "exampel"', "billing.toml has no 'exampel' (did you mean example?)"),
        ('time_zone = "Berlin"', "time_zone: 'Berlin' is no zone"),
        ('accounts = ["baker"]', "accounts: there is no account 'baker'"),
        ('currency = "USD"', "accounts: bakery is kept in EUR, the customer in USD"),
        ('nam = "x"', "nam is not a known field"),
        ("since = 7", "Expected"),
    ],
)
async def test_a_customers_file_with_a_fault(
    world: World, sample_config: Path, tmp_path: Path, change: str, words: str
) -> None:
    """It says which field is wrong, and how it should be; nothing is written."""

    field = change.partition(" ")[0]
    lines = [line for line in BAKERY.splitlines() if not line.startswith(f"{field} ")]
    file = tmp_path / "bakery.toml"
    file.write_text("\n".join([*lines, change]), encoding="utf-8")
    operator = Operator(sample_config, world)
    said = await asyncio.to_thread(operator.says, "customer", "add", str(file), status=EXIT_CONFIG)
    assert words in said
    assert (await asyncio.to_thread(operator.asks, "customer", "list"))["customers"] == []


def _bring_statement(operator: Operator, tmp_path: Path) -> None:
    """An entry that waits is told by the exit status, and left out by its id; a file that is none is named."""
    statement, broken = tmp_path / "camt053.xml", tmp_path / "broken.xml"
    statement.write_bytes(camt(ntry("4.00", "fee R-2026-000009")))
    broken.write_bytes(statement.read_bytes()[:-9])
    assert "broken.xml is no XML" in operator.says("bank", "load", str(broken), status=EXIT_CONFIG)
    answer = json.loads(operator.says("bank", "load", str(statement), "--json", status=EXIT_DIFFERENCES))
    assert answer["files"] == [{"file": "camt053.xml", "booked": 0, "returned": 0, "waiting": 1, "repeated": 0}]
    (entry,) = operator.asks("bank", "list")["entries"]
    assert (entry["amount"], entry["may_be"]) == ("4.00", "bakery (possible: Bäckerei Müller is the customer's name)")
    operator.says("bank", "ignore", str(entry["entry"]), "--reason", "a fee")
    assert operator.says("bank", "load", str(statement), "--json").count('"repeated": 1') == 1
