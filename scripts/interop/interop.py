"""Run foreign clients against the server, and say what each of them made of it.

    python scripts/interop/interop.py [--only radclient,otp] [--install] [--keep] [--record FOLDER]

Exit status: 0 no client failed (those that are not installed are left out and named), 1 one did, 75 the server could
not be started here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import capture
import client_asterisk
import client_freediameter
import client_kamailio_acc
import client_kamailio_ro
import client_otp
import client_radclient
import client_radsecproxy
import client_sippy
import record
from world import PYTHON_FOLDER, Client, InteropError, World

CLIENTS: Final[tuple[Client, ...]] = (
    client_radclient.CLIENT,
    client_radsecproxy.CLIENT,
    client_freediameter.CLIENT,
    client_otp.CLIENT,
    client_kamailio_acc.CLIENT,
    client_kamailio_ro.CLIENT,
    client_sippy.CLIENT,
    client_asterisk.CLIENT,
)
INSTALL_LIMIT_S: Final = 240
COULD_NOT_START: Final = 75


def install(packages: list[str]) -> None:
    """Try to install Debian packages, within a bound of time; say what did not work and go on."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        print("nothing is installed: that takes apt-get and root")
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    started_s = time.monotonic()
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        left_s = INSTALL_LIMIT_S - (time.monotonic() - started_s)
        try:
            done = subprocess.run(
                [apt, "--quiet=2", *words], env=quiet, capture_output=True, text=True, timeout=left_s, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"apt-get {words[0]} did not end within {INSTALL_LIMIT_S} s")
            return
        if done.returncode != 0:
            print(f"apt-get {words[0]} did not work: {done.stderr.strip()[-500:]}")
            return


def install_python(packages: list[str]) -> None:
    """The same for packages of PyPI, in an environment of their own."""
    if not packages:
        return
    pip = [str(PYTHON_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(PYTHON_FOLDER)], [*pip, *packages]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"{' '.join(command)} did not end within {INSTALL_LIMIT_S} s")
            return
        if done.returncode != 0:
            print(f"{' '.join(command)} did not work: {done.stderr.strip()[-500:]}")
            return


def played(client: Client, world: World) -> str:
    """One client's result in words; "" when it failed, and why it did is printed."""
    before, started_s = world.checks, time.monotonic()
    try:
        client.play(world)
    except InteropError as error:
        print(f"{client.name}: FAILED\n{error}", flush=True)
        return ""
    finally:
        world.end_clients()
    return f"passed, {world.checks - before} checks, {time.monotonic() - started_s:.1f} s"


def play_all(clients: list[Client], folder: Path, samples: Path | None) -> bool:
    """Start the server, let each client play, prove the books; whether all is well."""
    world = World(folder)
    try:
        world.wait_ready()
    except InteropError as error:
        print(f"the server does not start: {error}", file=sys.stderr)
        raise SystemExit(COULD_NOT_START) from error
    good = True
    recording = capture.Capture(folder, world.ports)
    try:
        if reason := recording.start():
            print(f"tshark: left out, {reason}")
        for client in clients:
            result = played(client, world)
            good = good and bool(result)
            if result:
                print(f"{client.name}: {result}", flush=True)
        world.audit()
        print("audit: the books balance")
        if not reason and clients:
            print(f"tshark: {recording.stop(world)}")
            if samples is not None:
                record.record(recording.file, world, samples)
    except InteropError as error:
        print(f"FAILED: {error}")
        good = False
    finally:
        try:
            world.stop()
        except InteropError as error:
            print(f"FAILED: {error}")
            good = False
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAMES", help=f"of {', '.join(each.name for each in CLIENTS)}")
    parser.add_argument("--install", action="store_true", help="first install what is missing (Debian, as root)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs, configurations and the capture")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write what switches sent by RADIUS as samples")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else [each.name for each in CLIENTS]
    chosen = [each for each in CLIENTS if each.name in names]
    if len(chosen) < len(names):
        parser.error(f"--only: one of {', '.join(each.name for each in CLIENTS)}")
    missing = {package for client in chosen if client.missing for package in client.packages}
    if not (shutil.which("dumpcap") and shutil.which("tshark")):
        missing |= {*capture.PACKAGES}
    if arguments.install and missing:
        install(sorted(missing))
        install_python(sorted({each for client in chosen if client.missing for each in client.python_packages}))
    for client in chosen:
        if client.missing:
            print(f"{client.name}: left out, {', '.join(client.missing)} is not there: {client.cure}")
    folder = Path(tempfile.mkdtemp(prefix="ocs-interop-"))
    good = False
    try:
        good = play_all([client for client in chosen if not client.missing], folder, arguments.record)
    finally:
        if good and not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"logs are in {folder}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
