"""A record's groups as JSON objects that SQL can ask, and back to what computes the price again.

Amounts in there are integers at the currency's scale; JSONB keeps them exactly (they are NUMERIC inside).
"""

from __future__ import annotations

from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from msgspec.structs import asdict

from ocs.charging.cdr import CdrGroup
from ocs.rating.price import Price

T = TypeVar("T", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder()
_TYPES: Final[dict[type[msgspec.Struct], dict[str, Any]]] = {kind: get_type_hints(kind) for kind in (CdrGroup, Price)}


def encode_groups(groups: tuple[CdrGroup, ...]) -> str:
    records = [{**asdict(group), "price": asdict(group.price)} for group in groups]
    # JSONB refuses NUL, as text does.
    return _encoder.encode(records).decode().replace("\\u0000", "\\ufffd")


def encode_details(details: tuple[tuple[str, str], ...]) -> str:
    return _encoder.encode(dict(details)).decode().replace("\\u0000", "\\ufffd") if details else "{}"


def decode_details(data: str) -> dict[str, str]:
    return msgspec.json.decode(data, type=dict[str, str])


def decode_groups(data: str) -> tuple[CdrGroup, ...]:
    """Fields that a record was written without get their defaults: old records stay readable."""
    return tuple(
        _rebuilt(CdrGroup, {**record, "price": _rebuilt(Price, _renamed(record["price"]))})
        for record in msgspec.json.decode(data)
    )


def _renamed(price: dict[str, Any]) -> dict[str, Any]:
    """Before prices had terms, the last field was the rounding alone."""
    return {"terms": price["rounding"], **price} if "rounding" in price else price


def _rebuilt(kind: type[T], record: dict[str, Any]) -> T:
    types = _TYPES[kind]
    return kind(**{name: _as(value, types[name]) for name, value in record.items() if name in types})


def _as(value: Any, kind: Any) -> Any:
    return value if isinstance(value, msgspec.Struct) else msgspec.convert(value, kind)
