"""Scenario tables: one line an event, read by a biller, played against a world.

    balance 1.00
    I s1 T1 ask            -> 30          | B 1.00 R 0.30 A 0.70
    U s1 used 30 ask       -> 30          | B 0.70 R 0.30
    T s1 used 12           -> ok          | B 0.58 R 0

A line is: request, session, tariff (remembered for the session), ``used N``, ``ask`` or ``ask N``, ``#N`` for a
request number of its own (default: the next one), then what is granted (``final`` for a final-unit indication, ``ok``
for none wanted, or the name of a status), then Booked, Reserved and Available, Counted over the period with what is
Kept for grants, and Units of bundles that are left with what is Held of them. Other lines: ``top-up 0.10``, ``take 0.10``,
``member kid`` (a further subscriber of the account; ``by kid`` at the end of a request), ``buy NAME`` (a package), ``cancel 2`` (the subscription of entry 2), ``plan NAME`` (another rate plan at once; ``plan NAME next cycle``), ``limit 5.00`` (the credit limit), ``calls 1`` and ``calls a-second 2``, ``cap 1.00`` a month with a
warning at 80 % (``cap 1.00 of kid``, ``cap 1.00 each``, ``cap 60-s each``; several with ``and``), ``reseller 5.00`` (an account above, by the plan test-resale-eur; ``reseller 5.00 apart``: one in another partition;
``reseller`` alone checks its figures), ``suspend``, ``limit`` (incoming calls pass), ``activate`` (``suspend by dunning``: a block of that name), ``state grace`` (what it is, and its blocks),
``wait 600``, ``wait 30 days``,
``close silent sessions``, ``in 21407`` at the end of a request (the network where the user is), ``received`` there (the user is called), ``beside 1.00`` (another account;
``beside`` alone checks its figures), ``send 0.40`` (to that one; what it comes to behind it, if it is not ``applied``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from balance.account import AccountState
from ocs.charging.operations import CallsChoice, CapChoice, Limits
from ocs.charging.request import (
    TERMINATING,
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.rating.units import UnitKind
from tests.scenario.world import IDENTITY, Clock, amount

TARIFFS = {
    "T1": ("voice", "100", -1, UnitKind.SECONDS),
    "T2": ("voice", "200", -1, UnitKind.SECONDS),
    "T3": ("voice", "300", -1, UnitKind.SECONDS),
    "attempts": ("voice", "400", -1, UnitKind.SECONDS),
    "TT": ("voice", "500", -1, UnitKind.SECONDS),
    "trunks": ("voice", "600", -1, UnitKind.SECONDS),
    "free": ("voice", "112", -1, UnitKind.SECONDS),
    "barred": ("voice", "900", -1, UnitKind.SECONDS),
    "nowhere": ("voice", "777", -1, UnitKind.SECONDS),
    "D1": ("data", "", 10, UnitKind.OCTETS),
    "D3": ("data", "", 30, UnitKind.OCTETS),
    "D2": ("data", "", 20, UnitKind.OCTETS),
    "falling": ("data", "", 50, UnitKind.SECONDS),
    "rising": ("data", "", 51, UnitKind.SECONDS),
    "volume": ("data", "", 55, UnitKind.SECONDS),
    "packs": ("data", "", 56, UnitKind.SECONDS),
    "valley": ("data", "", 57, UnitKind.SECONDS),
    "fair-use": ("data", "", 60, UnitKind.SECONDS),
    "answered": ("data", "", 58, UnitKind.SECONDS),
    "ended": ("data", "", 59, UnitKind.SECONDS),
    "going-on": ("data", "", 53, UnitKind.SECONDS),
    "anew": ("data", "", 54, UnitKind.SECONDS),
    "V1": ("stickers", "", -1, UnitKind.EVENTS),
    "S1": ("sms", "", -1, UnitKind.EVENTS),
}
KINDS = {"I": RequestKind.INITIAL, "U": RequestKind.UPDATE, "T": RequestKind.TERMINATION, "E": RequestKind.EVENT}
_STEP = re.compile(r"(?P<words>[^|>]*?)(?:\s*->\s*(?P<outcome>[^|]*?))?\s*(?:\|\s*(?P<figures>.*))?")


class Playable(Protocol):
    """What a world must be able to do so that a table can be played in it: on a store, or behind sockets."""

    clock: Clock

    async def open(self, balance: str, credit_limit: str = "0") -> None: ...

    async def change(self, text: str) -> None: ...

    async def set_state(self, state: AccountState, block: str = "operator") -> None: ...

    async def state(self) -> str: ...

    async def charge(self, request: ChargingRequest) -> ChargingAnswer: ...

    async def close_silent_sessions(self) -> int: ...

    account_id: str

    reseller: str

    async def open_reseller(self, balance: str, *, is_apart: bool = False) -> None: ...

    async def figures(self, account_id: str = "") -> tuple[int, int, int]: ...

    async def counts(self) -> tuple[int, int]: ...

    async def units(self) -> tuple[int, int]: ...

    async def buy(self, package: str) -> None: ...

    async def set_limits(self, limits: Limits) -> None: ...

    async def add_member(self, name: str) -> str: ...

    async def cancel(self, subscription: int) -> None: ...

    async def change_plan(self, plan: str, *, at_cycle_end: bool) -> None: ...

    beside: str

    async def open_beside(self, balance: str) -> None: ...

    async def send(self, text: str) -> str: ...

    async def check_books(self) -> None: ...


@dataclass
class Played:
    """What the table remembers of a session."""

    tariff: str
    number: int = -1


@dataclass
class Table:
    """Plays lines and checks what they say."""

    world: Playable
    sessions: dict[str, Played] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    """Those of members, by their name."""

    async def play(self, text: str) -> None:
        for line in text.strip().splitlines():
            stripped = line.split("#  ")[0].strip()
            if stripped:
                await self._line(stripped)
        await self.world.check_books()

    async def _line(self, line: str) -> None:
        match = _STEP.fullmatch(line)
        assert match is not None, line
        words = match["words"].split()
        if words[0] in KINDS:
            answer = await self.world.charge(self.request(words))
            assert outcome_of(answer) == (match["outcome"] or "").strip(), line
        else:
            await self._other(words)
        if match["figures"]:
            whose = {"reseller": self.world.reseller, "beside": self.world.beside}.get(words[0], "")
            await self._check_figures(line, match["figures"].split(), whose)

    def request(self, words: list[str]) -> ChargingRequest:
        kind, name, rest = KINDS[words[0]], words[1], words[2:]
        identity, network = IDENTITY, ""
        is_received = rest[-1:] == ["received"]
        rest = rest[:-1] if is_received else rest
        if "in" in rest:
            network = rest[-1]
            rest = rest[:-2]
        if "by" in rest:
            identity = self.identities[rest[-1]]
            rest = rest[:-2]
        if rest and rest[0] in TARIFFS:
            self.sessions[name] = Played(rest.pop(0), self.sessions[name].number if name in self.sessions else -1)
        played = self.sessions[name]
        number = next((int(word[1:]) for word in rest if word.startswith("#")), played.number + 1)
        played.number = max(number, played.number)
        rest = [word for word in rest if not word.startswith("#")]
        service, destination, rating_group, unit = TARIFFS[played.tariff]
        used, requested = _quantities(rest, unit)
        group = GroupRequest(GroupKey(rating_group), requested, used)
        return ChargingRequest(
            kind,
            f"gy:{name}",
            number,
            (identity,),
            service,
            self.world.clock(),
            (group,) if used is not None or requested is not None else (),
            destination,
            fingerprint=crc32(repr((kind, rest)).encode()),
            action=EventAction.DIRECT_DEBITING,
            peer="pgw.example.net",
            whereabouts=network,
            details=(TERMINATING,) if is_received else (),
        )

    async def _other(self, words: list[str]) -> None:
        world = self.world
        match words:
            case ["balance", text]:
                await world.open(text)
            case ["balance", text, "limit", limit]:
                await world.open(text, credit_limit=limit)
            case ["top-up", text]:
                await world.change(text)
            case ["take", text]:
                await world.change(f"-{text}")
            case ["buy", package]:
                await world.buy(package)
            case ["cancel", number]:
                await world.cancel(int(number))
            case ["plan", plan, *when]:
                await world.change_plan(plan, at_cycle_end=when == ["next", "cycle"])
            case ["limit", *by] if by[:1] in ([], ["by"]):
                await world.set_state(AccountState.LIMITED, *by[1:])
            case ["limit", text]:
                await world.set_limits(Limits(credit_limit=amount(text)))
            case ["calls", "a-second", count]:
                await world.set_limits(Limits(calls=(CallsChoice("voice", 0, int(count)),)))
            case ["calls", count]:
                await world.set_limits(Limits(calls=(CallsChoice("voice", int(count)),)))
            case ["cap", *texts]:
                each = " ".join(texts).split(" and ")
                await world.set_limits(Limits(caps=tuple(_cap(text.split()) for text in each)))
            case ["reseller", text, *where]:
                await world.open_reseller(text, is_apart=where == ["apart"])
            case ["reseller"]:
                pass
            case ["beside", text]:
                await world.open_beside(text)
            case ["beside"]:
                pass
            case ["send", text, *outcome]:
                assert await world.send(text) == (outcome or ["applied"])[0], words
            case ["member", name]:
                self.identities[name] = await world.add_member(name)
            case ["no", "cap"]:
                await world.set_limits(Limits(caps=()))
            case ["suspend", *by]:
                await world.set_state(AccountState.SUSPENDED, *by[1:])
            case ["activate", *by]:
                await world.set_state(AccountState.ACTIVE, *by[1:])
            case ["state", *names]:
                assert await world.state() == " ".join(names), words
            case ["wait", days, "days"]:
                world.clock.now_ms += int(days) * 86_400_000
            case ["wait", seconds]:
                world.clock.now_ms += int(seconds) * 1000
            case ["close", "silent", "sessions"]:
                await world.close_silent_sessions()
            case _:
                raise AssertionError(f"no such line: {words}")

    async def _check_figures(self, line: str, figures: list[str], whose: str) -> None:
        there = dict(zip("BRA", await self.world.figures(whose), strict=True))
        units = dict(zip("CK", await self.world.counts(), strict=True)) if {"C", "K"} & set(figures) else {}
        units |= dict(zip("UH", await self.world.units(), strict=True)) if {"U", "H"} & set(figures) else {}
        for name, text in zip(figures[::2], figures[1::2], strict=True):
            if name in units:
                assert units[name] == int(text), f"{line}: {name} is {units[name]}"
            else:
                assert there[name] == amount(text), f"{line}: {name} is {there[name] / 10**9}"


def _cap(words: list[str]) -> CapChoice:
    """``1.00``, or ``60-s`` for so many seconds, then ``of`` a member, or ``each``."""
    most, *whose = words
    member = {"each": "*"}.get(whose[-1], whose[-1]) if whose else ""
    name = f"each {most}" if member == "*" else member or "monthly"
    if most.endswith("-s"):
        return CapChoice(name, "month", int(most[:-2]), (), 80, member, UnitKind.SECONDS)
    return CapChoice(name, "month", amount(most), ("voice",), 80, member)


def outcome_of(answer: ChargingAnswer) -> str:
    """The answer in the table's words."""
    if answer.status != ChargingStatus.SUCCESS:
        return answer.status.name
    words = []
    for group in answer.groups:
        if group.status != ChargingStatus.SUCCESS:
            words.append(group.status.name)
        elif group.granted:
            words.append(f"{group.granted} final" if group.final >= 0 else str(group.granted))
    return ", ".join(words) or "ok"


def _quantities(rest: list[str], unit: UnitKind) -> tuple[tuple[Quantity, ...] | None, tuple[Quantity, ...] | None]:
    used: tuple[Quantity, ...] | None = None
    requested: tuple[Quantity, ...] | None = None
    position = 0
    while position < len(rest):
        word = rest[position]
        value = int(rest[position + 1]) if position + 1 < len(rest) and rest[position + 1].isdigit() else None
        if word == "used":
            used = (Quantity(unit, value or 0),)
        else:
            assert word == "ask", f"no such word: {word}"
            requested = (Quantity(unit, value),) if value is not None else ()
        position += 1 if value is None else 2
    return used, requested
