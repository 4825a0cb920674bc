"""The play: every request with what it must grant and what it must leave, worked out beforehand.

Prices are those of the sample's rate plan ``test-eur``: a number that begins with 300 costs 0.10 and then 0.01 per
second, one that begins with 200 costs 0.30 per started minute, a message 0.08.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ocs.demo.stage import Outcome, Stage
from ocs.tools.ccr import EVENT, INITIAL, TERMINATION, UPDATE
from protocols.radius.records import StatusType

assert EVENT == 4, "a message is one request (RFC 8506, section 8.3)"


class Shown(NamedTuple):
    """What the table shows of a step: the answer, and the account after it."""

    granted: str
    result: str
    balance: str
    reserved: str


class Step(NamedTuple):
    door: str
    request: str
    act: Callable[[Stage], Outcome]
    expected: Shown


class Record(NamedTuple):
    """What a CDR must say. ``flags`` is empty: nothing about it was unusual."""

    protocol: str
    service: str
    used: str
    cost: str
    flags: tuple[str, ...] = ()


STEPS: Final = (
    Step("HTTP", "create account, subscriber", lambda it: it.open_account(), Shown("", "created", "0.00", "0.00")),
    Step("HTTP", "top up 1.00", lambda it: it.top_up("1.00", "first"), Shown("", "paid in", "1.00", "0.00")),
    # The same Idempotency-Key is the same payment: nothing is paid in twice.
    Step("HTTP", "top up 1.00, the same again", lambda it: it.top_up("1.00", "first"), Shown("", "seen before", "1.00", "0.00")),
    # 60 s cost 0.10 + 60 x 0.01 = 0.70.
    Step(
        "Diameter", "CCR-I voice, asks 60 s",
        lambda it: it.voice(INITIAL, 0, wanted=60),
        Shown("60 s", "2001 SUCCESS", "1.00", "0.70"),
    ),
    # Used 60 s: 1.00 - 0.70 = 0.30. That pays for 30 s more, and no longer.
    Step(
        "Diameter", "CCR-U used 60 s, asks 60 s",
        lambda it: it.voice(UPDATE, 60, used=60, wanted=60),
        Shown("30 s, final", "2001 SUCCESS", "0.30", "0.30"),
    ),
    Step("HTTP", "top up 2.00 in mid-call", lambda it: it.top_up("2.00", "second"), Shown("", "paid in", "2.30", "0.30")),
    # Used 30 s: 2.30 - 0.30 = 2.00. The next 60 s cost 0.60, and they are not the last.
    Step(
        "Diameter", "CCR-U used 30 s, asks 60 s",
        lambda it: it.voice(UPDATE, 90, used=30, wanted=60),
        Shown("60 s", "2001 SUCCESS", "2.00", "0.60"),
    ),
    # Used 25 s of them: 2.00 - 0.25 = 1.75. The call: 60 + 30 + 25 = 115 s, 0.10 + 115 x 0.01 = 1.25.
    Step(
        "Diameter", "CCR-T used 25 s",
        lambda it: it.voice(TERMINATION, 115, used=25),
        Shown("", "2001 SUCCESS, cost 1.25", "1.75", "0.00"),
    ),
    # 1.75 pays for 5 started minutes (1.50), not for 6 (1.80).
    Step(
        "RADIUS", "Access-Request voice",
        lambda it: it.authorize(),
        Shown("300 s", "Access-Accept, credit time 300", "1.75", "1.50"),
    ),
    Step(
        "RADIUS", "Accounting Start",
        lambda it: it.account(StatusType.START, 0),
        Shown("", "Accounting-Response", "1.75", "1.50"),
    ),
    # 65 s are 2 started minutes: 1.75 - 0.60 = 1.15. What is set aside pays for 3 minutes more: 0.90.
    Step(
        "RADIUS", "Accounting Interim at 65 s",
        lambda it: it.account(StatusType.INTERIM_UPDATE, 65),
        Shown("", "Accounting-Response", "1.15", "0.90"),
    ),
    # 125 s are 3 started minutes: 3 x 0.30 = 0.90 in all; 1.75 - 0.90 = 0.85.
    Step(
        "RADIUS", "Accounting Stop at 125 s",
        lambda it: it.account(StatusType.STOP, 125),
        Shown("", "Accounting-Response", "0.85", "0.00"),
    ),
    # One message: 0.85 - 0.08 = 0.77.
    Step(
        "Diameter", "CCR-E sms, 1 message",
        lambda it: it.message(),
        Shown("1 message", "2001 SUCCESS, cost 0.08", "0.77", "0.00"),
    ),
)  # fmt: skip

# 3.00 paid in - 1.25 - 0.90 - 0.08 = 0.77.
RECORDS: Final = (
    Record("gy", "voice", "115 seconds", "1.25"),
    Record("ra", "voice", "125 seconds", "0.90"),
    Record("gy", "sms", "1 event", "0.08"),
)
