"""The currency table: how many digits are kept of each, and how many an invoice prints."""

from __future__ import annotations

import re
from typing import Final

from balance.money import Currency
from ocs.rating.faults import FaultList
from ocs.rating.rateplan import CurrencyEntry
from ocs.rating.tomlfile import TomlFile

CURRENCIES_FILE: Final = "currencies.toml"
SCALE_MAX: Final = 12  # leaves 9,223,372 of the major unit in 63 bits
_CODE: Final = re.compile(r"[A-Z]{3}")


def parse_currencies(text: str, faults: FaultList) -> dict[str, Currency]:
    """Read ``EUR = { numeric = 978, scale = 9, digits = 2 }`` lines; what has a fault is left out."""
    file = TomlFile(text, faults)
    currencies: dict[str, Currency] = {}
    code_of: dict[int, str] = {}
    for code, raw in file.table.items():
        entry = file.decode(raw, CurrencyEntry, (code,))
        if entry is None:
            continue
        if not _CODE.fullmatch(code):
            file.fault((code,), "is no currency code", "three capital letters, as in ISO 4217")
        if not 0 <= entry.digits <= entry.scale <= SCALE_MAX:
            file.fault((code,), "digits and scale do not fit", f"0 <= digits <= scale <= {SCALE_MAX}")
        if not 0 < entry.numeric < 1000:
            file.fault((code, "numeric"), f"{entry.numeric} is no numeric code", "1 to 999, as in ISO 4217")
        other = code_of.setdefault(entry.numeric, code)
        if other != code:
            file.fault((code, "numeric"), f"{entry.numeric} is that of {other}", "look it up in ISO 4217")
        currencies[code] = Currency(code, entry.numeric, entry.scale, entry.digits)
    return currencies
