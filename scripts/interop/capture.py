"""dumpcap writes down what is said on loopback, tshark reads it: nothing that we sent may be malformed or doubtful."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from world import Child, InteropError, Ports, World, wait_until

PACKAGES: Final = ("tshark",)
START_LIMIT_S: Final = 10.0
DOUBTFUL: Final = "(_ws.malformed || _ws.expert.severity >= 0x600000)"  # PI_WARN of Wireshark
SHOWN_MAX: Final = 10


class Capture:
    """Runs from ``start`` to ``stop``."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.file = folder / "interop.pcapng"
        self._log = folder / "dumpcap.log"
        self._ports = ports
        self._child: Child | None = None

    def start(self) -> str:
        """Begin; why it cannot be, or ""."""
        if not (shutil.which("dumpcap") and shutil.which("tshark")):
            return f"tshark is not there: apt-get install {' '.join(PACKAGES)}"
        wanted = " or ".join(f"port {port}" for port in self._ports[:3])
        command = ["dumpcap", "-i", "lo", "-f", wanted, "-w", str(self.file), "-q"]
        self._child = Child(command, self._log, self.file.parent)
        if not wait_until(lambda: self.file.exists() and "File: " in self._child_words(), START_LIMIT_S):
            self._child.stop()
            self._child = None
            return f"loopback cannot be captured here: {self._log.read_text(encoding='utf-8').strip()[-200:]}"
        return ""

    def stop(self, world: World) -> str:
        """End, and hold what we sent against tshark's dissectors; what was found in words."""
        assert self._child is not None, "it was started"
        self._child.stop()
        dissected = [
            (name, len(self._read(world, name)), self._read(world, f"{name} && {self._from_us()} && {DOUBTFUL}"))
            for name in ("diameter", "radius")
        ]
        for name, _, doubtful in dissected:
            world.check(f"{name} packets that tshark does not understand", doubtful[:SHOWN_MAX], [])
        if not any(count for _, count, _ in dissected):
            raise InteropError("tshark sees neither Diameter nor RADIUS")
        theirs = len(self._read(world, f"(diameter || radius) && !({self._from_us()}) && {DOUBTFUL}"))
        counts = ", ".join(f"{count} packets of {name}" for name, count, _ in dissected)
        return f"{counts}; none of ours malformed or doubtful" + (f", {theirs} of the clients'" if theirs else "")

    def _child_words(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _from_us(self) -> str:
        diameter, *radius = self._ports[:3]
        return " || ".join([f"tcp.srcport == {diameter}", *(f"udp.srcport == {port}" for port in radius)]).join("()")

    def _read(self, world: World, condition: str) -> Sequence[str]:
        """A line for each packet that fulfils it."""
        diameter, authentication, accounting = self._ports[:3]
        command = [
            "tshark", "-n", "-r", str(self.file), "-Y", condition,
            "-d", f"tcp.port=={diameter},diameter", "-d", f"udp.port=={authentication},radius",
            "-d", f"udp.port=={accounting},radius",
            "-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info", "-e", "_ws.expert.message",
        ]  # fmt: skip
        lines = world.run(command, limit_s=60).splitlines()
        return [line for line in lines if line[:1].isdigit()]
