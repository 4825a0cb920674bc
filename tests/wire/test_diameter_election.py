"""Both sides connect at once: the election of RFC 6733, 5.6.4, row by row and with both ends played out."""

from __future__ import annotations

import pytest

from protocols.diameter import avp, base, codes
from protocols.diameter.base import DisconnectCause
from protocols.diameter.dialled import DialledPeer, Meeting
from protocols.diameter.message import Message, encode
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import Closed, Identified, Opened, Peer, PeerConfig, PeerEvent, RivalLoses, RivalWins
from protocols.diameter.peer_table import RECONNECT, Ending, State, Watch
from protocols.diameter.result_codes import ResultCode
from tests.builders_gy import capabilities_request

T0 = 1_000_000
CEA_REFUSED = encode(
    0, 257, 0, 1, 1, avp.avp_u32(codes.RESULT_CODE, ResultCode.ELECTION_LOST) + LocalNode("z.net", "net").origin
)


def dialled_by(identity: str, **settings: object) -> DialledPeer:
    return DialledPeer(PeerConfig(LocalNode(identity, "example.net"), "0.0.0.0", **settings), T0)  # type: ignore[arg-type]


def events(peer: Peer) -> list[PeerEvent]:
    found: list[PeerEvent] = []
    while (event := peer.next_event()) is not None:
        found.append(event)
    return found


def kinds(peer: Peer) -> list[type]:
    return [type(event) for event in events(peer)]


class Side:
    """One node in a simultaneous open: the connection it dials, and the one it is dialled by."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.dialled = dialled_by(identity)
        self.accepted = Peer(PeerConfig(LocalNode(identity, "example.net"), "127.0.0.1"), T0)
        self.events: list[type] = []

    def identify(self) -> None:
        """The shell's part when the other's CER is read on the accepted connection."""
        while (event := self.accepted.next_event()) is not None:
            if isinstance(event, Identified):
                meeting = self.dialled.meet(event.capabilities.origin_host, T0)
                if meeting is Meeting.ACCEPTED:
                    self.accepted.accept(T0)
                elif meeting is Meeting.HELD:
                    self.accepted.hold()
                else:
                    self.accepted.reject("another one is open")
        self._watch()

    def _watch(self) -> None:
        for event in events(self.dialled):
            if isinstance(event, RivalWins):
                self.accepted.accept(T0)
            elif isinstance(event, RivalLoses):
                self.accepted.reject("the election")

    @property
    def open(self) -> set[State]:
        return {self.dialled.state, self.accepted.state} & {State.R_OPEN, State.I_OPEN}


@pytest.mark.parametrize(("one", "two"), [("b.example.net", "a.example.net"), ("a.example.net", "B.example.net")])
@pytest.mark.parametrize("is_late", [False, True], ids=["CERs cross", "CER before our transport is up"])
def test_b32_election_leaves_one_connection(one: str, two: str, is_late: bool) -> None:
    """The greater identity keeps the connection that it was dialled on; both ends agree, whatever the order."""
    left, right = Side(one), Side(two)
    left.dialled.connected("127.0.0.1", T0)
    if not is_late:
        right.dialled.connected("127.0.0.1", T0)
    right.accepted.receive_data(left.dialled.data_to_send(), T0)
    right.identify()
    if is_late and not right.dialled.is_over:
        right.dialled.connected("127.0.0.1", T0)
        right._watch()
    for _ in range(3):  # what each side has written reaches the other
        for here, there in ((left, right), (right, left)):
            _carry(here.dialled, there.accepted)
            _carry(there.accepted, here.dialled)
            there.identify()
            here._watch()
    assert len(left.open) == len(right.open) == 1
    winner, loser = (left, right) if one.lower() > two.lower() else (right, left)
    assert winner.accepted.state is State.R_OPEN, "the winner keeps the connection on which it answered"
    assert loser.dialled.state is State.I_OPEN


def _carry(sender: Peer, receiver: Peer) -> None:
    data = sender.data_to_send()
    if data and not receiver.is_over:
        receiver.receive_data(data, T0)
    if sender.is_over and not receiver.is_over:
        receiver.connection_lost(T0)


def test_election_rows_in_wait_conn_ack() -> None:
    """A CER before our transport is up is held; a second one is rejected; a refused transport lets it in."""
    peer = dialled_by("a.net")
    assert peer.meet("z.net", T0) is Meeting.HELD
    assert peer.state is State.WAIT_CONN_ACK_ELECT
    assert peer.meet("z.net", T0) is Meeting.REJECTED
    peer.refused(T0)
    assert kinds(peer) == [RivalWins, Closed]


def test_election_rows_when_the_rival_goes() -> None:
    """The held connection is lost: back to where ours was."""
    peer = dialled_by("a.net")
    peer.meet("z.net", T0)
    peer.rival_lost(T0)
    states = [peer.state]
    peer.connected("127.0.0.1", T0)
    assert peer.meet("z.net", T0) is Meeting.HELD
    states.append(peer.state)
    assert peer.meet("z.net", T0) is Meeting.REJECTED
    peer.rival_lost(T0)
    assert [*states, peer.state] == [State.WAIT_CONN_ACK, State.WAIT_RETURNS, State.WAIT_I_CEA]
    peer.rival_lost(T0)  # once more is nothing


@pytest.mark.parametrize("answer", [CEA_REFUSED, capabilities_request(), b""], ids=["refused", "no CEA", "closed"])
def test_election_is_lost_by_the_other(answer: bytes) -> None:
    """Our connection comes to nothing after all: the held one is let in."""
    peer = dialled_by("a.net")
    peer.connected("127.0.0.1", T0)
    assert peer.meet("z.net", T0) is Meeting.HELD
    if answer:
        peer.receive_data(answer, T0)
    else:
        peer.connection_lost(T0)
    assert kinds(peer) == [RivalWins, Closed], "the shell has to let the rival in before it hears of our end"


def test_election_timeout_ends_ours() -> None:
    """No CEA for too long: an error, and no connection is left of this attempt."""
    peer = dialled_by("a.net", capabilities_timeout_ms=5_000)
    peer.connected("127.0.0.1", T0)
    peer.meet("z.net", T0)
    peer.handle_timer(T0 + 5_000)
    assert kinds(peer) == [Closed]


def test_connection_that_is_open_or_closing_rejects_another() -> None:
    """B-32: one connection per peer."""
    peer = dialled_by("a.net")
    peer.connected("127.0.0.1", T0)
    peer.receive_data(_cea(peer), T0)
    assert kinds(peer) == [Opened]
    assert peer.meet("z.net", T0) is Meeting.REJECTED
    peer.stop(DisconnectCause.REBOOTING, T0)
    assert peer.meet("z.net", T0) is Meeting.REJECTED
    peer.connection_lost(T0)
    assert peer.meet("z.net", T0) is Meeting.ACCEPTED


def test_b33_every_ending_says_when_to_dial_again() -> None:
    """The table is total, and a DPR with BUSY or DO_NOT_WANT_TO_TALK_TO_YOU is not answered by a new connection."""
    assert RECONNECT.keys() == set(Ending)
    assert RECONNECT[Ending.BUSY] == RECONNECT[Ending.NOT_WANTED]
    assert RECONNECT[Ending.REBOOTING] is RECONNECT[Ending.FAILED]


def test_connection_after_a_silent_one_has_to_prove_itself() -> None:
    """RFC 3539, 3.4.1: after DOWN comes REOPEN, with a DWR at once; three answers, and it is sound."""
    peer = DialledPeer(PeerConfig(LocalNode("a.net", "net"), "0.0.0.0"), T0, was_lost=True)
    peer.connected("127.0.0.1", T0)
    peer.receive_data(_cea(peer), T0)
    events(peer)
    assert (peer.watchdog.state, peer.is_sound) == (Watch.REOPEN, False)
    now_ms = T0
    for number in range(3):
        if number:
            now_ms += 30_000
            peer.handle_timer(now_ms)
        (dwr,) = messages(peer)
        assert dwr.command == codes.DEVICE_WATCHDOG
        peer.receive_data(base.success_answer(dwr, LocalNode("z.net", "net")), now_ms)
        events(peer)
    assert peer.is_sound


def messages(peer: Peer) -> list[Message]:
    data, found = peer.data_to_send(), []
    while data:
        length = int.from_bytes(data[1:4], "big")
        found.append(Message(data[:length]))
        data = data[length:]
    return found


def _cea(peer: Peer) -> bytes:
    (cer,) = messages(peer)
    return base.capabilities_answer(cer, LocalNode("z.net", "net"), "127.0.0.1")
