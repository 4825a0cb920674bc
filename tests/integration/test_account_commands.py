"""``ocs account`` and ``ocs subscriber`` on a real Valkey: what an operator does by hand, with its reason in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from balance.account import Account
from balance.valkey.store import ValkeyStore, open_store
from ocs.billing.trail import FIELD, STREAM_KEY, TrailEntry, decode_trail
from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG, EXIT_TEMPORARY, EXIT_UNKNOWN
from ocs.vouchers import Batch, VoucherDesk
from tests.scenario.world import Clock, World, amount

pytestmark = pytest.mark.integration

PARTITIONS = 16  # as the sample says


@pytest.fixture
async def world(valkey_url: str, monkeypatch: pytest.MonkeyPatch, project_root: Path) -> AsyncIterator[World]:
    """A has 5.00 and the subscriber S, B has nothing; the command line finds this Valkey, and no PostgreSQL."""
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("OCS_CONFIG", str(project_root / "config" / "ocs.toml"))
    store = await open_store(valkey_url, PARTITIONS)
    world = World(store, Clock())
    await world.open("5.00")
    assert isinstance(await world.desk.create_account("B", "EUR", "test-eur", 0, 0, actor="test"), Account)
    yield world
    await store.close()


async def ocs(*words: str) -> Result:
    """The command in a thread: it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


async def done(*words: str) -> str:
    result = await ocs(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


async def notes(world: World) -> list[TrailEntry]:
    assert isinstance(world.store, ValkeyStore)
    return [decode_trail(fields[FIELD], "") for _, fields in await world.store.client.xrange(STREAM_KEY)]


async def test_money_is_moved_by_hand(world: World) -> None:
    """Each once for its key, with actor and reason in the journal, and before and after in the audit log."""
    assert (await done("account", "top-up", "A", "1.00", "--reason", "cash", "--key", "r17")).startswith("done: entry")
    assert (await done("account", "top-up", "A", "1.00", "--reason", "cash", "--key", "r17")).startswith("done before:")
    await done("account", "adjust", "A", "--reason", "goodwill", "--", "-0.50")
    await done("account", "transfer", "A", "B", "2.00")
    assert [(await world.figures(name))[0] for name in "AB"] == [amount("3.50"), amount("2.00")]
    entry = next(each for each in await world.entries() if each.reference == "r17")
    assert (entry.actor, entry.reason) == ("operator", "cash")
    noted = await notes(world)
    assert [each.action for each in noted] == ["top_up", "adjust", "transfer"]
    assert (noted[0].before["balance"], noted[0].after["balance"], noted[0].reference) == ("5.00", "6.00", "r17")
    await world.check_books()


async def test_limits_and_caps_are_put_one_by_one(world: World) -> None:
    """What is not named stays; a cap takes the place of its namesake; lifting one leaves the others."""
    await done("account", "limits", "A", "--credit-limit", "20.00", "--calls", "voice=2/5", "--calls", "sms=0/3")
    await done("account", "limits", "A", "--low-balance", "1.00", "--calls", "voice=0")
    await done("account", "cap", "A", "roaming", "50.00", "--service", "data", "--warn", "80", "--not-network", "262")
    await done("account", "cap", "A", "kid", "2 GB", "--unit", "octets", "--member", "S", "--every", "day")
    await done("account", "cap", "A", "roaming", "40.00", "--service", "data")
    account = await world.account()
    assert (account.credit_limit, account.low_balance) == (amount("20.00"), amount("1.00"))
    assert account.extras is not None
    assert [(each.service, each.at_once, each.per_second) for each in account.extras.calls] == [("sms", 0, 3)]
    assert [(each.name, each.most, each.member) for each in account.extras.caps] == [
        ("kid", 2_000_000_000, "S"),
        ("roaming", amount("40.00"), ""),
    ]
    await done("account", "lift-cap", "A", "kid")
    refused = await ocs("account", "lift-cap", "A", "kid")
    assert (refused.exit_code, "it has roaming" in refused.stderr) == (EXIT_CONFIG, True)


async def test_blocks_plans_and_subscriptions(world: World) -> None:
    """Two blocks, each lifted by its name; another plan; a package that is cancelled; what velocity has counted."""
    await done("account", "block", "A", "--name", "fraud")
    await done("account", "block", "A")
    await done("account", "unblock", "A")
    await done("account", "block", "A", "--limit", "--name", "dunning")
    assert await world.state() == "suspended fraud limit:dunning"
    await done("account", "unblock", "A", "--name", "dunning")
    assert await world.state() == "suspended fraud"
    shown = msgspec.json.decode(await done("account", "velocity", "A", "--json"))
    assert (shown["is_blocked"], shown["spent_in_minute"], shown["rule"]) == (True, "0.00", "none for this plan")
    await done("account", "unblock", "A", "--name", "fraud")
    await done("account", "buy", "A", "monthly", "--key", "p1")
    account = await world.account()
    assert account.extras is not None
    (subscription,) = account.extras.subscriptions
    await done("account", "cancel", "A", str(subscription.number))
    await done("account", "plan", "A", "retail-eur", "--at", "once")
    assert (await world.account()).rate_plan == "retail-eur"
    await done("account", "close", "A", "--reason", "moved away")
    assert await world.state() == "closed"


async def test_a_reseller_is_given_changed_and_left(world: World) -> None:
    """With its reason in the journal and before and after in the audit log; what cannot be is refused with its cure."""
    tags = msgspec.json.decode(await done("account", "tags", "A", "--json"))
    await done("account", "reseller", "A", "B", "--reason", "contract 12", "--if-match", tags["account"])
    for words, cure in (
        (("B", "A"), "above first"),
        (("A", "nobody"), "Create the reseller"),
        (("A", "A~x"), "in a name"),
    ):
        refused = await ocs("account", "reseller", *words)
        assert (refused.exit_code, cure in refused.stderr) == (EXIT_CONFIG, True), words
    await done("account", "reseller", "A")
    noted = [(each.action, each.before["reseller"], each.after["reseller"]) for each in await notes(world)]
    assert noted == [("change_reseller", None, "B"), ("change_reseller", "B", None)]
    reasons = [entry.reason for entry in await world.entries() if entry.kind == "reseller"]
    assert reasons == ["nobody -> B: contract 12", "B -> nobody"]


async def test_a_change_is_for_what_was_read(world: World) -> None:
    """With --if-match and the tag of what was read: 412 over HTTP, here a line that says what to do; then nothing has changed."""
    read = msgspec.json.decode(await done("account", "tags", "A", "--json"))
    await done("account", "limits", "A", "--credit-limit", "1.00", "--if-match", f'"{read["limits"]}"')
    await done("account", "plan", "A", "retail-eur", "--if-match", read["plan"])
    await done("account", "block", "A", "--if-match", read["state"])
    for words in (
        ("limits", "A", "--credit-limit", "2.00", "--if-match", read["limits"]),
        ("cap", "A", "kid", "2.00", "--if-match", read["limits"]),
        ("plan", "A", "test-eur", "--if-match", read["plan"]),
        ("unblock", "A", "--if-match", read["state"]),
        ("close", "A", "--if-match", read["account"]),
    ):
        refused = await ocs("account", *words)
        assert (refused.exit_code, "Read it again" in refused.stderr) == (EXIT_CONFIG, True), words
    assert (await world.state(), (await world.account()).credit_limit) == ("suspended operator", amount("1.00"))
    (listed,) = msgspec.json.decode(await done("subscriber", "list", "--json"))["subscribers"]
    await done("subscriber", "change", "S", "--account", "B", "--if-match", listed["tag"])
    refused = await ocs("subscriber", "remove", "S", "--if-match", listed["tag"])
    assert (refused.exit_code, "Read it again" in refused.stderr) == (EXIT_CONFIG, True)


async def test_a_voucher_is_redeemed_by_phone(world: World) -> None:
    """Once; a wrong code is said to be one."""
    assert isinstance(world.store, ValkeyStore)
    desk = VoucherDesk(world.store.client, world.desk, world.clock)
    made = Batch("b", 1, amount("3.00"), "EUR", world.clock(), "test")
    (printed,) = [each for group in [page async for page in desk.make(made)] for each in group]
    await done("voucher", "redeem", "A", printed.code)
    assert (await world.figures("A"))[0] == amount("8.00")
    used = await ocs("voucher", "redeem", "B", printed.code)
    assert (used.exit_code, "used" in used.stderr) == (EXIT_CONFIG, True)
    assert (await ocs("voucher", "redeem", "A", "0000-0000")).exit_code == EXIT_UNKNOWN


async def test_subscribers_by_hand(world: World) -> None:
    """Created, changed, listed, ported, removed; once for a key; a password is never shown."""
    create = ("subscriber", "create", "T", "-a", "B", "-i", "e164:49302", "--password", "secret", "--key", "k1")
    assert [await done(*create), await done(*create)] == ["done\n", "done before\n"]
    await done("subscriber", "change", "T", "-i", "e164:49302", "-i", "e164:49303", "--account", "A")
    await done("subscriber", "port", "e164:49303", "T", "S")
    listed = await done("subscriber", "list", "--account", "A", "--json")
    assert [each["subscriber_id"] for each in msgspec.json.decode(listed)["subscribers"]] == ["S", "T"]
    assert "secret" not in listed
    owner = msgspec.json.decode(await done("subscriber", "list", "--identity", "e164:49303", "--json"))["subscribers"]
    assert [each["subscriber_id"] for each in owner] == ["S"]
    await done("subscriber", "remove", "T")
    assert [each.target for each in await notes(world)] == [
        "subscriber T",
        "subscriber T",
        "subscriber S",
        "subscriber T",
    ]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("account top-up nobody 1.00", EXIT_UNKNOWN, "there is no account 'nobody'"),
        ("account top-up A ten", EXIT_CONFIG, "AMOUNT:"),
        ("account top-up A 0", EXIT_CONFIG, "more than zero"),
        ("account transfer A A 1.00", EXIT_CONFIG, "the account itself"),
        ("account transfer A nobody 1.00", EXIT_CONFIG, "no account of that name to pay"),
        ("account transfer A B 99.00", EXIT_CONFIG, "Top up first"),
        ("account merge A B --reason x", EXIT_TEMPORARY, "PostgreSQL, where invoices are"),
        ("account plan A nothing", EXIT_CONFIG, "no such rate plan"),
        ("account plan A wholesale-usd", EXIT_CONFIG, "The currency is not the account's"),
        ("account buy A nothing", EXIT_CONFIG, "sells no package 'nothing'"),
        ("account cancel A 9", EXIT_UNKNOWN, "no such subscription"),
        ("account limits A", EXIT_CONFIG, "nothing to change"),
        ("account limits A --calls voice", EXIT_CONFIG, "voice=2/5"),
        ("account limits A --credit-limit=-1", EXIT_CONFIG, "must not be negative"),
        ("account cap A x much --unit octets", EXIT_CONFIG, "MOST:"),
        ("subscriber create T --account nobody -i e164:1", EXIT_UNKNOWN, "no such account"),
        ("subscriber create T --account A -i 4930", EXIT_CONFIG, "no known scheme"),
        ("subscriber create T --account A", EXIT_CONFIG, "--identity: name one"),
        ("subscriber port e164:1 S T", EXIT_UNKNOWN, "no such subscriber"),
    ],
)
async def test_what_cannot_be_says_why(world: World, words: str, status: int, said: str) -> None:
    """Place and cure on standard error, and the money stays where it was."""
    before = await world.figures("A")
    result = await ocs(*words.split())
    assert (result.exit_code, said in result.stderr) == (status, True), result.stderr
    assert await world.figures("A") == before
