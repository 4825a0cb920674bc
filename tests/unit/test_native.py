"""The hot path, compiled or not, is the same program; what compiling would break is not in it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from balance import burn
from balance.account import Account, AccountState, Bucket
from ocs.native import is_compiled
from protocols.diameter import avp
from protocols.radius import authenticators

ROOT = Path(__file__).parents[2]
COMPILED: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ocs"]["compiled"]


@pytest.mark.parametrize("path", COMPILED)
def test_no_stored_value_is_defined_in_a_compiled_module(path: str) -> None:
    """Its keywords would be lost without a word: it would be neither frozen nor an array any more."""
    classes = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.ClassDef)]
    assert [each.name for each in classes if any("Struct" in ast.unparse(base) for base in each.bases)] == []


@pytest.mark.skipif(not is_compiled(), reason="interpreted: OCS_COMPILE=0, or no C compiler")
def test_what_is_built_is_what_the_sources_say() -> None:
    """Every listed module is loaded as a library, and none is older than its source: else `make install`."""
    for path in COMPILED:
        source = ROOT / path
        built = list(source.parent.glob(f"{source.stem}.*.so"))
        assert len(built) == 1, path
        assert built[0].stat().st_mtime >= source.stat().st_mtime, path


def _account(buckets: tuple[Bucket, ...]) -> Account:
    return Account("A", 1, "EUR", "retail", AccountState.ACTIVE, 0, 0, 0, buckets)


class Slotted:
    """Has what a bucket has, elsewhere, and is of another type."""

    __slots__ = ("balance", "bucket_id", "expires_at_ms", "other", "reserved")

    balance: int
    bucket_id: int
    expires_at_ms: int
    reserved: int


class Reckoned:
    """Has it as properties."""

    expires_at_ms = 0

    @property
    def balance(self) -> int:
        return 40

    @property
    def reserved(self) -> int:
        return 2


def test_one_place_reads_fields_of_many_types() -> None:
    """A place that has learned where one type keeps a field asks anew for another type, and finds the first one again."""
    plain, slotted, reckoned = Bucket(0, 10, 1), Slotted(), Reckoned()
    slotted.bucket_id, slotted.balance, slotted.reserved, slotted.expires_at_ms = 1, 20, 5, 0
    for bucket, free in [(plain, 9), (slotted, 15), (reckoned, 38), (plain, 9), (slotted, 15)] * 3:
        assert burn.available(_account((bucket, bucket)), 0) == 2 * free  # type: ignore[arg-type]


def test_a_field_without_a_value_is_an_error_as_ever() -> None:
    """Also where the place has found the field before."""
    full, empty = Slotted(), Slotted()
    full.balance, full.reserved, full.expires_at_ms = 20, 5, 0
    assert burn.available(_account((full, full)), 0) == 30  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        burn.available(_account((empty, full)), 0)  # type: ignore[arg-type]


def test_a_type_that_changes_is_read_anew() -> None:
    """A class is open to change: what stood in a slot may become a property."""

    class Changing:
        __slots__ = ("balance", "expires_at_ms", "reserved")

        balance: int
        expires_at_ms: int
        reserved: int

    bucket = Changing()
    bucket.balance, bucket.reserved, bucket.expires_at_ms = 7, 0, 0
    assert burn.available(_account((bucket, bucket)), 0) == 14  # type: ignore[arg-type]
    setattr(Changing, "balance", property(lambda _: 100))  # noqa: B010 - which mypy would not have
    assert burn.available(_account((bucket, bucket)), 0) == 200  # type: ignore[arg-type]


def test_a_global_that_changes_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names from modules that are not compiled are what they are now, not what they were at first."""

    class Answer:
        def __init__(self, _octets: bytes) -> None: ...

        def digest(self) -> bytes:
            return b"instead"

    before = authenticators.md5(b"octets")
    with monkeypatch.context() as patch:
        patch.setattr(authenticators, "_md5", Answer)
        assert authenticators.md5(b"octets") == b"instead"
    assert authenticators.md5(b"octets") == before


@pytest.mark.parametrize("octets", range(13))
def test_a_slice_that_ends_before_it_begins_is_empty(octets: int) -> None:
    """An AVP whose container ends within its header is a fault of the peer's, wherever the end is."""
    frame = bytes(4) + b"\x80\0\0\x20" + bytes(20)
    if octets:
        with pytest.raises(avp.AvpFault):
            avp.walk(frame, 0, octets)
    else:
        assert avp.walk(frame, 0, octets) == ({}, [])


def test_stored_values_are_frozen_arrays() -> None:
    """What the store holds has the layout that was written yesterday."""
    assert msgspec.msgpack.encode(Bucket(0, 10, 1)) == msgspec.msgpack.encode([0, 10, 1, 100, 0, 0, 3])
    with pytest.raises(AttributeError):
        Bucket(0, 10, 1).balance = 11  # type: ignore[misc]


@pytest.mark.skipif(not is_compiled(), reason="interpreted: OCS_COMPILE=0, or no C compiler")
def test_memory_in_huge_pages_is_memory() -> None:
    """Objects from before and after, in several chunks, given back and taken again; asked for twice, it is taken once."""
    program = """
from ocs.native import use_huge_pages
before = [str(number) for number in range(200_000)]
use_huge_pages(); use_huge_pages()
for turn in range(3):
    after = [(number, str(number)) for number in range(1_000_000)]
    assert after[999_999] == (999_999, "999999") and before[199_999] == "199999"
    del after
del before
fresh = {str(number): number for number in range(300_000)}
assert sum(fresh.values()) == 300_000 * 299_999 // 2
print("right")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ran.stdout, ran.returncode) == ("right\n", 0), ran.stderr


def test_all_rooms_are_loaded_from_one_place() -> None:
    """A compiled module and the sources beside it are of the same checkout."""
    modules: list[ModuleType] = [burn, authenticators]
    assert all(Path(str(each.__file__)).resolve().is_relative_to(ROOT) for each in modules)
