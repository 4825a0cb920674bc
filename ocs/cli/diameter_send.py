"""``ocs diameter send``: a client that asks for credit, once and told step by step, or many times and counted."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ocs.addresses import Address, parse_address
from ocs.cli.common import DEFAULT_CONFIG, ConfigOption, reachable, read_settings, refusals
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError
from ocs.settings import Settings

if TYPE_CHECKING:
    from ocs.tools.ccr import Answer
    from ocs.tools.diameter_client import Connection
    from ocs.tools.traffic import Script, Step, Tally

CONTEXTS: Final = {"voice": "32260@3gpp.org", "data": "32251@3gpp.org", "sms": "32274@3gpp.org"}
KINDS: Final = {1: "CCR-I", 2: "CCR-U", 3: "CCR-T", 4: "event"}
SUCCESS: Final = 2001
PROGRESS_S: Final = 1.0

MsisdnArgument = Annotated[int, typer.Argument(metavar="MSISDN", help="Who pays: international digits.")]
ToOption = Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="Instead of the settings' diameter.listen.")]
ContextOption = Annotated[str, typer.Option("--context", help="voice, data, sms, or a Service-Context-Id.")]
CalledOption = Annotated[str, typer.Option("--called", metavar="NUMBER", help="Called party, or recipient.")]
GroupOption = Annotated[
    list[int] | None, typer.Option("--rating-group", "-g", min=0, help="May be repeated; none: one anonymous group.")
]
UpdatesOption = Annotated[int, typer.Option("--updates", "-u", min=0, help="CCR-U between CCR-I and CCR-T.")]
AskOption = Annotated[int, typer.Option("--ask", min=0, help="Units wanted; 0 leaves it to the server.")]
UsedOption = Annotated[int, typer.Option("--used", min=-1, help="Units reported each time; -1: all that was granted.")]
EventOption = Annotated[bool, typer.Option("--event", help="One event (direct debit) instead of a session.")]
CountOption = Annotated[int, typer.Option("--count", "-n", min=1, help="So many sessions.")]
RateOption = Annotated[
    float, typer.Option("--rate", "-r", min=0, help="Sessions begun a second; 0: as fast as it goes.")
]
SpreadOption = Annotated[int, typer.Option("--msisdns", min=1, help="Spread over so many numbers, counting up.")]
ConnectionsOption = Annotated[int, typer.Option("--connections", min=1, max=64, help="Each is a peer of its own.")]
OriginOption = Annotated[
    str, typer.Option("--origin-host", metavar="NAME", help="Diameter identity, instead of a fresh one in our realm.")
]


def send(
    msisdn: MsisdnArgument,
    to: ToOption = "",
    context: ContextOption = "voice",
    called: CalledOption = "",
    rating_group: GroupOption = None,
    updates: UpdatesOption = 1,
    ask: AskOption = 0,
    used: UsedOption = -1,
    event: EventOption = False,
    count: CountOption = 1,
    rate: RateOption = 0.0,
    msisdns: SpreadOption = 1,
    connections: ConnectionsOption = 1,
    origin_host: OriginOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Ask for credit as a gateway does: CCR-I, CCR-U, CCR-T, or one event; print what was granted.

    It charges a real account. With --count it makes load: progress on the way, then results, rate and latency.
    Exit status: 0 every answer and every group in it was 2001, 1 one was not, 75 the server does not answer.

    Example: `ocs diameter send 4915112345 --called 442079460123 --updates 3`, or
    `ocs diameter send 4915112345 --context data -g 10 -g 20 --count 1000 --rate 100`
    """
    with refusals():
        settings = read_settings(config)
        from ocs.tools.traffic import Script

        script = Script(
            settings.node.realm,
            CONTEXTS.get(context, context),
            msisdn,
            msisdns,
            called,
            _unit(settings, CONTEXTS.get(context, context)),
            tuple(rating_group or (-1,)),
            updates,
            ask,
            used,
            event,
        )
        names = _names(origin_host, settings, connections)
        is_good = asyncio.run(_run(_address(to, settings), names, script, count, rate))
    raise typer.Exit(0 if is_good else EXIT_DIFFERENCES)


async def _run(address: Address, names: list[str], script: Script, count: int, rate: float) -> bool:
    """Connect, play, take leave; whether every answer was a success."""
    from ocs.clock import now_ms
    from ocs.tools.diameter_client import ClientError, Connection
    from ocs.tools.traffic import Tally, play, play_many
    from protocols.diameter.node import LocalNode

    connections: list[Connection] = []
    tally = Tally()
    try:
        for name in names:
            node = LocalNode(name, name.partition(".")[2])
            connections.append(await Connection.connect(address.host, address.port, node))
        if count == 1:
            await play(connections[0], script, 0, now_ms, lambda step: _tell(step, tally))
        else:
            await _with_progress(play_many(connections, script, count, rate, now_ms, tally), tally, count)
    except ClientError as error:
        raise StartRefusedError(f"{error}; is `ocs run` running?") from error
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))
    return not tally.lost and set(tally.results) == {SUCCESS}


def _tell(step: Step, tally: Tally) -> None:
    tally.tell(step)
    request = step.request
    used = sum(group.used for group in request.groups if group.used > 0)
    print(
        f"{KINDS[request.request_type]} #{request.request_number}  used {used}  {_words(step.answer)}  {step.took_us / 1000:.1f} ms"
    )


def _words(answer: Answer) -> str:
    """What was granted, group by group."""
    from ocs.tools.ccr import name_of

    parts = [name_of(answer.result_code)]
    for grant in answer.grants:
        group = f"group {grant.rating_group}: " if grant.rating_group >= 0 else ""
        final = ", final" if grant.is_final else ""
        validity = f", valid {grant.validity_s} s" if grant.validity_s else ""
        result = "" if grant.result_code == SUCCESS else f" ({name_of(grant.result_code)})"
        parts.append(f"{group}granted {grant.granted}{final}{validity}{result}")
    return "; ".join(parts) + (f"; cost {answer.cost}" if answer.cost else "")


async def _with_progress(playing: Coroutine[None, None, None], tally: Tally, count: int) -> None:
    """Play, and say once a second how far it is; then what came of it."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    task = loop.create_task(playing)
    while not task.done():
        await asyncio.wait([task], timeout=PROGRESS_S)
        passed_s = max(loop.time() - started_s, 1e-9)
        answers = len(tally.took_us)
        print(
            f"{tally.sessions} of {count} sessions, {answers} answers, {answers / passed_s:.0f} a second",
            file=sys.stderr,
        )
    await task
    from ocs.tools.ccr import name_of

    for result, number in tally.results.most_common():
        print(f"{number:>9}  {name_of(result)}")
    print(f"{tally.granted:>9}  units granted in all")
    if tally.lost:
        print(f"{tally.lost:>9}  sessions without an answer")
    half, most = (tally.percentile_us(share) / 1000 for share in (0.5, 0.99))
    print(f"latency: half within {half:.1f} ms, 99 of 100 within {most:.1f} ms")


def _address(to: str, settings: Settings) -> Address:
    text = to or next(iter(settings.diameter.listen), "")
    found = parse_address(text)
    if found is None:
        raise StartRefusedError(f"--to: {text!r} is no address; write 127.0.0.1:3868", EXIT_CONFIG)
    return reachable(found)


def _names(origin_host: str, settings: Settings, count: int) -> list[str]:
    """An identity for each connection; a second connection of one peer would be taken for its successor."""
    if origin_host and count > 1:
        raise StartRefusedError("--origin-host: one identity is one connection", EXIT_CONFIG)
    if origin_host:
        return [origin_host]
    return [f"send-{secrets.token_hex(4)}.{settings.node.realm}" for _ in range(count)]


def _unit(settings: Settings, context: str) -> int:
    """What the service of a context counts in, as an AVP code."""
    from ocs.gateways.gy import GyConfig
    from protocols.diameter import codes
    from protocols.diameter.node import LocalNode

    node = LocalNode(settings.node.identity, settings.node.realm)
    service = GyConfig(node, settings.services, {}).service_of(context)
    events = codes.CC_SERVICE_SPECIFIC_UNITS
    return {"data": codes.CC_TOTAL_OCTETS, "sms": events, "mms": events}.get(service or "", codes.CC_TIME)
