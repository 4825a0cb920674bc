"""Signed webhooks, as Standard Webhooks has them: headers webhook-id, webhook-timestamp, webhook-signature.

The signature is HMAC-SHA256 over ``id.timestamp.body``, in base64 after ``v1,``; one for each secret in force.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

import httpx
import msgspec

from ocs.delivery.attempts import ARRIVED, Attempt, Outcome, retry_after_s
from ocs.delivery.settings import Webhook, secret_key

GONE: Final = 410
PATIENT: Final = {429, 503}
ANSWER_CHARACTERS_MAX: Final = 200


def signature(secrets: Iterable[str], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The header webhook-signature."""
    content = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    keys = [secret_key(secret) for secret in secrets]
    assert None not in keys, "checked when the file was read"
    signed = [hmac.digest(key, content, hashlib.sha256) for key in keys if key is not None]
    return " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signed)


def verified(secrets: Iterable[str], message_id: str, timestamp_s: int, body: bytes, signatures: str) -> bool:
    """Whether one of the signatures is that of one of our secrets."""
    ours = signature(secrets, message_id, timestamp_s, body).split(" ")
    return any(hmac.compare_digest(one, other) for one in ours for other in signatures.split(" "))


async def send(client: httpx.AsyncClient, hook: Webhook, body: dict[str, object], now_ms: int) -> Attempt:
    """Post one event; its id is ``body["id"]``, the same in each attempt. 2xx is "taken", 410 is "never again"."""
    content, message_id = msgspec.json.encode(body), str(body["id"])
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ocs-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(now_ms // 1000),
        "webhook-signature": signature(hook.secrets, message_id, now_ms // 1000, content),
    }
    try:
        answer = await client.post(hook.url, content=content, headers=headers, timeout=hook.timeout_s)
    except httpx.HTTPError as error:
        return Attempt(Outcome.LATER, f"{type(error).__name__}: {error}")
    if answer.is_success:
        return ARRIVED
    why = f"answered {answer.status_code} {answer.text[:ANSWER_CHARACTERS_MAX]}".rstrip()
    if answer.status_code == GONE:
        return Attempt(Outcome.NEVER, why)
    after = answer.headers.get("retry-after", "") if answer.status_code in PATIENT else ""
    return Attempt(Outcome.LATER, why, retry_after_s(after, now_ms))
