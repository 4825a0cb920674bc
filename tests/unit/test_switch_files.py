"""Rows of switches' files, read by their mapping: what is charged, what is passed over, what is told to be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.charging.request import ChargingRequest, RequestKind
from ocs.gateways.numbering import PLAIN_NUMBERING, Numbering
from ocs.gateways.switch_files import (
    Switch,
    UnreadableFileError,
    charge_of,
    fingerprint_of,
    is_record,
    parse_switches,
    rows_of,
)
from ocs.mediation_files import load_switches
from ocs.rating.faults import FaultList
from ocs.rating.units import UnitKind
from ocs.settings import NumberingEntry
from tests.integration.invoice_world import at

NOW_MS = at("2026-11-01T00:00", "UTC")
SAMPLE = """
[[switch]]
name = "s1"
zone = "Europe/Berlin"
key = ["id"]
details = ["trunk"]
columns = { began = "answer", used = "sec", caller = "a", called = "b", session = "id", cause = "why" }
only = { state = ["ANSWERED"] }
charged = [{ column = "code", identity = "name" }, { column = "a" }]
"""
HEADER = "id,answer,sec,a,b,state,code,trunk,why"
CALL = "7,2026-10-10 12:00:00,61,+49 30 111,0044 20 7946 0958,ANSWERED,,t9,16"


def switch(text: str = SAMPLE) -> Switch:
    faults = FaultList("mediation.toml")
    found = parse_switches(text, faults)
    assert faults.sorted() == []
    return next(iter(found.values()))


def charged(row: str, mapping: Switch | None = None, header: str = HEADER) -> ChargingRequest | str:
    mapping = mapping or switch()
    (found,) = rows_of(mapping, f"{header}\n{row}\n".encode())
    numbering = Numbering.of([NumberingEntry(clients=("s1",), region="DE")])
    return charge_of(mapping, found.cells, numbering, NOW_MS)


def test_a_row_becomes_an_event_of_its_own_time() -> None:
    """Numbers as the switch's numbering says, times of its zone, the identity that is there, and what is kept beside."""
    request = charged(CALL)
    assert isinstance(request, ChargingRequest)
    assert (request.kind, request.cumulative) == (RequestKind.EVENT, True)
    assert (request.origin, request.destination) == ("4930111", "442079460958")
    assert request.event_at_ms == at("2026-10-10T12:00", "Europe/Berlin")
    assert request.identities == ("e164:4930111",)
    assert [(q.kind, q.value) for g in request.groups for q in g.requested or ()] == [(UnitKind.SECONDS, 61)]
    assert (request.peer, request.cause, request.details) == ("s1", "16", (("trunk", "t9"),))
    assert request.session_key.startswith("md:s1:7:")
    other = charged(CALL.replace(",,t9", ",shop,t9"))
    assert isinstance(other, ChargingRequest)
    assert other.identities == ("name:shop", "e164:4930111")


def test_a_row_is_named_by_its_key_or_by_all_of_it() -> None:
    """The same key is the same row whatever else stands in it; without a key every cell counts."""
    one, two = ({"id": "7", "sec": text} for text in ("61", "62"))
    assert fingerprint_of(switch(), one) == fingerprint_of(switch(), two)
    whole = switch(SAMPLE.replace('key = ["id"]', ""))
    assert fingerprint_of(whole, one) != fingerprint_of(whole, two)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (CALL.replace("61", "-1"), "sec '-1' cannot be"),
        (CALL.replace("61", ""), "sec is empty"),
        (CALL.replace("61", "1m"), "sec '1m' is no number"),
        (CALL.replace("61", "NaN"), "sec 'NaN' cannot be"),
        (CALL.replace("2026-10-10 12:00:00", "10.10.26"), "'10.10.26' is no time (iso)"),
        (CALL.replace("2026-10-10", "2027-10-10"), "answer '2027-10-10 12:00:00' is not in the past"),
        (CALL.replace("+49 30 111", ""), "code and a empty: who pays is not said"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row: str, fault: str) -> None:
    """With the column and what stands there."""
    assert charged(row) == fault


@pytest.mark.parametrize(
    ("times", "began", "ended", "used"),
    [
        ("iso", "2026-10-10T10:00:00.300Z", "2026-10-10T10:01:00.301Z", 61),  # a part of a second counts as one
        ("unix", "1791626400", "1791626461.0", 61),
        ("unix_ms", "1791626400000", "1791626460001", 61),
        ("%d.%m.%Y %H:%M:%S", "25.10.2026 02:59:30", "25.10.2026 02:59:31", 1),
        ("iso", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", 3600),  # the hour that comes twice
    ],
)
def test_a_call_lasts_from_its_answer_to_its_end(times: str, began: str, ended: str, used: int) -> None:
    """Where the switch counts nothing; offsets are heeded."""
    mapping = switch(SAMPLE.replace('used = "sec"', 'ended = "sec"') + f'times = "{times}"\n')
    request = charged(CALL.replace("61", ended).replace("2026-10-10 12:00:00", began), mapping)
    assert isinstance(request, ChargingRequest), request
    assert [q.value for g in request.groups for q in g.requested or ()] == [used]


def test_rows_of_others_are_passed_over() -> None:
    """Only answered calls count, as the mapping says."""
    assert is_record(switch(), {"state": "ANSWERED"})
    assert not is_record(switch(), {"state": "BUSY"})
    assert not is_record(switch(), {})


def test_files_are_read_as_they_are_written() -> None:
    """Without a header, with another delimiter and encoding, with a byte-order mark, empty lines and quotes."""
    mapping = switch(
        SAMPLE.replace('"answer"', '"1"').replace('"sec"', '"2"').replace('"a"', '"3"').replace('"b"', '"4"')
        .replace('"id"', '"3"').replace('"code"', '"3"').replace('"why"', '"4"').replace('"trunk"', '"4"')
        .replace('only = { state = ["ANSWERED"] }', "")
        + 'header = false\ndelimiter = ";"\nencoding = "latin-1"\n'
    )  # fmt: skip
    rows = list(rows_of(mapping, 'x;61;"M\xfcller; Co";9\n\n;;;\ny;1;a;b\n'.encode("latin-1")))
    assert [(row.line, row.cells["3"]) for row in rows] == [(1, "Müller; Co"), (4, "a")]
    with_mark = list(rows_of(switch(), f"\ufeff{HEADER}\r\n{CALL}\r\n".encode()))
    assert with_mark[0].cells["id"] == "7"


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"id,answer\n1,2\n", "has no column 'b', 'a', 'sec', 'why', 'code', 'state', 'trunk'; it has 'id', 'answer'"),
        (b"\xff\xfe", "is not utf-8: octet 0"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(octets: bytes, why: str) -> None:
    """Before any of its rows is charged; what is missing is named, and what is there."""
    with pytest.raises(UnreadableFileError) as error:
        list(rows_of(switch(), octets))
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('used = "sec", ', ""), "columns: says neither used nor ended"),
        (("Europe/Berlin", "Berlin"), "'Berlin' is no zone"),
        (('name = "s1"', 'name = "../s1"'), "is no name"),
        (('columns = { began = "answer",', "columns = {"), "missing required field began"),
        (("[[switch]]", "[[switches]]"), "is not a known table"),
        (("charged =", "charge ="), "is not a known field"),
        (('details = ["trunk"]', 'delimiter = ";;"'), "is not one character"),
        (('details = ["trunk"]', 'encoding = "utf-9"'), "is no encoding"),
        (('{ column = "code", identity = "name" }, { column = "a" }', ""), "charged: is empty"),
    ],
)
def test_faults_of_the_mapping_are_said_with_their_place(change: tuple[str, str], fault: str) -> None:
    """All at once, with line and cure."""
    faults = FaultList("mediation.toml")
    parse_switches(SAMPLE.replace(*change), faults)
    assert any(fault in str(each) for each in faults.sorted()), faults.sorted()


def test_the_sample_is_read(project_root: Path) -> None:
    """The file that comes with the server has no faults."""
    found = load_switches(project_root / "config")
    assert isinstance(found, dict)
    assert PLAIN_NUMBERING is not None
    assert list(found) == ["softswitch1"]
