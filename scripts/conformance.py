"""Write docs/conformance.md: every requirement of the lists in docs/conformance/ with the tests that show it.

    python scripts/conformance.py            # write the table anew (the same as `make conformance`)
    python scripts/conformance.py --check    # exit status 1 and what is wrong, as `make test` does
    python scripts/conformance.py --missing  # the labels that have neither a test nor a reason

A test shows a requirement when its name, its docstring or its scenario's name carries the label: ``test_b43_...``,
"[R-61]", "B-70 to B-72"; a statement's number stands in front ("29-31 a grant ...", ``test_119_...``) or after the
word ("statement 25"). A label that no test carries needs its reason in the list; when it gets a test, writing the table
takes the reason away.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
TABLE: Final = Path("docs/conformance.md")
LISTS: Final = Path("docs/conformance")
PAGES: Final = ("diameter-base", "gy-ro", "clients", "radius", "radius-clients", "statements")
TESTS_SHOWN: Final = 4

_SPAN: Final = r"(\d{1,3})(?:(?:-| to )[BCGR]?-?(\d{1,3}))?"
_IN_PROSE: Final = re.compile(rf"\b([BCGR])-{_SPAN}\b(?!\.\d)")  # is one of prices
_IN_NAME: Final = re.compile(r"(?<![a-z0-9])([bcgr])(\d+)(?=_|$)")
_STATEMENT: Final = re.compile(rf"(?:\b[Ss]tatements?|\b[Bb]ehaviours?)[ _]{_SPAN}((?:(?: and |, )\d+)*)\b")
_STATEMENT_NAME: Final = re.compile(r"(?:^test|_statement)_(\d{2,3}(?:_(?:to_)?\d{2,3})*|\d(?!_\d))(?=_|$)")
_SCENARIO: Final = re.compile(rf"^{_SPAN} ")

Tests = Mapping[str, list["Place"]]


class Place(NamedTuple):
    """A test: its file below the checkout, its name or its scenario's."""

    path: str
    name: str


class Page(NamedTuple):
    """One list: ``reasons`` for what no test shows, ``open`` for what the tests leave unshown."""

    title: str
    source: str
    labels: dict[str, str]
    reasons: dict[str, str]
    open: dict[str, str]


def read_pages(root: Path) -> list[Page]:
    """Read the lists."""
    pages = []
    for name in PAGES:
        content = tomllib.loads((root / LISTS / f"{name}.toml").read_text(encoding="utf-8"))
        title, source, labels = (content[key] for key in ("title", "source", "labels"))
        pages.append(Page(title, source, labels, content.get("reasons", {}), content.get("open", {})))
    return pages


def _span(first: str, last: str) -> range:
    return range(int(first), int(last or first) + 1)


def labels_in_prose(text: str) -> set[str]:
    """The labels that a docstring names; a span means all its numbers."""
    found = {f"{kind}-{number}" for kind, first, last in _IN_PROSE.findall(text) for number in _span(first, last)}
    for first, last, others in _STATEMENT.findall(text):
        found |= {str(number) for number in _span(first, last)} | set(re.findall(r"\d+", others))
    return found


def labels_in_name(name: str) -> set[str]:
    """The labels in a test function's name."""
    found = {f"{kind.upper()}-{number}" for kind, number in _IN_NAME.findall(name)}
    for numbers in _STATEMENT_NAME.findall(name):
        for span in numbers.replace("_to_", "-").split("_"):
            first, _, last = span.partition("-")
            found |= {str(number) for number in _span(first, last)}
    return found


def labels_of_scenario(name: str) -> set[str]:
    """The labels of a scenario: the statements' numbers in front, any other in its words."""
    found = _SCENARIO.match(name)
    return labels_in_prose(name) | ({str(number) for number in _span(*found.groups(""))} if found else set())


def _carriers(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield node.name, labels_in_name(node.name) | labels_in_prose(ast.get_docstring(node) or "")
    for statement in tree.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
            for name, steps in zip(map(_text, value.keys), map(_text, value.values), strict=True):
                if name and "->" in steps:
                    yield f'"{name}"', labels_of_scenario(name)


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def find_tests(root: Path) -> dict[str, list[Place]]:
    """Read every test file: the tests by label, in the order of the files and their names."""
    found: dict[str, list[Place]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for name, labels in sorted(_carriers(ast.parse(path.read_text(encoding="utf-8")))):
            for label in labels:
                found[label].append(Place(path.relative_to(root).as_posix(), name))
    return found


def faults(pages: list[Page], tests: Tests) -> list[str]:
    """What is wrong with the lists: gaps, reasons that have come to nothing, names that nobody knows."""
    known: set[str] = set()
    wrong = []
    for page in pages:
        known |= page.labels.keys()
        wrong += [
            f"{label}: neither a test nor a reason"
            for label in page.labels
            if not tests.get(label, page.reasons.get(label))
        ]
        wrong += [f"{label}: has tests now: take its reason away" for label in page.reasons if label in tests]
        wrong += [f"{label}: has no test: what is open is all of it" for label in page.open if label not in tests]
        strangers = (page.reasons.keys() | page.open.keys()) - page.labels.keys()
        wrong += [f"{label}: a reason for a label that is in no list" for label in sorted(strangers)]
    for label in sorted(tests.keys() - known):
        place = tests[label][0]
        wrong.append(f"{label}: carried by {place.path} {place.name}, but in no list")
    return wrong


def prune(root: Path, tests: Tests) -> list[str]:
    """Take away the reasons of labels that have tests by now; the labels concerned."""
    pruned = []
    for name in PAGES:
        path = root / LISTS / f"{name}.toml"
        section, kept = "", []
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            section = line.strip() if line.startswith("[") else section
            label = line.partition(" = ")[0]
            if section == "[reasons]" and label in tests:
                pruned.append(label)
            else:
                kept.append(line)
        path.write_text("".join(kept), encoding="utf-8")
    return pruned


def _shown_by(label: str, page: Page, tests: Tests) -> str:
    places = tests.get(label, [])
    if not places:
        return f"**no test:** {page.reasons.get(label, '')}"
    words = [f"[{place.name}](../{place.path})" for place in places[:TESTS_SHOWN]]
    if len(places) > TESTS_SHOWN:
        words.append(f"{len(places) - TESTS_SHOWN} more")
    if label in page.open:
        words.append(f"**open:** {page.open[label]}")
    return "<br>".join(words)


def table(pages: list[Page], tests: Tests) -> str:
    """The whole page, as Markdown."""
    rows = [(page, sum(label in tests for label in page.labels)) for page in pages]
    lines = [
        "# Conformance",
        "",
        "Every requirement that this server is built to, with the tests that show it, or the reason why none does.",
        "The requirements stand in [conformance/](conformance); `make conformance` writes this page, and a test holds it",
        "current. **open** is what the tests named leave unshown.",
        "",
        "| part | source | requirements | shown by tests | of these in part | not shown |",
        "|---|---|---|---|---|---|",
    ]
    for page, shown in rows:
        total = len(page.labels)
        lines.append(f"| {page.title} | {page.source} | {total} | {shown} | {len(page.open)} | {total - shown} |")
    for page, _ in rows:
        lines += ["", f"## {page.title}", "", "| label | requirement | shown by |", "|---|---|---|"]
        lines += [f"| {label} | {text} | {_shown_by(label, page, tests)} |" for label, text in page.labels.items()]
    return "\n".join(lines) + "\n"


def main(root: Path = ROOT) -> int:
    """Write the table or say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing")
    mode.add_argument("--missing", action="store_true", help="list the gaps")
    arguments = parser.parse_args()
    tests = find_tests(root)
    if not (arguments.check or arguments.missing):
        for label in prune(root, tests):
            print(f"{label}: has tests now, its reason is taken away")
    pages = read_pages(root)
    wrong = faults(pages, tests)
    text = table(pages, tests)
    if arguments.check and (root / TABLE).read_text(encoding="utf-8") != text:
        wrong.append(f"{TABLE} is not current: make conformance")
    if not (arguments.check or arguments.missing):
        (root / TABLE).write_text(text, encoding="utf-8")
        print(f"{TABLE}: {sum(len(page.labels) for page in pages)} requirements")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
