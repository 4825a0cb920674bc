"""The diameter application of Erlang/OTP: strict about each AVP of an answer, also of one that refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from world import Client, World

NAME: Final = "otp"
HERE: Final = Path(__file__).parent
DICTIONARY: Final = 'case diameter_make:codec("credit_control.dia", [{outdir, "."}]) of ok -> halt(0); E -> io:format("~p", [E]), halt(1) end.'
MIB: Final = 1_048_576
STEPS: Final = {
    "initial": f"2001 [{{10,2001,{MIB}}},{{20,2001,{MIB}}}] []",
    "update": f"2001 [{{10,2001,{MIB}}}] []",
    "the same update again": f"2001 [{{10,2001,{MIB}}}] []",
    "termination": "2001 [{10,2001,none},{20,2001,none}] []",
    "update of a closed session": "5002 [] []",
    "unknown subscriber": "5030 [] []",
    "another realm": "3003 [] []",
    "another host": "3002 [] []",
    "loop": "3005 [] []",
    "unknown AVP with M": "5001 [] []",
    "unknown type": "5004 [] []",
}


def play(world: World) -> None:
    """Compile the dictionary and the client, let it play, compare its lines."""
    world.open_account(NAME, ["e164:4915100000003"], "2.00")
    for name in ("credit_control.dia", "otp_client.erl"):
        shutil.copy(HERE / name, world.folder / name)
    world.run(["erl", "-noshell", "-eval", DICTIONARY], limit_s=60)
    world.run(["erlc", "ocs_cc.erl", "otp_client.erl"], limit_s=60)
    said = world.run(["erl", "-noshell", "-eval", f"otp_client:main({world.ports.diameter})."], limit_s=60)
    lines = dict(line.partition(": ")[::2] for line in said.splitlines() if ": " in line)
    for name, expected in STEPS.items():
        world.check(name, lines.get(name, said), expected)
    world.check_money(NAME, "1.85")
    world.check_records(NAME, 1)


def _header() -> str:
    """Where the header is that compiled dictionaries include; its folder's name has the version in it."""
    found = sorted(Path("/usr/lib/erlang/lib").glob("diameter-*/include/diameter_gen.hrl"))
    return str(found[-1]) if found else "diameter_gen.hrl of Erlang/OTP"


CLIENT: Final = Client(NAME, ["erl", "erlc", _header()], ["erlang-diameter", "erlang-dev"], play)
