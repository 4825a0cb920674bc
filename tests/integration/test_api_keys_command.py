"""``ocs keys`` on a real Valkey: what a terminal shows is what the servers accept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import typer
from redis.asyncio import Redis
from typer.testing import CliRunner

from ocs.api.keys import KeyRing, Scope, ensure_admin_key, list_keys, parse_token
from ocs.billing.trail import FIELD, STREAM_KEY, decode_trail
from ocs.cli import keys
from ocs.clock import now_ms

pytestmark = pytest.mark.integration


@pytest.fixture
def app(valkey_url: str, monkeypatch: pytest.MonkeyPatch, project_root: Path) -> typer.Typer:
    """The command line, pointed at the test's own Valkey."""
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("OCS_CONFIG", str(project_root / "config" / "ocs.toml"))
    app = typer.Typer()
    keys.register(app)
    app.callback()(lambda: None)
    return app


async def check(valkey_url: str, text: str) -> tuple[Scope, ...] | None:
    """What a server makes of a token."""
    token = parse_token(text)
    assert token is not None
    async with Redis.from_url(valkey_url) as redis:
        key = await KeyRing(redis, now_ms).check(token)
    return key.scopes if key else None


def run(app: typer.Typer, *arguments: str) -> tuple[int, str]:
    """Exit status and output of one command."""
    result = CliRunner().invoke(app, ["keys", *arguments])
    return result.exit_code, result.output


def test_a_key_lives_from_create_to_revoke(app: typer.Typer, valkey_url: str) -> None:
    """Printed once, listed without its secret, refused after it was revoked."""
    status, output = run(app, "create", "--scope", "topup", "--scope", "cdrs:read", "--name", "web [shop]")
    token = output.strip()
    key_id = token.split("_")[1]
    scopes = asyncio.run(check(valkey_url, token))
    _, listed = run(app, "list")
    revoked, _ = run(app, "revoke", token)
    after = asyncio.run(check(valkey_url, token))
    _, listed_after = run(app, "list")

    assert (status, scopes) == (0, (Scope.TOPUP, Scope.CDRS_READ))
    assert key_id in listed
    assert "web [shop]" in listed
    assert "in force" in listed
    assert token.split("_")[2] not in listed
    assert (revoked, after) == (0, None)
    assert "revoked" in listed_after


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--scope", "root", "--name", "x"), "accounts:read"),
        (("create", "--scope", "topup", "--name", ""), "--name"),
        (("create", "--scope", "topup", "--name", "x", "--tenant", "A:b"), "--tenant"),
        (("create", "--scope", "topup", "--name", "a\x1b[31m"), "--name"),
        (("revoke", "nobody"), "ocs keys list"),
    ],
)
def test_what_cannot_be_is_one_line(app: typer.Typer, arguments: tuple[str, ...], words: str) -> None:
    """With the cure, and the exit status that says it is not for trying again."""
    status, output = run(app, *arguments)

    assert status == 78
    assert words in output
    assert output.count("\n") == 1


def test_a_store_that_is_away_is_one_line(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the exit status says: try again later."""
    monkeypatch.setenv("OCS_VALKEY_URL", "redis://127.0.0.1:1/0")

    status, output = run(app, "list")

    assert status == 75
    assert output.startswith("ocs: cannot reach Valkey")


async def test_the_first_admin_key_opens_everything(valkey_url: str, tmp_path: Path) -> None:
    """What the file holds is what the servers accept, on a real store too."""
    async with Redis.from_url(valkey_url) as redis:
        token = await ensure_admin_key(redis, tmp_path / "admin.key")
        again = await ensure_admin_key(redis, tmp_path / "admin.key")
        count = len(await list_keys(redis))

    assert await check(valkey_url, token) == (Scope.ADMIN,)
    assert (again, count) == (token, 1)


def test_a_key_of_a_tenant_is_rotated(app: typer.Typer, valkey_url: str) -> None:
    """The new one may do the same for the same tenant; the old one is good until its hours are over; all of it is noted."""
    status, output = run(app, "create", "--scope", "topup", "--name", "portal", "--tenant", "acme")
    old = output.strip()
    rotated, output = run(app, "rotate", old, "--grace", "1")
    new = output.strip()
    assert (status, rotated) == (0, 0)
    assert asyncio.run(check(valkey_url, old)) == asyncio.run(check(valkey_url, new)) == (Scope.TOPUP,)
    _, listed = run(app, "list")
    assert "until" in listed
    assert listed.count("acme") == 2
    run(app, "rotate", new, "--grace", "0")
    assert asyncio.run(check(valkey_url, new)) is None
    assert run(app, "rotate", new)[0] == 78
    assert asyncio.run(noted(valkey_url)) == ["create_key", "rotate_key", "rotate_key"]


async def noted(valkey_url: str) -> list[str]:
    """The audit log's entries that wait for PostgreSQL."""
    redis: Any = Redis.from_url(valkey_url)
    async with redis:
        return [decode_trail(fields[FIELD], "").action for _, fields in await redis.xrange(STREAM_KEY)]
