"""Calls of the API, tag rates. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from typing import Any

from ocs.api import rates
from ocs.client.transport import Transport, segment


class RatesCalls(Transport):
    """What the API has under the tag rates."""

    def read_rates(self) -> rates.RatesView:
        """The version in force, and its plans."""
        answer: rates.RatesView = self._call("GET", "/v1/rates", rates.RatesView)
        return answer

    def explain_rate(
        self,
        *,
        plan: str,
        number: str = "",
        service: str = "voice",
        at: str | None = None,
        used: int | None = None,
        seconds: int | None = None,
        counted: int | None = None,
        rating_group: int = -1,
        service_identifier: list[int] | None = None,
        caller: str = "",
        trunk: str = "",
        network: str = "",
        rat: str = "",
        apn: str = "",
        location: str = "",
        serving: str = "",
        incoming: bool = False,
    ) -> dict[str, Any]:
        """What a number costs: the tariffs and prefixes in question, why each lost, and the price in words."""
        answer: dict[str, Any] = self._call(
            "GET",
            "/v1/rates/explanation",
            dict[str, Any],
            query={
                "plan": plan,
                "number": number,
                "service": service,
                "at": at,
                "used": used,
                "seconds": seconds,
                "counted": counted,
                "rating_group": rating_group,
                "service_identifier": service_identifier,
                "caller": caller,
                "trunk": trunk,
                "network": network,
                "rat": rat,
                "apn": apn,
                "location": location,
                "serving": serving,
                "incoming": incoming,
            },
        )
        return answer

    def reload_rates(self) -> rates.RatesView:
        """Read the rate files again and swap them whole; with one fault in them nothing is swapped."""
        answer: rates.RatesView = self._call("POST", "/v1/rates/reload", rates.RatesView)
        return answer

    def activate_deck(self, deck: str, data: rates.Activation) -> rates.RatesView:
        """Put a staged version of a deck in place, now or at an instant; then read the files again."""
        answer: rates.RatesView = self._call(
            "POST", f"/v1/rates/decks/{segment(deck)}/activations", rates.RatesView, content=data
        )
        return answer
