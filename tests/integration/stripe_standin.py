"""A server that speaks Stripe's HTTP as far as it is used: checkouts, stored methods, charges, refunds, keys, signed events.

It runs in the test's own loop, or holds an answer back when a test wants to kill who waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SECRET_KEY, WEBHOOK_SECRET = "sk_test_standin", "whsec_standin"
CARD = {"brand": "visa", "last4": "4242", "exp_year": 2027, "exp_month": 4}
DEBIT = {"last4": "3000", "country": "DE"}


@dataclass
class StripeStandin:
    """``refuses``: the next requests to give back are refused so; ``breaks``: that many are done, then unanswered.

    ``declines`` are the codes of the next charges; ``holds``: the next answers to charges and refunds wait until ``release``.
    """

    base: str = ""
    refuses: str = ""
    breaks: int = 0
    declines: list[str] = field(default_factory=list)
    holds: bool = False
    held: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """By Idempotency-Key; cleared by a test it is as a day later."""

    @property
    def charged(self) -> list[int]:
        """What was taken, in cents, and never failed."""
        return [each["amount"] for each in self.intents.values() if each["status"] in ("succeeded", "processing")]

    def store(self, method_id: str, payer: str, kind: str = "card", **changes: Any) -> None:
        """A payer has stored a method."""
        facts = {**(CARD if kind == "card" else DEBIT), **changes}
        made = {"id": method_id, "object": "payment_method", "type": kind, "customer": payer, kind: facts}
        self.methods[method_id] = made

    def answer(self, method: str, target: str, key: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        path = urlsplit(target).path
        query = dict(parse_qsl(urlsplit(target).query))
        self.requests.append((method, path, form))
        if key and key in self.answers:
            return self.answers[key]
        name = path.removeprefix("/v1/").replace("/", "_") if method == "POST" else path.split("/")[2]
        answer = getattr(self, f"_{method.lower()}_{name.split('_pm_')[0]}", None)
        if answer is None:
            return 404, _error(f"no such thing: {path}")
        status, made = answer(path.rpartition("/")[2] if method == "GET" else path, {**form, **query})
        if key:
            self.answers[key] = (status, made)
        return status, made

    # --- what there is --------------------------------------------------------------------------------------------------

    def _post_checkout_sessions(self, _path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        number = len(self.answers) + 1
        return 200, {"id": f"cs_{number}", "object": "checkout.session", "url": f"https://pay.test/cs_{number}"}

    def _post_customers(self, _path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        return 200, {"id": f"cus_{form['name']}", "object": "customer"}

    def _get_payment_methods(self, name: str, _form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        found = self.methods.get(name)
        return (200, found) if found else (404, _error("No such payment_method", "resource_missing"))

    def _post_payment_methods(self, path: str, _form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        found = self.methods[path.split("/")[3]]
        found["customer"] = None
        return 200, found

    def _post_payment_intents(self, _path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        method = self.methods.get(form["payment_method"])
        if method is None or method["customer"] != form["customer"]:
            return 400, _error("The payment method is not attached to the customer")
        made: dict[str, Any] = {
            "id": f"pi_{len(self.intents) + 1}",
            "object": "payment_intent",
            "status": "succeeded" if method["type"] == "card" else "processing",
            "customer": form["customer"],
            "currency": form["currency"],
            "amount": int(form["amount"]),
            "amount_received": int(form["amount"]) if method["type"] == "card" else 0,
            "metadata": {
                key[len("metadata[") : -1]: value for key, value in form.items() if key.startswith("metadata[")
            },
        }
        self.intents[made["id"]] = made
        if self.declines:
            made["status"] = "requires_payment_method"
            made["last_payment_error"] = {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": self.declines.pop(0),
            }
            return 402, {
                "error": {**made["last_payment_error"], "message": "Your card was declined.", "payment_intent": made}
            }
        return 200, made

    def _get_payment_intents(self, name: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if name in self.intents:
            return 200, self.intents[name]
        if name != "payment_intents":
            return 404, _error("No such payment_intent", "resource_missing")
        return _list([each for each in self.intents.values() if each["customer"] == query["customer"]])

    def _get_checkout(self, _name: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        return _list([])

    def _post_refunds(self, _path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if self.refuses:
            return 400, _error(self.refuses)
        made = {
            "id": f"re_{len(self.refunds) + 1}",
            "object": "refund",
            "status": "succeeded",
            "payment_intent": form["payment_intent"],
            "amount": int(form["amount"]),
            "currency": "eur",
            "metadata": {"ocs_key": form["metadata[ocs_key]"]},
        }
        self.refunds.append(made)
        return 200, made

    def _get_refunds(self, _name: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        return _list([each for each in self.refunds if each["payment_intent"] == query["payment_intent"]])

    # --- the server -----------------------------------------------------------------------------------------------------

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
        if self.holds and method == "POST" and target in ("/v1/payment_intents", "/v1/refunds"):
            self.held.set()
            await self.release.wait()
        if method == "POST" and self.breaks:
            self.breaks -= 1
        else:
            text = json.dumps(found).encode()
            fields = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close"
            writer.write(f"HTTP/1.1 {status} -\r\n{fields}\r\n\r\n".encode() + text)
        # Whoever asked may have been killed.
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _list(found: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    return 200, {"object": "list", "url": "/v1", "has_more": False, "data": found}


def _error(message: str, code: str = "") -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "message": message, "code": code}}


@asynccontextmanager
async def stripe_standin() -> AsyncIterator[StripeStandin]:
    standin = StripeStandin()
    server = await asyncio.start_server(standin.serve, "127.0.0.1", 0)
    standin.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield standin
        standin.release.set()


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
    return event("checkout.session.completed", session, created_s)


def event(kind: str, thing: dict[str, Any], created_s: int) -> bytes:
    """A message of Stripe about a thing."""
    told = {
        "id": f"evt_{thing['id']}",
        "object": "event",
        "type": kind,
        "created": created_s,
        "data": {"object": thing},
    }
    return json.dumps(told).encode()


def signed(body: bytes, at_s: int, secret: str = WEBHOOK_SECRET) -> str:
    """The header Stripe-Signature: HMAC-SHA256 of instant, dot and body."""
    found = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={found}"
