"""Calls of the API, tag history. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import history
from ocs.client.transport import Transport, segment


class HistoryCalls(Transport):
    """What the API has under the tag history."""

    def list_cdrs(
        self,
        account_id: str,
        *,
        limit: int = 100,
        cursor: str = "",
        started_from: str | None = None,
        started_to: str | None = None,
        service: str = "",
        explained: bool = False,
    ) -> history.CdrList:
        """Rated CDRs whose start lies in [started_from, started_to). They arrive here a moment after the call's end."""
        answer: history.CdrList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/cdrs",
            history.CdrList,
            query={
                "limit": limit,
                "cursor": cursor,
                "started_from": started_from,
                "started_to": started_to,
                "service": service,
                "explain": explained,
            },
        )
        return answer

    def search_cdrs(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        account_id: str = "",
        number: str = "",
        destination: str = "",
        session_id: str = "",
        service: str = "",
        started_from: str | None = None,
        started_to: str | None = None,
        explained: bool = False,
    ) -> history.CdrList:
        """Rated CDRs of all accounts that are as every given parameter says, newest first. A tenant's key finds its own alone."""
        answer: history.CdrList = self._call(
            "GET",
            "/v1/cdrs",
            history.CdrList,
            query={
                "limit": limit,
                "cursor": cursor,
                "account_id": account_id,
                "number": number,
                "destination": destination,
                "session_id": session_id,
                "service": service,
                "started_from": started_from,
                "started_to": started_to,
                "explain": explained,
            },
        )
        return answer

    def explain_cdr(self, account_id: str, entry_number: int) -> history.ExplainedCdr:
        """One CDR with all that made its price: which rates were in question, increments, fees, rounding, buckets."""
        answer: history.ExplainedCdr = self._call(
            "GET", f"/v1/accounts/{segment(account_id)}/cdrs/{segment(entry_number)}", history.ExplainedCdr
        )
        return answer

    def list_journal(
        self,
        account_id: str,
        *,
        limit: int = 100,
        cursor: str = "",
        kind: str = "",
        reference: str = "",
        at_from: str | None = None,
        at_to: str | None = None,
    ) -> history.EntryList:
        """Every change of the account's money in [at_from, at_to): top-ups, adjustments, expiries, sessions."""
        answer: history.EntryList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/journal",
            history.EntryList,
            query={
                "limit": limit,
                "cursor": cursor,
                "kind": kind,
                "reference": reference,
                "at_from": at_from,
                "at_to": at_to,
            },
        )
        return answer
