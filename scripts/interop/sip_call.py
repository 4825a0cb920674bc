"""SIPp on both sides of a switch: calls that are answered, and calls that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from world import PASSWORD, SECRET, SWITCHES, Child, InteropError, World, free_port, wait_until

HERE: Final = Path(__file__).parent / "sip"
MODULES: Final = Path("/usr/lib/x86_64-linux-gnu/kamailio/modules")
ANSWER_LIMIT_S: Final = 20.0
RADCLI: Final = """
authserver 127.0.0.1:{authentication}
acctserver 127.0.0.1:{accounting}
servers {folder}/servers
dictionary {folder}/dictionary
default_realm
radius_timeout 3
radius_retries 1
bindaddr {address}
"""


class Switch:
    """A switch at ``port``, and a SIPp that answers its calls at ``callee``.

    ``target`` is where requests within a call go: to the callee's Contact, through a proxy; to a B2BUA itself.
    """

    def __init__(self, world: World, target: str = "[next_url]") -> None:
        self._world = world
        self._target = target
        self.port, self.callee = free_port(), free_port()
        answering = ["sipp", "-sf", str(HERE / "callee.xml"), "-i", "127.0.0.1", "-p", str(self.callee), "-nostdin"]
        world.start(answering, f"callee-{self.callee}.log")

    def wait_ready(self, program: Child, code: int = 200) -> None:
        """Until it answers OPTIONS with ``code``."""
        probe = [
            "sipp",
            "-sf",
            self._scenario("options.xml", code),
            "-m",
            "1",
            "-nostdin",
            "-i",
            "127.0.0.1",
            "-timeout",
            "1s",
        ]
        probe += ["-p", str(free_port()), f"127.0.0.1:{self.port}"]
        program.wait_for(lambda: wait_until(lambda: self._answers(probe), 1), ANSWER_LIMIT_S)

    def _answers(self, probe: list[str]) -> bool:
        try:
            self._world.run(probe, limit_s=5)
        except InteropError:
            return False
        return True

    def call(
        self, scenario: str, caller: str, called: str, seconds: int, code: int = 402, *, password: str = PASSWORD
    ) -> None:
        """Play one call; raises InteropError when it does not go as the scenario says. ``code``: how it is refused."""
        command = ["sipp", "-sf", self._scenario(scenario, code), "-au", caller, "-ap", password, "-s", called]
        command += ["-key", "caller", caller, "-m", "1", "-nostdin", "-d", str(seconds * 1000), "-i", "127.0.0.1"]
        command += ["-p", str(free_port()), "-timeout", "20s", f"127.0.0.1:{self.port}"]
        self._world.run(command, limit_s=40)

    def _scenario(self, name: str, code: int) -> str:
        """The path of a scenario in which the answer is ``code``."""
        text = (HERE / name).read_text(encoding="utf-8").replace("@CODE@", str(code))
        played = self._world.folder / name
        played.write_text(text.replace("@TARGET@", self._target), encoding="utf-8")
        return str(played)


def start_kamailio(world: World, config: str, words: dict[str, object]) -> Switch:
    """A Kamailio with a configuration of ``sip/``."""
    switch = Switch(world)
    usual = {"PORT": switch.port, "CALLEE": switch.callee, "FOLDER": world.folder, "MODULES": MODULES}
    text = (HERE / config).read_text(encoding="utf-8")
    for name, value in {**usual, **words}.items():
        text = text.replace(f"@{name}@", str(value))
    (world.folder / config).write_text(text, encoding="utf-8")
    command = ["kamailio", "-DD", "-E", "-f", str(world.folder / config), "-Y", str(world.folder)]
    switch.wait_ready(world.start([*command, "-m", "64", "-M", "8"], f"{config}.log"))
    return switch


def write_radcli(world: World, settings: Path, client: str, dictionary: str) -> None:
    """What radcli, the library of some switches, wants to know: servers, the client's own address, the attributes."""
    folder = settings.parent
    text = RADCLI.format(folder=folder, address=SWITCHES[client][0], **world.ports._asdict())
    settings.write_text(text, encoding="ascii")
    (folder / "servers").write_text(f"127.0.0.1 {SECRET}\n", encoding="ascii")
    (folder / "dictionary").write_text(dictionary, encoding="utf-8")


def check_talk(world: World, account: str, talk_s: int, late_s: int) -> dict[str, Any]:
    """The account's one record is of the seconds talked, or of ``late_s`` more at most, and they are paid; the record."""
    (record,) = world.check_records(account, 1)
    seconds = record["groups"][0]["used"]
    world.check(f"whether {seconds} s are the {talk_s} s of talk", talk_s <= seconds <= talk_s + late_s, True)
    world.check_money(account, f"{(100 - seconds) / 100:.2f}")
    return record
