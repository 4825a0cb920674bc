"""The rate files that a simulation is by: a configuration, with one deck in the place of another, or a deck alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ocs.rates.decks import deck_file
from ocs.rating.build import CALENDARS, PLANS
from ocs.rating.currencies import CURRENCIES_FILE
from ocs.rating.numbers import ZONES_FILE

ALONE: Final = "simulated"
"""The plan, and its service, of a deck that no plan uses."""

_PLAN: Final = """\
name = "{name}"
currency = "XXX"

[[tariffs]]
service = "{name}"
name = "{deck}"
per = "minute"
deck = "{deck}"
"""


def with_deck(files: Mapping[str, bytes], deck: str, text: str) -> dict[str, bytes]:
    """Put a deck in the place of the live one."""
    return {**files, deck_file(deck): text.encode()}


def deck_alone(files: Mapping[str, bytes], deck: str, text: str) -> dict[str, bytes]:
    """Read a deck that no plan uses as most are sold: per minute, exactly as used, in a currency without a name.

    The zones and calendars are those that there are.
    """
    kept = {name: data for name, data in files.items() if name == ZONES_FILE or name.startswith(f"{CALENDARS}/")}
    kept[CURRENCIES_FILE] = b"XXX = { numeric = 999, scale = 9, digits = 2 }\n"
    kept[f"{PLANS}/{ALONE}.toml"] = _PLAN.format(name=ALONE, deck=deck).encode()
    return with_deck(kept, deck, text)
