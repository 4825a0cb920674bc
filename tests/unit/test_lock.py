"""The lock files serve every Python that the project admits, whichever one wrote them."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11.0", "3.11.99", "3.12.0", "3.13.0", "3.14.0")
PLATFORMS = ("linux", "darwin")


def _names(lock: Path) -> list[str]:
    return re.findall(r"^([a-z0-9-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-run.lock"])
def test_the_lock_is_whole_for_every_python(project_root: Path, name: str) -> None:
    """What a locked package asks for on an older or newer Python, or on macOS, is locked, too: pip takes nothing else."""
    locked = _names(project_root / name)
    assert len(locked) > 30
    missing = {
        (package, requirement.name)
        for package in locked
        for requirement in map(Requirement, requires(package) or ())
        for version in PYTHONS
        for platform in PLATFORMS
        if canonicalize_name(requirement.name) not in locked and _is_wanted(requirement, version, platform)
    }
    assert not missing


def _is_wanted(requirement: Requirement, version: str, platform: str) -> bool:
    environment = {
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": platform,
        "platform_system": platform.capitalize(),
        "extra": "",
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)
