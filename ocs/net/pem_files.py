"""Whether the PEM files that the settings name can be used: asked by `ocs config check`, before a daemon starts."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ocs.settings import DiameterTls, RadiusTls, Settings

_FILES: Final = ("certificate", "key", "authorities", "revocations")
_READ_CURE: Final = "name a PEM file that this user may read, relative to this file"
_USE_CURE: Final = "certificate and key have to be a pair, and all of them PEM"


def check_pem_files(folder: Path, settings: Settings, fault: Callable[[tuple[str, ...], str, str], None]) -> None:
    """Report each file that cannot be read, and those that do not go together."""
    sections: tuple[tuple[str, DiameterTls | RadiusTls], ...] = (
        ("diameter", settings.diameter.tls),
        ("radius", settings.radius.tls),
    )
    for section, tls in sections:
        files = {name: getattr(tls, name, "") for name in _FILES}
        why_not = {name: _why_not(folder / text) for name, text in files.items() if text}
        for name, reason in why_not.items():
            if reason:
                fault((section, "tls", name), f"{files[name]} cannot be read: {reason}", _READ_CURE)
        if not any(why_not.values()) and files["certificate"] and files["key"]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                context.load_cert_chain(folder / files["certificate"], folder / files["key"])
                for text in (files["authorities"], files["revocations"]):
                    if text:
                        context.load_verify_locations(folder / text)
            except (OSError, ssl.SSLError) as error:
                fault((section, "tls"), f"cannot be used: {error}", _USE_CURE)


def _why_not(path: Path) -> str:
    try:
        path.read_bytes()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
