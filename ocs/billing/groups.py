"""A record's groups as JSON objects that SQL can ask, and back to what computes the price again.

Amounts in there are integers at the currency's scale; JSONB keeps them exactly (they are NUMERIC inside). They are most of
a record, so what is as usual is left out, and a price is its ten numbers in one text: half of the octets that names would take.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import asdict, astuple, fields

from ocs.charging.cdr import CdrGroup
from ocs.rating.price import Price, Terms

T = TypeVar("T", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder()
TERMS: Final = "coalesce(g->'terms', g->'price'->'terms')"
"""What is out of the ordinary in a group's price, in SQL. Records of before have it in the price, which is an object there."""

_USUAL: Final = {
    "service_ids": (),
    **{field.name: field.default for field in fields(CdrGroup) if field.default is not NODEFAULT},
}
_TYPES: Final[dict[type[msgspec.Struct], dict[str, Any]]] = {kind: get_type_hints(kind) for kind in (CdrGroup, Price)}


def encode_groups(groups: tuple[CdrGroup, ...]) -> str:
    # JSONB refuses NUL, as text does.
    return _encoder.encode([_record(group) for group in groups]).decode().replace("\\u0000", "\\ufffd")


def _record(group: CdrGroup) -> dict[str, Any]:
    said = {name: value for name, value in asdict(group).items() if value != _USUAL.get(name, NODEFAULT)}
    *numbers, terms = astuple(group.price)
    if isinstance(terms, Terms):
        said["terms"] = terms
    return {**said, "price": " ".join([str(int(number)) for number in (*numbers, group.price.rounding)])}


def encode_details(details: tuple[tuple[str, str], ...]) -> str:
    return _encoder.encode(dict(details)).decode().replace("\\u0000", "\\ufffd") if details else "{}"


def decode_details(data: str) -> dict[str, str]:
    return msgspec.json.decode(data, type=dict[str, str])


def decode_groups(data: str) -> tuple[CdrGroup, ...]:
    """Fields that a record was written without get their defaults: old records stay readable."""
    return tuple(
        _rebuilt(CdrGroup, {**_USUAL, **record, "price": _price(record["price"], record.get("terms"))})
        for record in msgspec.json.decode(data)
    )


def _price(written: str | dict[str, Any], terms: Any) -> Price:
    """Records of before name each number; the oldest call the last one "rounding", from before prices had terms."""
    if isinstance(written, str):
        *numbers, rounding = map(int, written.split())
        return msgspec.convert([*numbers, rounding if terms is None else terms], Price)
    return _rebuilt(Price, {"terms": written["rounding"], **written} if "rounding" in written else written)


def _rebuilt(kind: type[T], record: dict[str, Any]) -> T:
    types = _TYPES[kind]
    return kind(**{name: _as(value, types[name]) for name, value in record.items() if name in types})


def _as(value: Any, kind: Any) -> Any:
    return value if isinstance(value, msgspec.Struct) else msgspec.convert(value, kind)
