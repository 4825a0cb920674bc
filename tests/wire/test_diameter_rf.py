"""Accounting on the wire: what an ACR says, and each answer's grammar (diameter-base 9)."""

from __future__ import annotations

import pytest

from protocols.diameter import avp, codes
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from protocols.diameter.rf import (
    AccountingRequest,
    Container,
    accounting_answer,
    accounting_fault,
    read_accounting,
)
from tests.builders_gy import group
from tests.builders_rf import EVENT, INTERIM, START, STOP, acr, container, octets, ps_information

NODE = LocalNode("ocs.example.net", "example.net")


def read(frame: bytes) -> AccountingRequest:
    found = read_accounting(Message(frame), NODE)
    assert isinstance(found, AccountingRequest), found
    return found


def test_b120_record_is_read() -> None:
    """Type, number, totals at command level, sub-session, subscriber."""
    frame = acr(STOP, 3, avp.avp_u32(46, 61), octets(100, 20), avp.avp_u64(codes.ACCOUNTING_SUB_SESSION_ID, 5))
    found = read(frame)
    assert (found.record_type, found.record_number, found.sub_session_id) == (STOP, 3, 5)
    assert (found.seconds, found.octets) == (61, 120)
    assert found.subscriptions == [(0, "4915100000001")]
    assert found.containers == []


def test_b127_containers_and_messages_of_service_information() -> None:
    """PS: one container per rating group; SMS: how many messages."""
    frame = acr(
        INTERIM, 1, ps_information(container(10, octets(1, 2)), container(20, avp.avp_u32(codes.TIME_USAGE, 9)))
    )
    assert read(frame).containers == [Container(10, 0, 3), Container(20, 9, 0)]
    sms = group(codes.SMS_INFORMATION, avp.avp_u32(codes.NUMBER_OF_MESSAGES_SENT, 3))
    assert read(acr(EVENT, 0, group(codes.SERVICE_INFORMATION, sms))).messages == 3


@pytest.mark.parametrize("key", [codes.ACCT_APPLICATION_ID, codes.EVENT_TIMESTAMP, codes.SUBSCRIPTION_ID])
def test_b127_what_may_be_missing(key: int) -> None:
    """Acct-Application-Id is said by the header, too; a STOP needs no subscriber."""
    assert read(acr(START, 0, without=(key,))).session_id == "cdf.example.net;1;1"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (acr(START, 0, without=(codes.ACCOUNTING_RECORD_NUMBER,)), 5005),
        (acr(9, 0), 5004),
        (acr(START, 0, avp.avp(99999, b"")), 5001),
        (acr(START, 0, avp.avp_text(codes.DESTINATION_HOST, "other.example.net")), 3002),
        (acr(START, 0, ps_information(avp.avp(codes.SERVICE_DATA_CONTAINER, b"\0\0\0\1"))), 5014),
    ],
)
def test_faults_are_values_with_their_answer(frame: bytes, expected: int) -> None:
    """3xxx in the generic grammar with E; 5xxx in the command's, where type and number can be given back."""
    message = Message(frame)
    fault = read_accounting(message, NODE)
    assert isinstance(fault, Fault)
    assert fault.result_code == expected
    answer = Message(accounting_fault(message, fault, NODE))
    found, _ = answer.walk()
    assert avp.u32(answer.frame, found[codes.RESULT_CODE]) == expected
    has_number = codes.ACCOUNTING_RECORD_NUMBER in message.walk()[0]
    is_error = expected < 4000 or not has_number
    assert bool(answer.flags & codes.ERROR) == is_error
    assert (codes.ACCOUNTING_RECORD_TYPE in found) == (not is_error)


def test_b122_b125_answer_has_its_grammar() -> None:
    """B-128: no Termination-Cause; Session-Id first, result, Origin-*, application 3, type and number, interval, Proxy-Info as it came."""
    proxy = group(codes.PROXY_INFO, avp.avp_text(280, "relay"), avp.avp(33, b"x"))
    request = read(acr(START, 4, proxy))
    answer = Message(accounting_answer(request, 2001, NODE, 600))
    found, _ = answer.walk()
    assert (answer.command, answer.application_id, answer.flags) == (271, 3, 0x40)
    assert found[codes.SESSION_ID] == 20
    frame = answer.frame
    assert [avp.u32(frame, found[key]) for key in (268, 259, 480, 485, 85)] == [2001, 3, 2, 4, 600]
    assert avp.raw(frame, found[codes.PROXY_INFO]) == proxy
    assert codes.ORIGIN_HOST in found
    assert codes.TERMINATION_CAUSE not in found, "[B-128]"
