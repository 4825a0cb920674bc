"""Calls of the API, tag accounts. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from typing import Any, Literal

from ocs.api import lists, money, parts, schemas, views
from ocs.client.transport import Transport, new_key, segment


class AccountsCalls(Transport):
    """What the API has under the tag accounts."""

    def create_account(self, data: schemas.NewAccount, *, idempotency_key: str | None = None) -> views.AccountView:
        """Open an account with no money in it. One with a `~` in its name is charged along with the one before the last `~`, in one"""
        answer: views.AccountView = self._call(
            "POST",
            "/v1/accounts",
            views.AccountView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def read_account(self, account_id: str, *, if_none_match: str | None = None) -> views.AccountView | None:
        """Balance, reservations, credit limit, state and buckets as they are now. Its ETag changes with each of them."""
        answer: views.AccountView | None = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}",
            views.AccountView | None,
            headers={"If-None-Match": if_none_match},
        )
        return answer

    def read_balances(self, account_id: str) -> views.BalancesView:
        """Live, invoiced and available, by one sign: + is the customer's money, - what the customer owes."""
        answer: views.BalancesView = self._call(
            "GET", f"/v1/accounts/{segment(account_id)}/balances", views.BalancesView
        )
        return answer

    def top_up(self, account_id: str, data: schemas.TopUp, *, idempotency_key: str | None = None) -> views.RechargeView:
        """Pay money in. A repeat with the same Idempotency-Key pays nothing in again and says so."""
        answer: views.RechargeView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/top-ups",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def adjust(
        self, account_id: str, data: schemas.Adjustment, *, idempotency_key: str | None = None
    ) -> views.RechargeView:
        """Correct the main bucket by a signed amount; the reason is mandatory and stands in the journal."""
        answer: views.RechargeView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/adjustments",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def buy_package(
        self, account_id: str, data: schemas.Purchase, *, idempotency_key: str | None = None
    ) -> views.RechargeView:
        """Sell a package of the account's plan: its price is debited, and its buckets of units can be used at once."""
        answer: views.RechargeView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/packages",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def end_subscription(
        self, account_id: str, data: schemas.SubscriptionEnd, *, idempotency_key: str | None = None
    ) -> views.RechargeView:
        """Let a subscription end with its period: what was bought stays until then, and it is not bought anew."""
        answer: views.RechargeView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/subscription-ends",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def change_plan(
        self,
        account_id: str,
        data: schemas.PlanChoice,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> views.RechargeView:
        """Change to another plan, now or when the billing cycle ends. Open sessions keep their prices."""
        answer: views.RechargeView = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/plan",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key(), "If-Match": if_match},
            content=data,
        )
        return answer

    def change_reseller(
        self,
        account_id: str,
        data: schemas.ResellerChoice,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> views.RechargeView:
        """Charge another account along, or none, for whatever begins from now on. Open sessions end with the one they began with."""
        answer: views.RechargeView = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/reseller",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key(), "If-Match": if_match},
            content=data,
        )
        return answer

    def set_limits(
        self,
        account_id: str,
        data: schemas.LimitsChange,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> views.RechargeView:
        """Change the credit limit, the threshold, the limits of calls, the spending caps. Grants that are out stay; new ones keep to it."""
        answer: views.RechargeView = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/limits",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key(), "If-Match": if_match},
            content=data,
        )
        return answer

    def set_state(
        self,
        account_id: str,
        data: schemas.StateChange,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> views.RechargeView:
        """Suspend, limit, activate or close. The key keeps a late repeat of an old change from undoing a newer one."""
        answer: views.RechargeView = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/state",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key(), "If-Match": if_match},
            content=data,
        )
        return answer

    def transfer(
        self, account_id: str, data: money.NewTransfer, *, idempotency_key: str | None = None
    ) -> views.RechargeView:
        """Move money to another account: what is free in the main bucket, never credit. The answer shows this account."""
        answer: views.RechargeView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/transfers",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def merge_account(
        self, account_id: str, data: money.NewMerger, *, idempotency_key: str | None = None
    ) -> views.RechargeView:
        """Move all that this account has into another one and close it: money, units, counters, subscriptions, blocks, its contact"""
        answer: views.RechargeView = self._call(
            "POST",
            f"/v1/accounts/{segment(account_id)}/mergers",
            views.RechargeView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def redeem_voucher(self, account_id: str, data: money.Redemption) -> views.RechargeView:
        """Pay a voucher in, once: the code is its own key, and a repeat by the same account is told the same."""
        answer: views.RechargeView = self._call(
            "POST", f"/v1/accounts/{segment(account_id)}/redemptions", views.RechargeView, content=data
        )
        return answer

    def reverse(self, account_id: str, data: money.Reversal) -> views.RechargeView:
        """Refund a record, or take another entry back, by a new entry that names it: to the buckets it came from, once."""
        answer: views.RechargeView = self._call(
            "POST", f"/v1/accounts/{segment(account_id)}/reversals", views.RechargeView, content=data
        )
        return answer

    def list_accounts(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        account_state: Literal["", "active", "suspended", "limited", "closed", "created", "grace", "recycled"] = "",
        rate_plan: str = "",
        currency: str = "",
        block: str = "",
        created_from: str | None = None,
        created_to: str | None = None,
        tenant: str = "",
    ) -> lists.AccountList:
        """All accounts as they are now, in the order of their names. A new one is here a moment after it was created."""
        answer: lists.AccountList = self._call(
            "GET",
            "/v1/accounts",
            lists.AccountList,
            query={
                "limit": limit,
                "cursor": cursor,
                "state": account_state,
                "rate_plan": rate_plan,
                "currency": currency,
                "block": block,
                "created_from": created_from,
                "created_to": created_to,
                "tenant": tenant,
            },
        )
        return answer

    def find_buckets(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        source: Literal["", "paid", "promotional", "recurring"] = "",
        bundle: str = "",
        expires_before: str | None = None,
        tenant: str = "",
    ) -> lists.AllBuckets:
        """Buckets of all accounts: those that end soon, those of a bundle, those that were given for promotion."""
        answer: lists.AllBuckets = self._call(
            "GET",
            "/v1/buckets",
            lists.AllBuckets,
            query={
                "limit": limit,
                "cursor": cursor,
                "source": source,
                "bundle": bundle,
                "expires_before": expires_before,
                "tenant": tenant,
            },
        )
        return answer

    def find_counters(
        self, *, limit: int = 100, cursor: str = "", counter: str = "", tenant: str = ""
    ) -> lists.AllCounters:
        """What all accounts have used in their periods, where prices depend on it."""
        answer: lists.AllCounters = self._call(
            "GET",
            "/v1/counters",
            lists.AllCounters,
            query={"limit": limit, "cursor": cursor, "counter": counter, "tenant": tenant},
        )
        return answer

    def find_subscriptions(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        package: str = "",
        renews_before: str | None = None,
        ends: bool | None = None,
        tenant: str = "",
    ) -> lists.AllSubscriptions:
        """The packages that accounts buy anew: of a name, due soon, or about to end."""
        answer: lists.AllSubscriptions = self._call(
            "GET",
            "/v1/subscriptions",
            lists.AllSubscriptions,
            query={
                "limit": limit,
                "cursor": cursor,
                "package": package,
                "renews_before": renews_before,
                "ends": ends,
                "tenant": tenant,
            },
        )
        return answer

    def list_buckets(
        self,
        account_id: str,
        *,
        source: Literal["", "paid", "promotional", "recurring"] = "",
        bundle: str = "",
        expires_before: str | None = None,
    ) -> lists.BucketList:
        """The account's buckets of money and of units, those that are used first at the head; all of them in one answer."""
        answer: lists.BucketList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/buckets",
            lists.BucketList,
            query={"source": source, "bundle": bundle, "expires_before": expires_before},
        )
        return answer

    def list_counters(self, account_id: str, *, counter: str = "") -> lists.CounterList:
        """What the account has used in its periods, where prices depend on it; all of it in one answer."""
        answer: lists.CounterList = self._call(
            "GET", f"/v1/accounts/{segment(account_id)}/counters", lists.CounterList, query={"counter": counter}
        )
        return answer

    def list_subscriptions(
        self, account_id: str, *, package: str = "", renews_before: str | None = None, ends: bool | None = None
    ) -> lists.SubscriptionList:
        """The packages that are bought anew; all of them in one answer."""
        answer: lists.SubscriptionList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/subscriptions",
            lists.SubscriptionList,
            query={"package": package, "renews_before": renews_before, "ends": ends},
        )
        return answer

    def read_limits(self, account_id: str) -> parts.LimitsView:
        """What may be spent, and how many calls there may be. Its ETag changes with the limits, not with what is spent."""
        answer: parts.LimitsView = self._call("GET", f"/v1/accounts/{segment(account_id)}/limits", parts.LimitsView)
        return answer

    def read_plan(self, account_id: str) -> parts.PlanView:
        """The plan, and the one to come. Its ETag changes with them alone."""
        answer: parts.PlanView = self._call("GET", f"/v1/accounts/{segment(account_id)}/plan", parts.PlanView)
        return answer

    def read_state(self, account_id: str) -> parts.StateView:
        """Its state, and what it is made of. Its ETag changes with them alone."""
        answer: parts.StateView = self._call("GET", f"/v1/accounts/{segment(account_id)}/state", parts.StateView)
        return answer

    def enquire_price(
        self,
        account_id: str,
        *,
        number: str = "",
        service: str = "voice",
        at: str | None = None,
        used: int | None = None,
        rating_group: int = -1,
        service_identifier: list[int] | None = None,
        caller: str = "",
        trunk: str = "",
        network: str = "",
        subscriber_id: str = "",
    ) -> dict[str, Any]:
        """What a use costs this account by its plan, and why; and under `now` whether it could begin at this moment."""
        answer: dict[str, Any] = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/price",
            dict[str, Any],
            query={
                "number": number,
                "service": service,
                "at": at,
                "used": used,
                "rating_group": rating_group,
                "service_identifier": service_identifier,
                "caller": caller,
                "trunk": trunk,
                "network": network,
                "subscriber_id": subscriber_id,
            },
        )
        return answer

    def read_velocity(self, account_id: str) -> parts.PaceView:
        """What the rules against fraud have counted of it, and what they did."""
        answer: parts.PaceView = self._call("GET", f"/v1/accounts/{segment(account_id)}/velocity", parts.PaceView)
        return answer
