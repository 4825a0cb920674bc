"""Messages on real servers: PostgreSQL keeps them, SMTP and HTTP take them, whatever fails in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from msgspec import structs

from ocs.delivery import queue
from ocs.delivery.contacts import Contact, change_contact, contact_tag, find_contact
from ocs.delivery.deliverer import Deliverer
from ocs.delivery.queue import Attachment, Letter
from ocs.delivery.webhooks import verified
from tests.integration.delivery_world import NO_QUIET, NOW_MS, SECRET, World, open_world

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000
INVOICE = Letter(
    message_id="invoice-1",
    channel="mail",
    receiver="alice@example.net",
    kind="invoice",
    language="de",
    values={
        "number": "R-2026-000001", "name": "Bäckerei Müller", "total": "1234.50", "currency": "EUR", "due_on": "2026-01-31",
        "issuer": "Example Telecom",
    },
    attachments=(Attachment("R-2026-000001.pdf", "application/pdf", b"%PDF-1.7 \x00\xff"),),
    is_urgent=True,
)  # fmt: skip
SMS = Letter(
    message_id="sms-1", channel="sms", receiver="+4915112345678", kind="low_balance", language="en", is_urgent=True,
    values={"balance": "0.45", "currency": "EUR"},
)  # fmt: skip


@pytest.fixture
async def world(sample_config: Path, billing_dsn: str) -> AsyncIterator[World]:
    """Nothing is on its way."""
    async with open_world(sample_config.parent, billing_dsn) as world:
        yield world


async def post(world: World, *letters: Letter) -> list[bool]:
    async with world.pool.acquire() as connection:
        return [await queue.post(connection, letter, world.now_ms) for letter in letters]


async def test_a_mail_arrives_in_the_receivers_language_with_its_attachment(world: World) -> None:
    """German words, German money and dates, and the file as it was."""
    assert await post(world, INVOICE, INVOICE) == [True, False], "a letter of one id is sent once"
    await world.settle()
    (mail,) = world.mail.mails
    assert (mail["To"], mail["Subject"]) == ("alice@example.net", "Rechnung R-2026-000001")
    text = mail.get_body()
    assert text is not None
    said = text.get_content()
    assert "Guten Tag Bäckerei Müller" in said
    assert "1.234,50\u00a0€, fällig am 31. Januar 2026." in said
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("R-2026-000001.pdf", b"%PDF-1.7 \x00\xff")
    (message,) = await world.messages()
    assert (message.state, message.attempts, message.finished_at_ms) == ("arrived", 1, NOW_MS)


async def test_what_is_posted_in_a_transaction_that_fails_is_not_sent(world: World) -> None:
    """A letter leaves if what it tells of has happened."""
    async with world.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await queue.post(connection, INVOICE, NOW_MS)
        await transaction.rollback()
    await world.settle()
    assert (await world.messages(), world.mail.mails) == ([], [])


@pytest.mark.parametrize(
    ("refusals", "state", "attempts"),
    [
        (["450 later"], "arrived", 2),
        (["550 no such user"], "dead", 1),
        (["451 busy"] * 4, "dead", 4),
    ],
    ids=["a temporary refusal is tried again", "a final one is not", "nothing is tried for ever"],
)
async def test_refused_mail(world: World, refusals: list[str], state: str, attempts: int) -> None:
    """RFC 5321, section 4.2.1: 4yz may be tried again, 5yz may not. What is given up is kept with the reason."""
    world.mail.refusals.extend(refusals)
    await post(world, INVOICE)
    for _ in range(5):
        await world.settle()
        world.now_ms += HOUR_MS
    (message,) = await world.messages()
    assert (message.state, message.attempts) == (state, attempts)
    assert (refusals[-1] in message.error) == (state == "dead")


async def test_a_dead_letter_is_replayed(world: World) -> None:
    """Once the cause is gone, all of them go out again, under the same Message-ID."""
    world.mail.refusals.append("550 no such user")
    await post(world, INVOICE)
    await world.settle()
    async with world.pool.acquire() as connection:
        assert await queue.replay_dead(connection, world.now_ms) == ["invoice-1"]
        assert await queue.replay_dead(connection, world.now_ms) == []
    await world.settle()
    async with world.pool.acquire() as connection:
        assert await queue.replay(connection, ["invoice-1", "unknown"], world.now_ms) == ["invoice-1"]
    await world.settle()
    assert len({mail["Message-ID"] for mail in world.mail.mails}) == 1
    assert len(world.mail.mails) == 2


async def test_a_server_that_is_away_is_waited_for(world: World) -> None:
    """Nobody listens: each attempt waits longer than the one before, and then it arrives."""
    away = world.delivery._replace(
        file=structs.replace(world.delivery.file, mail=structs.replace(world.delivery.file.mail, port=1))
    )
    await post(world, INVOICE)
    waits = []
    for _ in range(3):
        await world.settle(away)
        (message,) = await world.messages("waiting")
        waits.append(message.due_at_ms - world.now_ms)
        world.now_ms = message.due_at_ms
    assert [5_000 <= waits[0] <= 6_000, 10_000 <= waits[1] <= 12_000, 20_000 <= waits[2] <= 24_000] == [True] * 3
    await world.settle()
    assert [message.state for message in await world.messages()] == ["arrived"]


async def test_an_sms_goes_to_the_gateway(world: World) -> None:
    """Number, text and id in the body that the settings say, with the settings' headers."""
    await post(world, SMS)
    await world.settle()
    (call,) = world.web.calls
    assert (call.path, call.headers["authorization"]) == ("/sms", "Bearer x")
    assert call.json == {"to": "+4915112345678", "text": "Your balance is €0.45. Please top up.", "id": "sms-1"}


async def test_quiet_hours_are_those_of_the_receiver(world: World) -> None:
    """00:00 UTC is 09:00 in Tokyo, which is day, and 01:00 in Berlin, where it waits until 08:00; what is urgent does not."""
    sms = [
        structs.replace(SMS, message_id=name, time_zone=zone, is_urgent=urgent)
        for name, zone, urgent in (
            ("day", "Asia/Tokyo", False),
            ("night", "Europe/Berlin", False),
            ("urgent", "", True),
        )
    ]
    await post(world, *sms)
    await world.settle()
    assert {call.json["id"] for call in world.web.calls} == {"day", "urgent"}
    (waiting,) = await world.messages("waiting")
    assert (waiting.due_at_ms - NOW_MS, waiting.attempts) == (7 * HOUR_MS, 0)
    world.now_ms += 7 * HOUR_MS
    await world.settle()
    assert world.web.calls[-1].json["id"] == "night"


async def test_a_contact_may_have_quiet_hours_of_its_own(world: World) -> None:
    """00:00 UTC is 09:00 in Tokyo: who sleeps there until 11:00 is told then, whatever the hours for all; who wants none is told now."""
    sms = [
        structs.replace(SMS, message_id=name, time_zone=zone, is_urgent=False, quiet_begins=begins, quiet_ends=ends)
        for name, zone, begins, ends in (
            ("late riser", "Asia/Tokyo", "23:00", "11:00"),
            ("owl", "Europe/Berlin", "00:00", "00:00"),
        )
    ]
    await post(world, *sms)
    await world.settle()
    assert [call.json["id"] for call in world.web.calls] == ["owl"]
    (waiting,) = await world.messages("waiting")
    assert waiting.due_at_ms - NOW_MS == 2 * HOUR_MS


async def test_a_contact_is_changed_once_for_a_key(billing_dsn: str) -> None:
    """On PostgreSQL: at the same moment, too; a key is forgotten after a week; a tag that is no longer right changes nothing."""
    one, two = (Contact(account_id="alice", mail=f"{name}@example.net", quiet_begins="22:00", quiet_ends="07:00")
                for name in ("one", "two"))  # fmt: skip
    async with asyncpg.create_pool(billing_dsn, min_size=0, max_size=4) as pool:

        async def change(contact: Contact, key: str, at_ms: int = NOW_MS, *tags: str) -> str:
            async with pool.acquire() as connection:
                done = await change_contact(connection, contact, frozenset(tags), key, at_ms)
                return done.status.value

        both = await asyncio.gather(*(change(one, "k1") for _ in range(4)))
        assert sorted(both) == ["changed", "replayed", "replayed", "replayed"]
        assert await change(two, "k1") == "key_reused"
        assert await change(two, "k2", NOW_MS, "00000000") == "changed_meanwhile"
        assert await change(two, "k2", NOW_MS, contact_tag(one)) == "changed"
        assert await change(one, "k1") == "replayed"
        assert await find_contact(pool, "alice") == two
        assert await change(one, "k1", NOW_MS + 8 * 24 * HOUR_MS) == "changed"


async def test_words_that_are_missing_make_a_dead_letter(world: World) -> None:
    """The reason names the field; the other letters go on."""
    bad = structs.replace(SMS, message_id="bad", values={"currency": "EUR"})
    await post(world, bad, SMS)
    await world.settle()
    states = {message.letter.message_id: (message.state, message.error) for message in await world.messages()}
    assert states["sms-1"] == ("arrived", "")
    assert states["bad"] == ("dead", "UndefinedError: 'balance' is undefined")


def hook_letter(number: int) -> Letter:
    body = {"id": f"evt_{number}", "type": "top_up", "timestamp": "2026-01-01T00:00:00.000Z", "data": {}}
    return Letter(message_id=f"h{number}", channel="webhook", receiver="crm", kind="top_up", values=body)


async def test_webhooks_are_signed_and_tried_again_under_the_same_id(world: World) -> None:
    """A receiver that verifies the signature and remembers the id takes each event once; Retry-After is kept to."""
    world.web.answers.extend(["500 oops", "503 busy\r\nRetry-After: 3000"])
    await post(world, hook_letter(1))
    await world.settle()
    world.now_ms += 6_000
    await world.settle()
    world.now_ms += 2_999_000
    await world.settle()
    assert len(world.web.calls) == 2
    world.now_ms += 1_000
    await world.settle()
    assert [call.headers["webhook-id"] for call in world.web.calls] == ["evt_1"] * 3
    for call in world.web.calls:
        stamp = int(call.headers["webhook-timestamp"])
        assert verified([SECRET], "evt_1", stamp, call.body, call.headers["webhook-signature"])
    assert int(world.web.calls[-1].headers["webhook-timestamp"]) == world.now_ms // 1000


async def test_an_endpoint_that_is_gone_is_left_alone(world: World) -> None:
    """410 says never again; a webhook that left the settings gets nothing more."""
    world.web.answers.append("410 Gone")
    await post(world, hook_letter(1))
    await world.settle()
    stray = structs.replace(hook_letter(2), receiver="old")
    await post(world, stray)
    async with world.pool.acquire() as connection:
        await queue.bury_strays(connection, world.delivery.webhooks, world.now_ms)
    assert [message.state for message in await world.messages()] == ["dead", "dead"]


async def test_several_workers_send_each_message_once(world: World) -> None:
    """Four deliverers at once on 200 messages: SKIP LOCKED shares them out."""
    async with world.pool.acquire() as connection:
        await queue.post_all(connection, [hook_letter(number) for number in range(200)], NOW_MS)
    workers = [world.deliverer() for _ in range(4)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    while len(await world.messages("waiting")):  # noqa: ASYNC110 - the state of the queue is no event
        await asyncio.sleep(0.01)
    for worker in workers:
        worker.stop()
    for task, worker in zip(tasks, workers, strict=True):
        await stopped(task, worker)
    assert sorted(call.headers["webhook-id"] for call in world.web.calls) == sorted(f"evt_{n}" for n in range(200))
    assert sum(worker.delivered for worker in workers) == 200


async def stopped(task: asyncio.Task[None], worker: Deliverer) -> None:
    await task
    assert worker._client.is_closed


async def test_a_worker_that_dies_leaves_its_messages_to_others(world: World) -> None:
    """A claim is a lease; who comes back after it changes nothing any more."""
    await post(world, hook_letter(1))
    async with world.pool.acquire() as connection:
        (lost,) = await queue.claim(connection, "webhook", "crm", world.now_ms, 10)
    await world.settle()
    assert world.web.calls == [], "it is in hand"
    world.now_ms += queue.LEASE_MS
    await world.settle()
    async with world.pool.acquire() as connection:
        await queue.died(connection, lost, world.now_ms, "too late")
    assert [(message.state, message.attempts) for message in await world.messages()] == [("arrived", 2)]


async def test_what_arrived_long_ago_is_forgotten(world: World) -> None:
    """With its attachments; what waits or is dead stays."""
    await post(world, INVOICE)
    await world.settle()
    await post(world, SMS)
    async with world.pool.acquire() as connection:
        await queue.forget(connection, NOW_MS + 1)
        assert await connection.fetchval("SELECT count(*) FROM message_attachment") == 0
    assert [message.letter.message_id for message in await world.messages()] == ["sms-1"]


async def test_without_quiet_hours_nothing_waits(world: World) -> None:
    """The same time twice is none."""
    await post(world, structs.replace(SMS, is_urgent=False))
    await world.settle(world.delivery._replace(quiet=NO_QUIET))
    assert len(world.web.calls) == 1
