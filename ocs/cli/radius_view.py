"""RADIUS packets on the screen: plain lines, so that they can be copied into a request."""

from __future__ import annotations

from ocs.gateways.radius_names import identities_of
from ocs.gateways.radius_profile import Dialect
from protocols.radius import attributes as a
from protocols.radius.authenticators import (
    has_valid_message_authenticator,
    has_valid_request_authenticator,
    reveal_password,
    zero_authenticator,
)
from protocols.radius.dictionary import Dictionary
from protocols.radius.packet import ACCESS_REQUEST, ACCOUNTING_REQUEST, MESSAGE_AUTHENTICATOR, STATUS_SERVER, Packet
from protocols.radius.reading import Field
from protocols.radius.words import code_name, named_attributes

_SIGNED_AS_ACCOUNTING = (ACCOUNTING_REQUEST, 40, 43)


def print_packet(packet: Packet, dictionary: Dictionary, dialect: Dialect, secret: bytes) -> None:
    """The packet in words, whether it is genuine, and what the profile reads of it."""
    print_reply(packet, dictionary)
    print(f"# identifier {packet.identifier}, {len(packet.octets)} octets, authenticator {packet.authenticator.hex()}")
    for line in _genuineness(packet, secret) if secret else ():
        print(f"# {line}")
    if packet.code not in (ACCESS_REQUEST, ACCOUNTING_REQUEST):
        return
    print(f"# what the profile {dialect.name} reads of it:")
    reading = dialect.reader.open(packet)
    for field in Field:
        values = reading.texts(field)
        if values:
            print(f"#   {field.name.lower():<16}{', '.join(values)}")
    print(f"#   {'looked up as':<16}{', '.join(identities_of(reading)) or 'nobody'}")


def print_reply(packet: Packet, dictionary: Dictionary) -> None:
    print(code_name(packet.code))
    for name, text in named_attributes(packet, dictionary):
        print(f"    {name} = {text}")


def _genuineness(packet: Packet, secret: bytes) -> list[str]:
    """What the secret says of the authenticators, and of a hidden password."""
    lines = []
    is_accounting = packet.code in _SIGNED_AS_ACCOUNTING
    if is_accounting:
        is_right = has_valid_request_authenticator(packet, secret)
        lines.append(f"Request Authenticator: {_verdict(is_right)}")
    if packet.has(MESSAGE_AUTHENTICATOR) and (is_accounting or packet.code in (ACCESS_REQUEST, STATUS_SERVER)):
        authenticator = zero_authenticator() if is_accounting else packet.authenticator
        lines.append(
            f"Message-Authenticator: {_verdict(has_valid_message_authenticator(packet, secret, authenticator))}"
        )
    for hidden in packet.attributes.get(a.USER_PASSWORD, ()):
        clear = reveal_password(hidden, packet.authenticator, secret)
        is_text = clear is not None and a.text(clear).isprintable() and b"\\x" not in a.text(clear).encode()
        lines.append("User-Password: " + ("readable with this secret" if is_text else "not readable with this secret"))
    return lines


def _verdict(is_right: bool) -> str:
    return "right" if is_right else "WRONG: another secret, or the packet was changed on the way"
