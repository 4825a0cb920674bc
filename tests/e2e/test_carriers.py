"""What `ocs run` starts beside the daemon where the settings ask for it: the collector and the deliverer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import RunningOcs
from tests.integration.delivery_world import SECRET
from tests.integration.stripe_standin import SECRET_KEY, WEBHOOK_SECRET

pytestmark = pytest.mark.integration
CARRIERS = ("collector", "deliverer")


def test_collector_and_deliverer_are_started_and_drained(
    start_ocs: Callable[[], RunningOcs], sample_config: Path
) -> None:
    """With a gateway and a webhook both run, come back when they die, and end with the drain."""
    _configure(sample_config.parent)
    running = start_ocs()
    running.wait_ready()
    running.wait_for(lambda: all(f'"event":"{name}_started"' in running.words() for name in CARRIERS))
    for name in CARRIERS:
        running.kill(name)
    running.wait_for(lambda: all(running.words().count(f'"event":"{name}_started"') == 2 for name in CARRIERS))
    children = [running.pid(name) for name in CARRIERS]
    assert all(children)
    assert running.stop() == 0
    assert not any(psutil.pid_exists(child) for child in children)


def _configure(folder: Path) -> None:
    """A gateway whose secrets are in files, and a program that is told."""
    settings = folder / "ocs.toml"
    text = settings.read_text(encoding="utf-8")
    for name, value in (
        ("success_url", "https://shop.test/paid"), ("secret_key_file", "stripe.key"), ("webhook_secret_file", "hook.key"),
    ):  # fmt: skip
        text = text.replace(f'{name} = ""', f'{name} = "{value}"', 1)
    settings.write_text(text, encoding="utf-8")
    (folder / "stripe.key").write_text(SECRET_KEY, encoding="ascii")
    (folder / "hook.key").write_text(WEBHOOK_SECRET, encoding="ascii")
    hook = f'\n[[webhook]]\nname = "crm"\nurl = "https://crm.test/hook"\nsecrets = ["{SECRET}"]\n'
    delivery = folder / "delivery.toml"
    delivery.write_text(delivery.read_text(encoding="utf-8") + hook, encoding="utf-8")
