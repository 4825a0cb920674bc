"""TLS from the first octet, with certificates on both sides (RFC 6733, section 13.1; TLS 1.2 or newer)."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.settings import DiameterTls


def server_context(tls: DiameterTls, config_dir: Path) -> ssl.SSLContext:
    """For connections that peers open: no certificate of a known authority, no connection."""
    return _context(ssl.PROTOCOL_TLS_SERVER, tls, config_dir)


def client_context(tls: DiameterTls, config_dir: Path) -> ssl.SSLContext:
    """For connections that we open. Whose certificate it is, is asked when the peer has said its name."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, tls, config_dir)


def _context(protocol: ssl._SSLMethod, tls: DiameterTls, config_dir: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 6733's own list of cipher suites is obsolete; TLS 1.2 with forward secrecy and authenticated encryption only.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    load_files(context, tls, config_dir)
    return context


def load_files(context: ssl.SSLContext, tls: DiameterTls, config_dir: Path) -> None:
    """Read certificate, key and authorities, for the first time or anew; connections that are open keep theirs.

    Raises StartRefusedError when a file is not what it should be.
    """
    try:
        context.load_cert_chain(config_dir / tls.certificate, config_dir / tls.key)
        context.load_verify_locations(config_dir / tls.authorities)
    except (OSError, ssl.SSLError) as error:
        raise StartRefusedError(f"diameter.tls: a PEM file cannot be used: {error}", EXIT_CONFIG) from error


def names_of(certificate: dict[str, object]) -> frozenset[str]:
    """The host names that a verified certificate bears (subjectAltName; RFC 6125 does without the common name)."""
    names = certificate.get("subjectAltName", ())
    assert isinstance(names, tuple), "ssl gives a tuple of pairs"
    return frozenset(value.lower() for kind, value in names if kind == "DNS")


def bears_one_of(certificate_names: frozenset[str], wanted: Iterable[str]) -> bool:
    """Whether one of the names is borne; ``*.example.net`` stands for one label in front."""
    for name in wanted:
        lower = name.lower()
        if lower in certificate_names or f"*.{lower.partition('.')[2]}" in certificate_names:
            return True
    return False
