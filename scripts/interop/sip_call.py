"""SIPp on both sides of a Kamailio: a call that is answered, and one that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from world import Child, InteropError, World, free_port, wait_until

HERE: Final = Path(__file__).parent / "sip"
MODULES: Final = Path("/usr/lib/x86_64-linux-gnu/kamailio/modules")
ANSWER_LIMIT_S: Final = 20.0


class Switch:
    """A Kamailio with a configuration of ``sip/``, and a SIPp that answers its calls."""

    def __init__(self, world: World, config: str, words: dict[str, object]) -> None:
        self._world = world
        self._port, callee = free_port(), free_port()
        usual = {"PORT": self._port, "CALLEE": callee, "FOLDER": world.folder, "MODULES": MODULES}
        text = (HERE / config).read_text(encoding="utf-8")
        for name, value in {**usual, **words}.items():
            text = text.replace(f"@{name}@", str(value))
        (world.folder / config).write_text(text, encoding="utf-8")
        answering = ["sipp", "-sf", str(HERE / "callee.xml"), "-i", "127.0.0.1", "-p", str(callee), "-nostdin"]
        world.start(answering, f"{config}.callee.log")
        command = ["kamailio", "-DD", "-E", "-f", str(world.folder / config), "-Y", str(world.folder)]
        self.kamailio: Child = world.start([*command, "-m", "64", "-M", "8"], f"{config}.log")

    def wait_ready(self) -> None:
        """Until it answers a request of any kind."""
        probe = ["sipp", "-sf", str(HERE / "options.xml"), "-m", "1", "-nostdin", "-i", "127.0.0.1", "-timeout", "1s"]
        probe += ["-p", str(free_port()), f"127.0.0.1:{self._port}"]
        self.kamailio.wait_for(lambda: wait_until(lambda: self._answers(probe), 1), ANSWER_LIMIT_S)

    def _answers(self, probe: list[str]) -> bool:
        try:
            self._world.run(probe, limit_s=5)
        except InteropError:
            return False
        return True

    def call(self, scenario: str, caller: str, called: str, seconds: int) -> None:
        """Play one call; raises InteropError when it does not go as the scenario says."""
        command = ["sipp", "-sf", str(HERE / scenario), "-s", called, "-key", "caller", caller, "-m", "1", "-nostdin"]
        command += ["-d", str(seconds * 1000), "-i", "127.0.0.1", "-p", str(free_port()), "-timeout", "20s"]
        self._world.run([*command, f"127.0.0.1:{self._port}"], limit_s=40)
