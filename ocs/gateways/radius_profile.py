"""Profiles: how one product speaks RADIUS, as a file an operator can read, checked and made ready for use.

A profile says which attributes carry the account, the numbers, the call's names, times and cause, how they are
rewritten, which leg is charged, what an answer is dressed in, and what can be asked of the product in mid-call.
"""

from __future__ import annotations

import re
from enum import Enum
from string import Formatter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from ocs.rating.faults import FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile
from ocs.settings_file import decode_table
from protocols.radius.attributes import integer_attribute, text_attribute, vendor_attribute
from protocols.radius.dictionary import INTEGER_TYPES, Attribute, Dictionary
from protocols.radius.packet import VALUE_OCTETS_MAX
from protocols.radius.reading import Field, Reader, Rewrite, Source, sources_named

Names: TypeAlias = tuple[str, ...]
Templates: TypeAlias = dict[str, str | tuple[str, ...]]


class Reason(Enum):
    """Why a call is refused, or on what terms it is not: the words of [return_codes]."""

    ACCEPTED = "accepted"
    FREE = "free"
    UNKNOWN_ACCOUNT = "unknown_account"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason, no password
    TOO_MANY_CALLS = "too_many_calls"
    NO_MONEY = "no_money"
    EXPIRED = "expired"
    CREDIT_LIMIT = "credit_limit"
    SUSPENDED = "suspended"
    UNAVAILABLE = "unavailable"
    UNKNOWN_DESTINATION = "unknown_destination"
    BARRED_DESTINATION = "barred_destination"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    INVALID_REQUEST = "invalid_request"
    TOO_LITTLE_MONEY = "too_little_money"


# h323-return-code and the sentence for people, where the profile says nothing else.
RETURN_CODES: Final[dict[Reason, tuple[int, str]]] = {
    Reason.ACCEPTED: (0, "accepted"),
    Reason.FREE: (0, "free of charge"),  # 13 would say toll-free, but some clients take all but 0 for a refusal
    Reason.UNKNOWN_ACCOUNT: (1, "account unknown"),
    Reason.WRONG_PASSWORD: (2, "wrong password"),
    Reason.TOO_MANY_CALLS: (3, "too many calls, or they hold all credit"),
    Reason.NO_MONEY: (4, "no credit left"),
    Reason.EXPIRED: (5, "account expired"),
    Reason.CREDIT_LIMIT: (6, "credit limit reached"),
    Reason.SUSPENDED: (7, "account suspended"),
    Reason.UNAVAILABLE: (8, "service not available"),
    Reason.UNKNOWN_DESTINATION: (9, "no rate for this destination"),
    Reason.BARRED_DESTINATION: (9, "destination barred"),
    Reason.TOO_MANY_ATTEMPTS: (10, "too many attempts"),
    Reason.INVALID_REQUEST: (11, "invalid request"),
    Reason.TOO_LITTLE_MONEY: (12, "not enough credit for this call"),
}
assert RETURN_CODES.keys() == set(Reason), "every reason has a code and a sentence"

# What a call can be named by, in a Disconnect-Request or a CoA-Request, without having been kept for it.
IDENTIFIERS: Final = (
    "Acct-Session-Id",
    "NAS-Identifier",
    "NAS-IP-Address",
    "NAS-IPv6-Address",
    "Calling-Station-Id",
    "Called-Station-Id",
)

PLACEHOLDERS: Final = ("seconds", "amount", "currency", "return_code", "billing_model", "language", "reason")


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Read(_Section, frozen=True):
    """For each field the attributes that may carry it, the first that has a value in front."""

    account: Names = ("User-Name",)
    caller: Names = ("Calling-Station-Id",)
    callee: Names = ("Called-Station-Id",)
    session: Names = ("Acct-Session-Id",)
    call: Names = ()
    leg: Names = ()
    setup_time: Names = ()
    connect_time: Names = ()
    disconnect_time: Names = ()
    seconds: Names = ("Acct-Session-Time",)
    cause: Names = ()
    nas: Names = ("NAS-Identifier", "NAS-IP-Address", "NAS-IPv6-Address")
    tags: Names = ()
    trunk: Names = ()


class RewriteRule(_Section, frozen=True):
    field: str
    match: str
    replace: str = ""


class Legs(_Section, frozen=True):
    """Which leg of a call is charged, and how the product calls its legs."""

    charged: Literal["answer", "originate", "any"] = "any"
    answer: Names = ("answer",)
    originate: Names = ("originate",)
    own_sessions: bool = False  # each leg has its own Acct-Session-Id, and says only in the Stop which it was


class Dynamic(_Section, frozen=True):
    """What the product can be asked in mid-call (RFC 5176)."""

    port: int = 3799
    disconnect: bool = False
    identify: Names = ("Acct-Session-Id",)
    extend: Literal["no", "total", "remaining"] = "no"  # what a CoA's Session-Timeout counts from
    event_timestamp: bool = False  # it wants to know when it was asked, against replays (RFC 5176, section 6.3)


class ProfileFile(_Section, frozen=True):
    """One file in ``config/profiles``."""

    title: str
    cause_form: Literal["hex", "decimal"] = "hex"
    tells_start: bool = False  # each call that is answered is told by a Start: what was authorized waits for no longer
    times_are_seconds_of_start: bool = False  # Event-Timestamp of a Stop is the call's start, not its end
    read: Read = Read()
    rewrite: tuple[RewriteRule, ...] = ()
    legs: Legs = Legs()
    accept: Templates = {}
    reject: Templates = {}
    return_codes: dict[str, int] = {}
    incoming: dict[str, Names] = {}  # by attribute: what it says of a call to the one who is charged; kept, too
    keep: Names = ()  # attributes that stand with the session and in its record, by their names
    dynamic: Dynamic = Dynamic()


class Reply(NamedTuple):
    """One attribute of an answer: where it goes, whether it is a number, and the text it is made from."""

    vendor: int
    number: int
    is_integer: bool
    template: str
    needs: tuple[str, ...]


class Dialect(msgspec.Struct, frozen=True):
    """A profile made ready: what the gateway reads requests and writes answers with."""

    name: str
    title: str
    reader: Reader
    fields: dict[Field, Names]
    rewrites: tuple[Rewrite, ...]
    legs: Legs
    leg_words: dict[str, str]
    is_cause_hex: bool
    is_stop_at_start: bool
    accept: tuple[Reply, ...]
    reject: tuple[Reply, ...]
    return_codes: dict[Reason, int]
    kept: tuple[tuple[str, Source], ...]
    dynamic: Dynamic
    incoming: dict[str, frozenset[str]]
    tells_start: bool

    def with_account(self, names: Names, dictionary: Dictionary) -> Dialect:
        """The same product with another place for the account, as one client may have it."""
        fields = {**self.fields, Field.ACCOUNT: names}
        reader = Reader(dictionary, fields, self.rewrites)
        changed: Dialect = msgspec.structs.replace(self, reader=reader, fields=fields)
        return changed


def read_profile(name: str, text: str, dictionary: Dictionary, faults: FaultList) -> Dialect | None:
    """Decode and check one file; None if it has faults, which are all in the list then."""
    file = TomlFile(text, faults)
    if not file.is_sound:
        return None
    shape = decode_table(file, file.table, ProfileFile, ())
    if shape is None:
        return None
    return _compiled(name, shape, dictionary, file) if not faults.sorted() else None


def _compiled(name: str, shape: ProfileFile, dictionary: Dictionary, file: TomlFile) -> Dialect | None:
    rewrites = tuple(filter(None, (_rewrite(rule, at, file) for at, rule in enumerate(shape.rewrite))))
    fields = {field: getattr(shape.read, field.name.lower()) for field in Field}
    reader = Reader(dictionary, fields, rewrites)
    for fault in reader.faults:
        cure = did_you_mean(fault.near, (attribute.name for attribute in dictionary.attributes.values()))
        file.fault(("read", fault.field.name.lower()), f"{fault.name} {fault.message}", cure)
    accept = _replies(shape.accept, "accept", dictionary, file)
    reject = _replies(shape.reject, "reject", dictionary, file)
    codes = {reason: code for reason, (code, _) in RETURN_CODES.items()} | _codes(shape, file)
    for wanted in shape.dynamic.identify:
        if dictionary.attribute(wanted) is None:
            cure = did_you_mean(wanted, (attribute.name for attribute in dictionary.attributes.values()))
            file.fault(("dynamic", "identify"), f"{wanted} is in no dictionary", cure)
    # What a call is to be named by and cannot be told from its key is kept as well.
    names = dict.fromkeys(
        (
            *shape.keep,
            *shape.incoming,
            *(name for name in shape.dynamic.identify if name not in IDENTIFIERS and dictionary.attribute(name)),
        )
    )
    kept = tuple((name, source) for name in names for source in _kept(name, shape, dictionary, file))
    if file.faults.sorted():
        return None
    incoming = {name: frozenset(word.lower() for word in said) for name, said in shape.incoming.items()}
    words = {word.lower(): leg for leg in ("answer", "originate") for word in getattr(shape.legs, leg)}
    return Dialect(
        name, shape.title, reader, fields, rewrites, shape.legs, words, shape.cause_form == "hex",
        shape.times_are_seconds_of_start, accept, reject, codes, kept, shape.dynamic, incoming,
        shape.tells_start,
    )  # fmt: skip


def _rewrite(rule: RewriteRule, at: int, file: TomlFile) -> Rewrite | None:
    path: tuple[str | int, ...] = ("rewrite", at)
    fields = {field.name.lower(): field for field in Field}
    if rule.field not in fields:
        file.fault((*path, "field"), f"{rule.field} is no field", did_you_mean(rule.field, fields))
        return None
    try:
        pattern = re.compile(rule.match)
        pattern.sub(rule.replace, "")
    except (re.error, IndexError) as error:
        file.fault((*path, "match"), f"is no usable pattern: {error}", "a regular expression of Python's re module")
        return None
    return Rewrite(fields[rule.field], pattern, rule.replace)


def _kept(name: str, shape: ProfileFile, dictionary: Dictionary, file: TomlFile) -> list[Source]:
    sources = sources_named(name, dictionary)
    if sources is None:
        cure = did_you_mean(name, (attribute.name for attribute in dictionary.attributes.values()))
        file.fault(("incoming", name) if name in shape.incoming else ("keep",), f"{name} is in no dictionary", cure)
    return sources or []


def _codes(shape: ProfileFile, file: TomlFile) -> dict[Reason, int]:
    reasons = {reason.value: reason for reason in Reason}
    for word in shape.return_codes.keys() - reasons.keys():
        file.fault(("return_codes", word), "is no reason", did_you_mean(word, reasons))
    return {reasons[word]: code for word, code in shape.return_codes.items() if word in reasons}


def _replies(templates: Templates, table: str, dictionary: Dictionary, file: TomlFile) -> tuple[Reply, ...]:
    found = []
    for name, value in templates.items():
        attribute = dictionary.attribute(name)
        if attribute is None or len(attribute.path) != 1:
            cure = did_you_mean(name, (known.name for known in dictionary.attributes.values()))
            file.fault((table, name), "is in no dictionary", cure)
            continue
        if attribute.name in _NOT_TO_BE_SET[table]:
            file.fault((table, name), _NOT_TO_BE_SET[table][attribute.name], "leave it out")
            continue
        for template in (value,) if isinstance(value, str) else value:
            fault = _template_fault(template, attribute)
            if fault:
                file.fault((table, name), fault, f"placeholders: {', '.join(f'{{{word}}}' for word in PLACEHOLDERS)}")
            else:
                needs = tuple(word for _, word, _, _ in Formatter().parse(template) if word)
                is_integer = attribute.type in INTEGER_TYPES
                found.append(Reply(attribute.vendor, attribute.path[0], is_integer, template, needs))
    return tuple(found)


_SET_BY_US: Final = "is always set, by what was decided"
_SERVES: Final = "would serve a call that is refused (RFC 2865, section 4.3)"
_NOT_TO_BE_SET: Final = {
    "accept": dict.fromkeys(
        ("Session-Timeout", "Class", "Acct-Interim-Interval", "Message-Authenticator", "Proxy-State"), _SET_BY_US
    ),
    "reject": {
        **dict.fromkeys(
            ("Session-Timeout", "Class", "Acct-Interim-Interval", "Idle-Timeout", "h323-credit-time"), _SERVES
        ),
        **dict.fromkeys(("Message-Authenticator", "Proxy-State"), _SET_BY_US),
    },
}


def _template_fault(template: str, attribute: Attribute) -> str:
    try:
        sample = template.format_map(dict.fromkeys(PLACEHOLDERS, "1"))
    except KeyError as error:
        return f"has the unknown placeholder {error}"
    except (ValueError, IndexError, AttributeError) as error:
        return f"is no template: {error}"
    if attribute.type in INTEGER_TYPES and not (sample.isascii() and sample.isdigit()):
        return f"is no number, as {attribute.name} has to be"
    return ""


def dressed(replies: tuple[Reply, ...], values: dict[str, Any]) -> bytes:
    """The attributes of an answer; one whose placeholder has no value ("") is left out."""
    octets = []
    for vendor, number, is_integer, template, needs in replies:
        if any(values[word] == "" for word in needs):
            continue
        said = template.format_map(values)
        if vendor:
            content = int(said).to_bytes(4, "big") if is_integer else said.encode()[: VALUE_OCTETS_MAX - 6]
            octets.append(vendor_attribute(vendor, number, content))
        else:
            octets.append(integer_attribute(number, int(said)) if is_integer else text_attribute(number, said))
    return b"".join(octets)
