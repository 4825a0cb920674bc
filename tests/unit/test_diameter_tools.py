"""``ocs diameter decode`` and what it is made of: hex text, captures, trees with their faults marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES
from ocs.tools.avps import avp_entries
from ocs.tools.diameter_frames import frames_of_capture
from ocs.tools.diameter_tree import message_lines
from ocs.tools.hextext import octets_of
from ocs.tools.pcap import TCP, Flow, Packet, is_capture, packets
from protocols.diameter import avp, codes
from protocols.diameter.dictionary import BY_KEY
from protocols.diameter.message import encode
from tests.builders_gy import TGPP, capabilities_request, ccr, group, ims, money, mscc, seconds
from tests.unit.captures import ethernet, pcap, pcapng, sctp, segments, udp

FRAME = ccr(mscc(seconds(codes.REQUESTED_SERVICE_UNIT, 60), rating_group=100), ims("tel:+4930"), kind=2, number=7)


@pytest.mark.parametrize(
    "text",
    [
        "0100 00ff",
        "01:00:00:ff",
        "0x01, 0x00, 0x00, 0xff",
        "\\x01\\x00\\x00\\xff",
        "# a comment\n01 00\n00 FF\n",
        "0000  01 00                                             ..\n0002  00 ff                                             ..\n",
        "00000000: 0100 00ff                                .ÿ..\n",
    ],
)
def test_hex_in_any_usual_form(text: str) -> None:
    """As tcpdump, Wireshark, xxd, a C array and a log write it."""
    assert octets_of(text) == b"\x01\0\0\xff"


@pytest.mark.parametrize("text", ["", "hello", "01 0", "0x"])
def test_what_is_no_hex(text: str) -> None:
    """Nothing is guessed."""
    assert octets_of(text) is None


def test_names_agree_with_the_servers_dictionary() -> None:
    """Both dictionaries give a code the same name; the readable one knows all that the server knows."""
    readable = avp_entries()
    assert {key: entry.name for key, entry in BY_KEY.items()} == {key: readable[key].name for key in BY_KEY}


def test_a_request_as_a_tree() -> None:
    """Header, names, enumerations, times, texts and groups."""
    lines = list(map(str, message_lines(FRAME)))
    assert lines[0] == "Credit-Control-Request 272 flags RP credit control 4 hop-by-hop 00000007 end-to-end 00000009"
    for expected in (
        '  Session-Id (263) = "client.example.net;1;1"',
        "  CC-Request-Type (416) = 2 UPDATE_REQUEST",
        "  Event-Timestamp (55) = 2026-09-21 14:13:20Z",
        "    Subscription-Id-Type (450) = 0 END_USER_E164",
        "    Requested-Service-Unit (437)",
        "      CC-Time (420) = 60",
        "  Service-Information (10415:873)",
        '      Called-Party-Address (10415:832) = "tel:+4930"',
    ):
        assert expected in lines
    assert not [line for line in message_lines(FRAME) if line.fault]


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        pytest.param(FRAME[:-4], "message length 332, and there are 328 octets", id="cut"),
        pytest.param(b"\2" + FRAME[1:], "version 2", id="version"),
        pytest.param(ccr(flags=0xC1), "reserved bits are set", id="reserved bits"),
        pytest.param(ccr(flags=0xE0), "E in a request", id="E in a request"),
        pytest.param(ccr(avp.avp(TGPP | 999_999, b"x")), "unknown, with the M bit", id="unknown with M"),
        pytest.param(ccr(avp.avp(codes.CC_TIME, b"\1")), "1 octets: Unsigned32 has 4", id="number"),
        pytest.param(ccr(kind=9), "no value of this enumeration", id="enumeration"),
        pytest.param(ccr(avp.avp(codes.USER_NAME, b"\xff")), "no UTF-8", id="text"),
        pytest.param(ccr(avp.avp(codes.HOST_IP_ADDRESS, b"\0\1\1")), "no address of IPv4, IPv6 or E.164", id="address"),
        pytest.param(
            ccr(group(codes.USED_SERVICE_UNIT, b"\0\0\1\xa4\0\0\0\x40")), "length 64, and 8 octets", id="length"
        ),
        pytest.param(encode(0x80, 272, 4, 1, 1, b"abc\0"), "octets that are no AVP", id="no AVP"),
        pytest.param(b"\1\0\0\x14", "4 octets: a header has 20", id="no header"),
    ],
)
def test_faults_are_marked(frame: bytes, fault: str) -> None:
    """Where it is and what it is; what can still be read is shown."""
    assert any(fault in line.fault for line in message_lines(frame)), "\n".join(map(str, message_lines(frame)))


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A peer chooses its texts; an escape sequence is shown as what it is."""
    text = "\n".join(map(str, message_lines(ccr(session="\x1b[2Jx"))))
    assert "\x1b" not in text
    assert "\\x1b[2Jx" in text


@given(st.binary(max_size=400))
def test_anything_has_a_tree(noise: bytes) -> None:
    """Octets of any kind are shown, in a bounded number of lines."""
    for frame in (noise, FRAME[:20] + noise):
        assert 0 < len(message_lines(frame)) <= 1 + len(frame)


def test_depth_is_bounded() -> None:
    """Ten thousand groups inside each other are no recursion without end."""
    nested = b""
    for _ in range(10_000):
        nested = avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, nested)
    lines = message_lines(encode(0xC0, 272, 4, 1, 1, nested))
    assert "groups deep" in lines[-1].fault
    assert len(lines) < 30


MESSAGES = [capabilities_request(), FRAME, ccr(money(codes.REQUESTED_SERVICE_UNIT, 230, -2))]
STREAM = b"".join(MESSAGES)


@pytest.mark.parametrize("write", [pcap, pcapng])
@pytest.mark.parametrize("size", [1, 7, 100, 1400])
@pytest.mark.parametrize("order", ["as sent", "backwards", "twice"])
def test_streams_are_put_together(write: object, size: int, order: str) -> None:
    """However the octets were cut, overtook each other or were repeated: the same messages in the same order."""
    first, *rest = segments(STREAM, size)
    sent = {
        "as sent": rest,
        "backwards": rest[:256][::-1] + rest[256:],
        "twice": [each for one in rest for each in (one, one)],
    }
    data = write([first, *sent[order]])  # type: ignore[operator]
    assert [frame for _, frame in frames_of_capture(data)] == MESSAGES
    assert {way for way, _ in frames_of_capture(data)} == {"10.0.0.1:40000 -> 10.0.0.2:3868"}
    assert list(frames_of_capture(data, port=1812)) == []


def test_a_capture_that_began_in_the_middle_of_a_message() -> None:
    """What is left of that message is passed over; the next one that begins with a segment is shown."""
    data = pcap(
        [*segments(STREAM[50:], 1400, start=False)[:1], *segments(FRAME, 1400, start=False, at=len(STREAM) - 50)]
    )
    assert [frame for _, frame in frames_of_capture(data)] == [FRAME]


def test_sctp_and_other_traffic() -> None:
    """Whole SCTP messages are Diameter, too; UDP and noise are not."""
    data = pcap([sctp(FRAME), udp(b"\1\2\0\x14" + bytes(16), 1812), ethernet(b"noise"), b"", b"\0" * 13])
    assert [frame for _, frame in frames_of_capture(data)] == [FRAME]


@given(st.binary(max_size=300))
def test_no_capture_makes_the_reader_fail(noise: bytes) -> None:
    """Files are cut and damaged."""
    for head in (pcap([])[:24], pcapng([]), b""):
        if is_capture(head + noise):
            list(packets(head + noise))
            list(frames_of_capture(head + noise))


def test_a_hole_is_given_up_when_too_much_waits() -> None:
    """A packet that was not captured holds back so many that follow, and no more."""
    flow, ends = Flow(), (("a", 1), ("b", 2))
    assert flow.feed(Packet(TCP, *ends, b"x", 10)) == b"x"
    got = b"".join(flow.feed(Packet(TCP, *ends, b"y", 100 + number)) for number in range(400))
    assert len(got) >= 100


def test_decode_reads_files_and_standard_input(tmp_path: Path) -> None:
    """A capture, hex text and raw octets; the exit status says whether a fault is marked."""
    (tmp_path / "a.pcap").write_bytes(pcap(segments(STREAM, 100)))
    (tmp_path / "raw").write_bytes(FRAME)
    run = CliRunner().invoke(app, ["diameter", "decode", str(tmp_path / "a.pcap"), str(tmp_path / "raw")])
    assert (run.exit_code, run.output.splitlines()[-1]) == (0, "4 messages"), run.output
    run = CliRunner().invoke(app, ["diameter", "decode"], input=ccr(kind=9).hex())
    assert run.exit_code == EXIT_DIFFERENCES
    assert re.search(r"CC-Request-Type \(416\) = 9 +<-- no value of this enumeration", run.output)


@pytest.mark.parametrize(("text", "words"), [("zz", "neither a capture"), ("", "neither a capture")])
def test_decode_refuses_what_is_no_diameter(text: str, words: str) -> None:
    """One line, and the status of a wrong file."""
    run = CliRunner().invoke(app, ["diameter", "decode"], input=text)
    assert run.exit_code == EXIT_CONFIG
    assert words in run.output


def test_decode_of_a_file_that_is_not_there() -> None:
    """The file's name and why."""
    run = CliRunner().invoke(app, ["diameter", "decode", "/nowhere/trace.pcap"])
    assert run.exit_code == EXIT_CONFIG
    assert "/nowhere/trace.pcap: No such file or directory" in run.output
