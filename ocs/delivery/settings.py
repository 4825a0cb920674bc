"""``config/delivery.toml``: by which ways messages leave, who is told of what, and when people are left in peace."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import time
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from ocs.charging.account_events import EVENT_TYPES
from ocs.delivery.timing import Patience, Quiet, clock_of
from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.periods import is_zone
from ocs.rating.tomlfile import TomlFile

DELIVERY_FILE: Final = "delivery.toml"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret
SECRET_OCTETS_MIN, SECRET_OCTETS_MAX = 24, 64  # Standard Webhooks, "Signature scheme"
EVERY_EVENT: Final = "*"
TIMEOUT_S_MAX: Final = 60

Way: TypeAlias = Literal["mail", "sms"]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Mail(_Section, frozen=True):
    """The SMTP server that takes our mail. ``host`` empty: no mail is sent."""

    host: str = ""
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    sender: str = ""  # "Example Telecom <service@example.net>"
    timeout_s: int = 30


class Sms(_Section, frozen=True):
    """A gateway that takes a message by HTTP. ``url`` empty: no SMS is sent.

    ``body`` is JSON (or a form, as ``content_type`` says) in which ``{to}``, ``{text}`` and ``{id}`` are filled in.
    """

    url: str = ""
    content_type: Literal["application/json", "application/x-www-form-urlencoded"] = "application/json"
    body: str = '{"to": "{to}", "text": "{text}", "id": "{id}"}'
    headers: dict[str, str] = {}
    timeout_s: int = 15


class Webhook(_Section, frozen=True):
    """A program that is told. All ``secrets`` sign, so that they can be changed one after the other."""

    name: str
    url: str
    secrets: tuple[str, ...]
    events: tuple[str, ...] = (EVERY_EVENT,)
    timeout_s: int = 15


class Tell(_Section, frozen=True):
    """Account events of which the subscriber is told, by every way of which the account's contact has an address.

    ``urgent``: in quiet hours, too.
    """

    events: tuple[str, ...]
    by: tuple[Way, ...]
    urgent: bool = False


class QuietHours(_Section, frozen=True):
    """``begins`` and ``ends`` by the clock of the contact's zone, or of ``time_zone`` where it says none."""

    begins: str = "21:00"
    ends: str = "08:00"
    time_zone: str = "UTC"


class Retry(_Section, frozen=True):
    """How often a message is tried, and how long it waits: ``first_s``, twice that, ... up to ``longest_s``."""

    attempts_max: int = 16
    first_s: int = 5
    longest_s: int = 14_400


class DeliveryFile(_Section, frozen=True):
    """The whole file. ``language`` is that of a contact that says none; ``keep_days``: of what has arrived."""

    language: str = "en"
    keep_days: int = 90
    late_hours: int = 48  # an event that is older is told nobody any more
    mail: Mail = Mail()
    sms: Sms = Sms()
    webhook: tuple[Webhook, ...] = ()
    tell: tuple[Tell, ...] = ()
    quiet: QuietHours = QuietHours()
    retry: Retry = Retry()


class Delivery(NamedTuple):
    """The file, checked."""

    file: DeliveryFile
    quiet: Quiet
    patience: Patience
    webhooks: dict[str, Webhook]

    @property
    def ways(self) -> frozenset[str]:
        """By which ways people can be reached."""
        return frozenset(way for way, place in (("mail", self.file.mail.host), ("sms", self.file.sms.url)) if place)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to deliver to."""
        return bool(self.ways or self.webhooks)


NOTHING: Final = Delivery(DeliveryFile(), Quiet(time(21), time(8)), Patience(), {})


def load_delivery(config_dir: Path) -> Delivery | list[ConfigFault]:
    """Read the file beside the settings. Without one nothing is delivered."""
    faults = FaultList(DELIVERY_FILE)
    try:
        text = (config_dir / DELIVERY_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return NOTHING
    except (OSError, UnicodeDecodeError) as error:
        faults.add(1, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return faults.sorted()
    file = TomlFile(text, faults)
    read = _decoded(file)
    found = _checked(file, read) if read is not None else None
    return faults.sorted() or found or NOTHING


def secret_key(secret: str) -> bytes | None:
    """The key of a secret ``whsec_...`` (base64); None for what is none."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    is_sound = secret.startswith(SECRET_PREFIX) and SECRET_OCTETS_MIN <= len(key) <= SECRET_OCTETS_MAX
    return key if is_sound else None


def _decoded(file: TomlFile) -> DeliveryFile | None:
    table = dict(file.table)
    shapes: tuple[tuple[str, type[msgspec.Struct]], ...] = (
        ("mail", Mail), ("sms", Sms), ("quiet", QuietHours), ("retry", Retry),
    )  # fmt: skip
    inner: dict[str, object] = {
        name: file.decode(table.pop(name), shape, (name,)) for name, shape in shapes if name in table
    }
    inner["webhook"] = _list(file, table.pop("webhook", []), Webhook, "webhook")
    inner["tell"] = _list(file, table.pop("tell", []), Tell, "tell")
    flat = file.decode(table, DeliveryFile, ())
    if flat is None or None in inner.values():
        return None
    whole: DeliveryFile = msgspec.structs.replace(flat, **inner)
    return whole


ShapeT = TypeVar("ShapeT", bound=msgspec.Struct)


def _list(file: TomlFile, raw: object, shape: type[ShapeT], name: str) -> tuple[ShapeT, ...] | None:
    if not isinstance(raw, list):
        file.fault((name,), "has to be a list of tables", f"write [[{name}]]")
        return None
    found = [file.decode(each, shape, (name, place)) for place, each in enumerate(raw)]
    return None if None in found else tuple(each for each in found if each is not None)


def _checked(file: TomlFile, read: DeliveryFile) -> Delivery:
    quiet = Quiet(_clock(file, "begins", read.quiet.begins), _clock(file, "ends", read.quiet.ends))
    if not is_zone(read.quiet.time_zone):
        file.fault(("quiet", "time_zone"), f"{read.quiet.time_zone!r} is no zone", "such as Europe/Berlin")
    if read.mail.host and "@" not in read.mail.sender:
        file.fault(("mail", "sender"), "is missing", 'such as "Example Telecom <service@example.net>"')
    if read.sms.url:
        _check_url(file, ("sms", "url"), read.sms.url)
    if read.sms.content_type == "application/json" and not _is_json(read.sms.body):
        file.fault(("sms", "body"), "is no JSON", "or set content_type")
    for path, timeout_s in (
        (("mail",), read.mail.timeout_s),
        (("sms",), read.sms.timeout_s),
        *[(("webhook", place), hook.timeout_s) for place, hook in enumerate(read.webhook)],
    ):
        if not 1 <= timeout_s <= TIMEOUT_S_MAX:
            file.fault((*path, "timeout_s"), f"has to be 1 to {TIMEOUT_S_MAX}")
    for name in ("attempts_max", "first_s", "longest_s"):
        if getattr(read.retry, name) < 1:
            file.fault(("retry", name), "has to be 1 or more")
    for place, hook in enumerate(read.webhook):
        _check_webhook(file, ("webhook", place), hook)
        if hook.name in {each.name for each in read.webhook[:place]}:
            file.fault(("webhook", place, "name"), f"{hook.name!r} is there twice")
    for place, tell in enumerate(read.tell):
        _check_events(file, ("tell", place, "events"), tell.events)
    return Delivery(
        read, quiet, Patience(*msgspec.structs.astuple(read.retry)), {each.name: each for each in read.webhook}
    )


def _check_webhook(file: TomlFile, path: tuple[str | int, ...], hook: Webhook) -> None:
    _check_url(file, (*path, "url"), hook.url)
    _check_events(file, (*path, "events"), hook.events)
    if not hook.secrets or any(secret_key(secret) is None for secret in hook.secrets):
        cure = "make one with `ocs events secret`"
        file.fault((*path, "secrets"), "each is whsec_ and 24 to 64 octets in base64", cure)


def _check_url(file: TomlFile, path: tuple[str | int, ...], url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        file.fault(path, f"{url!r} is no address", "such as https://crm.example.net/hooks/ocs")


def _check_events(file: TomlFile, path: tuple[str | int, ...], names: Iterable[str]) -> None:
    for name in names:
        if name != EVERY_EVENT and name not in EVENT_TYPES:
            file.fault(path, f"there is no event {name!r}", did_you_mean(name, EVENT_TYPES))


def _clock(file: TomlFile, name: str, text: str) -> time:
    clock = clock_of(text)
    if clock is None:
        file.fault(("quiet", name), f"{text!r} is no time of day", 'such as "21:00"')
    return clock or time(0)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
