"""Builders of accounting requests, AVP by AVP."""

from __future__ import annotations

from protocols.diameter import avp, codes
from protocols.diameter.message import encode
from tests.builders_gy import NTP_NOW, VOICE, group, subscription

EVENT, START, INTERIM, STOP = 1, 2, 3, 4


def octets(sent: int, received: int) -> bytes:
    return avp.avp_u64(codes.ACCOUNTING_INPUT_OCTETS, sent) + avp.avp_u64(codes.ACCOUNTING_OUTPUT_OCTETS, received)


def container(rating_group: int, *members: bytes) -> bytes:
    return group(codes.SERVICE_DATA_CONTAINER, avp.avp_u32(codes.RATING_GROUP, rating_group), *members)


def ps_information(*members: bytes) -> bytes:
    return group(codes.SERVICE_INFORMATION, group(codes.PS_INFORMATION, *members))


def acr(
    kind: int,
    number: int,
    *avps: bytes,
    session: str = "cdf.example.net;1;1",
    context: str | None = VOICE,
    subscriber: str | None = "4915100000001",
    at_s: int = 0,
    without: tuple[int, ...] = (),
) -> bytes:
    """An ACR with the mandatory AVPs, except those in ``without``; ``at_s`` after the builders' now."""
    usual = {
        codes.SESSION_ID: avp.avp_text(codes.SESSION_ID, session),
        codes.ORIGIN_HOST: avp.avp_text(codes.ORIGIN_HOST, "client.example.net"),
        codes.ORIGIN_REALM: avp.avp_text(codes.ORIGIN_REALM, "example.net"),
        codes.DESTINATION_REALM: avp.avp_text(codes.DESTINATION_REALM, "example.net"),
        codes.ACCOUNTING_RECORD_TYPE: avp.avp_u32(codes.ACCOUNTING_RECORD_TYPE, kind),
        codes.ACCOUNTING_RECORD_NUMBER: avp.avp_u32(codes.ACCOUNTING_RECORD_NUMBER, number),
        codes.ACCT_APPLICATION_ID: avp.avp_u32(codes.ACCT_APPLICATION_ID, 3),
        codes.SERVICE_CONTEXT_ID: avp.avp_text(codes.SERVICE_CONTEXT_ID, context) if context else b"",
        codes.EVENT_TIMESTAMP: avp.avp_u32(codes.EVENT_TIMESTAMP, NTP_NOW + at_s),
        codes.SUBSCRIPTION_ID: subscription(0, subscriber) if subscriber else b"",
    }
    body = b"".join(data for key, data in usual.items() if key not in without) + b"".join(avps)
    flags = codes.REQUEST | codes.PROXIABLE
    return encode(flags, codes.ACCOUNTING, codes.APPLICATION_ACCOUNTING, 7, 9, body)
