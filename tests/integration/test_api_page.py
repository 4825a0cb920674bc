"""The commands of docs/api.md as they stand there: bash and curl against a running API."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_api_server import World, world

__all__ = ["world"]
pytestmark = pytest.mark.integration

COMMAND = re.compile(r"^    (curl (?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
CURL_MIN = (7, 82)  # knows --json

OF_ANOTHER_WORLD = {
    "/redemptions": (404, "voucher-unknown"),
    "/reversals": (404, "entry-unknown"),
    "/accounts/alice/session-closures": (404, "session-unknown"),
    "/subscription-ends": (404, "subscription-unknown"),
    "/cdrs/17": (404, "cdr-unknown"),
    "/activations": (409, "rates-refused"),
}
"""What names a voucher, a subscription, a call, a deck that is there only on the page: the command is right, the thing is not there."""


def _curl() -> str:
    path = shutil.which("curl")
    if path is None or shutil.which("bash") is None:
        pytest.skip("the page's commands need bash and curl: one of them is not here")
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"\d+", told)[:2]
    if (int(major), int(minor)) < CURL_MIN:
        pytest.skip(f"curl {major}.{minor} does not know --json; the page says 7.82")
    return path


async def test_each_command_of_the_page_does_what_it_says(world: World, project_root: Path) -> None:
    """In the order of the page, each in bash with the page's two variables, and none is left out."""
    _curl()
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    commands = COMMAND.findall(page)
    assert len(commands) == page.count("\n    curl ")
    faults = []
    for command in commands:
        marked = command.replace("curl ", "curl -sS --noproxy '*' -w '\\n%{http_code}' ", 1)
        process = await asyncio.create_subprocess_exec(
            "bash", "-euc", marked,
            env={"OCS": f"http://{world.address}", "KEY": f"Authorization: {world.client.headers['Authorization']}"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await process.communicate()
        body, _, status = told.decode().rpartition("\n")
        expected = next((value for part, value in OF_ANOTHER_WORLD.items() if part in command), None)
        is_right = (
            status.startswith("2") if expected is None else (int(status), expected[1] in body) == (expected[0], True)
        )
        if process.returncode or not is_right:
            faults.append(f"{command}\n-> {told.decode()}")
    assert faults == []
