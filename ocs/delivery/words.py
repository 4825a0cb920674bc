"""The words of mails and SMS: ``config/messages/<language>.toml``, a table for each kind of message.

Jinja2 in its sandbox: whoever writes words can show what the message brings, and do nothing else. Amounts and dates are
written as the language does (Babel), amounts from decimal strings, so that no cent is lost on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal
from jinja2 import StrictUndefined, TemplateError, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from ocs.rating.faults import ConfigFault, FaultList
from ocs.rating.tomlfile import TomlFile

WORDS_FOLDER: Final = "messages"
LAST_RESORT: Final = "en"
SMS_CHARACTERS_MAX: Final = 480  # three of the longest kind that gateways join


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one kind of message says. ``sms`` empty: it goes by mail alone."""

    subject: str
    mail: str
    sms: str = ""


class WordsError(Exception):
    """The words cannot be made of what the message brings; the text says why."""


class Said(NamedTuple):
    """A message in words."""

    subject: str
    text: str


class Dictionary:
    """All languages' words by kind."""

    def __init__(self, words: Mapping[str, Mapping[str, Words]], fallback: str = LAST_RESORT) -> None:
        self._words = words
        self._fallback = fallback
        self._environment = _environment()

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._words)

    def has(self, kind: str, language: str) -> bool:
        """Whether a language has words of its own for a kind."""
        return kind in self._words.get(language, {})

    def knows(self, kind: str) -> bool:
        """Whether there are words for a kind where all others fail: in the fallback language."""
        return any(self.has(kind, language) for language in (self._fallback, LAST_RESORT))

    def mail(self, kind: str, language: str, values: Mapping[str, Any], zone: str = "UTC") -> Said:
        """Say it as a mail. Raises WordsError."""
        chosen, words = self._chosen(kind, language)
        return Said(
            " ".join(self._say(words.subject, chosen, values, zone).split()),
            self._say(words.mail, chosen, values, zone).strip() + "\n",
        )

    def sms(self, kind: str, language: str, values: Mapping[str, Any], zone: str = "UTC") -> Said:
        """Say it as an SMS. Raises WordsError."""
        chosen, words = self._chosen(kind, language)
        text = self._say(words.sms or words.subject, chosen, values, zone)
        return Said("", " ".join(text.split())[:SMS_CHARACTERS_MAX])

    def _chosen(self, kind: str, language: str) -> tuple[str, Words]:
        """The words in the language, its plain form, the fallback, or English: the first that has them."""
        short = language.replace("_", "-").partition("-")[0]
        for name in (language, short, self._fallback, LAST_RESORT):
            words = self._words.get(name, {}).get(kind)
            if words is not None:
                return name, words
        raise WordsError(f"there are no words for {kind!r} in {WORDS_FOLDER}/{self._fallback}.toml")

    def _say(self, template: str, language: str, values: Mapping[str, Any], zone: str) -> str:
        try:
            return self._environment.from_string(template).render(**values, _language=language, _zone=zone)
        except (TemplateError, ArithmeticError, ValueError, TypeError) as error:
            raise WordsError(f"{type(error).__name__}: {error}") from error


def load_words(config_dir: Path, fallback: str = LAST_RESORT) -> Dictionary | list[ConfigFault]:
    """Read all languages; without the folder there are no words."""
    found: dict[str, dict[str, Words]] = {}
    faults: list[ConfigFault] = []
    environment = _environment()
    for path in sorted((config_dir / WORDS_FOLDER).glob("*.toml")):
        here = FaultList(f"{WORDS_FOLDER}/{path.name}")
        found[path.stem] = _language(path, here, environment)
        faults += here.sorted()
    return faults or Dictionary(found, fallback)


def _language(path: Path, faults: FaultList, environment: SandboxedEnvironment) -> dict[str, Words]:
    try:
        Locale.parse(path.stem, sep="-")
    except (UnknownLocaleError, ValueError):
        faults.add(0, "file", f"{path.stem!r} is no language", "name it de.toml, or de-AT.toml")
    try:
        file = TomlFile(path.read_text(encoding="utf-8"), faults)
    except (OSError, UnicodeDecodeError) as error:
        faults.add(0, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return {}
    words = {kind: file.decode(raw, Words, (kind,)) for kind, raw in file.table.items()}
    for kind, each in words.items():
        for name in Words.__struct_fields__ if each is not None else ():
            try:
                environment.parse(getattr(each, name))
            except TemplateError as error:
                file.fault((kind, name), str(error), "see docs/events.md for what may stand here")
    return {kind: each for kind, each in words.items() if each is not None}


def _environment() -> SandboxedEnvironment:
    # Plain text goes out: escaping it for HTML would only damage it.
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.filters.update(money=_money, number=_number, day=_day, moment=_moment)
    return environment


def _locale(context: Context) -> Locale:
    return Locale.parse(str(context["_language"]), sep="-")


@pass_context
def _money(context: Context, amount: str, currency: str) -> str:
    return format_currency(Decimal(str(amount)), currency, locale=_locale(context))


@pass_context
def _number(context: Context, number: str | int) -> str:
    return format_decimal(Decimal(str(number)), locale=_locale(context))


@pass_context
def _day(context: Context, day: str) -> str:
    return format_date(date.fromisoformat(str(day)), "long", locale=_locale(context))


@pass_context
def _moment(context: Context, at: str) -> str:
    zone = ZoneInfo(str(context["_zone"]))
    return format_datetime(datetime.fromisoformat(str(at)), "long", tzinfo=zone, locale=_locale(context))
