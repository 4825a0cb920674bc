"""``config/feeds.toml``: who else is given the rated records, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from ocs.rating.faults import ConfigFault, FaultList, did_you_mean
from ocs.rating.tomlfile import TomlFile

FEEDS_FILE: Final = "feeds.toml"


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One receiver. ``batch_max`` records at most go in one file, request or round; one that is not full waits ``wait_s``.

    A file feed has a ``folder`` (below the data folder), HTTP a ``url`` (with ``headers``), Kafka ``servers`` and a ``topic``
    (with ``options`` of librdkafka).
    """

    name: str
    to: Literal["file", "http", "kafka"]
    folder: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    servers: str = ""
    topic: str = ""
    options: dict[str, str] = {}
    batch_max: int = 1000
    wait_s: int = 10
    timeout_s: int = 30


def load_feeds(config_dir: Path) -> dict[str, Feed] | list[ConfigFault]:
    """Read the file beside the settings; without one nobody else is given records."""
    faults = FaultList(FEEDS_FILE)
    try:
        text = (config_dir / FEEDS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        faults.add(1, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return faults.sorted()
    feeds = parse_feeds(text, faults)
    return faults.sorted() or feeds


def parse_feeds(text: str, faults: FaultList) -> dict[str, Feed]:
    file = TomlFile(text, faults)
    for name in file.table.keys() - {"feed"}:
        file.fault((name,), "is not a known table", did_you_mean(name, ("feed",)))
    found: dict[str, Feed] = {}
    tables = file.table.get("feed", [])
    if not isinstance(tables, list):
        file.fault(("feed",), "has to be a list of tables", "write [[feed]]")
        return {}
    for place, raw in enumerate(tables):
        path = ("feed", place)
        feed = file.decode(raw, Feed, path)
        if feed is None:
            continue
        if feed.name in found or not feed.name:
            file.fault((*path, "name"), f"{feed.name!r} is there already, or empty", "one name for each feed")
        if feed.to == "file" and not feed.folder:
            file.fault((*path, "folder"), "is missing", 'where files are laid down, such as "outgoing/cdrs"')
        if feed.to == "http" and urlsplit(feed.url).scheme not in {"http", "https"}:
            file.fault((*path, "url"), f"{feed.url!r} is no address", "such as https://warehouse.example.net/cdrs")
        if feed.to == "kafka" and not (feed.servers and feed.topic):
            file.fault((*path, "servers"), "and topic say where to", 'servers = "kafka1:9092", topic = "cdrs"')
        if not (1 <= feed.batch_max <= 100_000 and 0 <= feed.wait_s <= 86_400 and 1 <= feed.timeout_s <= 600):
            file.fault(
                (*path, "batch_max"), "or wait_s or timeout_s is out of range", "1 to 100000, 0 to 86400, 1 to 600"
            )
        found[feed.name] = feed
    return found
