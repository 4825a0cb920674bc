"""What a credit-control request asks for and reports, group by group (RFC 8506, section 5; TS 32.299)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from balance.money import AMOUNT_MAX, Currency
from ocs.charging.request import EventAction, GroupKey, GroupRequest, Quantity, RequestKind
from ocs.rating.units import UnitKind
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, Mscc
from protocols.diameter.message import Fault
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.units import NO_SIDE, UNIT_AFTER_TARIFF_CHANGE, UNIT_INDETERMINATE, Money, Units

UNIT_CODES: Final[Mapping[int, int]] = {
    0: 0,
    UnitKind.SECONDS: codes.CC_TIME,
    UnitKind.OCTETS: codes.CC_TOTAL_OCTETS,
    UnitKind.EVENTS: codes.CC_SERVICE_SPECIFIC_UNITS,
    UnitKind.MONEY: codes.CC_MONEY,
}
# Looked up once: see ``gy``.
_SECONDS: Final = UnitKind.SECONDS
_EVENT: Final = RequestKind.EVENT
_TERMINATION: Final = RequestKind.TERMINATION
# Where units stand: the chain of parents for Failed-AVP.
_REQUESTED: Final = (codes.REQUESTED_SERVICE_UNIT,)
_USED: Final = (codes.USED_SERVICE_UNIT,)
_GROUP_REQUESTED: Final = (codes.MULTIPLE_SERVICES_CREDIT_CONTROL, codes.REQUESTED_SERVICE_UNIT)
_GROUP_USED: Final = (codes.MULTIPLE_SERVICES_CREDIT_CONTROL, codes.USED_SERVICE_UNIT)
NO_CURRENCY: Final = 0  # the number under which the currency stands of money that names none
EXPONENT_MAX: Final = 9  # [gy-ro 14]
COUNT_MAX: Final = 2**63 - 1


class UnitsFault(Exception):  # noqa: N818 - it becomes the answer
    """A quantity cannot be taken."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def group_requests(
    ccr: CreditControlRequest, kind: RequestKind, action: EventAction, currencies: Mapping[int, Currency]
) -> tuple[tuple[GroupRequest, ...], str]:
    """Give the groups, and the currency that money was asked or reported in, or "".

    Raises UnitsFault (5004, 5005, 5031).
    """
    reader = _Reader(currencies)
    groups = ccr.groups
    if len(groups) == 1:
        return (_read_mscc(groups[0], kind, reader),), reader.currency
    if groups:
        return _merged([_read_mscc(group, kind, reader) for group in groups]), reader.currency
    return _single_service(ccr, kind, action, reader), reader.currency


def _single_service(
    ccr: CreditControlRequest, kind: RequestKind, action: EventAction, reader: _Reader
) -> tuple[GroupRequest, ...]:
    """Units at command level [G-33]. An event without units asks for what the tariff says, usually one."""
    requested = reader.requested(ccr.requested, _REQUESTED) if kind is not _TERMINATION else None
    used = reader.used(ccr.used, _USED)
    after, is_unsure = reader.sides(ccr.used, _USED)
    if kind is _EVENT and requested is None and action is not EventAction.CHECK_BALANCE:
        requested = ()
    if requested is None and used is None:
        return ()  # a session whose quota is asked for later [G-32]
    return (GroupRequest(GroupKey(-1, ccr.service_ids), requested, used, after, is_unsure),)


def _read_mscc(group: Mscc, kind: RequestKind, reader: _Reader) -> GroupRequest:
    requested = reader.requested(group.requested, _GROUP_REQUESTED) if kind is not _TERMINATION else None
    if kind is _EVENT and requested is None:
        requested = ()
    key = GroupKey(group.rating_group, group.service_ids)
    if not group.used:
        return GroupRequest(key, requested)
    used = reader.used(group.used, _GROUP_USED)
    if len(group.used) == 1 and group.used[0].tariff_change_usage < 0:
        return GroupRequest(key, requested, used)
    return GroupRequest(key, requested, used, *reader.sides(group.used, _GROUP_USED))


def _merged(groups: list[GroupRequest]) -> tuple[GroupRequest, ...]:
    """Several MSCCs of one identity count as one: their use is summed [G-29]."""
    merged: dict[GroupKey, GroupRequest] = {}
    for group in groups:
        earlier = merged.get(group.key)
        if earlier is None:
            merged[group.key] = group
            continue
        requested = earlier.requested if earlier.requested is not None else group.requested
        merged[group.key] = GroupRequest(
            group.key,
            requested,
            _together(earlier.used, group.used),
            _together(earlier.after, group.after),
            earlier.is_side_unsure or group.is_side_unsure,
        )
    return tuple(merged.values())


def _together(one: tuple[Quantity, ...] | None, other: tuple[Quantity, ...] | None) -> tuple[Quantity, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return _sum([*one, *other])


def _sum(quantities: list[Quantity]) -> tuple[Quantity, ...]:
    totals: dict[UnitKind, int] = {}
    for quantity in quantities:
        totals[quantity.kind] = totals.get(quantity.kind, 0) + quantity.value
    if any(value > COUNT_MAX for value in totals.values()):
        raise UnitsFault(Fault(ResultCode.INVALID_AVP_VALUE, message="the reported use is beyond 63 bits"))
    return tuple(Quantity(kind, value) for kind, value in totals.items())


class _Reader:
    """Turns units into quantities and remembers the currency they were in."""

    __slots__ = ("_currencies", "currency")

    def __init__(self, currencies: Mapping[int, Currency]) -> None:
        self._currencies = currencies
        self.currency = ""

    def requested(self, units: Units | None, place: tuple[int, ...]) -> tuple[Quantity, ...] | None:
        """None: nothing is wanted; empty: kind and amount are the server's choice [G-22, G-23]."""
        return None if units is None else self._quantities(units, place)

    def used(self, reports: list[Units], place: tuple[int, ...]) -> tuple[Quantity, ...] | None:
        """Several reports are summed per kind [G-28]; an empty one is zero use."""
        if not reports:
            return None
        if len(reports) == 1:
            return self._quantities(reports[0], place)
        return _sum([quantity for units in reports for quantity in self._quantities(units, place)])

    def sides(self, reports: list[Units], place: tuple[int, ...]) -> tuple[tuple[Quantity, ...] | None, bool]:
        """What was used after a change of price, None if no report says a side; whether one of them does not know it."""
        sides = {units.tariff_change_usage for units in reports}
        if not reports or sides == {NO_SIDE}:
            return None, False
        after = [units for units in reports if units.tariff_change_usage == UNIT_AFTER_TARIFF_CHANGE]
        return self.used(after, place) or (), UNIT_INDETERMINATE in sides

    def _quantities(self, units: Units, place: tuple[int, ...]) -> tuple[Quantity, ...]:
        counts = units.counts
        if len(counts) == 1 and units.money is None and codes.CC_TIME in counts:
            return (Quantity(_SECONDS, counts[codes.CC_TIME]),)
        for code, value in counts.items():
            if value > COUNT_MAX:
                raise UnitsFault(_beyond(place, avp.avp_u64(code, value), "the value is beyond 63 bits"))
        found = []
        if codes.CC_TIME in counts:
            found.append(Quantity(UnitKind.SECONDS, counts[codes.CC_TIME]))
        octets = _octets(counts)
        if octets is not None:
            if octets > COUNT_MAX:
                output = avp.avp_u64(codes.CC_OUTPUT_OCTETS, counts[codes.CC_OUTPUT_OCTETS])
                raise UnitsFault(_beyond(place, output, "the sum of octets is beyond 63 bits"))
            found.append(Quantity(UnitKind.OCTETS, octets))
        if codes.CC_SERVICE_SPECIFIC_UNITS in counts:
            found.append(Quantity(UnitKind.EVENTS, counts[codes.CC_SERVICE_SPECIFIC_UNITS]))
        if units.money is not None:
            found.append(Quantity(UnitKind.MONEY, self._amount(units.money, place)))
        return tuple(found)

    def _amount(self, money: Money, place: tuple[int, ...]) -> int:
        """digits x 10 ** exponent at the currency's scale, exactly or not at all."""
        digits = avp.avp_i64(codes.VALUE_DIGITS, money.digits) + avp.avp_i32(codes.EXPONENT, money.exponent)
        value = (*place, codes.CC_MONEY)
        if not money.currency_code and NO_CURRENCY not in self._currencies:
            # Its scale would be a guess, and a wrong one a thousandfold price; the operator may say it.
            sample = avp.avp_u32(codes.CURRENCY_CODE, 0)
            raise UnitsFault(Fault(ResultCode.MISSING_AVP, _chain(value, sample), "money without its currency"))
        currency = self._currencies.get(money.currency_code or NO_CURRENCY)
        if currency is None or self.currency not in {"", currency.code}:
            code = avp.avp_u32(codes.CURRENCY_CODE, money.currency_code)
            raise UnitsFault(Fault(ResultCode.RATING_FAILED, _chain(value, code), "the currency is not charged here"))
        self.currency = currency.code
        unit_value = (*value, codes.UNIT_VALUE)
        if money.digits < 0 or not -EXPONENT_MAX <= money.exponent <= EXPONENT_MAX:
            raise UnitsFault(_beyond(unit_value, digits, "an amount is not negative, and its exponent -9 to 9"))
        shift = currency.scale + money.exponent
        factor: int = 10 ** abs(shift)
        amount, rest = (money.digits * factor, 0) if shift >= 0 else divmod(money.digits, factor)
        if rest or amount > AMOUNT_MAX:
            raise UnitsFault(_beyond(unit_value, digits, "the amount does not fit the currency"))
        return amount


def _octets(counts: dict[int, int]) -> int | None:
    """Total octets govern; input and output count only in their absence [G-27]."""
    if codes.CC_TOTAL_OCTETS in counts:
        return counts[codes.CC_TOTAL_OCTETS]
    if codes.CC_INPUT_OCTETS in counts or codes.CC_OUTPUT_OCTETS in counts:
        return counts.get(codes.CC_INPUT_OCTETS, 0) + counts.get(codes.CC_OUTPUT_OCTETS, 0)
    return None


def _beyond(place: tuple[int, ...], leaf: bytes, why: str) -> Fault:
    return Fault(ResultCode.INVALID_AVP_VALUE, _chain(place, leaf), why)


def _chain(place: tuple[int, ...], leaf: bytes) -> bytes:
    """The offending leaf within its parents (RFC 6733, section 7.5)."""
    for key in reversed(place):
        leaf = avp.avp(key, leaf)
    return leaf
