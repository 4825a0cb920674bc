"""Kamailio with ims_charging and cdp: doubled Origin-*, no Auth-Application-Id, and a CCR-T after each refusal."""

from __future__ import annotations

from typing import Final

from sip_call import MODULES, start_kamailio
from world import CENT_A_SECOND, IDENTITY, REALM, Client, World, free_port

NAME: Final = "kamailio-ro"
CALLER: Final = "4915100000006"
KAMAILIO: Final = f"kamailio.{REALM}"
RESOLVABLE: Final = "localhost"  # cdp connects to what the peer's name resolves to; it does not compare Origin-Host
TALK_S: Final = 6  # longer than a grant of 5 s, so that there is an update
CDP: Final = """<?xml version="1.0" encoding="UTF-8"?>
<DiameterPeer FQDN="{own}" Realm="{realm}" Vendor_Id="10415" Product_Name="CDP" AcceptUnknownPeers="0"
    DropUnknownOnDisconnect="1" Tc="5" Workers="2" QueueLength="32" TransactionTimeout="5" SessionsHashSize="128"
    DefaultAuthSessionTimeout="3600" MaxAuthSessionTimeout="3600">
  <Peer FQDN="{server}" Realm="{realm}" port="{port}"/>
  <Acceptor port="{acceptor}" bind="127.0.0.1"/>
  <Auth id="4" vendor="10415"/>
  <Auth id="4" vendor="0"/>
  <DefaultRoute FQDN="{server}" metric="10"/>
</DiameterPeer>
"""


def play(world: World) -> None:
    """A call with an update in the middle is charged by what Kamailio reports; a caller without money is refused."""
    world.open_account(NAME, [f"sip:{CALLER}@{REALM}", f"e164:{CALLER}"], "1.00")
    world.open_account(f"{NAME}-poor", [f"sip:4915100000007@{REALM}"], "0.001")
    settings = CDP.format(own=KAMAILIO, realm=REALM, server=RESOLVABLE, port=world.ports.diameter, acceptor=free_port())
    (world.folder / "cdp.xml").write_text(settings, encoding="ascii")
    switch = start_kamailio(world, "ro.cfg", {"IDENTITY": KAMAILIO, "REALM": REALM, "SERVER": IDENTITY})
    world.wait_for_peer(KAMAILIO)
    switch.call("caller.xml", CALLER, f"{CENT_A_SECOND}555", TALK_S)
    (record,) = world.check_records(NAME, 1)
    world.check("the number called in the record", record["destination"], f"{CENT_A_SECOND}555")
    seconds = record["groups"][0]["used"]
    world.check(f"whether {seconds} s are about the {TALK_S} s of talk", TALK_S - 1 <= seconds <= TALK_S + 2, True)
    world.check_money(NAME, f"{(100 - seconds) / 100:.2f}")
    switch.call("refused.xml", "4915100000007", f"{CENT_A_SECOND}555", 0)
    world.check_money(f"{NAME}-poor", "0.001")


CLIENT: Final = Client(
    NAME,
    ["kamailio", "sipp", str(MODULES / "ims_charging.so"), str(MODULES / "cdp.so")],
    ["kamailio", "kamailio-ims-modules", "sip-tester"],
    play,
)
