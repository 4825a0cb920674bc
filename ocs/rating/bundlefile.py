"""``[[bundles]]`` and ``[[packages]]`` of a plan file into records, with every fault found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from balance.money import AmountError, parse_amount
from ocs.rating.bundles import SOURCES, Bundle, Grant, Package, Wares
from ocs.rating.calendar import Calendar
from ocs.rating.faults import did_you_mean
from ocs.rating.origins import OriginRule, parse_rule
from ocs.rating.rateplan import BundleEntry, GrantEntry, PackageEntry
from ocs.rating.tomlfile import Path, TomlFile
from ocs.rating.units import PRICE_UNITS, UnitKind, parse_quantity

_DAYS_MAX: Final = 3660
_ZONE_CURE: Final = 'write time_zone = "Europe/Berlin" at the head of the plan'


class BundleReader:
    """Reads what one plan sells in units."""

    def __init__(
        self, file: TomlFile, zones: Mapping[str, OriginRule], calendars: Mapping[str, Calendar], scale: int, zone: str
    ) -> None:
        self._file = file
        self._zones = zones
        self._calendars = calendars
        self._scale = scale
        self._zone = zone
        self._bundles: dict[str, Bundle] = {}

    def read(self, bundles: Any, packages: Any) -> Wares:
        """Give both; what has faults is left out, and the faults are in the file's list."""
        for at, raw in enumerate(self._tables(bundles, "bundles")):
            entry = self._file.decode(raw, BundleEntry, ("bundles", at))
            if entry is not None:
                self._bundle(entry, ("bundles", at))
        found: dict[str, Package] = {}
        for at, raw in enumerate(self._tables(packages, "packages")):
            path: Path = ("packages", at)
            table = dict(raw) if isinstance(raw, dict) else {}
            grants = table.pop("grants", [])
            package = self._file.decode(table, PackageEntry, path)
            if package is None:
                continue
            if package.name in found:
                self._file.fault((*path, "name"), f"{package.name!r} is there already", "give each its own name")
            found[package.name] = self._package(package, grants, path)
        return Wares(self._bundles, found)

    def _tables(self, raw: Any, name: str) -> list[Any]:
        if isinstance(raw, list):
            return raw
        self._file.fault((name,), "has to be a list of tables", f"write [[{name}]]")
        return []

    def _bundle(self, entry: BundleEntry, path: Path) -> None:
        calendar = None
        if entry.calendar:
            calendar = self._calendars.get(entry.calendar)
            if calendar is None:
                cure = did_you_mean(entry.calendar, self._calendars)
                self._file.fault((*path, "calendar"), f"there is no calendars/{entry.calendar}.toml", cure)
        known = calendar.bands if calendar is not None else ()
        for band in entry.bands:
            if band not in known:
                cure = did_you_mean(band, known) if known else 'add calendar = "..."'
                self._file.fault((*path, "bands"), f"{band!r} is no band of the bundle's calendar", cure)
        if entry.calendar and not entry.bands:
            self._file.fault((*path, "calendar"), "stands without bands", 'add bands = ["off-peak"]')
        if not entry.services:
            self._file.fault((*path, "services"), "is empty", 'name what it is for: services = ["voice"]')
        if entry.name in self._bundles:
            self._file.fault((*path, "name"), f"{entry.name!r} is there already", "give each its own name")
        self._bundles[entry.name] = Bundle(
            entry.name,
            PRICE_UNITS[entry.per][0],
            entry.services,
            entry.rating_groups,
            entry.destinations,
            entry.prefixes,
            tuple(rule for text in entry.origins if (rule := self._rule(text, path)) is not None),
            calendar,
            entry.bands,
        )

    def _rule(self, text: str, path: Path) -> OriginRule | None:
        try:
            return parse_rule(text, self._zones)
        except ValueError as error:
            self._file.fault((*path, "origins"), str(error), did_you_mean(text, self._zones))
            return None

    def _package(self, entry: PackageEntry, raw: Any, path: Path) -> Package:
        price = 0
        try:
            price = parse_amount(entry.price, self._scale)
        except AmountError as error:
            self._file.fault((*path, "price"), str(error), f"at most {self._scale} decimals")
        if price < 0:
            self._file.fault((*path, "price"), f"{entry.price} is negative", "prices are 0 or more")
        rows = self._tables(raw, "packages.grants")
        if not rows:
            self._file.fault((*path, "grants"), "the package holds nothing", "add [[packages.grants]]")
        here = [(row, (*path, "grants", at)) for at, row in enumerate(rows)]
        read = [(self._file.decode(row, GrantEntry, where), where) for row, where in here]
        if entry.every and not self._zone:
            self._file.fault((*path, "every"), "does not say by which clock", _ZONE_CURE)
        grants = tuple(self._grant(grant, entry.every, where) for grant, where in read if grant is not None)
        for field in ("trial_days", "commitment"):
            number = getattr(entry, field)
            if not 0 <= number <= _DAYS_MAX:
                self._file.fault((*path, field), f"is {number}", f"0 to {_DAYS_MAX}")
            if number and not entry.every:
                self._file.fault((*path, field), "is for packages that are bought anew", 'add every = "month"')
        return Package(
            entry.name, price, grants, self._zone, entry.every, entry.if_short, entry.trial_days, entry.commitment
        )

    def _grant(self, entry: GrantEntry, every: str, path: Path) -> Grant:
        bundle = self._bundles.get(entry.bundle)
        kind, units, rollover = UnitKind.EVENTS, 0, 0
        if bundle is None:
            cure = did_you_mean(entry.bundle, self._bundles)
            self._file.fault((*path, "bundle"), f"{entry.bundle!r} is no bundle of this plan", cure)
        else:
            kind = bundle.kind
            try:
                units = parse_quantity(str(entry.units), kind)
            except ValueError as error:
                self._file.fault((*path, "units"), str(error), f"write {kind.name.lower()}, or add their unit")
            if not units:
                self._file.fault((*path, "units"), "grants nothing", "write how many there are in it")
            try:
                rollover = parse_quantity(str(entry.rollover), kind)
            except ValueError as error:
                self._file.fault((*path, "rollover"), str(error), f"write {kind.name.lower()}, or add their unit")
        if rollover and (not every or entry.days or entry.until):
            cure = "leave days and until out, and give the package an every"
            self._file.fault((*path, "rollover"), "is for buckets that end where the package is bought anew", cure)
        if entry.days and entry.until:
            self._file.fault((*path, "days"), "and until are two ends of one validity", "keep one of them")
        if not 0 <= entry.days <= _DAYS_MAX:
            self._file.fault((*path, "days"), "is out of range", f"1 to {_DAYS_MAX} days, or none for ever")
        if (entry.days or entry.until) and not self._zone:
            self._file.fault((*path, "days" if entry.days else "until"), "does not say by which clock", _ZONE_CURE)
        source = SOURCES[entry.source or ("recurring" if every else "paid")]
        return Grant(entry.bundle, units, kind, entry.days, entry.until, entry.priority, source, rollover)
