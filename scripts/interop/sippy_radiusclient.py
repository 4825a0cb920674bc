"""The program to which Sippy's B2BUA hands its RADIUS requests, in the place of radiusclient-ng's, which no distribution has.

    stdin:  AUTH or ACCT, then NAME="VALUE" lines, then an empty line       (what the B2BUA says, word for word)
    stdout: NAME = 'VALUE' lines of the reply, 0 accepted, 1 rejected or -1 no answer, then an empty line

Packets are made and read by pyrad. Settings are the words of ``-f FILE``, one ``name value`` a line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from pyrad.client import Client, Timeout
from pyrad.dictionary import Dictionary
from pyrad.packet import AccessAccept, AccountingResponse, Packet

# Names of radiusclient-ng's dictionaries, where FreeRADIUS has others.
NAMES: Final = {"Password": "User-Password"}
ACCEPTED, REJECTED, UNANSWERED = 0, 1, -1


class Asker:
    """One client: its socket is bound to an address of its own."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._client = Client(
            "127.0.0.1",
            authport=int(settings["authentication"]),
            acctport=int(settings["accounting"]),
            secret=settings["secret"].encode(),
            dict=Dictionary(settings["dictionary"]),
        )
        self._client.timeout, self._client.retries = 3, 2
        self._client.bind((settings["address"], 0))

    def ask(self, lines: list[str]) -> tuple[int, list[str]]:
        """Send what the lines say; the status, and the reply in lines."""
        kind, *said = lines
        packet: Packet = self._client.CreateAuthPacket() if kind == "AUTH" else self._client.CreateAcctPacket()
        for line in said:
            name, _, value = line.partition("=")
            self._add(packet, NAMES.get(name, name), value.strip('"'))
        packet.AddAttribute("NAS-IP-Address", "127.0.0.4")
        try:
            reply = self._client.SendPacket(packet)
        except Timeout:
            return UNANSWERED, []
        found = [f"{name} = '{value}'" for name in reply.keys() for value in reply[name]]  # noqa: SIM118 - no mapping
        return (ACCEPTED if reply.code in (AccessAccept, AccountingResponse) else REJECTED), found

    def _add(self, packet: Packet, name: str, value: str) -> None:
        kind = packet.dict.attributes[name].type
        is_number = kind == "integer" and not packet.dict.attributes[name].values.HasForward(value)
        if name == "User-Password":
            packet[name] = packet.PwCrypt(value)
        else:
            packet.AddAttribute(name, int(value) if is_number else value)


def main() -> None:
    words = Path(sys.argv[sys.argv.index("-f") + 1]).read_text(encoding="ascii").splitlines()
    asker = Asker(dict(line.split(" ", 1) for line in words))
    lines: list[str] = []
    for line in sys.stdin:
        if line.strip():
            lines.append(line.strip())
            continue
        status, found = asker.ask(lines)
        lines = []
        print(*found, status, "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
