"""What RADIUS clients sent, as samples for tests: each packet in words, as a comment, and its octets.

`interop.py --record FOLDER` writes a file for each of the world's switches. What each packet has to come to is added by
hand: tests/integration/radius_samples/README.md says how.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Final

from world import ROOT, SWITCHES, World

from ocs.gateways.radius_products import load_dictionary
from protocols.radius.packet import decode
from protocols.radius.words import code_name, named_attributes

HEX_COLUMNS: Final = 116


def record(capture: Path, world: World, folder: Path) -> None:
    """Write the requests of each switch, in the order in which they came."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (address, _, _) in SWITCHES.items():
        command = ["tshark", "-n", "-r", str(capture), "-Y", f"ip.src == {address} && udp", "-T", "fields"]
        fields = world.run([*command, "-e", "frame.time_epoch", "-e", "udp.payload"], limit_s=60).splitlines()
        packets = [line.split("\t") for line in fields if line[:1].isdigit()]
        if packets:
            texts = [_sample(moment, bytes.fromhex(payload)) for moment, payload in packets]
            (folder / f"{name}.txt").write_text("\n".join(texts), encoding="utf-8")


def _sample(moment: str, octets: bytes) -> str:
    dictionary, _ = load_dictionary(ROOT / "config" / "dictionaries")
    packet = decode(octets)
    at = datetime.fromtimestamp(int(float(moment)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    words = [f"#   {name} = {text}" for name, text in named_attributes(packet, dictionary)]
    lines = [f"  {line}" for line in wrap(octets.hex(), HEX_COLUMNS)]
    return "\n".join([f"clock {at}", code_name(packet.code), *words, *lines, "=>", ""])
