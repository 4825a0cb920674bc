"""The load generators against servers that do as told: what they send next, and what they do about trouble."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from diameter.message import Avp, constants

from tests.bench.conftest import Generator, report_of
from tests.bench.standin import StandIn, granted, result


def numbers_of(requests: list[Any]) -> list[tuple[int, int, int]]:
    """Type, number and reported use of each request."""
    return [
        (
            each.cc_request_type,
            each.cc_request_number,
            sum(unit.cc_time for unit in each.multiple_services_credit_control[0].used_service_unit),
        )
        for each in requests
    ]


def test_a_session_reports_what_was_granted(generator: Generator) -> None:
    """CCR-I, three CCR-U and a CCR-T, numbered from 0, each with the last grant as its use."""
    with StandIn(lambda request: [result(2001), granted(10 + request.cc_request_number)]) as server:
        options = (
            "--sessions",
            1,
            "--connections",
            1,
            "--run",
            7,
        )  # of several, the one that opens first would be used
        report = report_of(generator("ccr_load", "--port", server.port, *options))
        requests = server.of_session("c00.load.example.net;0000000007;0000000000")
    assert numbers_of(requests) == [(1, 0, 0), (2, 1, 10), (2, 2, 11), (2, 3, 12), (3, 4, 13)]
    assert report["answers"] == 5
    assert report["result_codes"] == {"2001": 5}
    assert report["latency"]["update"]["count"] == 3


def refuse_update(request: Any) -> list[Avp]:
    return [result(4012)] if request.cc_request_type == 2 else [result(2001), granted(10)]


def refuse_initial(request: Any) -> list[Avp]:
    return [result(5030)]


def unknown_update(request: Any) -> list[Avp]:
    return [result(5002)] if request.cc_request_type == 2 else [result(2001), granted(10)]


def last_units(request: Any) -> list[Avp]:
    action = Avp.new(constants.AVP_FINAL_UNIT_ACTION, value=0)
    return [result(2001), granted(10, Avp.new(constants.AVP_FINAL_UNIT_INDICATION, value=[action]))]


@pytest.mark.parametrize(
    ("decide", "types", "ends"),
    [
        (refuse_update, [1, 2, 3], {"ended": 1, "refused": 0}),
        (refuse_initial, [1], {"ended": 0, "refused": 1}),
        (unknown_update, [1, 2], {"ended": 0, "refused": 1}),
        (last_units, [1, 3], {"ended": 1, "refused": 0}),
    ],
)
def test_a_session_ends_as_real_ones_do(
    generator: Generator, decide: Any, types: list[int], ends: dict[str, int]
) -> None:
    """A refused CCR-U is followed by a CCR-T, a refused CCR-I or an unknown session by nothing."""
    with StandIn(decide) as server:
        report = report_of(generator("ccr_load", "--port", server.port, "--sessions", 1))
        assert [request.cc_request_type for request in server.requests] == types
    assert {name: report["sessions"][name] for name in ends} == ends


def test_a_lost_connection_is_outlived(generator: Generator, tmp_path: Path) -> None:
    """With --retry the same requests come again, same numbers, same end-to-end id, T flag; the ledger has each once."""
    dropped: set[tuple[str, int]] = set()

    def drop_each_once(request: Any) -> list[Avp] | None:
        name = (request.session_id, request.cc_request_number)
        if request.cc_request_number % 2 and name not in dropped:
            dropped.add(name)
            return None
        return [result(2001), granted(10)]

    ledger = tmp_path / "ledger"
    with StandIn(drop_each_once) as server:
        options = ("--port", server.port, "--sessions", 3, "--in-flight", 1, "--connections", 1, "--run", 1)
        report = report_of(generator("ccr_load", *options, "--retry", "--ledger", ledger))
        sent = [server.of_session(f"c00.load.example.net;0000000001;{number:010d}") for number in range(3)]
    assert report["reconnects"] == report["retransmissions"] == 6
    for requests in sent:
        assert [each.cc_request_number for each in requests] == [0, 1, 1, 2, 3, 3, 4]
        assert [each.header.is_retransmit for each in requests] == [False, False, True, False, False, True, False]
        assert requests[1].header.end_to_end_identifier == requests[2].header.end_to_end_identifier
        assert requests[1].event_timestamp == requests[2].event_timestamp
    lines = [line.split("\t") for line in ledger.read_text(encoding="utf-8").splitlines()]
    assert [(line[0][-1], line[3], line[6], line[7]) for line in lines] == [
        (str(session), str(number), "0" if number == 0 else "10", "10") for session in range(3) for number in range(5)
    ]


def test_a_busy_server_is_asked_again(generator: Generator) -> None:
    """UNABLE_TO_DELIVER decides nothing: with --retry the request comes again, as a repeat."""
    answers = iter([3004, 2001, 2001, 2001])
    with StandIn(lambda _: [result(next(answers)), granted(10)]) as server:
        report = report_of(generator("ccr_load", "--port", server.port, "--sessions", 1, "--updates", 1, "--retry"))
        assert [each.header.is_retransmit for each in server.requests] == [False, True, False, False]
    assert report["sessions"]["ended"] == 1


def test_sessions_can_be_left_open(generator: Generator) -> None:
    """--open-only sends nothing but CCR-I, one for each account."""
    with StandIn(lambda _: [result(2001), granted(10)]) as server:
        options = ("--open-only", "--sessions", 20, "--accounts", 20)
        report_of(generator("ccr_load", "--port", server.port, *options))
        numbers = {each.subscription_id[0].subscription_id_data for each in server.requests}
    assert numbers == {f"4915{account:08d}" for account in range(20)}


def test_trouble_is_one_line(generator: Generator) -> None:
    """No server, a server that refuses us, an option that is none: one line and a status of its own."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        absent = generator("ccr_load", "--port", unused.getsockname()[1])
    with StandIn(lambda _: None, capabilities_result=3010) as server:
        refused = generator("ccr_load", "--port", server.port)
    with StandIn(lambda _: None) as server:
        lost = generator("ccr_load", "--port", server.port)
    wrong = generator("ccr_load", "--seconds", "soon")
    assert [each.returncode for each in (absent, refused, lost, wrong)] == [69, 69, 70, 64]
    assert [each.stderr.count("\n") for each in (absent, refused, lost, wrong)] == [1, 1, 1, 1]
    assert "3010" in refused.stderr


def accounting_response(request: bytes, secret: bytes) -> bytes:
    header = b"\x05" + request[1:2] + b"\x00\x14"
    return header + hashlib.md5(header + request[4:20] + secret, usedforsecurity=False).digest()


def test_a_lost_accounting_request_is_sent_again_unchanged(generator: Generator) -> None:
    """What is not answered is sent again octet for octet; an answer under a wrong secret counts as none [R-30]."""
    seen: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)

        def serve() -> None:
            for turn in range(6):
                packet, address = server.recvfrom(4096)
                seen.append(packet)
                if turn == 1:
                    server.sendto(accounting_response(packet, b"other"), address)
                elif turn != 3:
                    server.sendto(accounting_response(packet, b"testing123"), address)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        options = ("--sessions", 1, "--in-flight", 1, "--retransmit-ms", 1000)
        report = report_of(generator("radius_load", "--port", port, *options))
        thread.join(timeout=60)
    assert seen[1] == seen[2]
    assert seen[3] == seen[4]
    assert len(set(seen)) == 4
    assert (report["retransmissions"], report["bad_answers"], report["answers"]) == (2, 1, 4)
    assert report["sessions"]["ended"] == 1
