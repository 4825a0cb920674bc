"""The JSON Schemas of the configuration files: current, and true of the sample."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = [
    ("ocs.json", ROOT / "config" / "ocs.toml"),
    ("currencies.json", ROOT / "config" / "currencies.toml"),
    ("billing.json", ROOT / "config" / "billing.toml"),
    ("delivery.json", ROOT / "config" / "delivery.toml"),
    *(("messages.json", path) for path in sorted((ROOT / "config" / "messages").glob("*.toml"))),
    ("payments.json", ROOT / "config" / "payments.toml"),
    ("mediation.json", ROOT / "config" / "mediation.toml"),
    ("zones.json", ROOT / "config" / "zones.toml"),
    ("numbers.json", ROOT / "config" / "numbers.toml"),
    *(("calendar.json", path) for path in sorted((ROOT / "config" / "calendars").glob("*.toml"))),
    *(("rateplan.json", path) for path in sorted((ROOT / "config" / "rateplans").glob("*.toml"))),
]


def test_schemas_are_current() -> None:
    """What editors complete is what the server reads: `python scripts/schemas.py` after a change of the records."""
    done = subprocess.run([sys.executable, "scripts/schemas.py", "--check"], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(("schema", "sample"), SAMPLES, ids=lambda value: getattr(value, "name", value))
def test_schemas_know_the_sample(schema: str, sample: Path) -> None:
    """Every field of the sample files is in their schema, and every field that must be there is."""
    root = json.loads((ROOT / "config" / "schema" / schema).read_bytes())
    assert _unknown(tomllib.loads(sample.read_text(encoding="utf-8")), root, root) == []


def _unknown(value: object, schema: Any, root: dict[str, Any]) -> list[str]:
    if not isinstance(schema, dict):
        return []
    if "anyOf" in schema:  # a table that may be left out
        schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        return [name for each in value for name in _unknown(each, schema.get("items", {}), root)]
    if not isinstance(value, dict):
        return []
    fields, others = schema.get("properties", {}), schema.get("additionalProperties", False)
    found = [name for name in value if name not in fields and not others]
    found += [name for name in schema.get("required", ()) if name not in value]
    inner = {name: fields.get(name, others) for name in value}
    return found + [
        name for key, each in inner.items() if isinstance(each, dict) for name in _unknown(value[key], each, root)
    ]
