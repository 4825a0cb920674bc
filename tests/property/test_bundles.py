"""Buckets of units beside money: whatever sessions use of their grants, each unit pays once and nothing is overdrawn."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket, Extras, Source, UnitBucket
from balance.allowances import order_of, usable
from balance.burn import available
from ocs.charging.policy import QuotaPolicy
from ocs.charging.quota import grant, release, report
from ocs.charging.request import ChargingStatus, GroupKey, Quantity
from ocs.charging.session import GroupState, UnitUse
from ocs.rating.charge import billed_in_all, charge_of
from ocs.rating.price import Price, Tariff, cost_of
from ocs.rating.terms import Period, Terms, Tier, with_terms
from ocs.rating.units import UnitKind

NOW_MS = 1_790_000_000_000
POLICY = QuotaPolicy(quota={UnitKind.SECONDS: 30})


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Increments, a fee, tiers of the call or of the month, and both rules of spilling."""
    rate = draw(st.integers(0, 4))
    price = Price(
        UnitKind.SECONDS,
        draw(st.sampled_from([0, 3])),
        draw(st.integers(0, 20)),
        draw(st.integers(1, 20)),
        rate,
        rate,
        1,
    )
    tiers = (Tier(20, rate), Tier(0, 2)) if draw(st.booleans()) else ()
    period = Period("c", "month", "UTC") if tiers and draw(st.booleans()) else None
    return with_terms(price, Terms(tiers=tiers, period=period, restarts=draw(st.booleans())))


buckets = st.lists(
    st.builds(
        UnitBucket,
        bucket_id=st.just(0),
        bundle=st.sampled_from(["a", "b", "other"]),
        kind=st.just(1),
        balance=st.integers(1, 50),
        priority=st.sampled_from([10, 100]),
        expires_at_ms=st.sampled_from([0, NOW_MS, NOW_MS + 1000]),
        origin=st.sampled_from(Source),
    ),
    max_size=4,
)
steps = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "use", "use", "end"]), st.integers(0, 2), st.sampled_from([40, 20, 1])),
    min_size=10,
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(prices(), st.sampled_from([0, 40, 500]), buckets, steps)
def test_92_93_each_unit_pays_once_and_nothing_is_overdrawn(
    price: Price, balance: int, given_buckets: list[UnitBucket], traffic: list[tuple[str, int, int]]
) -> None:
    """Three sessions of clients that use no more than they were granted (statements 3, 4, 92, 93)."""
    units = tuple(_named(bucket, at) for at, bucket in enumerate(given_buckets, start=1))
    account = Account(
        "A", 1, "EUR", "p", AccountState.ACTIVE, 0, 0, 0, (Bucket(MAIN_BUCKET, balance),), 0, Extras(units=units)
    )
    begun = GroupState(GroupKey(), Tariff(price, "p", "t", "", "", "", ""), units=UnitUse(("a", "b")))
    states = dict.fromkeys(range(3), begun)
    ended: list[GroupState] = []
    for kind, name, amount in traffic:
        state = states[name]
        if kind == "ask":
            account, state = release(account, state, NOW_MS)
            account, state, answer = grant(account, state, (Quantity(UnitKind.SECONDS, amount),), POLICY, NOW_MS, 0)
            assert answer.granted or answer.status is ChargingStatus.CREDIT_LIMIT_REACHED
        elif kind == "use":
            used = report(account, state, state.used + min(amount, state.granted), NOW_MS)
            assert used is not None
            account, state = used
        else:
            account, state = release(account, state, NOW_MS)
            ended.append(state)
            state = begun
        states[name] = state
        assert available(account, NOW_MS) >= 0, "use within the grants is always paid for"
        _check(account, units, [*states.values(), *ended], balance)


def _named(bucket: UnitBucket, number: int) -> UnitBucket:
    return UnitBucket(
        number, bucket.bundle, bucket.kind, bucket.balance, 0, bucket.priority, bucket.expires_at_ms, 0, bucket.origin
    )


def _check(account: Account, units: tuple[UnitBucket, ...], states: list[GroupState], balance: int) -> None:
    assert account.buckets[0].balance == balance - sum(state.cost for state in states)
    assert account.extras is not None
    for before, after in zip(units, account.extras.units, strict=True):
        taken = [hold.amount for state in states for hold in state.unit_debits if hold.bucket_id == before.bucket_id]
        held = [
            hold.amount for state in states for hold in state.unit_reservation if hold.bucket_id == before.bucket_id
        ]
        assert (after.balance, after.reserved) == (before.balance - sum(taken), sum(held))
        assert not taken or (before.bundle != "other" and before.expires_at_ms != NOW_MS)
    for state in states:
        assert state.units is not None
        price = state.tariff.price
        assert state.cost == cost_of(price, state.used)
        paid = sum(each.units for each in state.units.taken)
        if not (isinstance(price.terms, Terms) and price.terms.restarts):
            assert sum(piece.units for piece in charge_of(price, state.used).pieces if not piece.label) <= max(
                0, billed_in_all(price, state.used) - paid
            )
    free = usable(account, ("a", "b"), 1, NOW_MS)
    assert free == sorted(free, key=order_of)
