"""``ocs diameter``: messages as trees, and a client that asks for credit as a script says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ocs.cli.common import refusals
from ocs.cli.diameter_send import send
from ocs.errors import EXIT_CONFIG, EXIT_DIFFERENCES, StartRefusedError

FilesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE]...", help="pcap, pcapng, hex text or octets; - is standard input.")
]
PortOption = Annotated[int, typer.Option("--port", "-p", min=0, max=65_535, help="Of a capture, this port alone.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    diameter = typer.Typer(
        no_args_is_help=True, help="Diameter messages: read them, send them.", rich_markup_mode="markdown"
    )
    diameter.command("decode")(decode)
    diameter.command("send")(send)
    app.add_typer(diameter, name="diameter", rich_help_panel="Tools")


def decode(files: FilesArgument = None, port: PortOption = 0) -> None:
    """Show Diameter messages as trees: AVPs by name, groups inside each other, faults marked with <--.

    Takes captures (pcap, pcapng; TCP streams are put together), hex text in any usual form, or the octets themselves.
    Exit status: 0 all is sound, 1 a fault is marked, 78 no Diameter was found.

    Example: `ocs diameter decode trace.pcap --port 3868`, or `echo 01000014... | ocs diameter decode`
    """
    with refusals():
        count = faults = 0
        for name in files or ["-"]:
            for title, frame in _messages(name, port):
                count += 1
                faults += _show(title, frame)
        if not count:
            raise StartRefusedError("there is no Diameter message in it", EXIT_CONFIG)
    print(
        f"{count} message{'s'[: count > 1]}, {faults} with faults" if faults else f"{count} message{'s'[: count > 1]}"
    )
    raise typer.Exit(EXIT_DIFFERENCES if faults else 0)


def _show(title: str, frame: bytes) -> bool:
    """Print one message; whether something is wrong with it."""
    from ocs.tools.diameter_tree import message_lines

    lines = message_lines(frame)
    if title:
        print(title)
    print("\n".join(map(str, lines)), end="\n\n")
    return any(line.fault for line in lines)


def _messages(name: str, port: int) -> Iterator[tuple[str, bytes]]:
    """The messages of a file, each with where it was seen. Raises StartRefusedError when it cannot be read."""
    from ocs.tools.diameter_frames import frames_of_capture, frames_of_octets
    from ocs.tools.hextext import octets_of
    from ocs.tools.pcap import is_capture

    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as problem:
        raise StartRefusedError(f"{name}: {problem.strerror}", EXIT_CONFIG) from problem
    if is_capture(data):
        yield from frames_of_capture(data, port)
        return
    if data[:1] != b"\x01":
        octets = octets_of(data.decode("ascii", "replace"))
        if octets is None:
            raise StartRefusedError(f"{name}: neither a capture, nor hex text, nor a Diameter message", EXIT_CONFIG)
        data = octets
    yield from frames_of_octets(data)
