"""pyrad as a switch: it asks for calls and reports them, and plays the tables of the statements in its own words.

I s1 T1 ask        Access-Request, then the Start        the grant is the Session-Timeout, a refusal the h323-return-code
U s1 used 30 ask   Interim-Update with the total so far  its reply says nothing: the figures beside it do
T s1 used 12       Stop with the total
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections import Counter
from typing import Any, Final

from pyrad.client import Client
from pyrad.dictionary import Dictionary
from pyrad.packet import AccessAccept, AccessReject, AcctPacket, AuthPacket, Packet

from balance.levels import top_of
from tests.scenario.sockets import ServedOcs, SocketWorld
from tests.scenario.table import TARIFFS, Played, Table
from tests.scenario.world import CONFIG

WHY: Final = {
    1: {"SERVICE_DENIED"},  # an account that is not valid
    3: {"SERVICE_DENIED", "CREDIT_LIMIT_REACHED"},  # as many calls as may be; or the others hold all the money
    4: {"CREDIT_LIMIT_REACHED"},
    5: {"SERVICE_DENIED"},
    6: {"CREDIT_LIMIT_REACHED"},
    7: {"SERVICE_DENIED"},
    8: {"SERVICE_DENIED"},
    9: {"RATING_FAILED"},
    12: {"CREDIT_LIMIT_REACHED"},
}
"""The words of the tables by h323-return-code."""
_OTHERWISE: Final = re.compile(r"^\s*E |received| in \d|#[1-9]|used 0 ask", re.MULTILINE)
_NAMES: Final = re.compile(r"^\s*I \S+ (\S+)", re.MULTILINE)


def can_say(table: str) -> bool:
    """Whether all of a table can be said over RADIUS: calls, one after the other, with totals that grow."""
    voice = all(TARIFFS[name][0] == "voice" for name in _NAMES.findall(table) if name in TARIFFS)
    return voice and _OTHERWISE.search(table) is None and _NAMES.search(table) is not None


class Switch:
    """A client of authorization and accounting."""

    def __init__(self, served: ServedOcs) -> None:
        self._port = served.ports[1813]
        self._client = Client(
            "127.0.0.1",
            authport=served.ports[1812],
            acctport=self._port,
            secret=b"testing123",
            dict=Dictionary(str(CONFIG / "dictionaries" / "dictionary")),
        )
        self._client.timeout, self._client.retries = 10, 2

    def close(self) -> None:
        self._client._CloseSocket()

    def record(self, number: str, status: str, session_id: str, called: str = "200555", **more: Any) -> AcctPacket:
        packet = self._client.CreateAcctPacket()
        return _filled(packet, number, called, Acct_Status_Type=status, Acct_Session_Id=session_id, **more)

    def question(self, number: str, called: str = "200555", **more: Any) -> AuthPacket:
        """An Access-Request for a call."""
        return _filled(self._client.CreateAuthPacket(), number, called, **more)

    async def ask(self, packet: AuthPacket) -> Packet:
        reply: Packet = await asyncio.to_thread(self._client.SendPacket, packet)
        return reply

    async def authorize(self, number: str) -> None:
        """A call that is allowed, and that no Acct-Session-Id names yet."""
        packet = self.question(number)
        packet.add_message_authenticator()
        assert (await self.ask(packet)).code == AccessAccept

    async def send(self, packet: AcctPacket) -> None:
        reply = await asyncio.to_thread(self._client.SendPacket, packet)
        assert reply.code == 5

    async def send_twice(self, packet: AcctPacket) -> list[bytes]:
        """The very same octets, 2 s apart as a client's first repeat is; what came back."""
        octets = packet.RequestPacket()
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(("127.0.0.1", self._port))
            replies = []
            for wait_s in (2, 0):
                await loop.sock_sendall(sender, octets)
                replies.append(await asyncio.wait_for(loop.sock_recv(sender, 4096), 30))
                await asyncio.sleep(wait_s)
        return replies


def _filled(packet: Any, number: str, called: str, **more: Any) -> Any:
    values = {
        "User-Name": number,
        "Calling-Station-Id": number,
        "Called-Station-Id": called,
        "NAS-Identifier": "switch-1",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    for name, value in values.items():
        packet[name] = value
    return packet


class RadiusTable(Table):
    """The same lines, said by a switch."""

    _numbers = itertools.count(1)

    def __init__(self, world: SocketWorld, switch: Switch) -> None:
        super().__init__(world)
        self._socket_world = world
        self._switch = switch
        self._calls: dict[str, tuple[str, str, str]] = {}
        self._totals: Counter[str] = Counter()

    async def _line(self, line: str) -> None:
        words, *_ = line.partition("|")
        said, _, expected = (part.strip() for part in words.partition("->"))
        kind, *rest = said.split()
        if kind not in {"I", "U", "T"}:
            await super()._line(line)
            return
        name, *rest = rest
        if kind == "I":
            await self._begin(name, rest, expected)
        else:
            self._totals[name] += int(rest[rest.index("used") + 1])
            await self._report(name, "Stop" if kind == "T" else "Interim-Update")
            if expected.isupper():
                await self._report(name, "Stop")  # a call that is refused more is disconnected
        figures = line.partition("|")[2].split()
        if figures:
            await self._check_figures(line, figures, top_of(self.world.account_id) if kind == "reseller" else "")

    async def _begin(self, name: str, rest: list[str], expected: str) -> None:
        tariff = rest[0] if rest[0] in TARIFFS else self.sessions[name].tariff
        self.sessions[name] = Played(tariff)
        number = self.identities[rest[rest.index("by") + 1]] if "by" in rest else ""
        number = number.removeprefix("e164:") or self._socket_world.number
        session_id = f"{self.world.account_id}-{name}-{next(self._numbers)}"
        self._calls[name], self._totals[name] = (session_id, number, TARIFFS[tariff][1]), 0
        reply = await self._switch.ask(self._switch.question(number, TARIFFS[tariff][1], Acct_Session_Id=session_id))
        if reply.code == AccessReject:
            codes = [int(str(each).rpartition("=")[2]) for each in reply["h323-return-code"]]
            assert expected in WHY[codes[0]], (name, expected, codes)
            return
        assert reply.code == AccessAccept
        assert expected.split()[:1] == [str(reply["Session-Timeout"][0])], (name, expected, reply["Session-Timeout"])
        await self._report(name, "Start")

    async def _report(self, name: str, status: str) -> None:
        session_id, number, called = self._calls[name]
        more = {} if status == "Start" else {"Acct_Session_Time": self._totals[name]}
        await self._switch.send(self._switch.record(number, status, session_id, called, **more))
