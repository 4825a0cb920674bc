"""Invoices and reminders by mail and SMS: through the queue, over real SMTP, in the customer's language, each once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from ocs.billing_desk import BillingDesk
from ocs.clock import now_ms
from ocs.invoicing import Invoicing
from tests.integration.delivery_world import NO_QUIET
from tests.integration.delivery_world import World as Post
from tests.integration.delivery_world import open_world as open_post
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.test_invoices import BERLIN, NOVEMBER, OCTOBER

pytestmark = pytest.mark.integration

REACHED = msgspec.structs.replace(BAKERY, email="ofen@example.net", phone="+4915112345678")


@pytest.fixture
async def post(sample_config: Path, billing_dsn: str) -> AsyncIterator[Post]:
    async with open_post(sample_config.parent, billing_dsn) as post:
        post.now_ms = now_ms() + 60_000
        post.delivery = post.delivery._replace(quiet=NO_QUIET)  # whatever the hour of the test
        yield post


@pytest.fixture
async def world(post: Post, sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    world = await open_world(sample_config, valkey_url, billing_dsn)
    world.invoicing = Invoicing(
        world.connection, world.redis, world.desk, world.issuers, world.currencies, post.delivery.ways
    )
    await world.add(REACHED)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 1000)  # 10.00, and 11.90 with tax
    yield world
    await close_world(world)


def desk_of(world: World) -> BillingDesk:
    return BillingDesk(world.dsn, world.connection, world.invoicing, world.issuers, world.currencies)


async def test_an_invoice_is_sent_once_with_its_pdf(world: World, post: Post) -> None:
    """By mail, in German; said again it is not sent again, unless that is asked for; a draft is not sent at all."""
    (draft,) = await world.bill(OCTOBER)
    desk = desk_of(world)
    assert await desk.send(draft, OCTOBER, has_annex=False) == "it is a draft: issue it first"
    issued = await world.invoicing.issue(draft.invoice_id, OCTOBER)
    assert [each.number for each in await desk.to_be_sent([])] == [issued.number]
    assert await desk.send(issued, OCTOBER, has_annex=True) == ""
    assert await desk.to_be_sent([]) == []
    assert (await desk.send(issued, OCTOBER, has_annex=True)).startswith("it was sent before")
    await post.settle()
    (mail,) = post.mail.mails
    assert (mail["To"], mail["Subject"]) == ("ofen@example.net", "Rechnung R-2026-000001")
    text = mail.get_body()
    assert text is not None
    assert "11,90" in text.get_content()
    (pdf,) = mail.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content()[:5]) == ("R-2026-000001.pdf", b"%PDF-")
    assert await desk.send(issued, OCTOBER, has_annex=False, again=True) == ""
    await post.settle()
    assert len(post.mail.mails) == 2


async def test_a_customer_without_an_address_is_named(world: World) -> None:
    """Nothing is sent, and it says why."""
    (draft,) = await world.bill(OCTOBER)
    await world.connection.execute("UPDATE customer SET email = ''")
    issued = await world.invoicing.issue(draft.invoice_id, OCTOBER)
    assert await desk_of(world).to_be_sent([]) == []
    assert await desk_of(world).send(issued, OCTOBER, has_annex=False) == "the customer has no email"


async def test_dunning_speaks_by_mail_and_sms_once_for_each_step(world: World, post: Post) -> None:
    """Reminder and warning, each once, however often the run is said; the fee says nothing."""
    (draft,) = await world.bill(OCTOBER)
    issued = await world.invoicing.issue(draft.invoice_id, OCTOBER)
    assert issued.due_on == date(2026, 10, 15)
    for _ in range(2):
        await world.invoicing.dunning.run(date(2026, 10, 19), is_dry=False)
    await post.settle()
    assert [mail["Subject"] for mail in post.mail.mails] == ["Zahlungserinnerung: Rechnung R-2026-000001"]
    assert len(post.web.calls) == 1, "the SMS gateway was asked once"
    await world.invoicing.dunning.run(date(2026, 11, 6), is_dry=False)
    await post.settle()
    assert len(post.mail.mails) == 2
    assert "R-2026-000001" in str(post.mail.mails[1]["Subject"])
    await world.invoicing.dunning.run(NOVEMBER, is_dry=True)
    assert len(await post.messages()) == 4
