"""Kamailio with misc_radius and acc_radius: no password, no signature, no Acct-Session-Time, no numbers in the Stop."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sip_call import MODULES, Switch
from world import CENT_A_SECOND, SECRET, Client, World

NAME: Final = "kamailio-acc"
CALLER: Final = "4915100000004"
TALK_S: Final = 2
SETTINGS: Final = """
authserver 127.0.0.1:{authentication}
acctserver 127.0.0.1:{accounting}
servers {folder}/servers
dictionary {folder}/dictionary
default_realm
radius_timeout 3
radius_retries 1
bindaddr *
"""
# In none of the dictionaries below, and the module will not start without them.
MISSING: Final = """
VALUE Acct-Status-Type Failed 15
VALUE Service-Type Sip-Session 15
"""
DICTIONARIES: Final = ("/etc/radcli/dictionary", "/etc/radcli/dictionary.sip", "/etc/kamailio/dictionary.kamailio")


def play(world: World) -> None:
    """A call of two seconds is authorized and charged by the clock; a caller without money is refused."""
    world.open_account(NAME, [f"e164:{CALLER}"], "1.00")
    world.open_account(f"{NAME}-poor", ["e164:4915100000005"], "0.001")
    folder = world.folder
    (folder / "radiusclient.conf").write_text(SETTINGS.format(folder=folder, **world.ports._asdict()), encoding="ascii")
    (folder / "servers").write_text(f"127.0.0.1 {SECRET}\n", encoding="ascii")
    words = "\n".join(Path(each).read_text(encoding="utf-8", errors="replace") for each in DICTIONARIES)
    words += MISSING
    (folder / "dictionary").write_text(words, encoding="utf-8")
    switch = Switch(world, "acc.cfg", {})
    switch.wait_ready()
    switch.call("caller.xml", CALLER, f"{CENT_A_SECOND}555", TALK_S)
    (record,) = world.check_records(NAME, 1)
    world.check("the number called in the record", record["destination"], f"{CENT_A_SECOND}555")
    seconds = record["groups"][0]["used"]
    world.check(
        f"whether {seconds} s are the {TALK_S} s of talk, by the clock's seconds", TALK_S <= seconds <= TALK_S + 2, True
    )
    world.check_money(NAME, f"{(100 - seconds) / 100:.2f}")
    switch.call("refused.xml", "4915100000005", f"{CENT_A_SECOND}555", 0)


CLIENT: Final = Client(
    NAME,
    ["kamailio", "sipp", str(MODULES / "acc_radius.so"), *DICTIONARIES],
    ["kamailio", "kamailio-radius-modules", "libradcli4", "sip-tester"],
    play,
)
