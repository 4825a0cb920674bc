"""The work for a message grows with its octets and no faster: counted in lines run, so that no clock is asked."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "fuzz"))

from fuzz_diameter import DiameterTarget  # noqa: E402 - it stands beside the program that it belongs to
from fuzz_radius import RadiusTarget  # noqa: E402

from ocs.tools.diameter_tree import message_lines  # noqa: E402
from protocols.diameter import avp, codes  # noqa: E402
from protocols.radius.attributes import vendor_attribute  # noqa: E402
from protocols.radius.packet import attribute  # noqa: E402
from tests.builders_gy import TGPP, ccr, group, mscc, seconds, subscription  # noqa: E402
from tests.wire.radius_packets import accounting_request, attributes_of  # noqa: E402

BOTH = seconds(codes.REQUESTED_SERVICE_UNIT, 30) + seconds(codes.USED_SERVICE_UNIT, 30)
USED = seconds(codes.USED_SERVICE_UNIT, 1)


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of our code it runs."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(str(ROOT)):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


DIAMETER: dict[str, Callable[[int], bytes]] = {
    "groups": lambda n: ccr(*(mscc(BOTH, rating_group=number) for number in range(n)), kind=2),
    "groups of one identity": lambda n: ccr(*(mscc(BOTH, rating_group=1) for _ in range(n)), kind=2),
    "reports in one group": lambda n: ccr(mscc(*[USED] * n, rating_group=1), kind=2),
    "services of one group": lambda n: ccr(
        mscc(BOTH, *(avp.avp_u32(codes.SERVICE_IDENTIFIER, number) for number in range(n))), kind=2
    ),
    "subscribers": lambda n: ccr(*(subscription(0, str(number)) for number in range(n))),
    "unknown AVPs": lambda n: ccr(*(avp.avp(TGPP | 900_000 + number, b"", mandatory=False) for number in range(n))),
    "proxies": lambda n: ccr(*[group(codes.PROXY_INFO, avp.avp_text(280, "a.net"), avp.avp(33, b"x"))] * n),
    "routes": lambda n: ccr(*(avp.avp_text(codes.ROUTE_RECORD, f"{number}.net") for number in range(n))),
}
RADIUS: dict[str, Callable[[int], bytes]] = {
    "attributes of one type": lambda n: attribute(33, b"x") * n,
    "attributes of all types": lambda n: b"".join(attribute(number % 255 + 1, b"x") for number in range(n)),
    "vendor attributes": lambda n: vendor_attribute(9, 1, b"call-id=1") * (n // 4),
    "parts of one vendor attribute": lambda n: attribute(26, b"\0\0\0\x09" + b"\x01\x03x" * min(n // 4, 80)) * 3,
}


@pytest.mark.parametrize("name", DIAMETER)
@pytest.mark.parametrize("shown", [False, True])
def test_a_ccr_of_twice_the_parts_is_twice_the_work(name: str, shown: bool) -> None:
    """Whatever there is many of: reading, charging's words, the answer; and the tree that people read."""

    def work(count: int) -> int:
        frame = DIAMETER[name](count)
        if shown:
            return lines_run(lambda: message_lines(frame))
        target = DiameterTarget()
        return lines_run(lambda: target.run(b"M" + frame, random.Random(1)))

    assert work(400) < 2.5 * work(200)


@pytest.mark.parametrize("name", RADIUS)
def test_a_packet_of_twice_the_attributes_is_twice_the_work(name: str) -> None:
    """From the datagram to charging's words and the reply."""

    def work(count: int) -> int:
        packet = accounting_request(
            attributes_of({40: 2, 44: "s", 1: "49151"}) + RADIUS[name](count), secret=b"testing123"
        )
        target = RadiusTarget()
        return lines_run(lambda: target.run(packet, random.Random(1)))

    assert work(800) < 2.5 * work(400)
