"""The receivers: a folder of files, an HTTP server, a Kafka topic. What ``give`` returns from has arrived.

Each record is a JSON object with an ``id`` (account and entry number), the same however often it comes: who was given a
batch twice, because its answer was lost, tells by the ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import msgspec

from balance.money import Currency
from ocs.api.history import cdr_view
from ocs.billing.cdrs import CdrRow
from ocs.feeds.settings import Feed

JSON_LINES: Final = "application/x-ndjson"


class ReceiverAwayError(Exception):
    """It does not take them now; the text says why."""


class Receiver(Protocol):
    """Where a feed goes."""

    async def give(self, records: Sequence[CdrRow]) -> None:
        """All have arrived, or ReceiverAwayError: some of them may have, too."""

    async def close(self) -> None:
        """Let go of what is open."""


def line_of(record: CdrRow, currencies: Mapping[str, Currency]) -> bytes:
    """A record as one line of JSON."""
    view = msgspec.to_builtins(cdr_view(record, currencies[record.currency], is_explained=False))
    return msgspec.json.encode({"id": id_of(record), **view})


def id_of(record: CdrRow) -> str:
    return f"{record.account_id}/{record.entry_number}"


class Folder:
    """A file a batch, whole or not at all: written under another name first, and on the disk before it has its own."""

    def __init__(self, feed: Feed, data_dir: Path, currencies: Mapping[str, Currency]) -> None:
        self._feed = feed
        self._folder = data_dir / feed.folder
        self._currencies = currencies

    async def give(self, records: Sequence[CdrRow]) -> None:
        try:
            await asyncio.to_thread(self._write, records)
        except OSError as error:
            raise ReceiverAwayError(str(error)) from error

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, records: Sequence[CdrRow]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        first = records[0]
        # A batch that comes again has the same first record: a file that nobody has fetched yet is replaced.
        account = "".join(letter if letter.isalnum() else "_" for letter in first.account_id)
        name = f"{self._feed.name}-{account}-{first.entry_number}-{len(records)}.jsonl"
        partial = self._folder / f".{name}.part"
        with partial.open("wb") as file:
            file.writelines(line_of(record, self._currencies) + b"\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._folder / name)


class Web:
    """A POST a batch, JSON lines; any 2xx has taken all of it."""

    def __init__(self, feed: Feed, currencies: Mapping[str, Currency]) -> None:
        self._feed = feed
        self._currencies = currencies
        self._client = httpx.AsyncClient(timeout=feed.timeout_s, headers={"User-Agent": "ocs-feeds/1", **feed.headers})

    async def give(self, records: Sequence[CdrRow]) -> None:
        body = b"\n".join(line_of(record, self._currencies) for record in records) + b"\n"
        try:
            answer = await self._client.post(self._feed.url, content=body, headers={"Content-Type": JSON_LINES})
        except httpx.HTTPError as error:
            raise ReceiverAwayError(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise ReceiverAwayError(f"answered {answer.status_code} {answer.text[:200]}".rstrip())

    async def close(self) -> None:
        await self._client.aclose()


class Topic:
    """A message a record, keyed by the account, so that an account's records stay in their order in one partition.

    Acknowledged by all replicas in sync; librdkafka's idempotent producer lets its own repeats double nothing.
    """

    def __init__(self, feed: Feed, currencies: Mapping[str, Currency]) -> None:
        from confluent_kafka import Producer

        self._feed = feed
        self._currencies = currencies
        settings = {"bootstrap.servers": feed.servers, "enable.idempotence": "true", "acks": "all", **feed.options}
        self._producer: Any = Producer({**settings, "message.timeout.ms": str(feed.timeout_s * 1000)})

    async def give(self, records: Sequence[CdrRow]) -> None:
        await asyncio.to_thread(self._produce, records)

    async def close(self) -> None:
        with contextlib.suppress(ReceiverAwayError):
            await asyncio.to_thread(self._producer.flush, self._feed.timeout_s)

    def _produce(self, records: Sequence[CdrRow]) -> None:
        from confluent_kafka import KafkaException

        failed: list[str] = []

        def told(error: object, _message: object) -> None:
            if error is not None:
                failed.append(str(error))

        try:
            for record in records:
                self._producer.produce(
                    self._feed.topic, line_of(record, self._currencies), key=record.account_id,
                    headers={"id": id_of(record)}, on_delivery=told,
                )  # fmt: skip
            left = self._producer.flush(self._feed.timeout_s + 1)
        except (BufferError, KafkaException) as error:
            self._producer.purge()
            raise ReceiverAwayError(str(error)) from error
        if failed or left:
            raise ReceiverAwayError(failed[0] if failed else f"{left} records were not acknowledged in time")


def receiver_of(feed: Feed, data_dir: Path, currencies: Mapping[str, Currency]) -> Receiver:
    if feed.to == "file":
        return Folder(feed, data_dir, currencies)
    return Web(feed, currencies) if feed.to == "http" else Topic(feed, currencies)
