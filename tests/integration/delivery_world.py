"""A mail server and a web server that keep what they are sent and answer as a test wants, and a queue on real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, NamedTuple

import asyncpg
import msgspec
from aiosmtpd.smtp import SMTP, Envelope, Session

from balance.money import Currency
from ocs.delivery.deliverer import Deliverer
from ocs.delivery.queue import Message, list_messages
from ocs.delivery.settings import NOTHING, Delivery, DeliveryFile, Mail, Sms, Webhook
from ocs.delivery.timing import Patience, Quiet
from ocs.delivery.words import Dictionary, load_words

NOW_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
EUR = Currency("EUR", 978, 9, 2)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's example
END_MS = 253_402_300_799_000


class MailServer:
    """Takes mail over SMTP; the next answers to a recipient are ``refusals``, then all is taken."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusals: deque[str] = deque()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refusals:
            return self.refusals.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"


class Call(NamedTuple):
    """One request that the web server was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class WebServer:
    """Answers POSTs; the next answers are ``answers`` (status and headers), then all are 200."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: deque[str] = deque()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.calls.append(Call(first.split(" ")[1], headers, body))
                answer = self.answers.popleft() if self.answers else "200 OK"
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class World:
    """The queue, its deliverer, and who listens; the clock is set by the test."""

    def __init__(self, pool: Any, mail: MailServer, web: WebServer, delivery: Delivery, words: Dictionary) -> None:
        self.pool, self.mail, self.web, self.delivery, self.words = pool, mail, web, delivery, words
        self.now_ms = NOW_MS

    def deliverer(self, delivery: Delivery | None = None) -> Deliverer:
        return Deliverer(
            self.pool, delivery or self.delivery, self.words, {"EUR": EUR}, idle_s=0.01, clock_ms=lambda: self.now_ms
        )

    async def settle(self, delivery: Delivery | None = None) -> None:
        """Deliver all that is due now."""
        deliverer = self.deliverer(delivery)
        await deliverer.settle()
        await deliverer.close()

    async def messages(self, state: str = "") -> list[Message]:
        async with self.pool.acquire() as connection:
            return await list_messages(connection, state=state, before=(END_MS, ""), limit=100)


@asynccontextmanager
async def open_world(config: Any, dsn: str, **changes: Any) -> AsyncIterator[World]:
    """``changes`` are fields of ``DeliveryFile`` beside the servers of the world."""
    mail, web = MailServer(), WebServer()
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(mail, loop=loop), "127.0.0.1", 0)
    http = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    port = smtp.sockets[0].getsockname()[1]
    web.url = f"http://127.0.0.1:{http.sockets[0].getsockname()[1]}"
    hook = Webhook(name="crm", url=f"{web.url}/hook", secrets=(SECRET,))
    file = DeliveryFile(
        mail=Mail(host="127.0.0.1", port=port, security="none", sender="Example <service@example.net>", timeout_s=5),
        sms=Sms(url=f"{web.url}/sms", headers={"Authorization": "Bearer x"}),
        webhook=(hook,),
    )
    file = msgspec.structs.replace(file, **changes)
    delivery = Delivery(file, NOTHING.quiet, Patience(4, 5, 60), {each.name: each for each in file.webhook})
    words = load_words(config)
    assert isinstance(words, Dictionary), words
    async with asyncpg.create_pool(dsn, min_size=0, max_size=4) as pool:
        try:
            yield World(pool, mail, web, delivery, words)
        finally:
            smtp.close()
            http.close()


NO_QUIET = Quiet(NOTHING.quiet.begins, NOTHING.quiet.begins)
