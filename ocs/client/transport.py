"""How calls travel: headers, repeats with the same Idempotency-Key, problems as one exception, pages one after another."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, ParamSpec, Protocol, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from ocs.api.operations import ProblemDetails

ATTEMPTS_MAX: Final = 4
RETRY_AFTER_MAX_S: Final = 60.0
TIMEOUT_S: Final = 30.0

_AGAIN: Final = frozenset({429, 502, 503, 504})
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})

T = TypeVar("T")
P = ParamSpec("P")
PageT = TypeVar("PageT", bound="Page")


class Page(Protocol):
    """What lists answer."""

    @property
    def next_cursor(self) -> str:
        """Empty: this was the last."""


class ProblemError(Exception):
    """What the API answered instead (RFC 9457). ``details.type`` may be relied on, ``details.detail`` is for people."""

    def __init__(self, details: ProblemDetails) -> None:
        super().__init__(f"{details.status} {details.type}: {details.detail or details.title}")
        self.details = details


class Transport:
    """One connection pool with one key. Not for several threads at once: ``etag`` is that of the last answer.

    Calls raise ProblemError for what the API refuses, httpx.HTTPError if it cannot be reached after ``attempts``.
    """

    def __init__(self, address: str, key: str, *, attempts: int = ATTEMPTS_MAX, timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)
        self._attempts = attempts
        self.etag = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the connections."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        shape: Any,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str | None] | None = None,
        content: object = None,
    ) -> Any:
        """One call with its repeats; ``shape`` is what the answer is read as, bytes: as it came."""
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        body = content if isinstance(content, bytes) or content is None else msgspec.json.encode(content)
        if body is not None and not isinstance(content, bytes):
            sent["Content-Type"] = "application/json"
        request = self._http.build_request(method, path, params=_texts(query), headers=sent, content=body)
        answer = self._answer(request, is_repeatable=method in _IDEMPOTENT or "Idempotency-Key" in sent)
        self.etag = answer.headers.get("ETag", "")
        if answer.status_code in (204, 304):
            return None
        return answer.content if shape is bytes else msgspec.json.decode(answer.content, type=shape)

    def _answer(self, request: httpx.Request, *, is_repeatable: bool) -> httpx.Response:
        """The first answer that is final. A call without a key is repeated only where the API has not begun with it."""
        for attempt in range(1, self._attempts + 1):
            is_last = attempt == self._attempts
            try:
                answer = self._http.send(request)
            except httpx.TransportError:
                if is_last or not is_repeatable:
                    raise
                time.sleep(_wait_s(attempt, ""))
                continue
            if answer.is_success or answer.status_code == 304:
                return answer
            is_again = answer.status_code == 429 or (is_repeatable and answer.status_code in _AGAIN)
            if is_last or not is_again:
                break
            wait_s = _wait_s(attempt, answer.headers.get("Retry-After", ""))
            if wait_s > RETRY_AFTER_MAX_S:
                break
            time.sleep(wait_s)
        raise ProblemError(_details(answer))


def pages(call: Callable[P, PageT], *args: P.args, **kwargs: P.kwargs) -> Iterator[PageT]:
    """All pages of a list, such as ``pages(client.list_accounts, state="active")``."""
    page = call(*args, **kwargs)
    yield page
    while page.next_cursor:
        kwargs["cursor"] = page.next_cursor
        page = call(*args, **kwargs)
        yield page


def new_key() -> str:
    """An Idempotency-Key for an intent that nobody has named."""
    return secrets.token_urlsafe(24)


def segment(value: object) -> str:
    """One part of a path: names may have ~ and : in them, never a slash."""
    return quote(str(value), safe="~:@+")


def _texts(query: Mapping[str, object] | None) -> dict[str, str]:
    """What is left out is not sent."""
    texts = {}
    for name, value in (query or {}).items():
        if value is not None:
            texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


def _wait_s(attempt: int, retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.25 * 2**attempt


def _details(answer: httpx.Response) -> ProblemDetails:
    """The problem; something between us and the API may have answered in its own words."""
    try:
        return msgspec.json.decode(answer.content, type=ProblemDetails)
    except msgspec.DecodeError:
        return ProblemDetails(
            type="about:blank", title=answer.reason_phrase, status=answer.status_code, instance=answer.request.url.path
        )
