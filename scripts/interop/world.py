"""The server as foreign clients meet it: ``ocs run`` on free ports, an account of its own for each client."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from ocs.demo.api import ApiClient

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON_FOLDER: Final = ROOT / "build" / "interop"
START_LIMIT_S: Final = 90.0
STOP_LIMIT_S: Final = 30.0
CLIENT_STOP_LIMIT_S: Final = 3.0
POLL_S: Final = 0.05
REALM: Final = "example.net"
IDENTITY: Final = "ocs.example.net"
SECRET: Final = "testing123"
PASSWORD: Final = "arctangent"
CENT_A_SECOND: Final = "100"
"""What is called with this prefix costs 0.01 a second, from the first second on."""

CLIENTS: Final = """
[[radius.clients]]
name = "interop"
networks = ["127.0.0.0/8"]
secret = "testing123"
require_message_authenticator = "no"
limit_proxy_state = false
credentials = "none"
certificate_names = ["sbc.example.net"]
"""
SWITCH: Final = """
[[radius.clients]]
name = "{name}"
networks = ["{address}"]
secret = "testing123"
require_message_authenticator = "no"
credentials = "{credentials}"
profile = "{profile}"
"""
SWITCHES: Final = {
    "kamailio": ("127.0.0.2", "none", "kamailio"),
    "kamailio-digest": ("127.0.0.3", "required", "kamailio"),
    "sippy": ("127.0.0.4", "required", "sippy"),
    "asterisk": ("127.0.0.5", "none", "asterisk"),
}
"""Clients that are known by where they send from, with their profiles: address, credentials, profile."""
CERTIFICATES: Final = ROOT / "tests" / "integration" / "radius_certificates"
TLS: Final = f"""
[radius.tls]
certificate = "{CERTIFICATES}/server.pem"
key = "{CERTIFICATES}/server.key"
authorities = "{CERTIFICATES}/authority.pem"
"""


class InteropError(Exception):
    """Something is not as it must be."""


class Client(NamedTuple):
    """A foreign client: the programs it needs, the Debian packages that hold them, and what it does.

    ``python_packages`` are those of PyPI, for an environment of their own (PYTHON_FOLDER). ``system`` is the
    command that makes a Debian of its own, for what this one has not.
    """

    name: str
    programs: Sequence[str]
    packages: Sequence[str]
    play: Callable[[World], None]
    python_packages: Sequence[str] = ()
    system: str = ""

    @property
    def cure(self) -> str:
        """The line that installs it."""
        lines = [f"apt-get install {' '.join(self.packages)}"]
        if self.system:
            lines.append(self.system)
        if self.python_packages:
            folder = PYTHON_FOLDER.relative_to(ROOT)
            packages = " ".join(self.python_packages)
            lines.append(f"python3 -m venv {folder} && {folder}/bin/pip install {packages}")
        return " && ".join(lines)

    @property
    def missing(self) -> list[str]:
        """What is not there: names of programs, or paths of files."""
        return [each for each in self.programs if not (shutil.which(each) or Path(each).exists())]


class Ports(NamedTuple):
    diameter: int
    authentication: int
    accounting: int
    http: int
    radsec: int


class World:
    """A running server in ``folder``; ``check`` counts what was looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = Ports(*(free_port() for _ in Ports._fields))
        self.checks = 0
        self._payments = 0
        self._config = folder / "config" / "ocs.toml"
        self._data = folder / "data"
        self._children: list[Child] = []
        _write_config(self._config, self.ports)
        command = [sys.executable, "-m", "ocs", "run", "--config", str(self._config), "--data", str(self._data)]
        self._server = Child(command, folder / "ocs.log", folder)

    def wait_ready(self) -> None:
        """Until everything answers."""
        self._server.wait_for(lambda: "Ctrl-C drains" in self._server.words(), START_LIMIT_S)
        token = (self._data / "admin.key").read_text(encoding="ascii").strip()
        self._api = ApiClient(f"http://127.0.0.1:{self.ports.http}", token)

    def open_account(self, name: str, identities: Sequence[str], amount: str, password: str = PASSWORD) -> None:
        """An account with money, and a subscriber who is known by ``identities``."""
        self._api.create_account(name, "EUR", "test-eur")
        self._api.create_subscriber(name, name, list(identities), password)
        self.top_up(name, amount)

    def top_up(self, name: str, amount: str) -> None:
        """A payment of its own."""
        self._payments += 1
        self._api.top_up(name, amount, "EUR", f"{name}-{self._payments}")

    def check_money(self, name: str, balance: str, reserved: str = "0.00") -> None:
        """What the account holds now, once what is on its way has arrived."""
        wanted = (balance, reserved)

        def money() -> tuple[str, str]:
            account = self._api.account(name)
            return account["balance"], account["reserved"]

        wait_until(lambda: money() == wanted, 10)
        self.check(f"balance and reserved of {name}", money(), wanted)

    def check_records(self, name: str, count: int) -> list[dict[str, Any]]:
        """The account's records in PostgreSQL, newest first."""
        wait_until(lambda: len(self._api.cdrs(name)) >= count, 15)
        records = self._api.cdrs(name)
        self.check(f"records of {name}", len(records), count)
        return records

    def wait_for_peer(self, identity: str) -> None:
        """Until the Diameter peer is connected."""

        def is_connected() -> bool:
            return any("diameter_peer_open" in line and identity in line for line in self._server.words().splitlines())

        self._server.wait_for(is_connected, 20)

    def check(self, what: str, found: object, wanted: object) -> None:
        """Raises InteropError when they differ."""
        self.checks += 1
        if found != wanted:
            raise InteropError(f"{what}: {found!r}, and not {wanted!r}")

    def start(self, command: Sequence[str | Path], log: str) -> Child:
        """A program of the client's side; it is ended with the client."""
        child = Child([str(each) for each in command], self.folder / log, self.folder)
        self._children.append(child)
        return child

    def run(self, command: Sequence[str | Path], stdin: str = "", limit_s: float = 30.0) -> str:
        """A program that ends by itself; what it said. Raises InteropError when it fails."""
        words = [str(each) for each in command]
        try:
            done = subprocess.run(
                words, input=stdin, capture_output=True, text=True, timeout=limit_s, check=False, cwd=self.folder
            )
        except subprocess.TimeoutExpired as error:
            raise InteropError(f"{words[0]} did not end within {limit_s} s: {error.stdout!r}") from error
        if done.returncode != 0:
            raise InteropError(f"{words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def end_clients(self) -> None:
        """Stop the programs of the client that has played."""
        for child in self._children:
            child.stop(CLIENT_STOP_LIMIT_S)
        self._children.clear()

    def audit(self) -> None:
        """Prove the books: the command says it with its exit status."""
        self.run([sys.executable, "-m", "ocs", "audit", "--config", self._config, "--data", self._data], limit_s=60)

    def stop(self) -> None:
        """Drain and stop; raises InteropError when it does not end in peace."""
        if self._server.stop() != 0:
            raise InteropError(f"ocs run ended badly:\n{self._server.words()[-2000:]}")
        if "Traceback" in self._server.words():
            raise InteropError(f"ocs run logged a traceback: see {self._server.log}")


class Child:
    """A program that goes on; its words go into a file."""

    def __init__(self, command: Sequence[str], log: Path, folder: Path) -> None:
        self.log = log
        self._name = Path(command[0]).name
        output: IO[bytes]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def words(self) -> str:
        """All it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Raises InteropError when the program ends first, or time does."""
        wait_until(lambda: condition() or self._process.poll() is not None, limit_s)
        if not condition():
            raise InteropError(f"{self._name} did not get that far:\n{self.words()[-3000:]}")

    def stop(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Ask it to end, then make it; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def wait_until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Poll; whether it came true in time."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def free_port() -> int:
    """A loopback port that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _write_config(path: Path, ports: Ports) -> None:
    """The sample's settings on free ports, with a client table that lets everybody on loopback in."""
    shutil.copytree(ROOT / "config", path.parent)
    text = path.read_text(encoding="utf-8")
    for usual, port in zip((3868, 1812, 1813, 8080), ports[:4], strict=True):
        text = text.replace(f'"127.0.0.1:{usual}"', f'"127.0.0.1:{port}"')
    text = text.replace("radsec = []", f'radsec = ["127.0.0.1:{ports.radsec}"]', 1)
    switches = "".join(
        SWITCH.format(name=name, address=address, credentials=credentials, profile=profile)
        for name, (address, credentials, profile) in SWITCHES.items()
    )
    ours, after = text.index("# Our certificate and key", text.index("[radius]")), text.index("[http]")
    text = text[:ours] + TLS.lstrip() + CLIENTS + switches + "\n" + text[after:]
    path.write_text(text.replace("seconds = 300", "seconds = 60", 1), encoding="utf-8")
