"""The HTTP API as a shop or a script uses it."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from ocs.demo.errors import PlayError

TIMEOUT_S: Final = 10.0
_SUCCESS: Final = range(200, 300)


class Problem(msgspec.Struct, frozen=True):
    """A refusal (RFC 9457), as far as the play looks at it."""

    type: str = ""
    title: str = ""
    detail: str = ""
    status: int = 0

    def __str__(self) -> str:
        return f"{self.status} {self.title}" + (f" ({self.detail})" if self.detail else "")


class RefusedError(PlayError):
    """The API understood, and said no."""

    def __init__(self, url: str, problem: Problem) -> None:
        super().__init__(f"the HTTP API at {url} refused: {problem}")
        self.problem = problem


class ApiClient:
    """One request, one connection."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PlayError(f"{url!r} is no address of an HTTP API: write http://127.0.0.1:8080")
        self._connection_of = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._url = url
        self._key = key

    def create_account(self, account_id: str, currency: str, rate_plan: str) -> None:
        self._send("POST", "/v1/accounts", {"account_id": account_id, "currency": currency, "rate_plan": rate_plan})

    def create_subscriber(self, subscriber_id: str, account_id: str, identities: list[str], password: str) -> None:
        body = {"account_id": account_id, "identities": identities, "password": password}
        self._send("POST", "/v1/subscribers", {"subscriber_id": subscriber_id, **body})

    def account(self, account_id: str) -> dict[str, Any]:
        return self._send("GET", f"/v1/accounts/{quote(account_id)}")

    def top_up(self, account_id: str, amount: str, currency: str, key: str) -> dict[str, Any]:
        """``key`` makes a repeat harmless: it is the same for each attempt at the same payment."""
        body = {"amount": amount, "currency": currency, "reason": "ocs demo"}
        return self._send("POST", f"/v1/accounts/{quote(account_id)}/top-ups", body, {"Idempotency-Key": key})

    def cdrs(self, account_id: str) -> list[dict[str, Any]]:
        """Newest first, each with its price in words."""
        found: list[dict[str, Any]] = self._send("GET", f"/v1/accounts/{quote(account_id)}/cdrs?explain=true")["cdrs"]
        return found

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Raises RefusedError for a problem, PlayError when there is no answer."""
        connection = self._connection_of(self._host, self._port, timeout=TIMEOUT_S)
        sent = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(method, self._prefix + path, None if body is None else msgspec.json.encode(body), sent)
            response = connection.getresponse()
            content = response.read()
            if response.status not in _SUCCESS:
                raise RefusedError(self._url, _problem(content, response.status))
            answer: dict[str, Any] = msgspec.json.decode(content, type=dict)
        except (OSError, HTTPException, msgspec.DecodeError) as error:
            raise PlayError(f"the HTTP API at {self._url} does not answer: {error}; is `ocs run` running?") from error
        finally:
            connection.close()
        return answer


def _problem(content: bytes, status: int) -> Problem:
    try:
        return msgspec.json.decode(content, type=Problem)
    except msgspec.DecodeError:
        return Problem(title="no problem details", status=status)
