"""Builders of credit-control requests, AVP by AVP."""

from __future__ import annotations

from protocols.diameter import avp, codes
from protocols.diameter.message import encode

TGPP = codes.VENDOR_3GPP << 32
NTP_NOW = 1_790_000_000 + 2_208_988_800 & 0xFFFF_FFFF
VOICE = "ext.01.001.8.32260@3gpp.org"
DATA = "8.32251@3gpp.org"
SMS = "32274@3gpp.org"


def group(key: int, *members: bytes) -> bytes:
    return avp.avp(key, b"".join(members))


def subscription(kind: int, data: str) -> bytes:
    return group(codes.SUBSCRIPTION_ID, avp.avp_u32(450, kind), avp.avp_text(444, data))


def seconds(key: int, value: int) -> bytes:
    """RSU or USU of CC-Time."""
    return group(key, avp.avp_u32(codes.CC_TIME, value))


def money(key: int, digits: int, exponent: int | None = None, currency: int | None = 978) -> bytes:
    """RSU or USU of CC-Money."""
    value = avp.avp_i64(codes.VALUE_DIGITS, digits)
    if exponent is not None:
        value += avp.avp_i32(codes.EXPONENT, exponent)
    members = [avp.avp(codes.UNIT_VALUE, value)]
    if currency is not None:
        members.append(avp.avp_u32(codes.CURRENCY_CODE, currency))
    return group(key, group(codes.CC_MONEY, *members))


def mscc(*members: bytes, rating_group: int | None = None, service: int | None = None) -> bytes:
    found = list(members)
    if service is not None:
        found.append(avp.avp_u32(codes.SERVICE_IDENTIFIER, service))
    if rating_group is not None:
        found.append(avp.avp_u32(codes.RATING_GROUP, rating_group))
    return group(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, *found)


def ims(called: str, calling: str = "") -> bytes:
    members = [avp.avp_text(codes.CALLED_PARTY_ADDRESS, called)]
    if calling:
        members.insert(0, avp.avp_text(codes.CALLING_PARTY_ADDRESS, calling))
    return group(codes.SERVICE_INFORMATION, group(codes.IMS_INFORMATION, *members))


def ccr(
    *avps: bytes,
    kind: int = 1,
    number: int = 0,
    session: str = "client.example.net;1;1",
    context: str | None = VOICE,
    subscriber: str | None = "4915112345",
    without: tuple[int, ...] = (),
    flags: int = codes.REQUEST | codes.PROXIABLE,
    command: int = codes.CREDIT_CONTROL,
    application: int = 4,
    hop_by_hop: int = 7,
    end_to_end: int = 9,
) -> bytes:
    """A credit-control request with the mandatory AVPs, except those in ``without``."""
    usual = {
        codes.SESSION_ID: avp.avp_text(codes.SESSION_ID, session),
        codes.ORIGIN_HOST: avp.avp_text(codes.ORIGIN_HOST, "client.example.net"),
        codes.ORIGIN_REALM: avp.avp_text(codes.ORIGIN_REALM, "example.net"),
        codes.DESTINATION_REALM: avp.avp_text(codes.DESTINATION_REALM, "example.net"),
        codes.AUTH_APPLICATION_ID: avp.avp_u32(codes.AUTH_APPLICATION_ID, 4),
        codes.SERVICE_CONTEXT_ID: avp.avp_text(codes.SERVICE_CONTEXT_ID, context) if context else b"",
        codes.CC_REQUEST_TYPE: avp.avp_u32(codes.CC_REQUEST_TYPE, kind),
        codes.CC_REQUEST_NUMBER: avp.avp_u32(codes.CC_REQUEST_NUMBER, number),
        codes.EVENT_TIMESTAMP: avp.avp_u32(codes.EVENT_TIMESTAMP, NTP_NOW),
        codes.SUBSCRIPTION_ID: subscription(0, subscriber) if subscriber else b"",
    }
    body = b"".join(data for key, data in usual.items() if key not in without) + b"".join(avps)
    return encode(flags, command, application, hop_by_hop, end_to_end, body)


def capabilities_request(identity: str = "client.example.net", realm: str = "example.net", *more: bytes) -> bytes:
    avps = b"".join(
        (
            avp.avp_text(codes.ORIGIN_HOST, identity),
            avp.avp_text(codes.ORIGIN_REALM, realm),
            avp.avp(codes.HOST_IP_ADDRESS, b"\0\1\x7f\0\0\1"),
            avp.avp_u32(codes.VENDOR_ID, 0),
            avp.avp_text(codes.PRODUCT_NAME, "test", mandatory=False),
            *(more or (avp.avp_u32(codes.AUTH_APPLICATION_ID, 4),)),
        )
    )
    return encode(codes.REQUEST, codes.CAPABILITIES_EXCHANGE, 0, 1, 1, avps)
