"""Reading by known layout: the requests of one client look alike, so most need no walk.

A request's layout is where its AVPs stand, and what in it does not change from request to request: all AVP headers
that decoding looks at, and values such as Origin-Host. A frame of the same length that is equal in all those octets has
the same AVPs at the same places, so one ``Struct`` takes all that varies (identifiers, counts, numbers) and compares
the rest. A frame that differs anywhere takes the ordinary way of ``gy.read_request``; what both give is the same, and
a test holds them to it.

Layouts are learned from requests that were decoded the ordinary way. They are bounded per connection, and learning
costs at most a fixed share of the requests that did not match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, Mscc, fingerprinted, read_request
from protocols.diameter.message import HEADER_OCTETS, Fault, Message, proxy_infos
from protocols.diameter.node import LocalNode
from protocols.diameter.units import Units

LAYOUTS_MAX: Final = 128  # per connection; each takes about 3 KB
LAYOUTS_PER_LENGTH_MAX: Final = 4
LEARN_EVERY: Final = 64  # when there is no room: one in so many requests that did not match replaces a layout

_NUMBERS: Final = {
    codes.CC_REQUEST_NUMBER: "I",
    codes.EVENT_TIMESTAMP: "I",
    codes.RATING_GROUP: "I",
    codes.SERVICE_IDENTIFIER: "I",
}
_COUNTS: Final = {
    codes.CC_TIME: "I",
    codes.CC_TOTAL_OCTETS: "Q",
    codes.CC_INPUT_OCTETS: "Q",
    codes.CC_OUTPUT_OCTETS: "Q",
    codes.CC_SERVICE_SPECIFIC_UNITS: "Q",
}
_UNITS: Final = frozenset({codes.REQUESTED_SERVICE_UNIT, codes.USED_SERVICE_UNIT})
# What varies at the top level, and what has to stay as it is. All other AVPs are not decoded: only their headers count.
_VARYING: Final = frozenset({codes.SESSION_ID, codes.USER_NAME, codes.CC_REQUEST_NUMBER, codes.EVENT_TIMESTAMP})
_FIXED: Final = frozenset(
    {
        codes.ORIGIN_HOST,
        codes.DESTINATION_HOST,
        codes.DESTINATION_REALM,
        codes.ROUTE_RECORD,
        codes.AUTH_APPLICATION_ID,
        codes.SERVICE_CONTEXT_ID,
        codes.CC_REQUEST_TYPE,
        codes.CC_SUB_SESSION_ID,
        codes.REQUESTED_ACTION,
        codes.TERMINATION_CAUSE,
        codes.SERVICE_IDENTIFIER,
    }
)
_FLAGS: Final = (4, 5, "x")  # the peer has judged them; R is set and E is not
_IDENTIFIERS: Final = (12, 20, "x")  # hop-by-hop and end-to-end are the message's

Span = tuple[int, int, str]


class _UnitsShape(NamedTuple):
    """(AVP code, field) of each count."""

    counts: tuple[tuple[int, int], ...]

    def take(self, fields: tuple[Any, ...]) -> Units:
        if len(self.counts) == 1:
            ((code, field),) = self.counts
            return Units({code: fields[field]})
        return Units({code: fields[field] for code, field in self.counts})


class _GroupShape(NamedTuple):
    position: int
    rating_group: int  # a field, or -1
    service_ids: tuple[int, ...]  # fields
    requested: _UnitsShape | None
    used: tuple[_UnitsShape, ...]

    def take(self, fields: tuple[Any, ...]) -> Mscc:
        group = Mscc(self.position)
        if self.rating_group >= 0:
            group.rating_group = fields[self.rating_group]
        if self.service_ids:
            group.service_ids = tuple([fields[field] for field in self.service_ids])
        if self.requested is not None:
            group.requested = self.requested.take(fields)
        if self.used:
            group.used = [shape.take(fields) for shape in self.used]
        return group


class Layout:
    """What the requests of one shape have in common, and how to take the rest from a frame."""

    __slots__ = (
        "_constants",
        "_constants_of",
        "_event_timestamp",
        "_fingerprinted",
        "_groups",
        "_number",
        "_requested",
        "_session_id",
        "_subscriptions",
        "_template",
        "_unpack",
        "_used",
        "_user_name",
    )

    def __init__(self, template: CreditControlRequest) -> None:
        frame = template.message.frame
        codes_, fields = _format(len(frame), _spans(template))
        self._unpack = Struct(codes_).unpack
        constants = [field for start, field in fields.items() if start < 0]
        self._constants_of: Callable[[tuple[Any, ...]], Any] = itemgetter(*constants)
        self._constants = self._constants_of(self._unpack(frame))
        self._template = template
        self._fingerprinted = tuple(fingerprinted(template))
        places = template.positions

        def field_of(position: int) -> int:
            return fields[avp.bounds(frame, position)[0]]

        def units(position: int) -> _UnitsShape:
            found, _ = avp.walk(frame, *avp.bounds(frame, position))
            return _UnitsShape(tuple((key, field_of(at)) for key, at in found.items() if key in _COUNTS))

        def group(position: int) -> _GroupShape:
            found, more = avp.walk(frame, *avp.bounds(frame, position))
            all_of = _all_of(found, more)
            return _GroupShape(
                position,
                field_of(found[codes.RATING_GROUP]) if codes.RATING_GROUP in found else -1,
                tuple(field_of(at) for at in all_of(codes.SERVICE_IDENTIFIER)),
                units(found[codes.REQUESTED_SERVICE_UNIT]) if codes.REQUESTED_SERVICE_UNIT in found else None,
                tuple(units(at) for at in all_of(codes.USED_SERVICE_UNIT)),
            )

        self._session_id = field_of(places[codes.SESSION_ID])
        self._number = field_of(places[codes.CC_REQUEST_NUMBER])
        self._event_timestamp = field_of(places[codes.EVENT_TIMESTAMP]) if codes.EVENT_TIMESTAMP in places else -1
        self._user_name = field_of(places[codes.USER_NAME]) if template.user_name else -1
        self._subscriptions = tuple(
            (kind, fields[_subscription_data(frame, at)[0]])
            for (kind, _), at in zip(template.subscriptions, template.all_of(codes.SUBSCRIPTION_ID), strict=True)
        )
        self._groups = tuple(group(at) for at in template.all_of(codes.MULTIPLE_SERVICES_CREDIT_CONTROL))
        self._requested = units(places[codes.REQUESTED_SERVICE_UNIT]) if template.requested is not None else None
        self._used = tuple(units(at) for at in template.all_of(codes.USED_SERVICE_UNIT))

    def read(self, message: Message) -> CreditControlRequest | None:
        """Take a request of this layout; None when it is of another one, or a text in it is no text."""
        frame = message.frame
        fields = self._unpack(frame)
        if self._constants_of(fields) != self._constants:
            return None
        template = self._template
        request = CreditControlRequest()
        try:
            request.session_id = fields[self._session_id].decode()
            request.user_name = fields[self._user_name].decode() if self._user_name >= 0 else template.user_name
            request.subscriptions = [(kind, fields[field].decode()) for kind, field in self._subscriptions]
        except UnicodeDecodeError:
            return None
        request.message = message
        request.positions = template.positions
        request.more = template.more
        request.origin_host = template.origin_host
        request.request_type = template.request_type
        request.request_number = fields[self._number]
        request.service_context_id = template.service_context_id
        request.sub_session_id = template.sub_session_id
        request.requested_action = template.requested_action
        request.event_timestamp = fields[self._event_timestamp] if self._event_timestamp >= 0 else None
        request.termination_cause = template.termination_cause
        groups = self._groups
        # One is the rule, and a comprehension is a call more.
        request.groups = [groups[0].take(fields)] if len(groups) == 1 else [shape.take(fields) for shape in groups]
        request.requested = self._requested.take(fields) if self._requested is not None else None
        request.used = [shape.take(fields) for shape in self._used] if self._used else []
        request.service_ids = template.service_ids
        request.proxies = proxy_infos(frame, template.positions, template.more) if template.proxies else b""
        fingerprint = template.request_type
        for start, end in self._fingerprinted:
            fingerprint = crc32(frame[start:end], fingerprint)
        request.fingerprint = fingerprint
        return request


class RequestReader:
    """Reads the requests of one connection."""

    __slots__ = ("_count", "_layouts", "_misses", "_node")

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._layouts: dict[int, list[Layout]] = {}
        self._count = 0
        self._misses = 0

    def read(self, message: Message) -> CreditControlRequest | Fault:
        """Decode a CCR that is meant for this node, or say what the answer to it has to be."""
        for layout in self._layouts.get(len(message.frame), ()):
            request = layout.read(message)
            if request is not None:
                return request
        read = read_request(message, self._node)
        if isinstance(read, CreditControlRequest) and _is_learnable(read):
            self._learn(read)
        return read

    def _learn(self, request: CreditControlRequest) -> None:
        length = len(request.message.frame)
        is_crowded = len(self._layouts.get(length, ())) >= LAYOUTS_PER_LENGTH_MAX
        if is_crowded or self._count >= LAYOUTS_MAX:
            self._misses += 1
            if self._misses % LEARN_EVERY:
                return
            self._forget(length if is_crowded else next(iter(self._layouts)))
        self._layouts.setdefault(length, []).append(Layout(request))
        self._count += 1

    def _forget(self, length: int) -> None:
        """Give up the oldest layout of a length."""
        layouts = self._layouts[length]
        del layouts[0]
        self._count -= 1
        if not layouts:
            del self._layouts[length]


def _is_learnable(request: CreditControlRequest) -> bool:
    if not request.session_id:
        return False
    units = [request.requested, *request.used]
    units += [each for group in request.groups for each in (group.requested, *group.used)]
    # Money, and use on the sides of a change of price, is told seldom: by the ordinary way.
    is_seldom = any(each is not None and (each.money is not None or each.tariff_change_usage >= 0) for each in units)
    has_empty_subscriber = any(not data for _, data in request.subscriptions)
    return not is_seldom and not has_empty_subscriber


def _all_of(found: dict[int, int], more: list[tuple[int, int]]) -> Callable[[int], list[int]]:
    def all_of(key: int) -> list[int]:
        return ([found[key]] if key in found else []) + [at for other, at in more if other == key]

    return all_of


def _spans(template: CreditControlRequest) -> list[Span]:
    """What varies in the frame, or is not looked at ("x"), in the order of the wire."""
    frame = template.message.frame
    spans = [_FLAGS, _IDENTIFIERS]
    entries = [
        *((key, at, True) for key, at in template.positions.items()),
        *((key, at, False) for key, at in template.more),
    ]
    for key, at, is_first in entries:
        start, end = avp.bounds(frame, at)
        if key in _VARYING and is_first:
            spans += _value(key, start, end)
        elif key == codes.SUBSCRIPTION_ID:
            spans += _value(codes.SUBSCRIPTION_ID_DATA, *_subscription_data(frame, at))
        elif key == codes.MULTIPLE_SERVICES_CREDIT_CONTROL:
            spans += _group_spans(frame, start, end)
        elif key in _UNITS and (is_first or key == codes.USED_SERVICE_UNIT):
            spans += _units_spans(frame, start, end)
        elif key not in _FIXED:
            spans += _unread(start, end)
    return sorted(spans)


def _value(key: int, start: int, end: int) -> Iterator[Span]:
    yield start, end, _NUMBERS.get(key, "s")
    yield from _unread(end, (end + 3) & ~3)


def _unread(start: int, end: int) -> Iterator[Span]:
    if end > start:
        yield start, end, "x"


def _group_spans(frame: bytes, start: int, end: int) -> Iterator[Span]:
    found, more = avp.walk(frame, start, end)
    for key, at in found.items():
        yield from _member_spans(frame, key, at)
    for key, at in more:
        if key in {codes.USED_SERVICE_UNIT, codes.SERVICE_IDENTIFIER}:
            yield from _member_spans(frame, key, at)
        else:  # of the others only the first counts; a further one may hold anything
            yield from _unread(*avp.bounds(frame, at))


def _member_spans(frame: bytes, key: int, position: int) -> Iterator[Span]:
    start, end = avp.bounds(frame, position)
    if key in _UNITS:
        yield from _units_spans(frame, start, end)
    elif key in {codes.RATING_GROUP, codes.SERVICE_IDENTIFIER}:
        yield from _value(key, start, end)
    else:
        yield from _unread(start, end)


def _units_spans(frame: bytes, start: int, end: int) -> Iterator[Span]:
    found, more = avp.walk(frame, start, end)
    for key, at in found.items():
        inner_start, inner_end = avp.bounds(frame, at)
        if key in _COUNTS:
            yield inner_start, inner_end, _COUNTS[key]
        else:
            yield from _unread(inner_start, inner_end)
    for _, at in more:
        yield from _unread(*avp.bounds(frame, at))


def _subscription_data(frame: bytes, position: int) -> tuple[int, int]:
    found, _ = avp.walk(frame, *avp.bounds(frame, position))
    return avp.bounds(frame, found[codes.SUBSCRIPTION_ID_DATA])


def _format(length: int, spans: list[Span]) -> tuple[str, dict[int, int]]:
    """The struct format, and which field a position starts; constants have their position's negative."""
    parts, fields, field, at = [">"], {}, 0, 0
    for start, end, kind in [*spans, (length, length, "")]:
        assert start >= at, "spans do not overlap"
        if start > at:
            parts.append(f"{start - at}s")
            fields[-at - 1] = field
            field += 1
        if kind == "x":
            parts.append(f"{end - start}x")
        elif kind:
            parts.append(f"{end - start}s" if kind == "s" else kind)
            fields[start] = field
            field += 1
        at = end
    assert len(fields) == field, "each field has its own place"
    return "".join(parts), fields


assert _FLAGS[0] < HEADER_OCTETS, "the header's own fields are spans too"
