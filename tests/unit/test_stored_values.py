"""Values that earlier versions wrote are read by this one: what they knew stays, what they did not know is not there."""

from __future__ import annotations

from balance.account import Account, AccountState, Bucket, Counter, Extras, Hold, Places
from balance.valkey.codec import decode_account, encode_account
from ocs.charging.cdr import JournalEntry, decode_entry

# Written by the version before accounts had extras, and buckets an origin.
ACCOUNT = (
    "00000000000000079aa5616c69636507a3455552aa72657461696c2d657572010503099296006428640000"
    "960432050acf000001a0c4506c00cf0000019e70448800cf0000019e70448800"
)
ENTRY = "9aa5616c69636509cf000001a0c4506c00a6746f705f7570a345555291920005a16ba161a172c0"

KNOWN = Account(
    "alice",
    7,
    "EUR",
    "retail-eur",
    AccountState.ACTIVE,
    5,
    3,
    9,
    (Bucket(0, 100, 40), Bucket(4, 50, 5, 10, 1_790_000_000_000, 1_780_000_000_000)),
    1_780_000_000_000,
)


def test_an_account_of_an_earlier_version_is_read() -> None:
    """No extras: nothing is counted, and nothing costs it more."""
    assert decode_account(bytes.fromhex(ACCOUNT)) == KNOWN


def test_an_entry_of_an_earlier_version_is_read() -> None:
    """It changed money alone."""
    assert decode_entry(bytes.fromhex(ENTRY)) == JournalEntry(
        "alice", 9, 1_790_000_000_000, "top_up", "EUR", (Hold(0, 5),), "k", "a", "r"
    )


def test_an_account_with_extras_comes_back_as_it_was() -> None:
    """What most accounts do without is stored with the rest, in the same posting."""
    counters = (Counter(-8193, "voice", 1_790_000_000_000, (Places(60, 60), Places(-1, 12, 3))),)
    account = Account(
        "a", 8, "EUR", "p", AccountState.ACTIVE, 0, 0, 1, (Bucket(0, 0),), 0, Extras(counters, time_zone="UTC")
    )
    assert decode_account(encode_account(account)) == account
