"""A rate book made by another process and handed over as a file: the one that answers does not stand still for it.

Reading a million lines takes seconds of computing, which in the answering process would hold the interpreter. So a child
reads the files, writes the book and ends. Its arrays, nearly all of it, are mapped, not read: every worker on the machine
shares the same pages, and the same files are read once, however many workers there are. The rest (plans, names, prices)
is a few thousand objects.

    header: magic, format, where the rest begins    arrays, each at a multiple of 8    the rest, pickled

The folder is this user's alone: what is in it is trusted as the program itself is.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import mmap
import os
import pickle
import struct
import sys
import tempfile
from array import array
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec

from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.rating import ratebook
from ocs.rating.build import LoadResult, build, digest_of
from ocs.rating.faults import ConfigFault, ConfigFaultsError
from ocs.rating.load import read_files
from ocs.rating.ratebook import RateBook

FORMAT: Final = 9  # of the file; what its records look like is in its name
_HEADER: Final = struct.Struct("<8sQQ")
_MAGIC: Final = b"ocsrates"
_KEPT_FILES: Final = 3
FAULTY: Final = 3  # the child's exit status: the files have faults, and its output lists them
NICENESS: Final = 10  # who answers goes before who reads


class _Pickler(pickle.Pickler):
    """Writes arrays beside the pickle and names their places in it."""

    def __init__(self, rest: BytesIO, file: Any) -> None:
        super().__init__(rest, protocol=5)
        self._file = file
        self._places: dict[int, tuple[str, int, int]] = {}

    def persistent_id(self, obj: Any) -> tuple[str, int, int] | None:
        if not isinstance(obj, array):
            return None
        if id(obj) not in self._places:  # two tariffs of one deck share its arrays
            self._file.seek(-(-self._file.tell() // 8) * 8)
            self._places[id(obj)] = (obj.typecode, self._file.tell(), len(obj) * obj.itemsize)
            obj.tofile(self._file)
        return self._places[id(obj)]


class _Unpickler(pickle.Unpickler):
    """Gives views of the mapped file in the place of arrays."""

    def __init__(self, rest: bytes, view: memoryview) -> None:
        super().__init__(BytesIO(rest))
        self._view = view

    def persistent_load(self, pid: Any) -> memoryview:
        typecode, offset, length = pid
        return self._view[offset : offset + length].cast(typecode)


def write_book(result: LoadResult, path: Path) -> None:
    """Write a file whole or not at all."""
    rest = BytesIO()
    partial = path.with_suffix(f".{os.getpid()}")
    with partial.open("wb") as file:
        file.write(bytes(_HEADER.size))
        _Pickler(rest, file).dump(result)
        offset = file.tell()
        file.write(rest.getbuffer())
        file.seek(0)
        file.write(_HEADER.pack(_MAGIC, FORMAT, offset))
    partial.replace(path)


def read_book(path: Path) -> LoadResult:
    """Map a file. The map lives as long as the book, also when the file is removed."""
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    magic, form, offset = _HEADER.unpack(view[: _HEADER.size])
    assert (magic, form) == (_MAGIC, FORMAT), "the file's name says what wrote it"
    result = _Unpickler(bytes(view[offset:]), view).load()
    assert isinstance(result, LoadResult), "a book file holds what a load gives"
    return result


def book_file(folder: Path, digest: str) -> Path:
    """Name the file of a version of the rates: by its content, the interpreter, and the program that makes the book."""
    return folder / f"{digest[:32]}-{sys.implementation.cache_tag}-{_program()}.book"


@cache
def _program() -> str:
    """Another program's records may have other fields: its books are never opened."""
    sources = sorted(Path(ratebook.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


async def load_apart(config_dir: Path, folder: Path) -> LoadResult:
    """Have the rate files read by a child process; the result has the book, or every fault.

    Where ``folder`` cannot be written, the book goes through one that is removed again, and is not shared. Raises
    StartRefusedError when there is no room for it anywhere.
    """
    with contextlib.ExitStack() as afterwards:
        if not _is_writable(folder):
            folder = Path(afterwards.enter_context(tempfile.TemporaryDirectory(prefix="ocs-rates-")))
        return await _load_through(config_dir, folder)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


async def _load_through(config_dir: Path, folder: Path) -> LoadResult:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ocs.handover", str(config_dir), str(folder),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, complaints = await child.communicate()
    if child.returncode == FAULTY:
        return LoadResult(None, {}, msgspec.json.decode(out, type=tuple[ConfigFault, ...]))
    if child.returncode != 0:
        why = (
            complaints.decode(errors="replace").strip() or f"the process that reads them ended with {child.returncode}"
        )
        raise StartRefusedError(why, EXIT_CONFIG)
    return await asyncio.to_thread(read_book, Path(out.decode().strip()))


def let_go(book: RateBook) -> Iterator[None]:
    """Take a book that is no longer used apart, a little at each step: freed at once, it would hold the interpreter."""
    for source in book.sources():
        yield from source.let_go()


def make(config_dir: Path, folder: Path) -> Path:
    """Read the files and write the book, unless another worker has. Raises ConfigFaultsError."""
    files, unread = read_files(config_dir)
    path = book_file(folder, digest_of(files))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and not unread:
            os.utime(path)
            return path
        result = build(files, now_ms()) if not unread else LoadResult(None, {}, tuple(unread))
        if result.book is None:
            raise ConfigFaultsError(result.faults)
        write_book(result, path)
        _tidy(folder)
    return path


def _tidy(folder: Path) -> None:
    """Keep the newest files: a roll-back finds its book ready."""
    books = sorted(folder.glob("*.book"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in books[_KEPT_FILES:]:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def main() -> int:
    """Make a book and print where it is: what the child process does."""
    os.nice(NICENESS)
    try:
        sys.stdout.write(str(make(Path(sys.argv[1]), Path(sys.argv[2]))))
    except ConfigFaultsError as error:
        sys.stdout.write(msgspec.json.encode(error.faults).decode())
        return FAULTY
    except OSError as error:
        sys.stderr.write(f"the rate book cannot be written to {sys.argv[2]}: {error}")
        return EXIT_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
