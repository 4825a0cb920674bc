"""Each shipped profile with a sample of what its product sends: requests in words, and what they come to [R-121].

A sample is a text: requests with their attributes, ``wait`` for so many seconds, and after ``=>`` what is to be seen
then, such as ``Access-Accept, 1000 s, booked 10.00, reserved 0.00, cause user request``.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from protocols.radius.words import line_octets
from tests.integration.radius_world import Gateway, playing
from tests.scenario.world import CONFIG, amount
from tests.wire.radius_packets import dictionary

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parent / "radius_samples"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.txt"))


@pytest.mark.parametrize("name", NAMES)
async def test_r121_a_sample_of_each_product_comes_to_its_money(name: str) -> None:
    """Request to decision, and Stop to amount; recorded: Kamailio [C-1] [C-4] [C-6] [C-7], Sippy [C-18], Asterisk [C-15];
    by a published log: Eltex [C-19]; from source and manuals: FreeSWITCH [C-14], OpenSIPS [C-16], Cisco [C-17].
    """
    lines = (SAMPLES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    credentials = "required" if "credentials required" in lines else "none"
    profile = name.partition("-")[0]
    async with playing(profile=profile, require_message_authenticator="auto", credentials=credentials) as gateway:
        await play([line for line in lines if line and line[0] != "#" and not line.startswith("credentials")], gateway)


async def play(lines: list[str], gateway: Gateway) -> None:
    code, octets, recorded = "", b"", ""
    for line in lines:
        if line.startswith("=>"):
            said = await gateway.say(code, octets + attributes_in(recorded))
            await expect(line.removeprefix("=>"), said, gateway)
        elif line.startswith("  ") and "=" not in line:
            recorded += line.strip()
        elif line.startswith(" "):
            octets += line_octets(line, dictionary())
        elif line.partition(" ")[0] in ("clock", "wait", "subscriber"):
            await set_stage(line, gateway)
        else:
            code, octets, recorded = line, b"", ""


async def set_stage(line: str, gateway: Gateway) -> None:
    match line.split():
        case ["wait", seconds]:
            gateway.world.clock.now_ms += 1000 * int(seconds)
        case ["clock", moment]:
            gateway.world.clock.now_ms = int(datetime.fromisoformat(moment).timestamp() * 1000)
        case ["subscriber", identity, *password]:
            await gateway.world.desk.subscribers.create(identity, "A", (identity,), "".join(password))
        case _:
            raise AssertionError(line)


def attributes_in(packet: str) -> bytes:
    """Of a recorded packet, without its signature: it is signed anew."""
    return re.sub(rb"(?s)^\x50\x12.{16}", b"", bytes.fromhex(packet)[20:])


async def expect(text: str, said: dict[str, Any], gateway: Gateway) -> None:
    figures = await gateway.figures()
    for part in text.split(", "):
        word, _, value = part.strip().partition(" ")
        records = await gateway.records() if word in ("cause", "began", "ended") else []
        match word:
            case "Access-Accept" | "Access-Reject":
                assert said["code"] == {"Access-Accept": 2, "Access-Reject": 3}[word]
            case "booked" | "reserved":
                assert figures[word == "reserved"] == amount(value) // amount("0.01"), part
            case "code":
                assert said["return_code"] == value
            case "cause":
                assert records[-1].cause == value
            case "began":
                assert records[-1].started_at_ms == 1000 * int(value)
            case "ended":
                assert records[-1].ended_at_ms == 1000 * int(value)
            case _:
                assert said["seconds"] == int(word), part


def test_every_profile_has_a_sample_and_every_sample_a_profile() -> None:
    """A product that is not tried is not known."""
    profiles = sorted(path.stem for path in (CONFIG / "profiles").glob("*.toml"))
    assert sorted({name.partition("-")[0] for name in NAMES}) == profiles
