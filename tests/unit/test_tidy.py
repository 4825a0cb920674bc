"""The house rules, held by a test: sizes, clocks, floats near money, docstrings, leftovers, what a lock may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("ocs", "protocols", "balance", "scripts", "tests")
FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
README_LINES_MAX: Final = 40
CLOCK: Final = ROOT / "ocs" / "clock.py"
WALL_CLOCKS: Final = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
LEFTOVERS: Final = re.compile(r"\b(FIX" r"ME|HACK|DO NOT " r"COMMIT)\b")


def _sources(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def _none(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def test_files_are_short() -> None:
    """A file that needs more lines has two subjects."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _sources(*ROOMS)}
    _none([f"{_at(path, 1)} has {count} lines" for path, count in counts.items() if count > FILE_LINES_MAX])


def test_functions_fit_a_screen() -> None:
    """A function that needs more lines branches and computes at once."""
    found = []
    for path in _sources(*ROOMS):
        for function in _functions(path):
            assert function.end_lineno is not None
            count = function.end_lineno - function.lineno + 1
            if count > FUNCTION_LINES_MAX:
                found.append(f"{_at(path, function.lineno)} {function.name} has {count} lines")
    _none(found)


def test_no_float_near_money() -> None:
    """Money is integers: no float, no decimal point, no true division where balances are kept."""
    found = []
    for path in _sources("balance"):
        if path.name == "connection.py":  # it moves bytes and waits; it knows no money
            continue
        for node in ast.walk(_tree(path)):
            is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_name = isinstance(node, ast.Name) and node.id in {"float", "Decimal"}
            is_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            if (is_float or is_name or is_division) and not _is_about_seconds(path, node):
                found.append(_at(path, getattr(node, "lineno", 1)))
    _none(found)


def _is_about_seconds(path: Path, node: ast.AST) -> bool:
    """A time limit may have a decimal point; its name says that it is one."""
    line = path.read_text(encoding="utf-8").splitlines()[getattr(node, "lineno", 1) - 1]
    return re.search(r"_s\b|_S\b|_S_M(IN|AX)\b|timeout|sleep", line) is not None


def test_one_clock() -> None:
    """Only ocs/clock.py reads the wall clock; everything else is told the time."""
    found = []
    for path in _sources("ocs", "protocols", "balance"):
        if path == CLOCK:
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in WALL_CLOCKS:
                found.append(f"{_at(path, node.lineno)} {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                found += [_at(path, node.lineno) for name in node.names if name.name in {"time", "time_ns"}]
    _none(found)


def test_no_leftovers() -> None:
    """What is not finished is an issue, not a remark in the code."""
    found = []
    for path in _sources(*ROOMS):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if LEFTOVERS.search(line) and path != Path(__file__):
                found.append(f"{_at(path, number)} {line.strip()}")
    _none(found)


def test_each_module_says_what_it_is() -> None:
    """A reader learns from the first line what a module is for."""
    _none([_at(path, 1) for path in _sources(*ROOMS) if not ast.get_docstring(_tree(path)) and path.stat().st_size])


def test_each_test_opens_with_a_sentence() -> None:
    """A test's sentence says what is promised; its body shows it."""
    tests = [(path, each) for path in _sources("tests") for each in _functions(path) if each.name.startswith("test")]
    _none([f"{_at(path, each.lineno)} {each.name}" for path, each in tests if not ast.get_docstring(each)])


def test_room_readmes_are_short() -> None:
    """A room's README fits a screen, or nobody reads it."""
    readmes = [path for room in ("ocs", "protocols", "balance") for path in (ROOT / room).rglob("README.md")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in readmes}
    _none([f"{_at(path, 1)} has {count} lines" for path, count in lengths.items() if count > README_LINES_MAX])


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-run.lock"])
def test_lock_holds_names_versions_and_hashes_only(name: str) -> None:
    """No place to fetch from and no path of anybody's machine gets into a lock file."""
    line = re.compile(r"[a-z0-9][a-z0-9.-]*==[^\s;@/]+( ;[^@/]*)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    _none([f"{name}:{number} {text}" for number, text in enumerate(lines, start=1) if not line.fullmatch(text)])


def test_run_lock_is_part_of_the_lock() -> None:
    """What is installed to run is, version by version, what was tested."""
    pins = {name: set(re.findall(r"^\S+==\S+", (ROOT / name).read_text("utf-8"), re.MULTILINE)) for name in _LOCKS}
    assert pins["requirements-run.lock"] <= pins["requirements.lock"]


_LOCKS: Final = ("requirements.lock", "requirements-run.lock")


def test_no_query_asks_for_rows_without_columns() -> None:
    """asyncpg (0.32) corrupts the heap when it frees such rows: malloc then ends the process, some time later."""
    found = [
        _at(path, node.lineno)
        for path in _sources("ocs", "scripts", "tests")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.match(r"\s*SELECT\s+FROM\s", node.value)
    ]
    assert found == []
