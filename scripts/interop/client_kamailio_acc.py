"""Kamailio with auth_radius, misc_radius and acc_radius: digests in the draft's form, no signature, no
Acct-Session-Time, no numbers in the Stop, attempts that failed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sip_call import MODULES, Switch, check_talk, start_kamailio, write_radcli
from world import CENT_A_SECOND, Client, World

NAME: Final = "kamailio-acc"
CALLER: Final = "4915100000004"
POOR: Final = "4915100000005"
DIGEST_CALLER: Final = "4915100000008"
BUSY: Final = f"{CENT_A_SECOND}486"
TALK_S: Final = 2
# In none of the dictionaries below, and the modules will not start without them.
MISSING: Final = """
VALUE Acct-Status-Type Failed 15
VALUE Service-Type Sip-Session 15
"""
DICTIONARIES: Final = ("/etc/radcli/dictionary", "/etc/radcli/dictionary.sip", "/etc/kamailio/dictionary.kamailio")


def play(world: World) -> None:
    """A call of two seconds is authorized and charged by the clock, another one after its digest was checked; a caller
    without money and one with a wrong password are refused; a number that is busy costs nothing.
    """
    world.open_account(NAME, [f"e164:{CALLER}"], "1.00")
    world.open_account(f"{NAME}-poor", [f"e164:{POOR}"], "0.001")
    world.open_account(f"{NAME}-digest", [f"e164:{DIGEST_CALLER}"], "1.00")
    switch = start(world)
    switch.call("caller.xml", CALLER, f"{CENT_A_SECOND}555", TALK_S)
    check_call(world, NAME)
    switch.call("refused.xml", POOR, f"{CENT_A_SECOND}555", 0)
    switch.call("digest.xml", DIGEST_CALLER, f"{CENT_A_SECOND}555", TALK_S)
    check_call(world, f"{NAME}-digest")
    switch.call("digest-refused.xml", DIGEST_CALLER, f"{CENT_A_SECOND}555", 0, 407, password="wrong")
    switch.call("refused.xml", CALLER, BUSY, 0, 486)
    (failed, _) = world.check_records(NAME, 2)
    world.check("the cost of an attempt", (failed["cost"], failed["cause"]), ("0.00", "call attempt failed"))


def start(world: World) -> Switch:
    """Kamailio with its configuration, its dictionaries and a client's address for each of its modules' settings."""
    folder = world.folder
    words = "\n".join(Path(each).read_text(encoding="utf-8", errors="replace") for each in DICTIONARIES)
    for name, client in (("radiusclient", "kamailio"), ("radiusdigest", "kamailio-digest")):
        write_radcli(world, folder / f"{name}.conf", client, words + MISSING)
    return start_kamailio(world, "acc.cfg", {"DIGEST": DIGEST_CALLER, "BUSY": BUSY})


def check_call(world: World, account: str) -> None:
    """Its record has the number called, and its length is by the clock's seconds."""
    record = check_talk(world, account, TALK_S, 2)
    world.check("the number called in the record", record["destination"], f"{CENT_A_SECOND}555")


CLIENT: Final = Client(
    NAME,
    ["kamailio", "sipp", *(str(MODULES / f"{each}_radius.so") for each in ("acc", "auth", "misc")), *DICTIONARIES],
    ["kamailio", "kamailio-radius-modules", "libradcli4", "sip-tester"],
    play,
)
