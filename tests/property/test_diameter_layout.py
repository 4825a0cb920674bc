"""Reading by layout gives exactly what reading by walking gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, Mscc, read_request
from protocols.diameter.gy_layout import LAYOUTS_MAX, LAYOUTS_PER_LENGTH_MAX, LEARN_EVERY, Layout, RequestReader
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from tests.builders_gy import TGPP, ccr, group, ims, money, mscc, seconds, subscription
from tests.wire.test_diameter_gy import SAMPLES

NODE = LocalNode("ocs.example.net", "example.net")
RSU, USU = codes.REQUESTED_SERVICE_UNIT, codes.USED_SERVICE_UNIT

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
counts = st.one_of(
    u32.map(lambda value: avp.avp_u32(codes.CC_TIME, value)),
    u64.map(lambda value: avp.avp_u64(codes.CC_TOTAL_OCTETS, value)),
    u64.map(lambda value: avp.avp_u64(codes.CC_INPUT_OCTETS, value)),
    u32.map(lambda value: avp.avp_u32(TGPP | 872, value)),
)
units = st.tuples(st.sampled_from([RSU, USU]), st.lists(counts, max_size=3)).map(lambda made: group(made[0], *made[1]))
groups = st.lists(st.one_of(units, u32.map(lambda value: avp.avp_u32(codes.RATING_GROUP, value))), max_size=4).map(
    lambda members: mscc(*members, service=7)
)
others = st.one_of(
    units,
    groups,
    st.just(ims("tel:+49123")),
    st.text(max_size=6).map(lambda text: avp.avp_text(codes.USER_NAME, text)),
    st.text(max_size=9).map(lambda text: subscription(2, text)),
    st.just(money(RSU, 230, -2)),
    st.just(avp.avp_u64(codes.CC_SUB_SESSION_ID, 5)),
    st.just(avp.avp(TGPP | 999_999, b"abc", mandatory=False)),
    st.just(group(codes.PROXY_INFO, avp.avp_text(280, "a.net"))),
    u32.map(lambda value: avp.avp_u32(codes.EVENT_TIMESTAMP, value)),
)


def fields_of(shape: type) -> tuple[str, ...]:
    """The names of its fields; compiled classes keep them under another name."""
    names: tuple[str, ...] = getattr(shape, "__slots__", None) or shape.__mypyc_attrs__  # type: ignore[attr-defined]
    return names


def plain(read: CreditControlRequest | Fault) -> Any:
    """All that was read, to be compared."""
    if isinstance(read, Fault):
        return read.result_code, read.failed_avp, read.message
    fields = {name: getattr(read, name) for name in fields_of(CreditControlRequest) if name != "message"}
    fields["groups"] = [{name: getattr(each, name) for name in fields_of(Mscc)} for each in read.groups]
    return fields


def agree(reader: RequestReader, frame: bytes) -> None:
    message = Message(frame)
    assert plain(reader.read(message)) == plain(read_request(message, NODE))


@given(st.lists(others, max_size=6), st.integers(1, 4), st.data())
@settings(deadline=None)
def test_whatever_varies_both_ways_agree(avps: list[bytes], kind: int, data: st.DataObject) -> None:
    """A request is learned; then any octets of it change, and reading it by layout still is reading it."""
    frame = ccr(*avps, kind=kind)
    reader = RequestReader(NODE)
    agree(reader, frame)
    for _ in range(8):
        changed = bytearray(frame)
        for position in data.draw(st.lists(st.integers(20, len(frame) - 1), max_size=4)):
            changed[position] = data.draw(st.integers(0, 255))
        agree(reader, bytes(changed))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_flipped_bit_is_read_alike(name: str) -> None:
    """Each single bit of a learned request flipped in turn: the same record, or the same fault."""
    sample = SAMPLES[name]
    for bit in range(160, len(sample) * 8):
        reader = RequestReader(NODE)
        agree(reader, sample)
        changed = bytearray(sample)
        changed[bit // 8] ^= 1 << bit % 8
        agree(reader, bytes(changed))


def test_the_next_request_of_a_call_matches() -> None:
    """Other numbers, other units, another session and subscriber: the layout stays."""
    first = ccr(mscc(seconds(RSU, 30), seconds(USU, 29), rating_group=100), ims("tel:+491"), kind=2, number=1)
    second = ccr(
        mscc(seconds(RSU, 60), seconds(USU, 58), rating_group=200),
        ims("tel:+492"),
        kind=2,
        number=77,
        session="client.example.net;2;9",
        subscriber="4915199999",
        hop_by_hop=5,
        end_to_end=6,
        flags=0xD0,
    )
    learned = read_request(Message(first), NODE)
    assert isinstance(learned, CreditControlRequest)
    read = Layout(learned).read(Message(second))
    assert read is not None
    assert plain(read) == plain(read_request(Message(second), NODE))
    assert (read.request_number, read.session_id) == (77, "client.example.net;2;9")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(ccr(money(RSU, 5)), id="money"),
        pytest.param(ccr(session=""), id="no session"),
        pytest.param(ccr(subscription(0, "")), id="no number"),
    ],
)
def test_what_is_rare_is_not_learned(frame: bytes) -> None:
    """Requests that would need more care than they are worth."""
    reader = RequestReader(NODE)
    agree(reader, frame)
    assert reader._count == 0


def test_requests_through_a_relay_match() -> None:
    """A relay's Proxy-State changes with each request; it comes back as it came, by layout too."""

    def relayed(state: bytes) -> Message:
        info = group(codes.PROXY_INFO, avp.avp_text(280, "relay.net"), avp.avp(33, state))
        return Message(ccr(info, info, avp.avp_text(codes.ROUTE_RECORD, "client.example.net")))

    learned = read_request(relayed(b"abcd"), NODE)
    assert isinstance(learned, CreditControlRequest)
    read = Layout(learned).read(relayed(b"wxyz"))
    assert read is not None
    assert plain(read) == plain(read_request(relayed(b"wxyz"), NODE))
    assert read.proxies.count(b"wxyz") == 2


def test_layouts_are_bounded() -> None:
    """However many shapes a peer invents, a connection keeps so many, and new ones still get their turn."""
    reader = RequestReader(NODE)
    for turn in range(LAYOUTS_MAX * 3):
        agree(reader, ccr(avp.avp(460, bytes(turn * 4)), kind=1 + turn % 3))
    assert reader._count == LAYOUTS_MAX
    for turn in range(LEARN_EVERY * 3):
        agree(reader, ccr(avp.avp(460, b""), kind=1, context=f"{turn:05}@3gpp.org"))
    assert reader._count <= LAYOUTS_MAX
    assert all(len(layouts) <= LAYOUTS_PER_LENGTH_MAX for layouts in reader._layouts.values())
    assert reader._count == sum(len(layouts) for layouts in reader._layouts.values())
