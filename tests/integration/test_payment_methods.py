"""Stored payment methods over the API: Stripe's own library, a server that speaks Stripe's HTTP, real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.test_api_server import world
from tests.integration.test_cards import Cards, cards

__all__ = ["cards", "world"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
PATH = "/v1/accounts/alice/payment-methods"


async def listed(cards: Cards) -> list[tuple[str, bool]]:
    found = (await cards.client.get(PATH)).json()["methods"]
    return [(each["method_id"], each["is_default"]) for each in found]


async def test_a_payer_stores_a_method_at_the_gateway(cards: Cards) -> None:
    """Stripe is told who, in which currency and what; a repeat of the key gives the same page, and one payer is made."""
    first = await cards.post("payment-method-setups", {}, "k1")
    again = await cards.post("payment-method-setups", {}, "k1")

    assert (first.status_code, first.json()) == (201, again.json())
    assert [path for _, path, _ in cards.stripe.requests].count("/v1/customers") == 1
    form = cards.stripe.requests[-1][2]
    assert (form["mode"], form["customer"], form["currency"]) == ("setup", "cus_alice", "eur")
    assert {form["payment_method_types[0]"], form["payment_method_types[1]"]} == {"card", "sepa_debit"}
    assert form["setup_intent_data[metadata][ocs_owner]"] == "alice"


async def test_what_is_stored_is_listed_by_what_people_know_it_by(cards: Cards) -> None:
    """Brand, last four, expiry, and the gateway's id: nothing else is kept; the first one is the default."""
    await cards.store("pm_1")
    await cards.store("pm_2", "sepa_debit")
    found = (await cards.client.get(PATH)).json()["methods"]

    assert found == [
        {"method_id": "pm_1", "kind": "card", "brand": "visa", "last4": "4242", "expires": "2027-04", "is_default": True},
        {"method_id": "pm_2", "kind": "direct_debit", "brand": "SEPA DE", "last4": "3000", "expires": "", "is_default": False},
    ]  # fmt: skip


async def test_another_default_and_a_removal(cards: Cards) -> None:
    """What is removed is gone at the gateway, too, and another one takes its place; a stranger's is not known."""
    await cards.store("pm_1")
    await cards.store("pm_2")
    assert (await cards.client.put(f"{PATH}/pm_2/default")).status_code == 200
    assert await listed(cards) == [("pm_2", True), ("pm_1", False)]
    assert (await cards.client.delete(f"{PATH}/pm_2")).status_code == 200
    assert cards.stripe.methods["pm_2"]["customer"] is None
    assert await listed(cards) == [("pm_1", True)]
    for answer in (await cards.client.delete(f"{PATH}/pm_2"), await cards.client.put(f"{PATH}/pm_3/default")):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/payment-method-unknown")


@pytest.mark.parametrize(
    ("kind", "change", "left"),
    [
        ("payment_method.automatically_updated", {"card": {"brand": "visa", "last4": "1881", "exp_year": 2031, "exp_month": 12}}, ["1881"]),
        ("payment_method.detached", {"customer": None}, []),
    ],
    ids=["a new card", "removed at the gateway"],
)  # fmt: skip
async def test_what_changes_at_the_gateway_changes_here(
    cards: Cards, kind: str, change: dict[str, Any], left: list[str]
) -> None:
    """The payer's bank sends a new card; the payer's method is removed in the dashboard. A late word of the set-up adds none."""
    await cards.store("pm_1")
    cards.stripe.methods["pm_1"] |= change
    assert (await cards.told(kind, cards.stripe.methods["pm_1"])).status_code == 200
    metadata = {"ocs_owner_kind": "account", "ocs_owner": "alice"}
    setup = {"id": "seti_1", "object": "setup_intent", "payment_method": "pm_1", "metadata": metadata}
    assert (await cards.told("setup_intent.succeeded", setup)).status_code == 200
    assert [each["last4"] for each in (await cards.client.get(PATH)).json()["methods"]] == left


async def test_a_set_up_of_somebody_else_is_no_matter_of_ours(cards: Cards) -> None:
    """Others may use this account of Stripe, too."""
    setup = {"id": "seti_1", "object": "setup_intent", "payment_method": "pm_1", "metadata": {}}
    assert (await cards.told("setup_intent.succeeded", setup)).status_code == 200
    assert await listed(cards) == []
