"""Sippy's B2BUA: a trunk that is known by its address, both legs of a call under one Acct-Session-Id, Alive records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sip_call import Switch, check_talk
from world import CENT_A_SECOND, PYTHON_FOLDER, ROOT, SECRET, SWITCHES, Client, World

NAME: Final = "sippy"
CALLER: Final = "4915100000011"
TALK_S: Final = 3
UNRATED: Final = "777"
TRUNK_WORD: Final = "cisco"  # the password that it gives for each trunk
HELPER: Final = Path(__file__).with_name("sippy_radiusclient.py")
PYTHON: Final = PYTHON_FOLDER / "bin" / "python"
SETTINGS: Final = """address {address}
authentication {authentication}
accounting {accounting}
secret {secret}
dictionary {root}/config/dictionaries/dictionary
"""
# Where it looks for its helper is no option of its command line.
LAUNCH: Final = (
    "import sys; from sippy import MyConfigParser, b2bua; "
    'MyConfigParser.SUPPORTED_OPTIONS["radiusclient"] = ("S", ""); sys.exit(b2bua.main_func())'
)


def play(world: World) -> None:
    """The customer's leg is charged by its seconds and the other one is not; who has no money is refused; a number that
    does not answer costs nothing.
    """
    world.open_account(NAME, ["ip:127.0.0.1"], "1.00", TRUNK_WORD)
    switch = start(world)
    switch.call("caller.xml", CALLER, f"{CENT_A_SECOND}555", TALK_S)
    record = check_talk(world, NAME, TALK_S, 1)
    world.check("the number called in the record", record["destination"], f"{CENT_A_SECOND}555")
    world.check("why it ended", record["cause"], "user request, Q.850 cause 16")
    switch.call("refused.xml", CALLER, UNRATED, 0, 403)


def start(world: World) -> Switch:
    """The B2BUA, with a helper that sends its requests from an address of its own."""
    folder = world.folder
    settings = SETTINGS.format(address=SWITCHES[NAME][0], secret=SECRET, root=ROOT, **world.ports._asdict())
    (folder / "sippy.conf").write_text(settings, encoding="utf-8")
    helper = folder / "radiusclient"
    helper.write_text(f'#!/bin/sh\nexec {sys.executable} {HELPER} "$@"\n', encoding="utf-8")
    helper.chmod(0o755)
    switch = Switch(world, "sip:[service]@[remote_ip]:[remote_port]")
    options = {
        "radiusclient": helper,
        "radiusclient.conf": folder / "sippy.conf",
        "max_radiusclients": 2,
        "sip_address": "127.0.0.1",
        "sip_port": switch.port,
        "static_route": f"127.0.0.1:{switch.callee}",
        "digest_auth": "off",
        "start_acct_enable": "on",
        "alive_acct_int": 2,
        "b2bua_socket": folder / "sippy.sock",
        "logfile": folder / "sippy.log",
        "pidfile": folder / "sippy.pid",
    }
    command: list[str | Path] = [PYTHON, "-c", LAUNCH, "--foreground=on"]
    command += [f"--{name}={value}" for name, value in options.items()]
    switch.wait_ready(world.start(command, "sippy.out"), 501)
    return switch


CLIENT: Final = Client(NAME, [str(PYTHON_FOLDER / "bin" / "b2bua_radius"), "sipp"], ["sip-tester"], play, ["sippy"])
