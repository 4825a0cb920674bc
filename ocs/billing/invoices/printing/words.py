"""What stands on an invoice, by language: ``words.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

FALLBACK: Final = "en"


@cache
def words_of(language: str) -> dict[str, str]:
    """The words of a language; English where it has none."""
    table = tomllib.loads(files("ocs.billing.invoices.printing").joinpath("words.toml").read_text(encoding="utf-8"))
    words: dict[str, str] = table.get(language.replace("_", "-").partition("-")[0], table[FALLBACK])
    return words
