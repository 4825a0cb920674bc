"""The peer's two state machines as tables, each row with its clause; ``peer`` carries out the actions.

A pair that has no row is a breach by the peer: the connection is closed. The rows that need two connections to one
peer (the election) are driven by ``dialled``; ``RECONNECT`` says what follows on the end of a connection we opened.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    CLOSED = auto()
    WAIT_CONN_ACK = auto()
    WAIT_I_CEA = auto()
    WAIT_CONN_ACK_ELECT = auto()
    WAIT_RETURNS = auto()
    R_OPEN = auto()
    I_OPEN = auto()
    CLOSING = auto()


class Event(Enum):
    START = auto()
    R_CONN_CER = auto()
    I_RCV_CONN_ACK = auto()
    I_RCV_CONN_NACK = auto()
    I_RCV_CEA = auto()
    I_RCV_NON_CEA = auto()
    I_PEER_DISC = auto()
    R_PEER_DISC = auto()
    WIN_ELECTION = auto()
    TIMEOUT = auto()
    STOP = auto()
    RCV_MESSAGE = auto()
    RCV_DWR = auto()
    RCV_DWA = auto()
    RCV_DPR = auto()
    RCV_DPA = auto()


class Action(Enum):
    CONNECT = auto()
    ACCEPT = auto()
    SEND_CER = auto()
    HOLD_CER = auto()
    PROCESS_CEA = auto()
    ELECT = auto()
    SEND_CER_AND_ELECT = auto()
    REJECT = auto()
    ACCEPT_HELD = auto()
    DROP_INITIATED = auto()
    DROP_RESPONDER = auto()
    CLEAN_UP = auto()
    PROCESS = auto()
    SEND_DWA = auto()
    PROCESS_DWA = auto()
    SEND_DPR = auto()
    SEND_DPA = auto()
    DISCONNECT = auto()
    IGNORE = auto()


_S, _E, _A = State, Event, Action

# RFC 6733, section 5.6. I: the connection we opened; R: the one that the peer opened.
TRANSITIONS: Final[dict[tuple[State, Event], tuple[Action, State]]] = {
    # state                   event                 action                  next                       clause
    (_S.CLOSED, _E.START): (_A.CONNECT, _S.WAIT_CONN_ACK),  # 5.6: I-Snd-Conn-Req
    (_S.CLOSED, _E.R_CONN_CER): (_A.ACCEPT, _S.R_OPEN),  # 5.6: R-Accept, Process-CER, R-Snd-CEA
    (_S.CLOSED, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # 5.3: no CER came
    (_S.CLOSED, _E.R_PEER_DISC): (_A.CLEAN_UP, _S.CLOSED),  # gone before its CER
    (_S.WAIT_CONN_ACK, _E.I_RCV_CONN_ACK): (_A.SEND_CER, _S.WAIT_I_CEA),  # 5.6: I-Snd-CER
    (_S.WAIT_CONN_ACK, _E.I_RCV_CONN_NACK): (_A.CLEAN_UP, _S.CLOSED),
    (_S.WAIT_CONN_ACK, _E.R_CONN_CER): (_A.HOLD_CER, _S.WAIT_CONN_ACK_ELECT),  # R-Accept, Process-CER
    (_S.WAIT_CONN_ACK, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # Error
    (_S.WAIT_I_CEA, _E.I_RCV_CEA): (_A.PROCESS_CEA, _S.I_OPEN),
    (_S.WAIT_I_CEA, _E.R_CONN_CER): (_A.ELECT, _S.WAIT_RETURNS),  # 5.6.4
    (_S.WAIT_I_CEA, _E.I_PEER_DISC): (_A.CLEAN_UP, _S.CLOSED),
    (_S.WAIT_I_CEA, _E.I_RCV_NON_CEA): (_A.CLEAN_UP, _S.CLOSED),  # Error
    (_S.WAIT_I_CEA, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # Error
    (_S.WAIT_CONN_ACK_ELECT, _E.I_RCV_CONN_ACK): (_A.SEND_CER_AND_ELECT, _S.WAIT_RETURNS),
    (_S.WAIT_CONN_ACK_ELECT, _E.I_RCV_CONN_NACK): (_A.ACCEPT_HELD, _S.R_OPEN),  # R-Snd-CEA
    (_S.WAIT_CONN_ACK_ELECT, _E.R_PEER_DISC): (_A.DROP_RESPONDER, _S.WAIT_CONN_ACK),
    (_S.WAIT_CONN_ACK_ELECT, _E.R_CONN_CER): (_A.REJECT, _S.WAIT_CONN_ACK_ELECT),
    (_S.WAIT_CONN_ACK_ELECT, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # Error
    (_S.WAIT_RETURNS, _E.WIN_ELECTION): (_A.DROP_INITIATED, _S.R_OPEN),  # 5.6.4: I-Disc, R-Snd-CEA
    (_S.WAIT_RETURNS, _E.I_PEER_DISC): (_A.DROP_INITIATED, _S.R_OPEN),  # I-Disc, R-Snd-CEA
    (_S.WAIT_RETURNS, _E.I_RCV_NON_CEA): (_A.DROP_INITIATED, _S.R_OPEN),  # not in 5.6: as if it had gone
    (_S.WAIT_RETURNS, _E.I_RCV_CEA): (_A.DROP_RESPONDER, _S.I_OPEN),  # R-Disc: the election is lost
    (_S.WAIT_RETURNS, _E.R_PEER_DISC): (_A.DROP_RESPONDER, _S.WAIT_I_CEA),
    (_S.WAIT_RETURNS, _E.R_CONN_CER): (_A.REJECT, _S.WAIT_RETURNS),
    (_S.WAIT_RETURNS, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # Error
    (_S.R_OPEN, _E.RCV_MESSAGE): (_A.PROCESS, _S.R_OPEN),
    (_S.R_OPEN, _E.RCV_DWR): (_A.SEND_DWA, _S.R_OPEN),
    (_S.R_OPEN, _E.RCV_DWA): (_A.PROCESS_DWA, _S.R_OPEN),
    (_S.R_OPEN, _E.R_CONN_CER): (_A.REJECT, _S.R_OPEN),  # on another connection: that one is closed
    (_S.R_OPEN, _E.STOP): (_A.SEND_DPR, _S.CLOSING),
    (_S.R_OPEN, _E.RCV_DPR): (_A.SEND_DPA, _S.CLOSING),
    (_S.R_OPEN, _E.R_PEER_DISC): (_A.CLEAN_UP, _S.CLOSED),
    (_S.R_OPEN, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # RFC 3539, 3.4.1: the watchdog gave it up
    (_S.I_OPEN, _E.RCV_MESSAGE): (_A.PROCESS, _S.I_OPEN),
    (_S.I_OPEN, _E.RCV_DWR): (_A.SEND_DWA, _S.I_OPEN),
    (_S.I_OPEN, _E.RCV_DWA): (_A.PROCESS_DWA, _S.I_OPEN),
    (_S.I_OPEN, _E.R_CONN_CER): (_A.REJECT, _S.I_OPEN),
    (_S.I_OPEN, _E.STOP): (_A.SEND_DPR, _S.CLOSING),
    (_S.I_OPEN, _E.RCV_DPR): (_A.SEND_DPA, _S.CLOSING),
    (_S.I_OPEN, _E.I_PEER_DISC): (_A.CLEAN_UP, _S.CLOSED),
    (_S.I_OPEN, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),  # RFC 3539, 3.4.1
    (_S.CLOSING, _E.RCV_DPA): (_A.DISCONNECT, _S.CLOSING),  # 5.4: who receives the DPA closes the transport
    (_S.CLOSING, _E.RCV_DPR): (_A.SEND_DPA, _S.CLOSING),  # both stop at once: each gets its DPA
    (_S.CLOSING, _E.RCV_MESSAGE): (_A.PROCESS, _S.CLOSING),  # sent before the peer saw our DPR
    (_S.CLOSING, _E.RCV_DWR): (_A.SEND_DWA, _S.CLOSING),
    (_S.CLOSING, _E.RCV_DWA): (_A.PROCESS_DWA, _S.CLOSING),
    (_S.CLOSING, _E.STOP): (_A.IGNORE, _S.CLOSING),  # stopping already
    (_S.CLOSING, _E.TIMEOUT): (_A.CLEAN_UP, _S.CLOSED),
    (_S.CLOSING, _E.I_PEER_DISC): (_A.CLEAN_UP, _S.CLOSED),
    (_S.CLOSING, _E.R_PEER_DISC): (_A.CLEAN_UP, _S.CLOSED),
}


class Ending(Enum):
    """How a connection to a peer that we dial came to its end."""

    FAILED = auto()  # it never came about, or broke
    SILENT = auto()  # given up by the watchdog
    REBOOTING = auto()  # Disconnect-Cause of the peer's DPR
    BUSY = auto()
    NOT_WANTED = auto()
    RIVAL = auto()  # the peer has a connection of its own to us
    STOPPED = auto()  # by us


class Again(Enum):
    """When to dial again."""

    AFTER_TC = auto()
    ON_DEMAND = auto()  # only when there is something to send
    WHEN_RIVAL_ENDS = auto()
    NEVER = auto()


# RFC 6733, sections 2.1 (Tc) and 5.4.3 [B-33]
RECONNECT: Final[dict[Ending, Again]] = {
    Ending.FAILED: Again.AFTER_TC,
    Ending.SILENT: Again.AFTER_TC,  # into REOPEN of the watchdog: it has to prove itself
    Ending.REBOOTING: Again.AFTER_TC,
    Ending.BUSY: Again.ON_DEMAND,
    Ending.NOT_WANTED: Again.ON_DEMAND,
    Ending.RIVAL: Again.WHEN_RIVAL_ENDS,
    Ending.STOPPED: Again.NEVER,
}


class Watch(Enum):
    INITIAL = auto()
    OKAY = auto()
    SUSPECT = auto()
    DOWN = auto()
    REOPEN = auto()


class Sign(Enum):
    """What the watchdog sees. A guard of the RFC's table (is a DWR pending; which DWA is it) is part of the sign."""

    CONNECTION_UP = auto()
    CONNECTION_DOWN = auto()
    RECEIVED = auto()  # anything but a DWA
    RECEIVED_DWA = auto()
    RECEIVED_LAST_DWA = auto()  # the third one in REOPEN
    TIMER_IDLE = auto()  # Tw expired, no DWR pending
    TIMER_PENDING = auto()  # Tw expired, a DWR pending
    TIMER_MISSED = auto()  # the same in REOPEN, for the second time


class Watching(Enum):
    NOTHING = auto()
    SET_TIMER = auto()
    SEND_DWR = auto()
    START_REOPEN = auto()
    COUNT_DWA = auto()
    MISS = auto()
    FAIL_OVER = auto()
    FAIL_BACK = auto()
    CLOSE = auto()


_W, _G, _D = Watch, Sign, Watching

# RFC 3539, section 3.4.1, the table at its end. Setting Tw is part of each action but NOTHING.
WATCHDOG: Final[dict[tuple[Watch, Sign], tuple[Watching, Watch]]] = {
    # state               sign                       action                 next
    (_W.INITIAL, _G.CONNECTION_UP): (_D.SET_TIMER, _W.OKAY),
    (_W.INITIAL, _G.CONNECTION_DOWN): (_D.NOTHING, _W.INITIAL),
    (_W.OKAY, _G.RECEIVED): (_D.SET_TIMER, _W.OKAY),
    (_W.OKAY, _G.RECEIVED_DWA): (_D.COUNT_DWA, _W.OKAY),  # no DWR pending any more
    (_W.OKAY, _G.TIMER_IDLE): (_D.SEND_DWR, _W.OKAY),
    (_W.OKAY, _G.TIMER_PENDING): (_D.FAIL_OVER, _W.SUSPECT),
    (_W.OKAY, _G.CONNECTION_DOWN): (_D.FAIL_OVER, _W.DOWN),
    (_W.SUSPECT, _G.RECEIVED): (_D.FAIL_BACK, _W.OKAY),
    (_W.SUSPECT, _G.RECEIVED_DWA): (_D.FAIL_BACK, _W.OKAY),
    (_W.SUSPECT, _G.TIMER_IDLE): (_D.CLOSE, _W.DOWN),
    (_W.SUSPECT, _G.TIMER_PENDING): (_D.CLOSE, _W.DOWN),
    (_W.SUSPECT, _G.CONNECTION_DOWN): (_D.SET_TIMER, _W.DOWN),
    (_W.DOWN, _G.CONNECTION_UP): (_D.START_REOPEN, _W.REOPEN),
    (_W.DOWN, _G.CONNECTION_DOWN): (_D.NOTHING, _W.DOWN),
    (_W.REOPEN, _G.RECEIVED): (_D.NOTHING, _W.REOPEN),  # the RFC throws it away; a server still answers requests
    (_W.REOPEN, _G.RECEIVED_DWA): (_D.COUNT_DWA, _W.REOPEN),
    (_W.REOPEN, _G.RECEIVED_LAST_DWA): (_D.FAIL_BACK, _W.OKAY),
    (_W.REOPEN, _G.TIMER_IDLE): (_D.SEND_DWR, _W.REOPEN),
    (_W.REOPEN, _G.TIMER_PENDING): (_D.MISS, _W.REOPEN),
    (_W.REOPEN, _G.TIMER_MISSED): (_D.CLOSE, _W.DOWN),
    (_W.REOPEN, _G.CONNECTION_DOWN): (_D.SET_TIMER, _W.DOWN),
}
