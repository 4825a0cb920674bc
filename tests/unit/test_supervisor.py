"""Whether a daemon answers is asked while it may be anybody, or nobody, that is there."""

from __future__ import annotations

import socket
import threading

import pytest

from ocs.supervisor import answers


@pytest.mark.parametrize("words", [b"GET /ready HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"", b"HTTP/1.1 503 No\r\n\r\n"])
def test_what_is_no_good_answer_is_none(words: bytes) -> None:
    """Our own words come back when a client was given the port that it asks for; others speak TLS, or hang up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(words)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert not answers(f"http://127.0.0.1:{server.getsockname()[1]}/ready")
        thread.join()


def test_nobody_is_no_answer() -> None:
    """The port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert not answers(f"http://{address[0]}:{address[1]}/ready")
