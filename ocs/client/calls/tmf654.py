"""Calls of the API, tag tmf654. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import tmf654
from ocs.client.transport import Transport, new_key, segment


class Tmf654Calls(Transport):
    """What the API has under the tag tmf654."""

    def tmf_list_buckets(self, *, account_id: str) -> list[tmf654.TmfBucket]:
        """An account's buckets of money and of units."""
        answer: list[tmf654.TmfBucket] = self._call(
            "GET",
            "/tmf-api/prepayBalanceManagement/v4/bucket",
            list[tmf654.TmfBucket],
            query={"partyAccount.id": account_id},
        )
        return answer

    def tmf_read_bucket(self, bucket_id: str) -> tmf654.TmfBucket:
        """One bucket."""
        answer: tmf654.TmfBucket = self._call(
            "GET", f"/tmf-api/prepayBalanceManagement/v4/bucket/{segment(bucket_id)}", tmf654.TmfBucket
        )
        return answer

    def tmf_top_up(self, data: tmf654.NewBalanceAction, *, idempotency_key: str | None = None) -> tmf654.BalanceAction:
        """Pay money in, as POST /v1/accounts/{id}/top-ups does."""
        answer: tmf654.BalanceAction = self._call(
            "POST",
            "/tmf-api/prepayBalanceManagement/v4/topupBalance",
            tmf654.BalanceAction,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def tmf_adjust(self, data: tmf654.NewBalanceAction, *, idempotency_key: str | None = None) -> tmf654.BalanceAction:
        """Correct the balance by a signed amount; the reason is mandatory."""
        answer: tmf654.BalanceAction = self._call(
            "POST",
            "/tmf-api/prepayBalanceManagement/v4/adjustBalance",
            tmf654.BalanceAction,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def tmf_transfer(
        self, data: tmf654.NewBalanceTransfer, *, idempotency_key: str | None = None
    ) -> tmf654.BalanceAction:
        """Move money to another account, as POST /v1/accounts/{id}/transfers does."""
        answer: tmf654.BalanceAction = self._call(
            "POST",
            "/tmf-api/prepayBalanceManagement/v4/transferBalance",
            tmf654.BalanceAction,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def tmf_list_top_ups(self, *, account_id: str) -> list[tmf654.BalanceAction]:
        """The last hundred of an account, newest first."""
        answer: list[tmf654.BalanceAction] = self._call(
            "GET",
            "/tmf-api/prepayBalanceManagement/v4/topupBalance",
            list[tmf654.BalanceAction],
            query={"partyAccount.id": account_id},
        )
        return answer

    def tmf_list_adjustments(self, *, account_id: str) -> list[tmf654.BalanceAction]:
        """The last hundred of an account, newest first."""
        answer: list[tmf654.BalanceAction] = self._call(
            "GET",
            "/tmf-api/prepayBalanceManagement/v4/adjustBalance",
            list[tmf654.BalanceAction],
            query={"partyAccount.id": account_id},
        )
        return answer
