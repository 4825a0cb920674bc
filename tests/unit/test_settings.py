"""Settings are refused whole: each fault with its file, line, field and cure."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ocs.rating.faults import ConfigFault
from ocs.settings import Settings, load_settings


def _load(tmp_path: Path, text: str) -> Settings | tuple[ConfigFault, ...]:
    path = tmp_path / "ocs.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def _faults(tmp_path: Path, text: str) -> list[str]:
    result = _load(tmp_path, text)
    assert not isinstance(result, Settings), "it was taken"
    return [str(fault).removeprefix(f"{tmp_path}/") for fault in result]


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Every setting has a default that makes sense."""
    assert _load(tmp_path, "") == Settings()


def test_sample_says_the_defaults(project_root: Path) -> None:
    """The commented sample names every setting, with its default, but for what it calls a sample."""
    settings = load_settings(project_root / "config" / "ocs.toml")
    assert isinstance(settings, Settings), settings
    expected = Settings(
        diameter=msgspec.structs.replace(Settings().diameter, accept_realms=("example.net",)),
        radius=msgspec.structs.replace(Settings().radius, clients=settings.radius.clients),
    )
    assert settings == expected
    text = (project_root / "config" / "ocs.toml").read_text(encoding="utf-8")
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type) if isinstance(section.default, msgspec.Struct) else ():
            assert field.name in text, f"{section.name}.{field.name} is not in the sample"


def test_all_faults_at_once_with_line_and_cure(tmp_path: Path) -> None:
    """Faults of shape in several sections are listed together, each at its own line."""
    text = """\
[node]
identity = 5
realms = "x.example"

[diameter]
listen = "127.0.0.1:3868"

[[diameter.peers]]
realm = "a.example"

[[radius.clients]]
name = "a"
networks = ["127.0.0.1"]
secret = "long enough"

[[radius.clients]]
name = "b"
networks = ["127.0.0.2"]
secret = "long enough"
credentials = "perhaps"
"""
    assert _faults(tmp_path, text) == [
        'ocs.toml:2: node.identity: expected str, got int (write it in quotes: "5")',
        "ocs.toml:3: node.realms: is not a known field (did you mean realm?)",
        "ocs.toml:6: diameter.listen: expected array, got str",
        "ocs.toml:8: diameter.peers.identity: is missing (add a line identity = ...)",
        "ocs.toml:20: radius.clients.credentials: invalid enum value 'perhaps' (known: none, required)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[node\n", "file: is no TOML: "),
        ("node = 3\n", "1: node: has to be a table (write [node])"),
        ("[diameter]\npeers = 3\n", "2: diameter.peers: has to be a list of tables (write [[diameter.peers]])"),
        ('[node]\nidentity = "ocs"\n', "2: node.identity: 'ocs' is no domain name (write it in full"),
        ('[node]\naliases = ["a.b", "-"]\n', "2: node.aliases: '-' is no domain name"),
        ('[node]\ndata_dir = ""\n', "2: node.data_dir: is empty"),
        ("[backends]\npartitions = 0\n", "2: backends.partitions: is 0 (choose 1 to 4096)"),
        ('[backends]\nvalkey_url = "10.0.0.1:6379"\n', "2: backends.valkey_url: is no address of a Valkey (such as"),
        ('[backends]\npostgres_dsn = "mysql://h/d"\n', "2: backends.postgres_dsn: is no address of a PostgreSQL"),
        ("[diameter]\nwatchdog_s = 5\n", "2: diameter.watchdog_s: is 5 (choose 6 to 3600)"),
        ('[diameter]\nlisten = ["localhost"]\n', "2: diameter.listen: 'localhost' is no address (write host:port"),
        ('[diameter]\nlisten = ["::1:3868"]\n', "2: diameter.listen: '::1:3868' is no address"),
        (
            '[http]\nlisten = "127.0.0.1:3868"\n',
            "2: http.listen: 127.0.0.1:3868 is the address of diameter.listen, too",
        ),
        ("[quota]\nsupervision_factor = 1\n", "2: quota.supervision_factor: is 1 (choose 2 to 10)"),
        ("[retention]\ntombstone_s = 10\n", "2: retention.tombstone_s: is 10 (choose 600 to 2678400)"),
        ('[[diameter.peers]]\nidentity = "pgw"\n', "2: diameter.peers.identity: 'pgw' is no domain name"),
        (
            '[[diameter.peers]]\nidentity = "OCS.example.net"\n',
            "2: diameter.peers.identity: OCS.example.net is our own name",
        ),
        (
            '[[diameter.peers]]\nidentity = "a.b"\naddresses = ["10.0.0.1/8"]\n',
            "3: diameter.peers.addresses: 10.0.0.1/8 has host bits set",
        ),
        (
            '[[diameter.peers]]\nidentity = "a.b"\nconnect = ["here"]\n',
            "3: diameter.peers.connect: 'here' is no address (write host:port",
        ),
        (
            '[[diameter.peers]]\nidentity = "a.b"\nconnect = ["10.0.0.1:1"]\nconnections_max = 2\n',
            "3: diameter.peers.connect: is one connection, and connections_max says more",
        ),
        (
            '[[diameter.peers]]\nidentity = "a.b"\nconnections_max = 0\nin_flight_max = -1\n',
            "3: diameter.peers.connections_max: is 0 (choose 1 to 4096)",
        ),
        (
            '[[diameter.peers]]\nidentity = "a.b"\ntransport = "tls"\n',
            "3: diameter.peers.transport: is tls without [diameter.tls]",
        ),
        (
            '[diameter]\nlisten_tls = ["127.0.0.1:0"]\n',
            "2: diameter.listen_tls: needs certificate, key, authorities of",
        ),
        ('[diameter.tls]\nkey = "a"\n', "1: diameter.tls: needs certificate, authorities of [diameter.tls]"),
        ("[credit_control]\nquota_holding_s = -1\n", "2: credit_control.quota_holding_s: is -1"),
        ("[credit_control]\nidentities = []\n", "2: credit_control.identities: is empty or names one twice"),
        (
            '[[credit_control.final_units]]\nservice = "fax"\n',
            "2: credit_control.final_units.service: 'fax' is no service",
        ),
        (
            '[[credit_control.final_units]]\nservice = "data"\naction = "redirect"\n',
            "credit_control.final_units.redirect: belongs to the action redirect",
        ),
        (
            '[[credit_control.final_units]]\nservice = "data"\naction = "restrict"\n',
            "credit_control.final_units.filter_rules: are empty, and filter_ids, too",
        ),
        (
            '[[credit_control.final_units]]\nservice = "data"\nfilter_ids = ["a"]\n',
            "credit_control.final_units.action: terminate has no filters",
        ),
        (
            '[[credit_control.final_units]]\nservice = "data"\nvalidity_s = 601\n',
            "3: credit_control.final_units.validity_s: is 601 (choose 10 to quota.validity_s, 600)",
        ),
        (
            '[[credit_control.clients]]\nhost = "pgw"\n',
            "2: credit_control.clients.host: 'pgw' is no domain name (write its Origin-Host, or \"*\" for all others)",
        ),
        (
            '[[credit_control.clients]]\nhost = "*"\n[[credit_control.clients]]\nhost = "*"\n',
            "credit_control.clients.host: * stands here twice",
        ),
        ("[rates]\nreauthorizations_per_s = 0\n", "2: rates.reauthorizations_per_s: is 0 (choose 1 to 100000)"),
        ("[retention]\nevent_s = 10\n", "2: retention.event_s: is 10 (choose 600 to 2678400)"),
        (
            '[[radius.clients]]\nname = "a b"\nnetworks = []\nsecret = "short"\ninterim_s = 5\n',
            "2: radius.clients.name: 'a b' is no plain name",
        ),
        (
            '[[radius.clients]]\nname = "a"\nnetworks = ["10.0.0.1"]\nsecret = "0123456789abcdef"\nlanguage = "english"\n',
            "5: radius.clients.language: 'english' is no language (two small letters, such as en (ISO 639))",
        ),
        (
            "".join(
                f'[[radius.clients]]\nname = "{name}"\nnetworks = ["10.0.0.{at}"]\nsecret = "0123456789abcdef"\n'
                f'certificate_names = ["{domain}.example.net"]\n'
                for at, (name, domain) in enumerate((("a", "sbc"), ("b", "SBC")))
            ),
            "10: radius.clients.certificate_names: SBC.example.net is a name of a, too (one client per name)",
        ),
        (
            (
                '[[radius.clients]]\nname = "a"\nnetworks = ["10.0.0.1"]\nsecret = "0123456789abcdef"\n'
                'certificate_names = ["sha256:A1:B2"]\n'
            ),
            "5: radius.clients.certificate_names: 'sha256:A1:B2' is no name of a certificate (a DNS name, or sha256:",
        ),
    ],
)
def test_one_fault(tmp_path: Path, text: str, expected: str) -> None:
    """Each rule says what is wrong at its line."""
    assert expected in _faults(tmp_path, text)[0]


def test_clients_that_contradict_one_another(tmp_path: Path) -> None:
    """A peer or a client named twice, and a network of two clients, cannot be meant."""
    client = '[[radius.clients]]\nname = "{}"\nnetworks = ["10.0.0.1"]\nsecret = "0123456789abcdef"\n'
    peer = '[[diameter.peers]]\nidentity = "{}.example.net"\n'
    text = peer.format("a") + peer.format("A") + client.format("x") + client.format("x") + client.format("y")
    assert _faults(tmp_path, text) == [
        "ocs.toml:4: diameter.peers.identity: A.example.net stands here twice (remove one)",
        "ocs.toml:10: radius.clients.name: x stands here twice (name each client once)",
        "ocs.toml:15: radius.clients.networks: 10.0.0.1 belongs to x, too (one client per network)",
    ]


def test_port_0_may_stand_twice(tmp_path: Path) -> None:
    """Port 0 lets the system choose, so it collides with nothing."""
    text = '[diameter]\nlisten = ["127.0.0.1:0"]\n[http]\nlisten = "127.0.0.1:0"\n'
    assert isinstance(_load(tmp_path, text), Settings)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, and one that is no text, are faults like others."""
    missing = load_settings(tmp_path / "none.toml")
    assert isinstance(missing, tuple)
    assert "does not exist" in str(missing[0])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    binary = load_settings(tmp_path / "binary.toml")
    assert isinstance(binary, tuple)
    assert "cannot be read" in str(binary[0])
