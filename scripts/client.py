"""The Python client's methods, from the routes of the API into ocs/client/calls/: one class for each tag.

python scripts/client.py            write them
python scripts/client.py --check    say which are not current, and end with 1
"""

from __future__ import annotations

import argparse
import enum
import inspect
import subprocess
import sys
import types
import typing
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.response import Stream

from ocs.api import (
    accounts,
    automatic_top_ups,
    bank,
    billing,
    cards,
    collections,
    diameter,
    events,
    feeds,
    history,
    lists,
    mediation,
    money,
    papers,
    parts,
    payment_methods,
    rates,
    sessions,
    subscribers,
    tmf654,
    trail,
)

FOLDER: Final = Path(__file__).parents[1] / "ocs" / "client" / "calls"
ROOMS: Final = (
    accounts, money, cards, payment_methods, automatic_top_ups, lists, parts, sessions, subscribers, history, rates, diameter, events,
    billing, papers, collections, bank, feeds, mediation, trail, tmf654,
)  # fmt: skip
RAW: Final = {"load_bank_statement", "upload_cdr_file"}
"""They read the request's octets themselves."""
_LATER: Final = {"idempotency_key": "str | None"}
_HEAD: Final = '''"""Calls of the API, tag {tag}. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

{imports}

from ocs.client.transport import Transport, new_key, segment


class {name}(Transport):
    """What the API has under the tag {tag}."""

'''


class Shapes:
    """Types as source, and the imports that they need."""

    def __init__(self) -> None:
        self.imports: set[str] = set()

    def text(self, shape: Any) -> str:
        """The source of a type."""
        if shape is None or shape is type(None):
            return "None"
        origin, inner = typing.get_origin(shape), typing.get_args(shape)
        if origin is typing.Annotated:
            return self.text(inner[0])
        if origin is typing.Literal:
            self.imports.add("from typing import Literal")
            return f"Literal[{', '.join(map(repr, inner))}]"
        if origin in (typing.Union, types.UnionType):
            return " | ".join(self.text(each) for each in inner)
        if origin is not None:
            return f"{origin.__name__}[{', '.join('...' if each is Ellipsis else self.text(each) for each in inner)}]"
        if shape is Any:
            self.imports.add("from typing import Any")
            return "Any"
        return self._name(shape)

    def _name(self, shape: type) -> str:
        module, name = shape.__module__, shape.__qualname__
        if module == "builtins":
            return name
        if "." not in module:
            alias = {"datetime": "dt"}.get(module, module)
            self.imports.add(f"import {module}" + (f" as {alias}" if alias != module else ""))
            return f"{alias}.{name}"
        room, _, last = module.rpartition(".")
        alias = last if room == "ocs.api" else module.replace(".", "_")
        self.imports.add(f"from {room} import {last}" + (f" as {alias}" if alias != last else ""))
        return f"{alias}.{name}"


def sources() -> dict[str, str]:
    """Each file by its name."""
    by_tag: defaultdict[str, list[tuple[str, HTTPRouteHandler]]] = defaultdict(list)
    for room in ROOMS:
        base = tmf654.BASE if room is tmf654 else "/v1"
        for handler in room.ROUTES:
            (tag,) = handler.tags
            by_tag[tag].append((base, handler))
    found = {}
    for tag, handlers in by_tag.items():
        shapes = Shapes()
        methods = [_method(shapes, base, handler) for base, handler in handlers]
        name = tag.replace("-", " ").title().replace(" ", "") + "Calls"
        head = _HEAD.format(tag=tag, imports="\n".join(sorted(shapes.imports)), name=name)
        found[f"{tag.replace('-', '_')}.py"] = _formatted(head + "\n\n".join(methods) + "\n")
    return found


def _method(shapes: Shapes, base: str, handler: HTTPRouteHandler) -> str:
    """One method: path in the order of the address, the body, and by name what may be left out."""
    signature = inspect.signature(handler.fn)
    hints = typing.get_type_hints(handler.fn, include_extras=True)
    (path,), (verb,) = handler.paths, sorted(handler.http_methods)
    address = base + path
    needed, named, query, headers = ["self"], [], [], []
    content = ""
    for name, parameter in signature.parameters.items():
        if name in ("context", "request"):
            continue
        shape, default = hints[name], parameter.default
        marks = typing.get_args(shape)[1:] if typing.get_origin(shape) is typing.Annotated else ()
        wire = next((mark.name for mark in marks if getattr(mark, "name", None)), None) or name
        if f"{{{name}:" in path:
            needed.append(f"{name}: {shapes.text(shape)}")
            kind = path.partition(f"{{{name}:")[2].partition("}")[0]
            address = address.replace(f"{{{name}:{kind}}}", f"{{segment({name})}}")
        elif name == "data":
            needed.append(f"data: {shapes.text(shape)}")
            content = "data"
        elif any(isinstance(mark, HeaderParameter) for mark in marks):
            named.append(f"{name}: str | None = None")
            headers.append(f'"{wire}": {name} or new_key()' if name in _LATER else f'"{wire}": {name}')
        else:
            told = "" if default is inspect.Parameter.empty else f" = {_default(shapes, default)}"
            named.append(f"{name}: {shapes.text(shape)}{told}")
            query.append(f'"{wire}": {name}')
    if handler.operation_id in RAW:
        needed.append("content: bytes")
        content = "content"
    answer = _answer(handler)
    return _source(shapes, handler, (verb, address, answer), (needed, named, query, headers, content))


def _source(
    shapes: Shapes,
    handler: HTTPRouteHandler,
    call: tuple[str, str, Any],
    parts: tuple[list[str], list[str], list[str], list[str], str],
) -> str:
    (verb, address, answer), (needed, named, query, headers, content) = call, parts
    shape = shapes.text(answer)
    arguments = [f'"{verb}"', f'{"f" if "{" in address else ""}"{address}"', shape]
    arguments += [f"query={{{', '.join(query)}}}"] if query else []
    arguments += [f"headers={{{', '.join(headers)}}}"] if headers else []
    arguments += [f"content={content}"] if content else []
    taken = ", ".join([*needed, *(["*", *named] if named else [])])
    told = (inspect.getdoc(handler.fn) or "").partition("\n")[0]
    sent = f"self._call({', '.join(arguments)})"
    body = sent if answer is None else f"answer: {shape} = {sent}\n        return answer"
    return f'    def {handler.operation_id}({taken}) -> {shape}:\n        """{told}"""\n        {body}'


def _default(shapes: Shapes, value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{shapes.text(type(value))}.{value.name}"
    return repr(value)


def _answer(handler: HTTPRouteHandler) -> Any:
    """What the route answers; those that write their octets themselves may have declared what is in them."""
    declared = (handler.responses or {}).get(handler.status_code or 200)
    if declared is not None:
        return declared.data_container
    shape = typing.get_type_hints(handler.fn, include_extras=True)["return"]
    if shape is Stream:
        return bytes
    return typing.get_args(shape)[0] if typing.get_origin(shape) is Response else shape


def _formatted(source: str) -> str:
    for rest in (["check", "--select", "I,F401", "--fix", "--quiet"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *rest, "--stdin-filename", "ocs/client/calls/x.py", "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=FOLDER.parents[2])
        source = done.stdout
    return source


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, end with 1 if something is not current")
    is_checking, stale = parser.parse_args().check, False
    for name, source in sources().items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == source:
            continue
        stale = True
        if is_checking:
            print(f"{path} is not current: run python scripts/client.py", file=sys.stderr)
        else:
            path.write_text(source, encoding="utf-8")
            print(f"{path} written")
    sys.exit(is_checking and stale)


if __name__ == "__main__":
    main()
