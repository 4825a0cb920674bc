"""Profile files: what is wrong in one is told at once, with its line and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.errors import StartRefusedError
from ocs.gateways.radius_products import check_products, load_products
from ocs.gateways.radius_profile import RETURN_CODES, Reason, dressed, read_profile
from ocs.rating.faults import FaultList
from ocs.rating.tomlfile import TomlFile
from ocs.settings import Radius, RadiusClient
from tests.wire.radius_packets import CONFIG, attributes_of, cisco, dictionary


def faults_of(text: str) -> list[str]:
    faults = FaultList("x.toml")
    assert (read_profile("x", text, dictionary(), faults) is None) == bool(faults.sorted())
    return [str(fault) for fault in faults.sorted()]


HEAD = 'title = "x"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("title =", "x.toml:1: file: is no TOML"),
        ("", "x.toml:1: title: is missing"),
        (HEAD + "[read]\ncaler = []\n", "x.toml:3: read.caler: is not a known field (did you mean caller?)"),
        (
            HEAD + '[read]\ncall = ["h323-conf-di"]\n',
            "x.toml:3: read.call: h323-conf-di is in no dictionary (did you mean h323-conf-id?)",
        ),
        (
            HEAD + '[[rewrite]]\nfield = "sesion"\nmatch = "^0"\n',
            "x.toml:3: rewrite.field: sesion is no field (did you mean session?)",
        ),
        (HEAD + '[[rewrite]]\nfield = "callee"\nmatch = "("\n', "x.toml:4: rewrite.match: is no usable pattern"),
        (
            HEAD + '[[rewrite]]\nfield = "callee"\nmatch = "^0"\nreplace = "\\\\7"\n',
            "x.toml:4: rewrite.match: is no usable pattern: invalid group reference",
        ),
        (HEAD + '[accept]\nNo-Such = "x"\n', "x.toml:3: accept.No-Such: is in no dictionary"),
        (HEAD + '[accept]\nReply-Message = "{second}"\n', "accept.Reply-Message: has the unknown placeholder 'second'"),
        (HEAD + '[accept]\nReply-Message = "{"\n', "accept.Reply-Message: is no template"),
        (HEAD + '[accept]\nclass = "x"\n', "accept.class: is always set, by what was decided (leave it out)"),
        (HEAD + '[reject]\nh323-credit-time = "9"\n', "reject.h323-credit-time: would serve a call that is refused"),
        (HEAD + '[accept]\nIdle-Timeout = "s{seconds}"\n', "accept.Idle-Timeout: is no number"),
        (HEAD + "[return_codes]\nno_mony = 4\n", "return_codes.no_mony: is no reason (did you mean no_money?)"),
        (HEAD + '[dynamic]\nidentify = ["Nobody"]\n', "dynamic.identify: Nobody is in no dictionary"),
        (
            HEAD.replace("title", 'keep = ["Calld-Station-Id"]\ntitle'),
            "x.toml:1: keep: Calld-Station-Id is in no dictionary",
        ),
        (HEAD + '[incoming]\nNo-Such = ["in"]\n', "x.toml:3: incoming.No-Such: No-Such is in no dictionary"),
        (HEAD + '[legs]\ncharged = "both"\n', "x.toml:3: legs.charged: invalid enum value 'both'"),
    ],
)
def test_r120_a_fault_names_its_place_and_its_cure(text: str, fault: str) -> None:
    """Found before the first call, not by it."""
    assert any(fault in line for line in faults_of(text)), faults_of(text)


def test_a_profile_may_say_almost_nothing() -> None:
    """RFC 2865 and 2866 stand where it is silent."""
    assert faults_of(HEAD) == []


def test_answers_are_dressed_by_the_profile() -> None:
    """Numbers as numbers, several of one attribute, and nothing where there is nothing to say."""
    text = HEAD + '[accept]\nIdle-Timeout = "{seconds}"\nSIP-AVP = ["a:{seconds}", "b"]\nh323-currency = "{currency}"\n'
    faults = FaultList("x.toml")
    dialect = read_profile("x", text, dictionary(), faults)
    assert dialect is not None, faults.sorted()
    values = {"seconds": "540", "currency": "EUR"}
    expected = attributes_of({28: 540, 225: [b"a:540", b"b"], 26: [cisco(110, "EUR")]})
    assert dressed(dialect.accept, values) == expected
    assert dressed(dialect.accept, {"seconds": "", "currency": ""}) == attributes_of({225: b"b"})


def test_the_shipped_profiles_are_sound_and_a_clients_mistakes_are_found(tmp_path: Path) -> None:
    """By `ocs config check`, and at the start."""
    clients = """[[radius.clients]]
name = "a"
profile = "cisko"
[[radius.clients]]
name = "b"
account_from = [
    "User-Name",
    "Calling-Station-It",
]
"""
    faults = FaultList("ocs.toml")
    file = TomlFile(clients, faults)
    radius = Radius(
        clients=tuple(
            RadiusClient(**{"networks": (), "secret": "", **each}) for each in file.table["radius"]["clients"]
        )
    )
    assert check_products(CONFIG, radius, file.fault) == []
    assert [str(fault) for fault in faults.sorted()] == [
        "ocs.toml:3: radius.clients.profile: there is no profile cisko (did you mean cisco?)",
        "ocs.toml:6: radius.clients.account_from: Calling-Station-It is in no dictionary (did you mean Calling-Station-Id?)",
    ]
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(
        StartRefusedError, match=r"dictionary:0: there is no such file\n.*bad.toml:0: file: cannot be read"
    ):
        load_products(tmp_path, Radius())


def test_every_reason_has_a_code_and_a_sentence() -> None:
    """A new reason cannot be forgotten."""
    assert RETURN_CODES.keys() == set(Reason)
