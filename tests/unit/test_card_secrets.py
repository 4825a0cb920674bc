"""The gateway's secrets: from files or the environment, and a start that says which one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.payments.secrets import SECRET_KEY, open_gateway
from ocs.settings import Stripe

SHOP = "https://shop.test/paid"


async def test_without_an_address_there_is_no_gateway(tmp_path: Path) -> None:
    """The sample's state: nothing is asked for."""
    assert open_gateway(Stripe(), tmp_path) is None


async def test_secrets_come_from_files_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named with its cure; what is there is not shown."""
    monkeypatch.delenv(SECRET_KEY, raising=False)
    (tmp_path / "hook").write_text("whsec_1\n")
    settings = Stripe(success_url=SHOP, webhook_secret_file="hook")
    with pytest.raises(StartRefusedError, match=f"secret_key_file: .*{SECRET_KEY}") as refused:
        open_gateway(settings, tmp_path)
    assert refused.value.exit_status == EXIT_CONFIG
    monkeypatch.setenv(SECRET_KEY, "sk_1")
    gateway = open_gateway(settings, tmp_path)
    assert gateway is not None
    assert "sk_1" not in repr(gateway)
    await gateway.close()
