"""Number normalization per client [3.8]: what a switch sends, and what prefixes are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.gateways.numbering import NumberFormat, Numbering
from ocs.settings import Settings, load_settings

DE = NumberFormat("DE")
DE_NATIONAL = NumberFormat("DE", "national")
US = NumberFormat("US", "national")
PBX = NumberFormat("DE", "international", ("77", "1234#", "7712"), ("011", "9011"))


@pytest.mark.parametrize(
    ("rules", "address", "number"),
    [
        (None, "+4915112345678", "4915112345678"),
        (None, "004915112345678", "004915112345678"),
        (DE, "4915112345678", "4915112345678"),
        (DE, "+49-151-1234 5678", "4915112345678"),
        (DE, "0049 30 1234567", "49301234567"),
        (DE, "0301234567", "49301234567"),
        (DE, "0044 20 7946 0000", "442079460000"),
        (DE, "12125551234", "12125551234"),
        (DE, "112", "112"),
        (DE, "115", "115"),
        (DE, "sip:0301234567@pbx.example.net;user=phone", "49301234567"),
        (DE, "tel:+49-30-1234567", "49301234567"),
        (DE, "sip:alice@example.net", "alice"),
        (DE, "", ""),
        (NumberFormat("IT"), "0612345678", "390612345678"),
        (NumberFormat("RU"), "84951234567", "74951234567"),
        (NumberFormat("RU"), "810442079460000", "442079460000"),
        (DE_NATIONAL, "301234567", "49301234567"),
        (DE_NATIONAL, "+301234567", "301234567"),  # a plus sign is always international
        (DE_NATIONAL, "112", "112"),
        (US, "2125551234", "12125551234"),
        (US, "12125551234", "12125551234"),
        (US, "01144 20 7946 0000", "442079460000"),
        (US, "911", "911"),
        (US, "5551234", "5551234"),  # a local number is no whole number: it is not guessed whose
        (PBX, "1234#4915112345678", "4915112345678"),
        (PBX, "1234#0301234567", "49301234567"),
        (PBX, "7712030123456", "4930123456"),  # the longest technical prefix
        (PBX, "77030123456", "4930123456"),
        (PBX, "9011442079460000", "442079460000"),
        (PBX, "011442079460000", "442079460000"),
    ],
)
def test_called_numbers(rules: NumberFormat | None, address: str, number: str) -> None:
    """Technical prefix off, then plus, international or trunk prefix; short numbers and names stay."""
    assert Numbering({}, rules).called("pbx1", address) == number


def test_a_callers_number_has_no_technical_prefix() -> None:
    """A caller in Kazan is not mistaken for a call with the technical prefix 77."""
    numbering = Numbering({"pbx1": PBX})
    assert numbering.called("pbx1", "77151123456") == "151123456"
    assert numbering.calling("pbx1", "77151123456") == "77151123456"
    assert numbering.calling("pbx2", "+77151123456") == "77151123456"


def read(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "ocs.toml"
    path.write_text(text, encoding="utf-8")
    found = load_settings(path)
    return [] if isinstance(found, Settings) else [f"{each.line}: {each.field}: {each.message}" for each in found]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('[[numbering]]\nregion = "DE"\nplain = "national"\n', []),
        ('[[numbering]]\nregion = "XX"\n', ["2: numbering.region: 'XX' is no country"]),
        ('[[numbering]]\nplain = "national"\n', ["2: numbering.plain: national numbers of which country?"]),
        ("[[numbering]]\n[[numbering]]\n", ["2: numbering.clients: a second entry for all other clients"]),
        (
            '[[numbering]]\nclients = ["a"]\n[[numbering]]\nclients = ["b", "a"]\n',
            ["4: numbering.clients: 'a' has an entry above"],
        ),
        (
            '[[numbering]]\ninternational_prefixes = ["+"]\ntech_prefixes = [""]\n',
            [
                "2: numbering.international_prefixes: '+' is not made of digits",
                "3: numbering.tech_prefixes: has an empty prefix",
            ],
        ),
    ],
)
def test_settings_of_numbering(tmp_path: Path, text: str, faults: list[str]) -> None:
    """What cannot be meant is told with its line."""
    assert read(tmp_path, text) == faults
