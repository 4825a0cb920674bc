"""What the commands share: options, reading the settings, finding the servers, ending with one clear line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ocs.addresses import Address
from ocs.embedded.folder import DataFolder, Endpoints
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.settings import Settings, load_settings

VALKEY_VARIABLE: Final = "OCS_VALKEY_URL"
POSTGRES_VARIABLE: Final = "OCS_POSTGRES_DSN"
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server listens, not we
ACTOR: Final = "operator"
"""Whom the journal names for what is done by hand."""

DEFAULT_CONFIG: Final = Path("config/ocs.toml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="OCS_CONFIG", metavar="FILE", help="Settings; rate files lie beside it."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", "-d", envvar="OCS_DATA", metavar="DIR", help="Data folder, instead of node.data_dir."),
]


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn a refusal into its line on standard error and its exit status."""
    try:
        yield
    except StartRefusedError as refusal:
        print(f"ocs: {refusal}", file=sys.stderr)
        raise typer.Exit(refusal.exit_status) from None


def read_settings(config: Path, data: Path | None = None) -> Settings:
    """Load the settings; the command line's data folder and the environment's servers go before the file's.

    Raises StartRefusedError with every fault.
    """
    settings = load_settings(config)
    if not isinstance(settings, Settings):
        faults = "\n".join(map(str, settings))
        raise StartRefusedError(
            f"the settings have {len(settings)} fault{'s'[: len(settings) > 1]}:\n{faults}", EXIT_CONFIG
        )
    backends = msgspec.structs.replace(
        settings.backends,
        valkey_url=os.environ.get(VALKEY_VARIABLE, "") or settings.backends.valkey_url,
        postgres_dsn=os.environ.get(POSTGRES_VARIABLE, "") or settings.backends.postgres_dsn,
    )
    node = settings.node if data is None else msgspec.structs.replace(settings.node, data_dir=str(data))
    return msgspec.structs.replace(settings, node=node, backends=backends)


def reachable(address: Address) -> Address:
    """Where a client of this machine connects: a server that listens on all addresses is asked on loopback."""
    return address._replace(host=_ANYWHERE.get(address.host, address.host))


def find_servers(settings: Settings) -> Endpoints:
    """Where Valkey and PostgreSQL are: as set, else the servers of the instance that runs on the data folder.

    Raises StartRefusedError when they are nowhere.
    """
    valkey_url, postgres_dsn = settings.backends.valkey_url, settings.backends.postgres_dsn
    folder = DataFolder(Path(settings.node.data_dir))
    running = folder.endpoints() if folder.is_locked() else None
    if running is None:
        if not valkey_url or not postgres_dsn:
            raise StartRefusedError(
                f"nothing runs on the data folder {folder.path}: start `ocs run`, name its folder with --data, "
                "or set valkey_url and postgres_dsn in the settings"
            )
        return Endpoints(valkey_url=valkey_url, postgres_dsn=postgres_dsn)
    return Endpoints(
        valkey_url=valkey_url or running.valkey_url,
        postgres_dsn=postgres_dsn or running.postgres_dsn,
        http_url=running.http_url,
        pid=running.pid,
    )
