"""The gateway that the settings name, with its secrets from files or the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.payments.stripe_gateway import StripeGateway
from ocs.settings import Stripe

SECRET_KEY: Final = "OCS_STRIPE_SECRET_KEY"  # noqa: S105 - the name of a variable
WEBHOOK_SECRET: Final = "OCS_STRIPE_WEBHOOK_SECRET"  # noqa: S105 - likewise


def open_gateway(settings: Stripe, config_dir: Path) -> StripeGateway | None:
    """None: there are no payments by card. Raises StartRefusedError where a secret is missing. Call it in the loop."""
    if not settings.success_url:
        return None
    return StripeGateway(
        settings,
        _secret(config_dir, "secret_key_file", settings.secret_key_file, SECRET_KEY),
        _secret(config_dir, "webhook_secret_file", settings.webhook_secret_file, WEBHOOK_SECRET),
    )


def _secret(config_dir: Path, name: str, file: str, variable: str) -> str:
    if not file:
        found = os.environ.get(variable, "").strip()
        cure = f"name a file, or set {variable}"
    else:
        cure = f"put the secret into {config_dir / file}, readable for us alone"
        try:
            found = (config_dir / file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            found = ""
    if not found:
        raise StartRefusedError(f"stripe.{name}: there is no secret ({cure})", EXIT_CONFIG)
    return found
