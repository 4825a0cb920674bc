"""Each shipped profile with a sample of what its product sends: requests in words, and what they come to [R-121].

A sample is a text: requests with their attributes, ``wait`` for so many seconds, and after ``=>`` what is to be seen
then, such as ``Access-Accept, 1000 s, booked 10.00, reserved 0.00, cause user request``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocols.radius.words import line_octets
from tests.integration.radius_world import Gateway, playing
from tests.scenario.world import CONFIG, amount
from tests.wire.radius_packets import dictionary

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parent / "radius_samples"
PROFILES = sorted(path.stem for path in (CONFIG / "profiles").glob("*.toml"))


@pytest.mark.parametrize("profile", PROFILES)
async def test_r121_a_sample_of_each_product_comes_to_its_money(profile: str) -> None:
    """Request to decision, and Stop to amount."""
    lines = (SAMPLES / f"{profile}.txt").read_text(encoding="utf-8").splitlines()
    async with playing(profile=profile, require_message_authenticator="auto") as gateway:
        await play([line for line in lines if line and not line.startswith("#")], gateway)


async def play(lines: list[str], gateway: Gateway) -> None:
    code, octets = "", b""
    for line in lines:
        if line.startswith("=>"):
            said = await gateway.say(code, octets)
            await expect(line.removeprefix("=>"), said, gateway)
        elif line.startswith("wait "):
            gateway.world.clock.now_ms += 1000 * int(line.removeprefix("wait "))
        elif line.startswith(" "):
            octets += line_octets(line, dictionary())
        else:
            code, octets = line, b""


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
    assert sorted(path.stem for path in SAMPLES.glob("*.txt")) == PROFILES
