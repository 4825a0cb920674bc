"""``ocs events``: what happened to accounts, the messages that tell of it, and those that could not be delivered."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, DataOption, refusals
from ocs.errors import EXIT_CONFIG, StartRefusedError

if TYPE_CHECKING:
    from ocs.delivery.queue import Message

group = typer.Typer(
    help="Events of accounts, and the messages that tell of them.", no_args_is_help=True, rich_markup_mode="markdown"
)
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON instead of a table.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="So many, the newest.")]
AccountOption = Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Of this account alone.")]
FAR_FUTURE_MS = 253_402_300_799_000


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="events", rich_help_panel="Operation")


@group.command("list")
def show(
    account: AccountOption = "",
    kind: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Of this type; may be repeated.")
    ] = None,
    limit: LimitOption = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what happened to accounts, newest first.

    Example: `ocs events list --account alice --type low_balance`
    """
    from ocs.cli.bill_view import print_rows
    from ocs.cli.delivery_world import read_currencies, with_books
    from ocs.delivery.routing import body_of, currency_of, list_events

    with refusals():
        currencies = read_currencies(config.absolute().parent)
        before = (FAR_FUTURE_MS, "", 0)
        events = with_books(
            config,
            data,
            lambda books: list_events(books, account_id=account, types=kind or [], before=before, limit=limit),
        )
    found = [(event, currency_of(event, currencies)) for event in events]
    bodies = [body_of(event, currency) for event, currency in found if currency is not None]
    if as_json:
        print_rows("events", bodies, as_json=True)
        return
    print_rows("events", [_event_row(body) for body in bodies], as_json=False)


@group.command()
def messages(
    state: Annotated[str, typer.Option("--state", help="waiting, arrived or dead; else all.")] = "",
    account: AccountOption = "",
    limit: LimitOption = 50,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages: webhooks, mails and SMS, where they stand and why they have not arrived.

    Example: `ocs events messages --state waiting`
    """
    if state not in {"", "waiting", "arrived", "dead"}:
        with refusals():
            raise StartRefusedError(f"--state {state}: waiting, arrived or dead", EXIT_CONFIG)
    _print_messages(state, account, limit, config, data, as_json=as_json)


@group.command()
def dead(
    limit: LimitOption = 50, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List the messages that were given up, with the reason. `ocs events replay` sends them once more.

    Example: `ocs events dead`
    """
    _print_messages("dead", "", limit, config, data, as_json=as_json)


@group.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="MESSAGE", help="Messages by their ids.")] = None,
    all_dead: Annotated[bool, typer.Option("--dead", help="All that were given up.")] = False,
    webhook: Annotated[
        str, typer.Option("--webhook", metavar="NAME", help="With --dead or --since: of this one.")
    ] = "",
    since: Annotated[str, typer.Option("--since", metavar="INSTANT", help="All that happened since then.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Send messages once more: some by their ids, all dead ones, or all events since an instant to a webhook.

    A receiver that remembers ids takes each event once, however often it is replayed. With --since events go to the
    webhook, too, that happened before it was there.

    Example: `ocs events replay --dead`, or `ocs events replay --webhook crm --since 2026-01-31T00:00:00Z`
    """
    with refusals():
        print(f"{_replay(ids or [], all_dead, webhook, since, config, data)} messages go out once more")


@group.command()
def secret() -> None:
    """Make a secret for a webhook, as Standard Webhooks has them; put it into delivery.toml and tell the receiver.

    Example: `ocs events secret`
    """
    import base64
    import secrets

    from ocs.delivery.settings import SECRET_OCTETS_MIN, SECRET_PREFIX

    print(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_OCTETS_MIN)).decode())


# --- inside ---------------------------------------------------------------------------------------------------------


def _replay(ids: list[str], all_dead: bool, webhook: str, since: str, config: Path, data: Path | None) -> int:
    from ocs.cli.delivery_world import delivery_or_refusal, read_currencies, with_books
    from ocs.clock import now_ms
    from ocs.delivery import queue
    from ocs.delivery.routing import replay_events

    if [bool(ids), all_dead, bool(since)].count(True) != 1:
        raise StartRefusedError("name messages, or --dead, or --webhook and --since: one of the three", EXIT_CONFIG)
    if ids:
        found = with_books(config, data, lambda books: queue.replay(books, ids, now_ms()))
        if missing := sorted(set(ids) - set(found)):
            raise StartRefusedError(f"there is no message {', '.join(missing)}; {len(found)} go out", EXIT_CONFIG)
        return len(found)
    if all_dead:
        channel = "webhook" if webhook else ""
        return len(with_books(config, data, lambda books: queue.replay_dead(books, now_ms(), channel, webhook)))
    delivery, _ = delivery_or_refusal(config.absolute().parent)
    hook = delivery.webhooks.get(webhook)
    if hook is None:
        raise StartRefusedError(f"--webhook: delivery.toml has {', '.join(delivery.webhooks) or 'none'}", EXIT_CONFIG)
    since_ms = _instant_ms(since)
    currencies = read_currencies(config.absolute().parent)
    until_ms = now_ms()
    return with_books(config, data, lambda books: replay_events(books, hook, currencies, since_ms, until_ms, until_ms))


def _instant_ms(text: str) -> int:
    from ocs.billing.moments import milliseconds

    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return milliseconds(at)
    except ValueError:
        pass
    raise StartRefusedError(f"--since {text!r}: write it as 2026-01-31T00:00:00Z", EXIT_CONFIG)


def _print_messages(state: str, account: str, limit: int, config: Path, data: Path | None, *, as_json: bool) -> None:
    from ocs.cli.bill_view import print_rows
    from ocs.cli.delivery_world import with_books
    from ocs.delivery.queue import list_messages

    with refusals():
        found = with_books(
            config,
            data,
            lambda books: list_messages(
                books, state=state, account_id=account, before=(FAR_FUTURE_MS, ""), limit=limit
            ),
        )
    print_rows("messages", [_message_row(message) for message in found], as_json=as_json)


def _event_row(body: dict[str, Any]) -> dict[str, Any]:
    data = dict(body["data"])
    row = {"at": body["timestamp"], "account": data.pop("account_id"), "type": body["type"]}
    amount, currency = data.pop("amount"), data.pop("currency")
    rest = ", ".join(f"{name} {value}" for name, value in data.items())
    return {**row, "amount": f"{amount} {currency}", "facts": rest, "id": body["id"]}


def _message_row(message: Message) -> dict[str, Any]:
    from ocs.delivery.routing import instant

    letter = message.letter
    return {
        "made": instant(message.made_at_ms),
        "to": f"{letter.channel} {letter.receiver}",
        "kind": letter.kind,
        "account": letter.account_id,
        "state": message.state,
        "attempts": message.attempts,
        "due": instant(message.due_at_ms) if message.state == "waiting" else "",
        "error": message.error,
        "id": letter.message_id,
    }
