"""A broken client must not fill the log, and neither must one who forges addresses."""

from __future__ import annotations

from structlog.testing import capture_logs

from ocs.observe.seldom import LINES_MAX, LOG_EVERY_MS, SeldomLog

NOW_MS = 1_700_000_000_000


def test_a_client_and_a_reason_make_one_line_a_while() -> None:
    """However many packets there are; another reason is another line."""
    seldom = SeldomLog("radius", "client", "reason")
    with capture_logs() as lines:
        for at_ms in range(0, 2 * LOG_EVERY_MS, 1000):
            seldom.warn("radius_discarded", "sbc", "malformed", NOW_MS + at_ms)
        seldom.warn("radius_discarded", "sbc", "wrong_code", NOW_MS)
    assert [line["reason"] for line in lines] == ["malformed", "malformed", "wrong_code"]


def test_forged_addresses_make_a_bounded_number_of_lines_and_one_that_says_so() -> None:
    """What was left out is counted."""
    seldom = SeldomLog("radius", "client", "reason")
    with capture_logs() as lines:
        for number in range(LINES_MAX + 50):
            seldom.warn("radius_unknown_client", f"192.0.2.{number}", "", NOW_MS)
        seldom.warn("radius_unknown_client", "192.0.2.1", "", NOW_MS + LOG_EVERY_MS)
    assert len(lines) == LINES_MAX + 2
    assert (lines[-2]["event"], lines[-2]["lines"]) == ("radius_lines_left_out", 50)
