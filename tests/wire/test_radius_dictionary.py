"""FreeRADIUS's dictionary format, and every fault in it with file and line."""

from __future__ import annotations

import pytest

from protocols.radius.dictionary import Attribute, DictionaryFault, Vendor, read_dictionary
from tests.wire.radius_packets import dictionary


def read(**files: str) -> tuple[object, list[str]]:
    """Read ``top`` among some files given by their text; "_" in a name stands for a dot."""
    found, faults = read_dictionary("top", lambda path: files.get(path.replace(".", "_")))
    return found, [str(fault) for fault in faults]


def test_the_shipped_dictionaries_have_no_fault() -> None:
    """What config/dictionaries holds is read whole, and names the numbers of the RFCs."""
    shipped = dictionary()
    assert shipped.attribute("user-name") == Attribute("User-Name", 0, (1,), "string")
    assert shipped.attribute("User-Password") == Attribute("User-Password", 0, (2,), "string", encryption=1)
    assert shipped.attribute("h323-conf-id") == Attribute("h323-conf-id", 9, (24,), "string")
    assert shipped.by_number[9, 102].name == "h323-credit-time"
    assert shipped.value("Acct-Status-Type", "Interim-Update") == shipped.value("acct-status-type", "alive") == 3
    assert shipped.vendors_by_number[429] == Vendor("USR", 429, 4, 0)
    assert shipped.attribute("no-such-thing") is None


def test_all_forms_are_understood() -> None:
    """Comments, hex numbers, flags, vendors in blocks and in the old form, TLVs, includes relative to their file."""
    text = """
        # a comment
        VENDOR      Acme 0x1234 format=2,1     # another
        ATTRIBUTE   One       1     string     encrypt=1,has_tag
        ATTRIBUTE   Two       0x10  octets[16]
        VALUE       Two       First 0x0a
        BEGIN-VENDOR Acme
        ATTRIBUTE   Acme-One  1     tlv
        BEGIN-TLV   Acme-One
        ATTRIBUTE   Acme-One-Inner 2 integer
        END-TLV     Acme-One
        END-VENDOR  Acme
        ATTRIBUTE   Acme-Old  3     integer    Acme
        ATTRIBUTE   Ext       241.1 integer
        $INCLUDE-   missing
    """
    found, faults = read_dictionary(
        "sub/top", {"sub/top": text + "$INCLUDE more\n", "sub/more": "ATTRIBUTE Three 3 date"}.get
    )
    assert faults == []
    assert found.attribute("One") == Attribute("One", 0, (1,), "string", 1, has_tag=True)
    assert found.attribute("Two") == Attribute("Two", 0, (16,), "octets[16]")
    assert found.value("Two", "First") == 10
    assert found.attribute("Acme-One-Inner") == Attribute("Acme-One-Inner", 0x1234, (1, 2), "integer")
    assert found.attribute("Acme-Old") == Attribute("Acme-Old", 0x1234, (3,), "integer")
    assert found.attribute("Ext") == Attribute("Ext", 0, (241, 1), "integer")
    assert found.attribute("Three") == Attribute("Three", 0, (3,), "date")
    assert found.by_number[0, 3].name == "Three"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ATTRIBUTE", "ATTRIBUTE with 0 words after it is not understood"),
        ("ATTRIBUTE One x string", "'x' is not a number"),
        ("ATTRIBUTE One 1 strange", "One: strange is not a known type"),
        ("ATTRIBUTE One 1 octets[16", "One: octets[16 is not a known type"),
        ("ATTRIBUTE One 1 string Nobody", "there is no VENDOR Nobody above"),
        ("ATTRIBUTE Known 2 string", "Known already has another number, 200"),
        ("VALUE Nothing First 1", "there is no ATTRIBUTE Nothing above"),
        ("VALUE Known First one", "'one' is not a number"),
        ("VENDOR Acme 1 format=3,1", "Acme: format=3,1 is not understood; known is format=(1|2|4),(0|1|2)"),
        ("VENDOR Acme 1 size=1", "Acme: size=1 is not understood; known is format=(1|2|4),(0|1|2)"),
        ("BEGIN-VENDOR Nobody", "there is no VENDOR Nobody above"),
        ("END-VENDOR Nobody", "END-VENDOR Nobody has no BEGIN-VENDOR Nobody"),
        ("BEGIN-TLV Nobody", "there is no ATTRIBUTE Nobody above"),
        ("END-TLV Nobody", "END-TLV Nobody has no BEGIN-TLV Nobody"),
        ("$INCLUDE nowhere", "$INCLUDE nowhere: there is no such file"),
        ("$INCLUDE top", "$INCLUDE top is nested deeper than 16"),
        ("NONSENSE of any kind", "NONSENSE with 3 words after it is not understood"),
    ],
)
def test_a_fault_is_named_with_file_and_line(line: str, message: str) -> None:
    """The file goes on being read: a second fault is found as well."""
    _, faults = read(top=f"ATTRIBUTE Known 200 string\n\n{line}\n")
    assert f"top:3: {message}" in faults


def test_faults_of_all_files_are_found_at_once() -> None:
    """Two files, three faults, a vendor that is opened twice, and one that is never closed."""
    top = (
        "VENDOR Acme 1\nVENDOR Acme 2\n$INCLUDE more\nBEGIN-VENDOR Acme\nBEGIN-VENDOR Acme\nATTRIBUTE A 1 string what=1"
    )
    _, faults = read(top=top, more="x\n")
    assert faults == [
        "top:2: Acme already has another number, 1",
        "more:1: x with 0 words after it is not understood",
        "top:5: BEGIN-VENDOR Acme inside of Acme",
        "top:6: A: what=1 is not a known flag",
        "top:0: BEGIN-VENDOR Acme has no END-VENDOR",
    ]


def test_no_dictionary_at_all() -> None:
    """The path itself may be wrong."""
    _, faults = read_dictionary("top", lambda _: None)
    assert faults == [DictionaryFault("top", 0, "there is no such file")]
