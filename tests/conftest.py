"""Real servers for the tests, started once and with the durability that is promised; a fresh state for each test.

``valkey_url``: the session's Valkey (``appendfsync always``), empty. ``postgres_dsn``: an empty database of its own.
``billing_dsn``: the same with the billing schema. ``free_port``: a function that names ports nobody has.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import hypothesis
import pytest
import redis

from ocs.addresses import Address, why_not_free
from ocs.embedded.folder import DataFolder
from ocs.embedded.postgres import EmbeddedPostgres
from ocs.embedded.valkey import EmbeddedValkey

# A run is the same as the one before it, and no example fails for being slow. To look further than these examples:
# pytest --hypothesis-profile=default --hypothesis-seed=random
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

CHOOSABLE_PORTS = range(15_000, 32_000)
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFolder]:
    """The data folder of the session's servers, locked."""
    folder = DataFolder(tmp_path_factory.mktemp("ocs") / "data")
    with folder.locked():
        yield folder


@pytest.fixture(scope="session")
def valkey_server(data_folder: DataFolder) -> Iterator[EmbeddedValkey]:
    """The session's Valkey; its state is not reset, so give your keys names of their own (or use ``valkey_url``)."""
    server = EmbeddedValkey(data_folder)
    child = server.start()
    yield server
    server.stop(child)


@pytest.fixture
def valkey_url(valkey_server: EmbeddedValkey) -> str:
    """The address of a real and empty Valkey."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
        client.function_flush()
    return valkey_server.url


@pytest.fixture(scope="session")
def postgres_server(data_folder: DataFolder) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL."""
    server = EmbeddedPostgres(data_folder)
    child = server.start()
    yield server
    server.stop(child)


def _with_database(dsn: str, database: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{database}").geturl().replace("///", "//", 1).replace("@//", "@/")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def billing_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database with the billing schema, to be copied."""
    from ocs.billing.migrate import upgrade

    asyncio.run(_execute(postgres_server.dsn, "CREATE DATABASE billing_template"))
    upgrade(_with_database(postgres_server.dsn, "billing_template"))
    return "billing_template"


async def _database(server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    await _execute(server.dsn, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _with_database(server.dsn, name)
    await _execute(server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def postgres_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """An empty database of a real PostgreSQL."""
    async for dsn in _database(postgres_server, "template0"):
        yield dsn


@pytest.fixture
async def billing_dsn(postgres_server: EmbeddedPostgres, billing_template: str) -> AsyncIterator[str]:
    """A database of a real PostgreSQL with the billing schema and nothing in it."""
    async for dsn in _database(postgres_server, billing_template):
        yield dsn


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that names a loopback port which is free for TCP and UDP, never the same twice in a session."""
    return find_free_port


_given: set[int] = set()


def find_free_port() -> int:
    """A port that nobody has, TCP or UDP, below those that the system gives to clients.

    Among those a client that asks again and again whether anybody listens there may be given the very port that it asks
    for: it connects to itself, hears its own words, and keeps the server out.
    """
    while True:
        port = secrets.choice(CHOOSABLE_PORTS)
        address = Address("127.0.0.1", port)
        if port not in _given and not any(why_not_free(address, kind) for kind in KINDS):
            _given.add(port)
            return port


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout: where config/ and the sources are."""
    return Path(__file__).parent.parent


@pytest.fixture
def sample_config(tmp_path: Path, project_root: Path) -> Path:
    """A copy of the sample configuration that listens on free ports; the path of its ``ocs.toml``."""
    folder = tmp_path / "config"
    shutil.copytree(project_root / "config", folder)
    settings = folder / "ocs.toml"
    text = settings.read_text(encoding="utf-8")
    for port in (3868, 1812, 1813, 8080):
        assert f"127.0.0.1:{port}" in text, "the sample listens on the protocols' own ports"
        text = text.replace(f'"127.0.0.1:{port}"', f'"127.0.0.1:{find_free_port()}"')
    settings.write_text(text, encoding="utf-8")
    return settings
