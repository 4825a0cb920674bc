"""Asterisk's cdr_radius: one Stop after each call, with the account and the duration in attributes of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sip_call import HERE, Switch, check_talk, write_radcli
from world import CENT_A_SECOND, ROOT, Client, World

NAME: Final = "asterisk"
CALLER: Final = "4915100000021"
TRUNK: Final = "4915100000022"
FORWARDED: Final = "4915100000023"
BUSY: Final = f"{CENT_A_SECOND}486"
TALK_S: Final = 2
SYSTEM: Final = ROOT / ".interop" / "asterisk"
"""A Debian of its own, since bookworm has no Asterisk: half a gigabyte, so `--install` does not bring it, and outside
`build`, which a reinstallation empties. The program is started by that system's own loader: nobody has to be root.
"""
LIBRARIES: Final = SYSTEM / "usr" / "lib" / "x86_64-linux-gnu"
PROGRAM: Final = SYSTEM / "usr" / "sbin" / "asterisk"
CONFIGS: Final = ("asterisk.conf", "modules.conf", "pjsip.conf", "extensions.conf", "cdr.conf")


def play(world: World) -> None:
    """A call is charged by Bill-Sec to the account that the dialplan named, and without one to the caller's number; of a
    call that goes on to another callee both parts are charged; a number that is busy costs nothing.
    """
    world.open_account(NAME, [f"e164:{CALLER}"], "1.00")
    world.open_account(f"{NAME}-trunk", [f"e164:{TRUNK}"], "1.00")
    world.open_account(f"{NAME}-forwarded", [f"e164:{FORWARDED}"], "1.00")
    switch = start(world)
    switch.call("caller.xml", CALLER, f"{CENT_A_SECOND}555", TALK_S)
    check_call(world, NAME)
    switch.call("caller.xml", TRUNK, f"{CENT_A_SECOND}556", TALK_S)
    check_call(world, f"{NAME}-trunk")
    switch.call("caller.xml", FORWARDED, f"{CENT_A_SECOND}777", 3)
    check_both_parts(world, f"{NAME}-forwarded")
    switch.call("refused.xml", CALLER, BUSY, 0, 486)
    (unanswered, _) = world.check_records(NAME, 2)
    world.check("the cost of a call that nobody answered", unanswered["cost"], "0.00")


def start(world: World) -> Switch:
    """Asterisk in a folder of its own, which tells of its calls from an address of its own."""
    folder = world.folder / "asterisk"
    for name in ("", "run", "log", "spool", "lib", "cache"):
        (folder / name).mkdir()
    switch = Switch(world, "sip:[service]@[remote_ip]:[remote_port]")
    words = {"PORT": switch.port, "CALLEE": switch.callee, "FOLDER": folder, "SYSTEM": SYSTEM, "LIBRARIES": LIBRARIES}
    words |= {"CALLER": CALLER, "BUSY": BUSY}
    for config in CONFIGS:
        text = (HERE / "asterisk" / config).read_text(encoding="utf-8")
        for name, value in words.items():
            text = text.replace(f"@{name}@", str(value))
        (folder / config).write_text(text, encoding="utf-8")
    write_radcli(world, folder / "radiusclient.conf", NAME, dictionary())
    loader = SYSTEM / "lib64" / "ld-linux-x86-64.so.2"
    command: list[str | Path] = [loader, "--library-path", LIBRARIES, PROGRAM, "-f", "-C", folder / "asterisk.conf"]
    switch.wait_ready(world.start(command, "asterisk.out"), 200)
    return switch


def dictionary() -> str:
    """The standard attributes and Asterisk's own, in the format that its library reads."""
    ours = (ROOT / "config" / "dictionaries" / "dictionary.digium").read_text(encoding="utf-8")
    digium = re.sub(r"(?m)^(ATTRIBUTE.*)$", r"\1 Digium", re.sub(r"(?m)^(#|BEGIN-|END-).*$", "", ours))
    usual = (SYSTEM / "etc" / "radcli" / "dictionary").read_text(encoding="utf-8", errors="replace")
    return usual + digium


def check_call(world: World, account: str) -> None:
    """Its record has the number called and how it ended."""
    record = check_talk(world, account, TALK_S, 1)
    world.check("the prefix called", record["destination"][:3], CENT_A_SECOND)
    world.check("the disposition in the record", record["details"]["Asterisk-Disposition"], "ANSWERED")


def check_both_parts(world: World, account: str) -> None:
    """Asterisk says one Acct-Session-Id for both: it is the channel's."""
    seconds = [record["groups"][0]["used"] for record in world.check_records(account, 2)]
    world.check(f"whether {seconds} s are 3 s in two parts", all(seconds) and 3 <= sum(seconds) <= 4, True)
    world.check_money(account, f"{(100 - sum(seconds)) / 100:.2f}")


CLIENT: Final = Client(
    NAME,
    [str(PROGRAM), str(LIBRARIES / "asterisk" / "modules" / "cdr_radius.so"), "sipp"],
    ["sip-tester"],
    play,
    system=f"apt-get install debootstrap && debootstrap --variant=minbase --include=asterisk sid {SYSTEM.relative_to(ROOT)}",
)
