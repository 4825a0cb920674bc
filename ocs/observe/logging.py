"""Log lines: JSON on standard error, a fixed event name with fields; numbers of subscribers masked, secrets never.

``log.info("quota_granted", granted_s=60)``: INFO is what the business did, WARNING a peer's error, ERROR says that
somebody must act. Libraries that use the standard library's logging come out in the same form.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import Processor

from ocs import clock

LEVEL_VARIABLE: Final = "OCS_LOG_LEVEL"

# Fields that hold a number or a name of a subscriber.
_PERSONAL: Final = frozenset(
    {"msisdn", "imsi", "subscriber", "subscriber_id", "account", "account_id", "user_name"}
    | {"User-Name", "Calling-Station-Id", "Called-Station-Id", "Digest-Username", "Sip-Uri-User"}  # in RADIUS requests
    | {"origin", "destination", "calling", "called", "caller", "number", "identities"}
)
_SECRET: Final = re.compile(r"secret|password|passwd|token|authorization|api_key|credential", re.IGNORECASE)
# An identity in a longer text: e164:4915112345678, +4915112345678, sip:4915112345678@...
_IDENTITY: Final = re.compile(r"((?:e164|imsi|tel|sip|sips|nai):\+?|(?<![\w.:-])\+)(\d{6,15})")
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+(?=@)")
_DIGITS_KEPT_FIRST: Final = 4
_DIGITS_KEPT_LAST: Final = 2


def mask_number(text: str) -> str:
    """Keep the country and the last two digits: enough to recognize a number one knows, too little to call it."""
    kept = _DIGITS_KEPT_FIRST + _DIGITS_KEPT_LAST
    if len(text) <= kept:
        return "*" * len(text)
    return f"{text[:_DIGITS_KEPT_FIRST]}{'*' * (len(text) - kept)}{text[-_DIGITS_KEPT_LAST:]}"


def _masked(name: str, value: Any) -> Any:
    if _SECRET.search(name) and isinstance(value, (str, bytes)):
        return "***"
    if isinstance(value, str):
        if name in _PERSONAL:
            scheme, colon, rest = value.rpartition(":")
            return f"{scheme}{colon}{mask_number(rest)}"
        value = _PASSWORD_IN_URL.sub(r"\1:***", value)
        return _IDENTITY.sub(lambda match: match[1] + mask_number(match[2]), value)
    if isinstance(value, Mapping):
        return {key: _masked(str(key), each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(name, each) for each in value]
    return value


def mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask every field of a line (a structlog processor)."""
    return {name: _masked(name, value) for name, value in event.items()}


def order_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put what every line has first: the time in UTC with milliseconds, the level, the process, the event."""
    at = datetime.fromtimestamp(clock.now_ms() / 1000, tz=UTC)
    head = {name: event.pop(name) for name in ("level", "process", "event") if name in event}
    return {"at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), **head, **event}


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def configure_logging(process: str, level: str = "") -> None:
    """Set up both kinds of logging for this process, once, at its start. ``process`` says which one speaks."""
    chosen = getattr(logging, (level or os.environ.get(LEVEL_VARIABLE, "INFO")).upper(), logging.INFO)
    assert isinstance(chosen, int), "a level of the logging module is a number"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _named(process),
        mask_event,
        order_fields,
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(chosen),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(max(chosen, logging.WARNING))  # the chatter of libraries is not ours


def is_tracing() -> bool:
    """Whether whole requests are to be logged: what that takes is not done otherwise."""
    return os.environ.get(LEVEL_VARIABLE, "").upper() == "DEBUG"


def _named(process: str) -> Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add
