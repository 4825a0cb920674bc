"""The command line: it helps with examples, finds the servers, and ends with one clear line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ocs.cli.app import app
from ocs.cli.common import find_servers, read_settings, refusals
from ocs.embedded.folder import DataFolder, Endpoints
from ocs.errors import EXIT_CONFIG, EXIT_TEMPORARY, StartRefusedError

RUNNING = Endpoints(
    valkey_url="unix:///run/v", postgres_dsn="postgresql://ocs@/ocs", http_url="http://h", pid=os.getpid()
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's own settings must not decide a test."""
    for name in ("OCS_VALKEY_URL", "OCS_POSTGRES_DSN", "OCS_CONFIG", "OCS_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command's words; a group has none of its own."""
    parts = getattr(command, "commands", None)
    if parts is None:
        yield " ".join(path)
    for name, part in (parts or {}).items():
        yield from _leaves(part, (*path, name))


COMMANDS = sorted(_leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    """Each command says in its help how it is used."""
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output


def test_config_check_finds_nothing_in_the_sample(project_root: Path) -> None:
    """The sample configuration is sound."""
    result = CliRunner().invoke(app, ["config", "check", str(project_root / "config")])
    assert (result.exit_code, result.output.splitlines()[-1].endswith("no faults")) == (0, True), result.output


def test_config_check_lists_faults_of_all_files(sample_config: Path) -> None:
    """Faults in the settings and in a rate file come in one list, with the status of a configuration error."""
    sample_config.write_text("[node]\nrealm = 1\nidentity = 'x'\n", encoding="utf-8")
    plan = sample_config.parent / "rateplans" / "retail-eur.toml"
    plan.write_text("nonsense", encoding="utf-8")
    result = CliRunner().invoke(app, ["config", "check", str(sample_config.parent)])
    assert result.exit_code == EXIT_CONFIG
    assert f"{sample_config}:2: node.realm: expected str, got int" in result.output
    assert f"{plan}:1: file: is no TOML" in result.output


def test_config_check_lists_what_a_radius_client_says_amiss_at_once(sample_config: Path) -> None:
    """What cannot be meant hides nothing of what is not there."""
    text = sample_config.read_text(encoding="utf-8")
    changes = {
        "ring_s = 180": "ring_s = 0",
        'profile = "generic"': 'profile = "sipy"',
        "account_from = []": 'account_from = ["Usr-Name"]',
    }
    for good, bad in changes.items():
        text = text.replace(good, bad)
    sample_config.write_text(text, encoding="utf-8")
    lines = CliRunner().invoke(app, ["config", "check", str(sample_config.parent)]).output.splitlines()
    assert [line.rpartition(f"{sample_config}:")[2].partition(": ")[2] for line in lines[:-1]] == [
        "radius.ring_s: is 0 (choose 1 to 3600)",
        "radius.clients.profile: there is no profile sipy (did you mean sippy?)",
        "radius.clients.account_from: Usr-Name is in no dictionary (did you mean User-Name?)",
    ]


CERTIFICATES = Path(__file__).parents[1] / "certificates"


@pytest.mark.parametrize(
    ("key", "authorities", "said"),
    [
        ("ocs.key", "authority.pem", "no faults"),
        (
            "nowhere.key",
            "authority.pem",
            "diameter.tls.key: nowhere.key cannot be read: No such file or directory (name a PEM",
        ),
        ("client.key", "authority.pem", "diameter.tls: cannot be used: [X509: KEY_VALUES_MISMATCH]"),
        ("ocs.key", "ocs.toml", "diameter.tls: cannot be used: [X509"),
    ],
)
def test_config_check_reads_the_certificates(sample_config: Path, key: str, authorities: str, said: str) -> None:
    """Before a daemon that is to be started anew finds out: which file, in which line, and what is wrong with it."""
    for name in ("ocs.pem", "ocs.key", "client.key", "authority.pem"):
        shutil.copy(CERTIFICATES / name, sample_config.parent)
    text = sample_config.read_text(encoding="utf-8")
    empty = '[diameter.tls]\ncertificate = ""\nkey = ""\nauthorities = ""'
    full = f'[diameter.tls]\ncertificate = "ocs.pem"\nkey = "{key}"\nauthorities = "{authorities}"'
    assert empty in text
    sample_config.write_text(text.replace(empty, full), encoding="utf-8")
    result = CliRunner().invoke(app, ["config", "check", str(sample_config.parent)])
    assert said in result.output
    assert (result.exit_code == 0) == (said == "no faults")


def test_refusal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal is its line on standard error and its exit status, never a traceback."""
    with pytest.raises(typer.Exit) as ended, refusals():
        raise StartRefusedError("the port is taken")
    assert ended.value.exit_code == EXIT_TEMPORARY
    assert capsys.readouterr().err == "ocs: the port is taken\n"


def _config(tmp_path: Path, text: str = "") -> Path:
    path = tmp_path / "ocs.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_servers_of_the_running_instance(tmp_path: Path) -> None:
    """A command in a second terminal finds what `ocs run` started, as long as it runs."""
    settings = read_settings(_config(tmp_path), tmp_path / "data")
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.write_endpoints(RUNNING)
        assert find_servers(settings) == RUNNING
    with pytest.raises(StartRefusedError, match=r"nothing runs on the data folder .*: start `ocs run`"):
        find_servers(settings)


def test_servers_that_are_set_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment goes before the file, and both before the running instance."""
    config = _config(tmp_path, '[backends]\nvalkey_url = "redis://a/0"\npostgres_dsn = "postgresql://a/ocs"\n')
    data = tmp_path / "data"
    assert find_servers(read_settings(config, data)) == Endpoints("redis://a/0", "postgresql://a/ocs")
    monkeypatch.setenv("OCS_VALKEY_URL", "redis://b/0")
    folder = DataFolder(data)
    with folder.locked():
        folder.write_endpoints(RUNNING)
        found = find_servers(read_settings(config, data))
    assert (found.valkey_url, found.postgres_dsn, found.http_url) == ("redis://b/0", "postgresql://a/ocs", "http://h")
