"""The peer's and the watchdog's tables against their RFCs."""

from __future__ import annotations

from protocols.diameter.peer_table import TRANSITIONS, WATCHDOG, Event, Sign, State, Watch, Watching
from protocols.diameter.result_codes import ResultCode, is_protocol_error
from protocols.diameter.watchdog import Watchdog


def test_every_state_is_reached_and_left() -> None:
    """No state is a trap or an orphan."""
    left = {state for state, _ in TRANSITIONS}
    reached = {row[1] for row in TRANSITIONS.values()} | {State.CLOSED}
    assert left == reached == set(State)


def test_every_waiting_state_has_a_timeout() -> None:
    """RFC 6733, 5.6: no state waits for ever."""
    assert {state for state, event in TRANSITIONS if event is Event.TIMEOUT} == set(State)


def test_rows_of_the_election() -> None:
    """RFC 6733, 5.6.4: the winner keeps the connection it accepted, the loser the one it opened."""
    assert TRANSITIONS[State.WAIT_RETURNS, Event.WIN_ELECTION][1] is State.R_OPEN
    assert TRANSITIONS[State.WAIT_RETURNS, Event.I_RCV_CEA][1] is State.I_OPEN


def test_watchdog_table_is_total() -> None:
    """RFC 3539, 3.4.1: every state knows what a lost connection means; the connected ones also each timer and message."""
    connected = {Watch.OKAY, Watch.SUSPECT, Watch.REOPEN}
    for state in Watch:
        assert (state, Sign.CONNECTION_DOWN) in WATCHDOG
        for sign in (Sign.RECEIVED, Sign.RECEIVED_DWA, Sign.TIMER_IDLE, Sign.TIMER_PENDING):
            assert ((state, sign) in WATCHDOG) == (state in connected)


def test_reopen_wants_three_answers() -> None:
    """RFC 3539, 3.4.1: a connection that was down is trusted after three DWAs."""
    watchdog = Watchdog(1000, lambda: 0, was_down=True)
    assert watchdog.see(Sign.CONNECTION_UP, 0) is Watching.START_REOPEN
    for now_ms in (10, 1010):
        assert watchdog.answered(now_ms) is Watching.COUNT_DWA
        assert watchdog.expired(now_ms + 1000) is Watching.SEND_DWR
    assert watchdog.answered(2020) is Watching.FAIL_BACK
    assert watchdog.state is Watch.OKAY


def test_reopen_gives_up_after_two_misses() -> None:
    """RFC 3539, 3.4.1: the second unanswered interval closes the connection."""
    watchdog = Watchdog(1000, lambda: 0, was_down=True)
    watchdog.see(Sign.CONNECTION_UP, 0)
    assert watchdog.expired(1000) is Watching.MISS
    assert watchdog.expired(2000) is Watching.CLOSE
    assert watchdog.state is Watch.DOWN


def test_jitter_is_drawn_for_each_setting() -> None:
    """RFC 3539, 3.4.1: each setting of Tw is jittered anew."""
    draws = iter([500, -500])
    watchdog = Watchdog(1000, lambda: next(draws))
    watchdog.see(Sign.CONNECTION_UP, 0)
    assert watchdog.deadline_ms() == 1500
    assert watchdog.expired(1500) is Watching.SEND_DWR
    assert watchdog.deadline_ms() == 2000


def test_protocol_errors_are_the_3xxx() -> None:
    """RFC 6733, 7.1.3: the E bit goes with class 3 and no other."""
    assert {code for code in ResultCode if is_protocol_error(code)} == {
        code for code in ResultCode if code // 1000 == 3
    }
