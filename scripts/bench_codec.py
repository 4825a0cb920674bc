"""Measure the Diameter codec: CPU time to decode a CCR-U of about 780 octets and to encode its answer.

    python scripts/bench_codec.py

Prints the best of several rounds, in microseconds. The request is a voice call as an IMS application server sends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ocs.charging.request import ChargingAnswer, ChargingStatus, GroupAnswer, GroupKey
from ocs.gateways.gy import GyConfig, charging_request, credit_control_answer
from ocs.rating.units import UnitKind
from ocs.settings import Settings
from protocols.diameter import avp, codes, message
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.gy_layout import RequestReader
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode

ROUNDS = 7
CALLS = 20_000
TGPP = codes.VENDOR_3GPP << 32


def group(key: int, *members: bytes) -> bytes:
    return avp.avp(key, b"".join(members))


def update_request(session: str = "ims-as.example.net;1700000000;42") -> bytes:
    """CCR-U with one Multiple-Services-Credit-Control, as Kamailio's ims_charging builds it."""
    text, u32 = avp.avp_text, avp.avp_u32
    caller, called = "sip:+4915112345678@ims.example.net", "sip:+442079460123@ims.example.net;user=phone"
    ims = group(
        TGPP | 876,
        group(TGPP | 823, text(TGPP | 824, "dummy"), u32(TGPP | 888, 0xFFFF_FFFF)),
        u32(TGPP | 829, 0),
        u32(TGPP | 862, 0),
        text(TGPP | 830, "5f0c1d7e-0001-4c1f-9d1e-000000000042@pcscf.ims.example.net"),
        text(TGPP | 831, caller),
        text(TGPP | 832, called),
        group(TGPP | 833, u32(TGPP | 834, 0xE0000000)),
    )
    avps = b"".join(
        (
            text(codes.SESSION_ID, session),
            text(codes.ORIGIN_HOST, "ims-as.example.net"),
            text(codes.USER_NAME, "alice@ims.example.net"),
            text(codes.ORIGIN_REALM, "example.net"),
            text(codes.DESTINATION_REALM, "example.net"),
            u32(codes.AUTH_APPLICATION_ID, 4),
            text(codes.SERVICE_CONTEXT_ID, "ext.01.001.8.32260@3gpp.org"),
            u32(codes.CC_REQUEST_TYPE, 2),
            u32(codes.CC_REQUEST_NUMBER, 1),
            u32(codes.EVENT_TIMESTAMP, 0xE0000000),
            group(codes.SUBSCRIPTION_ID, u32(450, 0), text(444, "4915112345678")),
            group(codes.SUBSCRIPTION_ID, u32(450, 2), text(444, caller)),
            u32(455, 1),
            group(
                codes.MULTIPLE_SERVICES_CREDIT_CONTROL,
                group(codes.REQUESTED_SERVICE_UNIT, u32(codes.CC_TIME, 30)),
                group(codes.USED_SERVICE_UNIT, u32(codes.CC_TIME, 30)),
                u32(codes.SERVICE_IDENTIFIER, 1000),
                u32(codes.RATING_GROUP, 100),
            ),
            group(458, u32(459, 1), text(460, "00-00-00-00-00-00")),
            group(codes.SERVICE_INFORMATION, ims),
        )
    )
    return message.encode(codes.REQUEST | codes.PROXIABLE, codes.CREDIT_CONTROL, 4, 1, 1, avps)


def measure(call: Callable[[], object]) -> float:
    """Microseconds of CPU per call: the best round, since noise only adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started_ns = time.process_time_ns()
        for _ in range(CALLS):
            call()
        best = min(best, (time.process_time_ns() - started_ns) / CALLS / 1000)
    return best


def main() -> None:
    node = LocalNode("ocs.example.net", "example.net")
    config = GyConfig(node, Settings().services, {})
    frame = update_request()
    reader = RequestReader(node)
    reader.read(Message(frame))
    ccr = reader.read(Message(frame))
    assert isinstance(ccr, CreditControlRequest)
    group = GroupAnswer(GroupKey(100, (1000,)), ChargingStatus.SUCCESS, UnitKind.SECONDS, 30, 600, threshold=6)
    answer = ChargingAnswer(ChargingStatus.SUCCESS, (group,))
    steps: dict[str, Callable[[], object]] = {
        "walk the top level": lambda: Message(frame).walk(),
        "decode by walking": lambda: read_request(Message(frame), node),
        "decode by layout": lambda: reader.read(Message(frame)),
        "charging request": lambda: charging_request(ccr, 1_790_000_000_000, config),
        "answer": lambda: credit_control_answer(ccr, answer, config),
    }
    print(f"request {len(frame)} octets, answer {len(credit_control_answer(ccr, answer, config))} octets")
    for name, step in steps.items():
        print(f"{name:20} {measure(step):6.2f} us")


if __name__ == "__main__":
    main()
