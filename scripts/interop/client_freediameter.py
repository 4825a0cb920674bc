"""freeDiameter as the relay between a client of python-diameter and us: a call with two groups, errors, watchdog, DPR."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from diameter.message import constants
from diameter.message.avp.grouped import RequestedServiceUnit, UsedServiceUnit
from diameter.message.commands import CreditControlRequest
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication
from world import IDENTITY, REALM, Client, InteropError, World, free_port, wait_until

NAME: Final = "freediameter"
RELAY: Final = f"relay.{REALM}"
EXTENSIONS: Final = Path("/usr/lib/freeDiameter")
ANSWER_LIMIT_S: Final = 10
LIMITED_SUCCESS: Final = 2002
MIB: Final = 1_048_576
FIVE_CENTS_A_MIB: Final = 10  # the rating group

CONFIG: Final = """
Identity = "{relay}";
Realm = "{realm}";
Port = {port};
SecPort = 0;
No_SCTP;
No_IPv6;
ListenOn = "127.0.0.1";
TcTimer = 2;
TwTimer = 6;
TLS_Cred = "{folder}/relay.pem", "{folder}/relay.key";
TLS_CA = "{folder}/relay.pem";
LoadExtension = "{extensions}/acl_wl.fdx" : "{folder}/acl.conf";
LoadExtension = "{extensions}/dict_nasreq.fdx";
LoadExtension = "{extensions}/dict_dcca.fdx";
LoadExtension = "{extensions}/dict_dcca_3gpp.fdx";
ConnectPeer = "{server}" {{ ConnectTo = "127.0.0.1"; Port = {server_port}; No_TLS; }};
"""


def play(world: World) -> None:
    """The client knows the relay alone; all it gets has passed through it."""
    logging.getLogger("diameter").setLevel(logging.CRITICAL)
    world.open_account(NAME, ["e164:4915100000002"], "1.00")
    port = free_port()
    relay = _start_relay(world, port)
    relay.wait_for(lambda: "STATE_OPEN" in relay.words() and IDENTITY in relay.words(), 20)
    gateway = Gateway(port)
    try:
        _call(world, gateway)
        unknown = gateway.ask(1, 0, "unknown", subscriber="999", wanted=MIB)
        world.check("Result-Code for an unknown subscriber", unknown.result_code, 5030)
        _blocked_and_paid(world, gateway)
        lost = gateway.ask(2, 4, "never opened", used=MIB)
        world.check("Result-Code for a session that was never opened", lost.result_code, 5002)
    finally:
        gateway.close()
    world.check("an answer that freeDiameter could not read", "DIAMETER_MISSING_AVP" in relay.words(), False)
    world.check("how the relay ended, after DPR", relay.stop(), 0)


def _call(world: World, gateway: Gateway) -> None:
    first = gateway.ask(1, 0, "call", wanted=MIB)
    world.check("Result-Code of CCR-I", first.result_code, 2001)
    (group,) = first.multiple_services_credit_control
    world.check("octets granted", group.granted_service_unit.cc_total_octets, MIB)
    world.check("Result-Code of the group", group.result_code, 2001)
    world.check_money(NAME, "1.00", "0.05")
    second = gateway.ask(2, 1, "call", used=MIB, wanted=MIB)
    world.check("Result-Code of CCR-U", second.result_code, 2001)
    world.check_money(NAME, "0.95", "0.05")
    last = gateway.ask(3, 2, "call", used=MIB // 2)
    world.check("Result-Code of CCR-T", last.result_code, 2001)
    world.check("Origin-Host of the answer", last.origin_host, IDENTITY.encode())
    world.check_money(NAME, "0.90")
    world.check_records(NAME, 1)


def _blocked_and_paid(world: World, gateway: Gateway) -> None:
    """The money ends in mid-session; a top-up brings a RAR through the relay, and the next CCR-U a grant."""
    number, name = "4915100000010", f"{NAME}-blocked"
    world.open_account(name, [f"e164:{number}"], "0.05")
    first = gateway.ask(1, 0, name, wanted=MIB, subscriber=number)
    world.check(
        "whether the last quota says so", bool(first.multiple_services_credit_control[0].final_unit_indication), True
    )
    refused = gateway.ask(2, 1, name, used=MIB, wanted=MIB, subscriber=number)
    world.check("Result-Code of the blocked group", refused.multiple_services_credit_control[0].result_code, 4012)
    world.top_up(name, "1.00")
    wait_until(lambda: bool(gateway.asked), ANSWER_LIMIT_S)
    world.check("sessions that were asked to come (RAR)", gateway.asked[:1], [first.session_id])
    granted = gateway.ask(2, 2, name, wanted=MIB, subscriber=number)
    (group,) = granted.multiple_services_credit_control
    world.check("octets granted after the top-up", group.granted_service_unit.cc_total_octets, MIB)
    gateway.ask(3, 3, name, subscriber=number)
    world.check_money(name, "1.00")


def _start_relay(world: World, port: int) -> Any:
    folder = world.folder
    certificate: list[str | Path] = [
        "-keyout",
        folder / "relay.key",
        "-out",
        folder / "relay.pem",
        "-subj",
        f"/CN={RELAY}",
    ]
    world.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *certificate])
    (folder / "acl.conf").write_text(f"ALLOW_IPSEC *.{REALM}\n", encoding="ascii")
    config = CONFIG.format(
        relay=RELAY, realm=REALM, port=port, folder=folder, extensions=EXTENSIONS, server=IDENTITY,
        server_port=world.ports.diameter,
    )  # fmt: skip
    (folder / "freediameter.conf").write_text(config, encoding="ascii")
    return world.start(["freeDiameterd", "-c", folder / "freediameter.conf"], "freediameter.log")


class Gateway:
    """python-diameter; it knows the relay and nobody else."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self._node = Node(f"gateway.{REALM}", REALM)
        self._node.wakeup_interval = 1
        relay = self._node.add_peer(f"aaa://{RELAY}:{port}", REALM, ip_addresses=["127.0.0.1"], is_persistent=True)
        self._application = SimpleThreadingApplication(
            constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION, is_auth_application=True, request_handler=self._asked
        )
        self._node.add_application(self._application, [relay])
        self._node.start()
        try:
            self._application.wait_for_ready(ANSWER_LIMIT_S)
        except Exception as error:
            self.close()  # its threads would outlive us
            raise InteropError(f"freeDiameter does not let the client in: {error}") from error

    def _asked(self, _application: Any, request: Any) -> Any:
        """RAR: noted, and promised to be followed by a CCR-U (2002)."""
        self.asked.append(request.session_id)
        answer = request.to_answer()
        answer.session_id = request.session_id
        answer.origin_host, answer.origin_realm = f"gateway.{REALM}".encode(), REALM.encode()
        answer.result_code = LIMITED_SUCCESS
        return answer

    def close(self) -> None:
        """With DPR."""
        self._node.stop(wait_timeout=5)

    def ask(
        self, kind: int, number: int, name: str, *, used: int = 0, wanted: int = 0, subscriber: str = "4915100000002"
    ) -> Any:
        """A CCR of a data session; its answer."""
        request = CreditControlRequest()
        request.session_id = f"gateway.{REALM};1;{name}"
        request.origin_host = f"gateway.{REALM}".encode()
        request.origin_realm = request.destination_realm = REALM.encode()
        request.auth_application_id = constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
        request.service_context_id = "8.32251@3gpp.org"
        request.cc_request_type = kind
        request.cc_request_number = number
        request.add_subscription_id(subscription_id_type=0, subscription_id_data=subscriber)
        request.add_multiple_services_credit_control(
            requested_service_unit=RequestedServiceUnit(cc_total_octets=wanted) if wanted else None,
            used_service_unit=[UsedServiceUnit(cc_total_octets=used)] if used else None,
            rating_group=FIVE_CENTS_A_MIB,
        )
        return self._application.send_request(request, ANSWER_LIMIT_S)


CLIENT: Final = Client(
    NAME,
    ["freeDiameterd", str(EXTENSIONS / "dict_dcca.fdx"), "openssl"],
    ["freediameterd", "freediameter-extensions", "openssl"],
    play,
)
