"""The world behind sockets: the real daemon in a process of its own, with clients that share no code with it.

Charging goes over Diameter by python-diameter, money and figures over the HTTP API by httpx. Only the books are looked
up where they are kept.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zlib import crc32

import httpx
from diameter.message import constants
from diameter.message.avp.grouped import (
    ImsInformation,
    PsInformation,
    RequestedServiceUnit,
    ServiceInformation,
    UsedServiceUnit,
)
from diameter.message.commands import CreditControlAnswer, CreditControlRequest
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

from balance.account import AccountState
from balance.levels import levels_of
from balance.money import format_amount
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.cdr import JournalEntry, decode_entry
from ocs.charging.operations import Limits
from ocs.charging.request import (
    TERMINATING,
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    GroupAnswer,
    GroupKey,
    Quantity,
    RequestKind,
)
from ocs.clock import now_ms
from ocs.rating.units import UnitKind
from tests.conftest import find_free_port
from tests.scenario.world import IDENTITY, Clock, amount, assert_books

REALM: Final = "example.net"
START_LIMIT_S: Final = 180  # on a machine that does much beside
ANSWER_LIMIT_S: Final = 30
CC_TIME_MAX: Final = 2**32 - 1
PARTITIONS: Final = 4

# The words of the tables, by RFC 8506, section 9 and RFC 6733, section 7.1; written down here a second time.
STATUSES: Final = MappingProxyType({
    2001: ChargingStatus.SUCCESS,
    4010: ChargingStatus.SERVICE_DENIED,
    4011: ChargingStatus.FREE,
    4012: ChargingStatus.CREDIT_LIMIT_REACHED,
    5002: ChargingStatus.SESSION_UNKNOWN,
    5003: ChargingStatus.DESTINATION_BARRED,
    5004: ChargingStatus.INVALID_VALUE,
    5012: ChargingStatus.CONTRADICTION,
    5030: ChargingStatus.USER_UNKNOWN,
    5031: ChargingStatus.RATING_FAILED,
})  # fmt: skip
CONTEXTS: Final = {"voice": "32260@3gpp.org", "data": "32251@3gpp.org", "sms": "32274@3gpp.org"}
FIELDS: Final = {
    UnitKind.SECONDS: "cc_time",
    UnitKind.OCTETS: "cc_total_octets",
    UnitKind.EVENTS: "cc_service_specific_units",
}
STATES: Final = {state: state.name.lower() for state in AccountState}
_worlds = itertools.count(1)

logging.getLogger("diameter").setLevel(logging.CRITICAL)  # it logs each refusal; the tests look at the answers


class WallClock(Clock):
    """Another process's time cannot be moved, only looked at."""

    def __call__(self) -> int:
        return now_ms()


class MovedClock(Clock):
    """The time of another process, which looks it up in a file (``tests.scenario.clocked_ocs``)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        super().__init__()

    @property
    def now_ms(self) -> int:
        return int.from_bytes(self._file.read_bytes(), "little")

    @now_ms.setter
    def now_ms(self, now_ms: int) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(now_ms.to_bytes(8, "little"))


class ServedOcs:
    """``ocs serve`` on free ports, over the Valkey of the tests."""

    def __init__(
        self,
        folder: Path,
        project_root: Path,
        valkey_url: str,
        changes: Mapping[str, str] = MappingProxyType({}),
        postgres_dsn: str = "",
        account_rules: str | None = None,
    ) -> None:
        """``changes`` are texts of the sample's settings and what stands there instead; without a DSN PostgreSQL is away.

        With ``account_rules`` (the text of ``accounts.toml``) its clock stands still, and is moved by the tests.
        """
        self.valkey_url = valkey_url
        self.clock: Clock = WallClock()
        self.config = folder / "config"
        self.ports = {port: find_free_port() for port in (3868, 1812, 1813, 8080)}
        self.url = f"http://127.0.0.1:{self.ports[8080]}"
        self._data = folder / "data"
        shutil.copytree(project_root / "config", folder / "config")
        settings = folder / "config" / "ocs.toml"
        settings.write_text(_settings(settings.read_text(encoding="utf-8"), self.ports, changes), encoding="utf-8")
        module, clock = "ocs", {}
        if account_rules is not None:
            (folder / "config" / "accounts.toml").write_text(account_rules, encoding="utf-8")
            self.clock = MovedClock(folder / "clock")
            module, clock = "tests.scenario.clocked_ocs", {"OCS_TEST_CLOCK": str(folder / "clock")}
        dsn = postgres_dsn or f"postgresql://ocs@/ocs?host={folder}"
        servers = {"OCS_VALKEY_URL": valkey_url, "OCS_POSTGRES_DSN": dsn}
        self._output = folder / "out"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, "serve", "--config", str(settings), "--data", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **servers, **clock},
                cwd=project_root,
            )

    def wait_ready(self) -> None:
        deadline_s = time.monotonic() + START_LIMIT_S
        while True:
            assert self._process.poll() is None, self._output.read_text(encoding="utf-8")
            try:
                if httpx.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                assert time.monotonic() < deadline_s, self._output.read_text(encoding="utf-8")
            time.sleep(0.05)

    def read_rates_anew(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """Like a machine that stops: nothing is ended in order."""
        self._process.kill()
        self._process.wait(60)

    def stop(self) -> None:
        self._process.terminate()
        try:
            assert self._process.wait(60) == 0, self._output.read_text(encoding="utf-8")
        finally:
            self._process.kill()

    @property
    def has_key(self) -> bool:
        """Whether it was the one that made the first key of an empty store."""
        return (self._data / "admin.key").exists()

    def api(self) -> httpx.AsyncClient:
        token = (self._data / "admin.key").read_text(encoding="ascii").strip()
        return httpx.AsyncClient(
            base_url=f"{self.url}/v1", headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_LIMIT_S
        )


def _settings(text: str, ports: dict[int, int], more: Mapping[str, str]) -> str:
    """The sample's settings with the quota of the statements: 30 s or 1 MiB, Validity-Time 300 s, no threshold."""
    changes = {
        "seconds = 300": "seconds = 30",
        "octets = 10485760": "octets = 1048576",
        "validity_s = 600": "validity_s = 300",
        "threshold_percent = 20": "threshold_percent = 0",
        "partitions = 16": f"partitions = {PARTITIONS}",
        **{f'"127.0.0.1:{port}"': f'"127.0.0.1:{free}"' for port, free in ports.items()},
        **more,
    }
    for old, new in changes.items():
        assert f"{old}" in text, f"the sample has no {old}"
        text = text.replace(old, new)
    return text


class Gateway:
    """python-diameter as a packet gateway: a node with one application, in threads of its own."""

    def __init__(self, port: int) -> None:
        self._node = Node("gateway.example.net", REALM)
        self._node.wakeup_interval = 1
        peer = self._node.add_peer(
            f"aaa://ocs.example.net:{port}", REALM, ip_addresses=["127.0.0.1"], is_persistent=True
        )
        self._application = SimpleThreadingApplication(
            constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION, is_auth_application=True
        )
        self._node.add_application(self._application, [peer])
        self._node.start()
        self._application.wait_for_ready(ANSWER_LIMIT_S)

    def close(self) -> None:
        self._node.stop(wait_timeout=5)

    def request(self, session_id: str) -> CreditControlRequest:
        request = CreditControlRequest()
        request.session_id = session_id
        request.origin_host = self._node.origin_host.encode()
        request.origin_realm = self._node.realm_name.encode()
        request.destination_realm = REALM.encode()
        request.auth_application_id = constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
        return request

    async def send(self, request: CreditControlRequest) -> CreditControlAnswer:
        answer = await asyncio.to_thread(self._application.send_request, request, ANSWER_LIMIT_S)
        assert isinstance(answer, CreditControlAnswer)
        return answer


class SocketWorld:
    """One account of the served system, with the interface of ``tests.scenario.world.World``."""

    def __init__(self, served: ServedOcs, gateway: Gateway) -> None:
        number = next(_worlds)
        self.clock = served.clock
        self.account_id = f"account-{number}"
        self.beside = f"beside-{number}"
        self.reseller = ""
        self.is_apart = False
        self.number = f"49151{number:08d}"
        self._served = served
        self._gateway = gateway
        self._api = served.api()
        self._keys = itertools.count(1)
        self._sent: set[tuple[str, int]] = set()

    async def close(self) -> None:
        await self._api.aclose()

    async def open_reseller(self, balance: str, *, is_apart: bool = False) -> None:
        """An account above, of which it is a customer from now on."""
        own, self.is_apart = self.account_id, is_apart
        self.account_id = self.reseller = f"reseller-of-{own}" if is_apart else own
        await self._post("/accounts", {"account_id": self.reseller, "currency": "EUR", "rate_plan": "test-resale-eur"})
        await self.change(balance)
        self.account_id = own if is_apart else f"{own}~A"

    async def open(self, balance: str, credit_limit: str = "0") -> None:
        account = {"account_id": self.account_id, "currency": "EUR", "rate_plan": "test-eur"}
        if self.is_apart:
            account["reseller"] = self.reseller
        await self._post("/accounts", {**account, "credit_limit": credit_limit})
        identities = [f"e164:{self.number}"]
        subscriber = {"subscriber_id": self.number, "account_id": self.account_id, "identities": identities}
        await self._post("/subscribers", subscriber)
        if amount(balance):
            await self.change(balance)

    async def change(self, text: str) -> None:
        """Top up, or take away with a minus sign."""
        operation = "adjustments" if text.startswith("-") else "top-ups"
        body = {"amount": text, "currency": "EUR", "reason": "scenario"}
        await self._post(f"/accounts/{self.account_id}/{operation}", body)

    async def set_state(self, state: AccountState, block: str = "operator") -> None:
        body = {"state": STATES[state], "block": block}
        answer = await self._api.put(f"/accounts/{self.account_id}/state", json=body, headers=self._key())
        assert answer.is_success, answer.text

    async def state(self) -> str:
        """Its state, and the names of what blocks it, as the API says."""
        found = (await self._api.get(f"/accounts/{self.account_id}")).json()
        return " ".join((found["state"], *found["blocks"]))

    async def close_silent_sessions(self) -> int:
        """Wait until supervision has seen to all that is due; how much that was."""
        store = await open_store(self._served.valkey_url, PARTITIONS)
        try:
            count = len(await store.due(self.clock(), 500))
            while True:
                if not await store.due(self.clock(), 1):
                    return count
                await asyncio.sleep(0.02)
        finally:
            await store.close()

    async def charge(self, request: ChargingRequest) -> ChargingAnswer:
        """Over the wire and back. Numbers that were sent before carry the T flag, as a client's repeats do."""
        wire = self._wire_request(request)
        sent = (request.session_key, request.request_number)
        wire.header.is_retransmit = sent in self._sent
        self._sent.add(sent)
        answer = await self._gateway.send(wire)
        assert answer.session_id == wire.session_id
        assert (answer.cc_request_type, answer.cc_request_number) == (request.kind, request.request_number)
        return _charging_answer(answer)

    async def figures(self, account_id: str = "") -> tuple[int, int, int]:
        """Booked, reserved and available now, as the API says."""
        answer = await self._api.get(f"/accounts/{account_id or self.account_id}")
        found = answer.json()
        return amount(found["balance"]), amount(found["reserved"]), amount(found["available"])

    async def counts(self) -> tuple[int, int]:
        """Counted in the newest period, and kept there for grants, as the API says."""
        counters = (await self._api.get(f"/accounts/{self.account_id}")).json()["counters"]
        return (counters[-1]["used"], counters[-1]["reserved"]) if counters else (0, 0)

    async def units(self) -> tuple[int, int]:
        """Left in buckets of units, and held there for grants, as the API says."""
        buckets = (await self._api.get(f"/accounts/{self.account_id}")).json()["units"]
        return sum(each["balance"] for each in buckets), sum(each["reserved"] for each in buckets)

    async def add_member(self, name: str) -> str:
        """A further subscriber of the account; its identity."""
        identity = f"e164:{self.number}{crc32(name.encode()) % 100:02d}"
        body = {"subscriber_id": self._member(name), "account_id": self.account_id, "identities": [identity]}
        await self._post("/subscribers", body)
        return identity

    def _member(self, name: str) -> str:
        return name if name in {"", "*"} else f"{self.number}-{name}"

    async def buy(self, package: str) -> None:
        """Sell the account a package of its plan."""
        await self._post(f"/accounts/{self.account_id}/packages", {"package": package})

    async def cancel(self, subscription: int) -> None:
        """It ends with its period."""
        await self._post(f"/accounts/{self.account_id}/subscription-ends", {"subscription": subscription})

    async def change_plan(self, plan: str, *, at_cycle_end: bool) -> None:
        """Another rate plan, now or when the cycle ends."""
        body = {"rate_plan": plan, "at": "cycle_end" if at_cycle_end else "once"}
        answer = await self._api.put(f"/accounts/{self.account_id}/plan", json=body, headers=self._key())
        assert answer.status_code == 200, answer.text

    async def open_beside(self, balance: str) -> None:
        """Another account, which may be in another partition."""
        await self._post("/accounts", {"account_id": self.beside, "currency": "EUR", "rate_plan": "test-eur"})
        await self._post(f"/accounts/{self.beside}/top-ups", {"amount": balance, "currency": "EUR", "reason": "first"})

    async def send(self, text: str) -> str:
        """Move money to that account; what it comes to, as the problem's name says."""
        body = {"to": self.beside, "amount": text, "currency": "EUR"}
        answer = await self._api.post(f"/accounts/{self.account_id}/transfers", json=body, headers=self._key())
        problem: str = "applied" if answer.is_success else answer.json()["type"].rpartition("/")[2]
        return problem.replace("-", "_")

    async def set_limits(self, limits: Limits) -> None:
        """What is left out stays as it is."""
        body: dict[str, Any] = {}
        if limits.credit_limit is not None:
            body["credit_limit"] = format_amount(limits.credit_limit, 9)
        if limits.calls is not None:
            body["calls"] = [each._asdict() for each in limits.calls]
        if limits.caps is not None:
            body["caps"] = [
                {
                    **each._asdict(),
                    "most": str(each.most) if each.unit else format_amount(each.most, 9),
                    "unit": ("money", "seconds", "octets", "events")[each.unit],
                    "member": self._member(each.member),
                }
                for each in limits.caps
            ]
        answer = await self._api.put(f"/accounts/{self.account_id}/limits", json=body, headers=self._key())
        assert answer.is_success, answer.text

    async def check_books(self) -> None:
        """Invariants 1 and 2, in the records themselves."""
        store = await open_store(self._served.valkey_url, PARTITIONS)
        try:
            accounts = {each.account_id: each async for each in store.accounts()}
            entries = await self._entries(store)
            for name in levels_of(self.account_id):
                own = [entry for entry in entries if entry.account_id == name]
                assert_books(accounts[name], own, await store.open_sessions(name))
        finally:
            await store.close()

    async def _entries(self, store: ValkeyStore) -> list[JournalEntry]:
        found: list[JournalEntry] = []
        for partition in range(PARTITIONS):
            for _, fields in await store.client.xrange(f"{{p{partition}}}outbox"):
                found.append(decode_entry(fields[b"e"]))
        return found

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        answer = await self._api.post(path, json=body, headers=self._key())
        assert answer.is_success, answer.text

    def _key(self) -> dict[str, str]:
        return {"Idempotency-Key": f"{self.account_id}-{next(self._keys)}"}

    def _wire_request(self, request: ChargingRequest) -> CreditControlRequest:
        wire = self._gateway.request(f"gateway.example.net;{self.account_id};{request.session_key}")
        wire.service_context_id = CONTEXTS[request.service]
        wire.cc_request_type = request.kind
        wire.cc_request_number = request.request_number
        (identity,) = request.identities
        number = self.number if identity == IDENTITY else identity.removeprefix("e164:")
        wire.add_subscription_id(subscription_id_type=0, subscription_id_data=number)
        if request.destination:
            ims = ImsInformation(called_party_address=f"tel:+{request.destination}")
            if TERMINATING in request.details:
                ims.role_of_node = 1
            wire.service_information = ServiceInformation(ims_information=ims)
        if request.whereabouts:
            there = PsInformation(tgpp_sgsn_mcc_mnc=request.whereabouts)
            wire.service_information = ServiceInformation(ps_information=there)
        if request.kind == RequestKind.EVENT:
            (group,) = request.groups
            wire.requested_action = request.action
            wire.requested_service_unit = _units(RequestedServiceUnit, group.requested or ())
            return wire
        for group in request.groups:
            named = {} if group.key.rating_group < 0 else {"rating_group": group.key.rating_group}
            if group.requested is not None:
                named["requested_service_unit"] = _units(RequestedServiceUnit, group.requested)
            if group.used is not None:
                named["used_service_unit"] = _units(UsedServiceUnit, group.used)
            wire.add_multiple_services_credit_control(**named)
        return wire


def _units(kind: Any, quantities: tuple[Quantity, ...]) -> Any:
    """A value of 0 that is asked for means: you choose. The wire says so by saying nothing."""
    fields = {}
    for quantity in quantities:
        value = min(quantity.value, CC_TIME_MAX) if quantity.kind is UnitKind.SECONDS else quantity.value
        fields[FIELDS[quantity.kind]] = value
    return kind(**fields)


def _charging_answer(answer: CreditControlAnswer) -> ChargingAnswer:
    groups = [
        _group(each.result_code, each.granted_service_unit, each.final_unit_indication)
        for each in answer.multiple_services_credit_control
    ]
    granted = getattr(answer, "granted_service_unit", None)
    if granted is not None:
        groups.append(_group(answer.result_code, granted, None))
    return ChargingAnswer(STATUSES[answer.result_code], tuple(groups))


def _group(result_code: int, granted: Any, final: Any) -> GroupAnswer:
    kind, value = 0, 0
    for unit, field in FIELDS.items():
        found = getattr(granted, field, None) if granted is not None else None
        if found is not None:
            kind, value = int(unit), found
    action = -1 if final is None else final.final_unit_action
    return GroupAnswer(GroupKey(), STATUSES[result_code], kind, value, final=action)
