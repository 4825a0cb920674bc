"""The stage: a fresh subscriber, the three clients, and what each line of the script does with them."""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple

from ocs.demo.api import ApiClient, RefusedError
from ocs.demo.diameter import DiameterClient
from ocs.demo.errors import PlayError
from ocs.demo.radius import RadiusClient, Reply
from ocs.tools.ccr import EVENT, Answer, Asked, Interrogation, name_of
from protocols.diameter import codes
from protocols.radius import attributes as a
from protocols.radius.packet import attribute
from protocols.radius.records import StatusType

CURRENCY: Final = "EUR"
RATE_PLAN: Final = "test-eur"
VOICE: Final = "32260@3gpp.org"
SMS: Final = "32274@3gpp.org"
NAS: Final = "demo-switch"
USER_REQUEST: Final = 1  # Acct-Terminate-Cause (RFC 2866, section 5.10)
_RADIUS_CALL_S: Final = 125


class Outcome(NamedTuple):
    """What a server answered, in the table's words."""

    granted: str
    result: str


class Clients(NamedTuple):
    api: ApiClient
    diameter: DiameterClient
    radius: RadiusClient


class Call(NamedTuple):
    """A voice call over Diameter: which number is called, under which name, and when it began."""

    session_id: str
    called: str
    started_at_ms: int


class Stage:
    """Each run has names and numbers of its own, so that it can be repeated as often as one likes."""

    def __init__(self, clients: Clients, origin_host: str, now_ms: int) -> None:
        self._clients = clients
        self._now_ms = now_ms
        self._run = run = secrets.token_hex(4)
        self.account_id = f"demo-{run}"
        self.number = f"49{secrets.randbelow(10**11):011d}"
        self._password = secrets.token_hex(8)
        # Session-Id by RFC 6733, section 8.8: the client's identity, then what makes it unique for ever.
        self._session_prefix = f"{origin_host};{now_ms >> 32};{now_ms & 0xFFFF_FFFF};{run}"
        # The calls are told as if they had just happened, one after the other: their records have true durations.
        self._voice = Call(f"{self._session_prefix};call", "300" + "5550123", now_ms - 300_000)
        self._radius_started_at_ms = now_ms - _RADIUS_CALL_S * 1000
        self._classes: tuple[bytes, ...] = ()
        self._number = -1

    # --- HTTP ---------------------------------------------------------------------------------------------------

    def open_account(self) -> Outcome:
        api = self._clients.api
        try:
            api.create_account(self.account_id, CURRENCY, RATE_PLAN)
        except RefusedError as error:
            if error.problem.type.endswith("/rate-plan-unknown"):
                raise PlayError(
                    f"the demo counts by the rate plan {RATE_PLAN} and there is none: take the sample's "
                    "rateplans/test-eur.toml and decks/test-voice-eur.csv into your configuration"
                ) from error
            raise
        api.create_subscriber(self.account_id, self.account_id, [f"e164:{self.number}"], self._password)
        return Outcome("", "created")

    def top_up(self, amount: str, name: str) -> Outcome:
        """``name`` is the payment's: the same name is the same payment."""
        done = self._clients.api.top_up(self.account_id, amount, CURRENCY, f"{self.account_id}-{name}")
        return Outcome("", "seen before" if done["replayed"] else "paid in")

    def money(self) -> tuple[str, str]:
        """Balance and reserved, as they stand now."""
        account = self._clients.api.account(self.account_id)
        return account["balance"], account["reserved"]

    def cdrs(self) -> list[dict[str, Any]]:
        return self._clients.api.cdrs(self.account_id)

    # --- Diameter -----------------------------------------------------------------------------------------------

    def voice(self, request_type: int, at_s: int, *, used: int = -1, wanted: int = -1) -> Outcome:
        """The next interrogation of the call, ``at_s`` seconds after its start; quantities in seconds."""
        self._number += 1
        call = self._voice
        interrogation = Interrogation(
            call.session_id,
            request_type,
            self._number,
            VOICE,
            self.number,
            call.called,
            call.started_at_ms + at_s * 1000,
            codes.CC_TIME,
            (Asked(wanted=wanted, used=used),),
        )
        return _outcome(self._clients.diameter.ask(interrogation), "s")

    def message(self) -> Outcome:
        """One message, charged at once: no session stays open."""
        event = Interrogation(
            f"{self._session_prefix};sms",
            EVENT,
            0,
            SMS,
            self.number,
            "4915550199",
            self._now_ms,
            codes.CC_SERVICE_SPECIFIC_UNITS,
            (Asked(wanted=1),),
        )
        return _outcome(self._clients.diameter.ask(event), "message")

    # --- RADIUS -------------------------------------------------------------------------------------------------

    def authorize(self) -> Outcome:
        """Ask whether the second call may go on, and for how long. Class comes back with the records."""
        reply = self._clients.radius.authorize(self._parties(), self._password)
        self._classes = reply.classes
        granted = "" if reply.seconds < 0 else f"{reply.seconds} s"
        return Outcome(granted, reply.name + _credit_time(reply))

    def account(self, status: StatusType, session_s: int) -> Outcome:
        """A record of the second call, ``session_s`` seconds after its start."""
        at_s = self._radius_started_at_ms // 1000 + session_s
        parts = [
            a.integer_attribute(a.ACCT_STATUS_TYPE, status),
            self._parties(),
            a.text_attribute(a.ACCT_SESSION_ID, self._run),
            a.integer_attribute(a.EVENT_TIMESTAMP, at_s),
            *(attribute(a.CLASS, value) for value in self._classes),
        ]
        if status is not StatusType.START:
            parts.append(a.integer_attribute(a.ACCT_SESSION_TIME, session_s))
        if status is StatusType.STOP:
            parts.append(a.integer_attribute(a.ACCT_TERMINATE_CAUSE, USER_REQUEST))
        return Outcome("", self._clients.radius.account(b"".join(parts)).name)

    def _parties(self) -> bytes:
        return b"".join((
            a.text_attribute(a.USER_NAME, self.number),
            a.text_attribute(a.CALLING_STATION_ID, self.number),
            a.text_attribute(a.CALLED_STATION_ID, "200" + "5550123"),
            a.text_attribute(a.NAS_IDENTIFIER, NAS),
        ))  # fmt: skip


def _outcome(answer: Answer, unit: str) -> Outcome:
    granted = "".join(
        f"{grant.granted} {unit}{', final' if grant.is_final else ''}" for grant in answer.grants if grant.granted
    )
    cost = f", cost {answer.cost}" if answer.cost else ""
    return Outcome(granted, name_of(answer.least) + cost)


def _credit_time(reply: Reply) -> str:
    return "" if reply.credit_time < 0 else f", credit time {reply.credit_time}"
