"""Certificates for RadSec: ours, whom we trust, what a client's is called, and reading all of it anew [R-110] [R-117]."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Final

import structlog

from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.settings import RadiusTls

log = structlog.get_logger()

FINGERPRINT: Final = "sha256:"


class TlsFiles:
    """``context`` is one object for the process's life: what it holds is loaded anew into it."""

    def __init__(self, config_dir: Path, tls: RadiusTls) -> None:
        """Raises StartRefusedError when a file cannot be used."""
        self._config_dir = config_dir
        self._tls = tls
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 6614 still allows 1.1; nobody should
        self.context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
        self.context.verify_mode = ssl.CERT_REQUIRED
        if tls.revocations:
            self.context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            raise StartRefusedError(f"radius.tls: a PEM file cannot be used: {error}", EXIT_CONFIG) from error

    def reload(self) -> None:
        """For connections to come. With a fault in a file, the old ones stay in use."""
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            log.warning("radsec_certificates_kept", reason=str(error))
        else:
            log.info("radsec_certificates_read")

    def _load(self) -> None:
        folder, tls = self._config_dir, self._tls
        self.context.load_cert_chain(folder / tls.certificate, folder / tls.key)
        self.context.load_verify_locations(folder / tls.authorities)
        if tls.revocations:
            self.context.load_verify_locations(folder / tls.revocations)


def names_of_certificate(ssl_object: ssl.SSLObject) -> tuple[str, ...]:
    """What a client may be known by: its certificate's fingerprint, and the DNS names in it."""
    octets = ssl_object.getpeercert(binary_form=True)
    said = ssl_object.getpeercert()
    if not octets or said is None:
        return ()
    names = said.get("subjectAltName", ())
    assert isinstance(names, tuple), "ssl gives a tuple of pairs"
    return (FINGERPRINT + hashlib.sha256(octets).hexdigest(), *(name[1].lower() for name in names if name[0] == "DNS"))
