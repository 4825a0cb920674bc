"""Reads the rate files of a configuration directory. The only module of this room that touches the disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from balance.money import Currency
from ocs.rating.build import CALENDARS, DECKS, DESTINATIONS, PLANS, LoadResult, build
from ocs.rating.currencies import CURRENCIES_FILE, parse_currencies
from ocs.rating.dated import FOREVER_MS
from ocs.rating.exchange import EXCHANGE_FILE
from ocs.rating.faults import ConfigFault, ConfigFaultsError, FaultList
from ocs.rating.numbers import NUMBERS_FILE, ZONES_FILE

__all__ = ["ConfigFault", "ConfigFaultsError", "LoadResult", "check_config", "load_currencies", "load_ratebook"]

_PATTERNS: Final = (
    CURRENCIES_FILE,
    EXCHANGE_FILE,
    NUMBERS_FILE,
    ZONES_FILE,
    f"{CALENDARS}/*.toml",
    f"{PLANS}/*.toml",
    f"{DECKS}/*.csv",
    f"{DESTINATIONS}/*.csv",
)


def load_ratebook(config_dir: Path, now_ms: int) -> LoadResult:
    """Load everything or nothing. ``now_ms`` only decides what is kept ready; each look-up names its own instant."""
    files, faults = read_files(config_dir)
    if faults:
        return LoadResult(None, {}, tuple(faults))
    return build(files, now_ms)


def check_config(config_dir: Path) -> list[ConfigFault]:
    """List all faults of the rate files; an empty list means that ``load_ratebook`` gives a book."""
    return list(load_ratebook(config_dir, FOREVER_MS).faults)


def load_currencies(path: Path) -> dict[str, Currency]:
    """Read the currency table alone; ConfigFaultsError if it has faults."""
    faults = FaultList(path.name)
    try:
        currencies = parse_currencies(path.read_text(encoding="utf-8-sig"), faults)
    except (OSError, UnicodeDecodeError) as error:
        faults.add(0, "file", f"cannot be read: {_reason(error)}", "UTF-8 text, readable by this user")
        currencies = {}
    if faults.sorted():
        raise ConfigFaultsError(faults.sorted())
    return currencies


def read_files(config_dir: Path) -> tuple[dict[str, bytes], list[ConfigFault]]:
    """Read the bytes of all rate files by their relative names, and what could not be read."""
    files: dict[str, bytes] = {}
    faults: list[ConfigFault] = []
    for path in _paths(config_dir):
        name = path.relative_to(config_dir).as_posix()
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            message = f"cannot be read: {_reason(error)}"
            faults.append(ConfigFault(name, 0, "file", message, "make it readable by this user"))
    return files, faults


def _paths(config_dir: Path) -> Iterable[Path]:
    return (path for pattern in _PATTERNS for path in sorted(config_dir.glob(pattern)))


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
