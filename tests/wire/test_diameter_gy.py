"""Credit-control requests on the wire: what is decoded, what is refused and how (gy-ro 2, diameter-base 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.diameter import avp, codes, gy_answer
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.gy_answer import AnswerEncoder
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.service_information import party_addresses, subscriptions
from protocols.diameter.units import Money, Units
from protocols.diameter.user_place import NO_PLACE
from tests.builders_gy import TGPP, VOICE, ccr, group, money, mscc, seconds, subscription

NODE = LocalNode("ocs.example.net", "example.net", ("charging.example.org",))
RSU, USU = codes.REQUESTED_SERVICE_UNIT, codes.USED_SERVICE_UNIT


def read(frame: bytes) -> CreditControlRequest:
    request = read_request(Message(frame), NODE)
    assert isinstance(request, CreditControlRequest), request
    return request


def fault_of(frame: bytes) -> Fault:
    fault = read_request(Message(frame), NODE)
    assert isinstance(fault, Fault)
    return fault


def octets(key: int, **counts: int) -> bytes:
    named = {"total": codes.CC_TOTAL_OCTETS, "received": codes.CC_INPUT_OCTETS, "sent": codes.CC_OUTPUT_OCTETS}
    return group(key, *(avp.avp_u64(named[name], value) for name, value in counts.items()))


def kamailio(kind: int = 2) -> bytes:
    """A CCR as Kamailio's ims_charging sends it (client-expectations 2)."""
    return ccr(
        avp.avp_text(codes.ORIGIN_HOST, "client.example.net"),
        avp.avp_text(codes.ORIGIN_REALM, "example.net"),
        avp.avp_u32(480, 3),
        avp.avp_u32(485, 0),
        avp.avp_text(codes.USER_NAME, "alice@example.net"),
        group(
            codes.SERVICE_INFORMATION,
            subscription(2, "sip:alice@example.net"),
            group(
                codes.IMS_INFORMATION,
                group(TGPP | 823, avp.avp_text(TGPP | 824, "dummy"), avp.avp_u32(TGPP | 888, 0xFFFF_FFFF)),
                avp.avp_u32(TGPP | 829, 0),
                avp.avp_text(codes.CALLING_PARTY_ADDRESS, "sip:alice@example.net"),
                avp.avp_text(codes.CALLED_PARTY_ADDRESS, "tel:+442079460123"),
            ),
        ),
        group(260, avp.avp_u32(266, 10415), avp.avp_u32(258, 4)),
        group(458, avp.avp_u32(459, 1), avp.avp_text(460, "00-00-00-00-00-00")),
        avp.avp_u32(455, 1),
        mscc(seconds(RSU, 30), seconds(USU, 29), rating_group=100, service=1000),
        kind=kind,
        number=3,
        without=(codes.AUTH_APPLICATION_ID,),
    )


def open5gs() -> bytes:
    """A CCR-U as the open5GS SMF sends it (client-expectations 3)."""
    return ccr(
        avp.avp_text(codes.DESTINATION_HOST, "OCS.example.net"),
        subscription(1, "262011234567890"),
        avp.avp_u32(codes.REQUESTED_ACTION, 0),
        avp.avp_u32(TGPP | 2055, 1),
        mscc(
            octets(RSU, total=1_000_000),
            group(
                USU,
                avp.avp_u32(TGPP | 872, 3),
                avp.avp_u32(codes.CC_TIME, 70),
                avp.avp_u64(codes.CC_INPUT_OCTETS, 400_000),
                avp.avp_u64(codes.CC_OUTPUT_OCTETS, 600_000),
            ),
            avp.avp_u32(TGPP | 872, 4),
            group(TGPP | 1016, avp.avp_u32(TGPP | 1028, 9)),
        ),
        group(codes.SERVICE_INFORMATION, group(TGPP | 874, avp.avp(TGPP | 21, b"\6"))),
        kind=2,
        number=1,
        context="32251@3gpp.org",
    )


def test_kamailio_request() -> None:
    """client-expectations 2.1: doubled Origin-*, accounting AVPs and no Auth-Application-Id are taken [B-26]. [C-201]"""
    request = read(kamailio())
    (only,) = request.groups
    assert (request.session_id, request.origin_host) == ("client.example.net;1;1", "client.example.net")
    assert (request.request_type, request.request_number) == (2, 3)
    assert request.service_context_id == VOICE
    assert request.subscriptions == [(0, "4915112345")]
    assert (only.rating_group, only.service_ids) == (100, (1000,))
    assert only.requested == Units({codes.CC_TIME: 30})
    assert only.used == [Units({codes.CC_TIME: 29})]
    assert request.user_name == "alice@example.net"
    assert party_addresses(request) == ("tel:+442079460123", "sip:alice@example.net", NO_PLACE, False)
    assert subscriptions(request) == [(2, "sip:alice@example.net")]


def test_open5gs_request() -> None:
    """client-expectations 3: one anonymous group, input and output without a total. [C-306]"""
    request = read(open5gs())
    (only,) = request.groups
    assert (only.rating_group, only.service_ids) == (-1, ())
    assert only.requested == Units({codes.CC_TOTAL_OCTETS: 1_000_000})
    assert only.used[0].counts == {
        codes.CC_TIME: 70,
        codes.CC_INPUT_OCTETS: 400_000,
        codes.CC_OUTPUT_OCTETS: 600_000,
    }
    assert request.subscriptions == [(0, "4915112345"), (1, "262011234567890")]
    assert request.requested_action == 0


def test_several_groups_and_reports() -> None:
    """G-28: several USU in one MSCC, several MSCC, several Service-Identifiers [G-34]."""
    request = read(
        ccr(
            mscc(octets(USU, total=1), octets(USU, total=2), avp.avp_u32(codes.SERVICE_IDENTIFIER, 8), service=7),
            mscc(group(RSU), rating_group=20),
            kind=2,
        )
    )
    first, second = request.groups
    assert [units.counts for units in first.used] == [{codes.CC_TOTAL_OCTETS: 1}, {codes.CC_TOTAL_OCTETS: 2}]
    assert first.service_ids == (8, 7)
    assert first.requested is None
    assert second.requested == Units({})
    assert second.used == []


def test_units_at_command_level_and_money() -> None:
    """G-33: the single-service style; CC-Money keeps digits, exponent and currency apart."""
    request = read(ccr(money(RSU, 230, -2), seconds(USU, 5), avp.avp_u32(codes.SERVICE_IDENTIFIER, 9), kind=2))
    assert request.groups == []
    assert request.requested == Units({}, Money(230, -2, 978))
    assert request.used == [Units({codes.CC_TIME: 5})]
    assert request.service_ids == (9,)
    assert read(ccr(money(RSU, -5, None, None))).requested == Units({}, Money(-5, 0, 0))


def test_proxy_infos_are_kept_in_order() -> None:
    """B-76: three Proxy-Infos, unchanged and in their order [B-26]. [C-401]"""
    infos = [group(codes.PROXY_INFO, avp.avp_text(280, host), avp.avp(33, b"x")) for host in ("c.net", "a.net", "b")]
    assert read(ccr(*infos)).proxies == b"".join(infos)
    assert read(ccr()).proxies == b""


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        pytest.param({"hop_by_hop": 99, "end_to_end": 98}, True, id="another hop"),
        pytest.param({"flags": 0xD0}, True, id="T bit"),
        pytest.param({"number": 9}, True, id="the number is part of the key, not of the content"),
        pytest.param({"kind": 3}, False, id="another type"),
    ],
)
def test_fingerprint_tells_content_from_transport(change: dict[str, int], is_same: bool) -> None:
    """A repeat over another way is a repeat; the same number with another type is a contradiction [B-4] [G-4]."""
    usual = {"kind": 2, "number": 1}
    group_of_call = mscc(seconds(RSU, 30), seconds(USU, 30), rating_group=1)
    one, other = read(ccr(group_of_call, **usual)), read(ccr(group_of_call, **(usual | change)))  # type: ignore[arg-type]
    assert (one.fingerprint == other.fingerprint) == is_same


@pytest.mark.parametrize("other", [31, 29])
def test_fingerprint_sees_the_units(other: int) -> None:
    """Other units are other content, in a group or at command level; Event-Timestamp is none [G-4]."""
    time = avp.avp_u32(codes.EVENT_TIMESTAMP, 5)
    assert (
        read(ccr(mscc(seconds(USU, 30)), kind=2)).fingerprint
        != read(ccr(mscc(seconds(USU, other)), kind=2)).fingerprint
    )
    assert read(ccr(seconds(USU, 30), kind=2)).fingerprint != read(ccr(seconds(USU, other), kind=2)).fingerprint
    assert read(ccr()).fingerprint == read(ccr(time, without=(codes.EVENT_TIMESTAMP,))).fingerprint


@pytest.mark.parametrize(
    ("host", "realm", "expected"),
    [
        (None, "example.net", None),
        (None, "Example.NET", None),
        (None, None, None),
        ("ocs.example.net", "example.net", None),
        ("OCS.EXAMPLE.NET", "elsewhere.net", None),
        ("charging.example.org", "example.org", None),
        ("other.example.net", "example.net", 3002),
        ("ocs.example.net", None, 3002),
        (None, "elsewhere.net", 3003),
    ],
)
def test_b70_route(host: str | None, realm: str | None, expected: int | None) -> None:
    """B-70 to B-72: our host, an alias, our realm, or neither named; else 3002 or 3003."""
    route = avp.avp_text(codes.DESTINATION_HOST, host) if host else b""
    route += avp.avp_text(codes.DESTINATION_REALM, realm) if realm else b""
    frame = ccr(route, without=(codes.DESTINATION_REALM,))
    if expected is None:
        read(frame)
    else:
        assert fault_of(frame).result_code == expected


def test_b74_loop() -> None:
    """B-74: our own name among the Route-Records is 3005; other agents' names are none."""
    passed = [avp.avp_text(codes.ROUTE_RECORD, host) for host in ("a.net", "ocs.Example.net")]
    assert read(ccr(passed[0])).session_id
    assert fault_of(ccr(*passed)).result_code == ResultCode.LOOP_DETECTED


UNKNOWN = avp.avp(TGPP | 999_999, b"abc")
NOT_UTF8 = avp.avp(codes.SERVICE_CONTEXT_ID, b"\xff")
SHORT_TIME = avp.avp(codes.CC_TIME, b"\1\2")


@pytest.mark.parametrize(
    ("frame", "expected", "failed"),
    [
        pytest.param(ccr(UNKNOWN), 5001, UNKNOWN, id="5001 top level"),
        pytest.param(ccr(mscc(UNKNOWN)), 5001, mscc(UNKNOWN), id="5001 in a group"),
        pytest.param(ccr(mscc(group(USU, UNKNOWN))), 5001, mscc(group(USU, UNKNOWN)), id="5001 in a group's group"),
        pytest.param(
            ccr(group(codes.SUBSCRIPTION_ID, UNKNOWN)),
            5001,
            group(codes.SUBSCRIPTION_ID, UNKNOWN),
            id="5001 subscriber",
        ),
        pytest.param(
            ccr(without=(codes.SESSION_ID,)), 5005, avp.avp(codes.SESSION_ID, b""), id="5005 Session-Id has no zeros"
        ),
        pytest.param(
            ccr(without=(codes.CC_REQUEST_TYPE,)), 5005, avp.avp(codes.CC_REQUEST_TYPE, bytes(4)), id="5005 type"
        ),
        pytest.param(
            ccr(without=(codes.CC_REQUEST_NUMBER,)), 5005, avp.avp(codes.CC_REQUEST_NUMBER, bytes(4)), id="5005 number"
        ),
        pytest.param(
            ccr(group(codes.SUBSCRIPTION_ID, avp.avp_u32(450, 0))),
            5005,
            group(codes.SUBSCRIPTION_ID, avp.avp(444, b"")),
            id="5005 in a group",
        ),
        pytest.param(ccr(avp.avp_u32(268, 2001)), 5008, avp.avp_u32(268, 2001), id="5008 Result-Code in a request"),
        pytest.param(ccr(avp.avp_text(263, "b")), 5009, avp.avp_text(263, "b"), id="5009 second Session-Id"),
        pytest.param(ccr(kind=5), 5004, avp.avp_u32(416, 5), id="5004 type"),
        pytest.param(ccr(kind=0), 5004, avp.avp_u32(416, 0), id="5004 type zero"),
        pytest.param(ccr(NOT_UTF8, context=None), 5004, NOT_UTF8, id="5004 no UTF-8"),
        pytest.param(
            ccr(avp.avp_u32(258, 3), without=(258,)), 5004, avp.avp_u32(258, 3), id="5004 application contradicts"
        ),
        pytest.param(
            ccr(subscription(5, "x")), 5004, group(443, avp.avp_u32(450, 5)), id="5004 unknown kind of subscriber"
        ),
        pytest.param(
            ccr(mscc(group(RSU, SHORT_TIME))), 5014, mscc(group(RSU, avp.avp(420, bytes(4)))), id="5014 nested number"
        ),
        pytest.param(
            ccr(mscc(avp.avp(RSU, b"\0\0"))), 5014, mscc(group(RSU, avp.avp(0, b"", mandatory=False))), id="5014 cut"
        ),
        pytest.param(ccr(avp.avp(419, b"")), 5014, avp.avp(419, bytes(8)), id="5014 sub-session"),
        pytest.param(
            ccr(avp.avp(443, avp.avp_u32(450, 0) + avp.avp(444, b"4915") + b"11"), subscriber=None),
            5014,
            group(443, avp.avp(444, b"")),
            id="5014 octets after a subscriber's number",
        ),
    ],
)
def test_faults_have_their_failed_avp(frame: bytes, expected: int, failed: bytes) -> None:
    """Each fault names the very AVP, within its parents when it was nested (RFC 6733, 7.5). [C-504]"""
    fault = fault_of(frame)
    assert (fault.result_code, fault.failed_avp) == (expected, failed)


def test_unknown_group_without_m_is_passed_over_with_its_members() -> None:
    """B-24: members with M inside an unknown group without M do not count."""
    read(ccr(avp.avp(TGPP | 999_998, UNKNOWN, mandatory=False)))


ENCODER = AnswerEncoder(NODE)


def parsed(data: bytes) -> tuple[Message, dict[int, list[bytes]]]:
    message = Message(data)
    found, more = message.walk()
    values = {key: [avp.octets(data, at)] for key, at in found.items()}
    for key, at in more:
        values[key].append(avp.octets(data, at))
    return message, values


@pytest.mark.parametrize("without", [(), (codes.SERVICE_CONTEXT_ID,), (codes.CC_REQUEST_NUMBER,), (codes.SESSION_ID,)])
def test_fault_answers_meet_the_grammar(without: tuple[int, ...]) -> None:
    """client-expectations 3.3, 5: Auth-Application-Id, type and number also on 5xxx; where they are missing, E. [C-303]"""
    infos = [group(codes.PROXY_INFO, avp.avp_text(280, host), avp.avp(33, b"x")) for host in ("c.net", "a.net")]
    message = Message(ccr(UNKNOWN, *infos, number=4, without=without))
    fault = read_request(message, NODE)
    assert isinstance(fault, Fault)
    answer, values = parsed(ENCODER.fault(message, fault))
    assert values[codes.RESULT_CODE] == [fault.result_code.to_bytes(4, "big")]
    assert values[codes.FAILED_AVP] == [fault.failed_avp]
    assert b"".join(avp.avp(codes.PROXY_INFO, info) for info in values[codes.PROXY_INFO]) == b"".join(infos)
    assert (answer.hop_by_hop, answer.end_to_end) == (7, 9)
    if codes.CC_REQUEST_NUMBER in without:
        assert answer.flags == codes.PROXIABLE | codes.ERROR
    else:
        assert answer.flags == codes.PROXIABLE
        assert values[codes.AUTH_APPLICATION_ID] == [b"\0\0\0\4"]
        assert values[codes.CC_REQUEST_NUMBER] == [b"\0\0\0\4"]


def test_protocol_errors_use_the_generic_grammar() -> None:
    """RFC 6733, 7.2: E is set; Session-Id comes first [B-27]."""
    message = Message(ccr())
    answer, values = parsed(ENCODER.fault(message, Fault(ResultCode.TOO_BUSY)))
    assert answer.flags == codes.PROXIABLE | codes.ERROR
    assert next(iter(values)) == codes.SESSION_ID
    assert codes.CC_REQUEST_TYPE not in values


@given(
    st.text(max_size=30), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 4]), st.sampled_from(list(ResultCode))
)
def test_answers_give_back_what_was_asked(session: str, number: int, kind: int, code: ResultCode) -> None:
    """B-1: identifiers, P bit, Session-Id, type and number come back for any request and any result [B-101]."""
    request = read(ccr(session=session, number=number, kind=kind, flags=codes.REQUEST))
    answer, values = parsed(ENCODER.answer(request, code))
    assert values[codes.SESSION_ID] == [session.encode()]
    assert values[codes.CC_REQUEST_NUMBER] == [number.to_bytes(4, "big")]
    assert values[codes.CC_REQUEST_TYPE] == [kind.to_bytes(4, "big")]
    assert answer.flags == (codes.ERROR if code // 1000 == 3 else 0)


SAMPLES = {"kamailio": kamailio(), "open5gs": open5gs()}


def survives(data: bytes) -> None:
    """Decode as the server does: a request or a fault, each with its answer, and no exception."""
    message = Message(data)
    request = read_request(message, NODE)
    if isinstance(request, Fault):
        parsed(ENCODER.fault(message, request))
        return
    parsed(ENCODER.answer(request, ResultCode.SUCCESS))
    party_addresses(request)
    subscriptions(request)


@pytest.mark.parametrize("name", SAMPLES)
def test_requests_cut_anywhere_are_answered(name: str) -> None:
    """A message that ends too soon (its length made to fit) is a fault with an answer, at every octet."""
    sample = SAMPLES[name]
    for end in range(20, len(sample)):
        survives(b"\1" + end.to_bytes(3, "big") + sample[4:end])


@pytest.mark.parametrize("name", SAMPLES)
def test_every_flipped_bit_is_answered(name: str) -> None:
    """Each single bit of the message flipped in turn. [C-308]"""
    sample = SAMPLES[name]
    for bit in range(160, len(sample) * 8):
        data = bytearray(sample)
        data[bit // 8] ^= 1 << bit % 8
        survives(bytes(data))


@given(st.binary(max_size=300))
def test_noise_after_the_header_is_answered(noise: bytes) -> None:
    """Octets that are no AVPs at all."""
    survives(ccr()[:20] + noise)


def test_a_grant_of_volume_and_time() -> None:
    """Both units stand in one Granted-Service-Unit; whichever is used up first, the client asks again (RFC 8506, 8.17)."""
    answer = gy_answer.mscc(40, (), 2001, codes.CC_TOTAL_OCTETS, 1_000_000, 300, b"", 0, b"", 30)
    units = avp.avp_u32(codes.CC_TIME, 30) + avp.avp_u64(codes.CC_TOTAL_OCTETS, 1_000_000)
    assert avp.avp(codes.GRANTED_SERVICE_UNIT, units) in answer
    alone = gy_answer.mscc(40, (), 2001, codes.CC_TOTAL_OCTETS, 1_000_000, 300, b"", 0)
    assert avp.avp(codes.GRANTED_SERVICE_UNIT, avp.avp_u64(codes.CC_TOTAL_OCTETS, 1_000_000)) in alone
