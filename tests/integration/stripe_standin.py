"""A server that speaks Stripe's HTTP as far as it is used: checkout sessions, refunds, idempotency keys, signed events."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SECRET_KEY, WEBHOOK_SECRET = "sk_test_standin", "whsec_standin"


@dataclass
class StripeStandin:
    """``refuses``: the next requests to give back are refused so; ``breaks``: that many are done, then unanswered."""

    base: str = ""
    refuses: str = ""
    breaks: int = 0
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By Idempotency-Key; cleared by a test it is as a day later."""

    def answer(self, method: str, target: str, key: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        path = urlsplit(target).path
        self.requests.append((method, path, form))
        if key and key in self.answers:
            return 200, self.answers[key]
        made: dict[str, Any]
        if (method, path) == ("POST", "/v1/checkout/sessions"):
            number = len(self.answers) + 1
            made = {"id": f"cs_{number}", "object": "checkout.session", "url": f"https://pay.test/cs_{number}"}
        elif (method, path) == ("POST", "/v1/refunds"):
            if self.refuses:
                return 400, {"error": {"type": "invalid_request_error", "message": self.refuses}}
            made = {
                "id": f"re_{len(self.refunds) + 1}",
                "object": "refund",
                "status": "succeeded",
                "payment_intent": form["payment_intent"],
                "amount": int(form["amount"]),
                "metadata": {"ocs_key": form["metadata[ocs_key]"]},
            }
            self.refunds.append(made)
        elif (method, path) == ("GET", "/v1/refunds"):
            wanted = dict(parse_qsl(urlsplit(target).query))["payment_intent"]
            found = [each for each in self.refunds if each["payment_intent"] == wanted]
            return 200, {"object": "list", "url": path, "has_more": False, "data": found}
        else:
            return 404, {"error": {"type": "invalid_request_error", "message": f"no such thing: {path}"}}
        self.answers[key] = made
        return 200, made

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("authorization") == f"Bearer {SECRET_KEY}":
            key = headers.get("idempotency-key", "")
            status, found = self.answer(method, target, key, dict(parse_qsl(body.decode())))
        else:
            status, found = 401, {"error": {"message": "Invalid API Key provided"}}
        if method == "POST" and self.breaks:
            self.breaks -= 1
        else:
            text = json.dumps(found).encode()
            fields = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close"
            writer.write(f"HTTP/1.1 {status} -\r\n{fields}\r\n\r\n".encode() + text)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def stripe_standin() -> AsyncIterator[StripeStandin]:
    standin = StripeStandin()
    server = await asyncio.start_server(standin.serve, "127.0.0.1", 0)
    standin.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield standin


def paid_event(account_id: str, payment: str, cents: int, created_s: int, **changes: Any) -> bytes:
    """What Stripe tells of a checkout that was paid."""
    session = {
        "id": "cs_1",
        "object": "checkout.session",
        "payment_intent": payment,
        "payment_status": "paid",
        "currency": "eur",
        "amount_total": cents,
        "metadata": {"account_id": account_id},
        **changes,
    }
    event = {
        "id": f"evt_{payment}",
        "object": "event",
        "type": "checkout.session.completed",
        "created": created_s,
        "data": {"object": session},
    }
    return json.dumps(event).encode()


def signed(body: bytes, at_s: int, secret: str = WEBHOOK_SECRET) -> str:
    """The header Stripe-Signature: HMAC-SHA256 of instant, dot and body."""
    found = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={found}"
