"""Log lines are JSON, and hold neither secrets nor whole numbers of subscribers."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from ocs.observe.logging import configure_logging, mask_event, mask_number


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logging set up as in a process, into a text instead of standard error, and put back afterwards."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    handlers, level = logging.root.handlers, logging.root.level
    configure_logging("daemon")
    yield text
    structlog.reset_defaults()
    logging.root.handlers = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("msisdn", "4915112345678", "4915*******78"),
        ("account_id", "e164:4915112345678", "e164:4915*******78"),
        ("subscriber", "12345", "*****"),
        ("error", "no subscriber e164:4915112345678 here", "no subscriber e164:4915*******78 here"),
        ("error", "call +442071234567", "call +4420******67"),
        ("identities", ("e164:4915112345678",), ["e164:4915*******78"]),
        ("session_id", "pgw.example.net;1700000000;12345678", "pgw.example.net;1700000000;12345678"),
        ("secret", "testing123", "***"),
        ("client", {"name": "a", "shared_secret": "x"}, {"name": "a", "shared_secret": "***"}),
        ("url", "redis://user:hunter2@10.0.0.1/0", "redis://user:***@10.0.0.1/0"),
        ("granted_s", 60, 60),
        ("peer", "pgw.example.net", "pgw.example.net"),
    ],
)
def test_masking(name: str, value: object, expected: object) -> None:
    """Each kind of field comes out as it may be read by anybody who runs the system."""
    assert mask_event(None, "info", {"event": "e", name: value}) == {"event": "e", name: expected}


def test_mask_keeps_length() -> None:
    """A masked number has as many characters as the number."""
    assert [len(mask_number("1" * count)) for count in range(20)] == list(range(20))


def test_line_is_json(lines: io.StringIO) -> None:
    """One event, one line, with time, level and process."""
    structlog.get_logger().info("quota_granted", granted_s=60, odd={1, 2})
    line = json.loads(lines.getvalue())
    assert {"event": "quota_granted", "granted_s": 60, "level": "info", "process": "daemon"}.items() <= line.items()
    assert line["at"].endswith("Z")


def test_exception_is_one_line(lines: io.StringIO) -> None:
    """A traceback is a field, not forty lines."""
    try:
        int("boom")
    except ValueError:
        structlog.get_logger().exception("request_failed")
    line = json.loads(lines.getvalue())
    assert "ValueError: invalid literal" in line["exception"]


def test_libraries_come_out_alike(lines: io.StringIO) -> None:
    """What a library logs by the standard library has the same form; its chatter is dropped."""
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("password for %s", "redis://u:p@h/0")
    line = json.loads(lines.getvalue())
    assert line["event"] == "password for redis://u:***@h/0"
    assert line["level"] == "warning"
