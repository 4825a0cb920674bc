"""SMS by any gateway that takes them over HTTP: its address, headers and body stand in ``delivery.toml``."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import httpx
import msgspec

from ocs.delivery.attempts import ARRIVED, Attempt, Outcome, retry_after_s
from ocs.delivery.settings import Sms

# A request that was refused for its time or its rate may be sent again; other refusals are about the message.
WORTH_A_RETRY: Final = {408, 425, 429}
ANSWER_CHARACTERS_MAX: Final = 200
_MARK: Final = re.compile(r"\{(?:to|text|id)\}")


def body_of(sms: Sms, to: str, text: str, message_id: str) -> bytes:
    """The gateway's body with number, text and id filled in: in values only, so that no text can change its form."""
    fill = {"{to}": to, "{text}": text, "{id}": message_id}
    if sms.content_type == "application/json":
        return msgspec.json.encode(_filled(msgspec.json.decode(sms.body), fill))
    pairs = parse_qsl(sms.body, keep_blank_values=True)
    return urlencode([(name, _filled(value, fill)) for name, value in pairs]).encode()


def _filled(value: Any, fill: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, fill) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, fill) for each in value]
    if not isinstance(value, str):
        return value
    return _MARK.sub(lambda mark: fill[mark[0]], value)  # in one pass: what was filled in is not looked at again


async def send(client: httpx.AsyncClient, sms: Sms, to: str, text: str, message_id: str, now_ms: int) -> Attempt:
    """Hand one message to the gateway."""
    headers = {"Content-Type": sms.content_type, **sms.headers}
    try:
        answer = await client.post(
            sms.url, content=body_of(sms, to, text, message_id), headers=headers, timeout=sms.timeout_s
        )
    except httpx.HTTPError as error:
        return Attempt(Outcome.LATER, f"{type(error).__name__}: {error}")
    if answer.is_success:
        return ARRIVED
    why = f"answered {answer.status_code} {answer.text[:ANSWER_CHARACTERS_MAX]}".rstrip()
    if answer.is_client_error and answer.status_code not in WORTH_A_RETRY:
        return Attempt(Outcome.NEVER, why)
    return Attempt(Outcome.LATER, why, retry_after_s(answer.headers.get("retry-after", ""), now_ms))
