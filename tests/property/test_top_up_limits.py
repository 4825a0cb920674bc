"""Whatever happens when, automatic top-ups keep to their limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket
from ocs.payments.automatic import ChargeNow, Past, Rule, Wait, judge
from ocs.payments.settings import AutomaticTopUps
from ocs.rating.periods import period_end_ms

MINUTE_MS = 60_000
START_MS = 1_790_000_000_000
EMPTY = Account("a", 1, "EUR", "plan", AccountState.ACTIVE, 0, 500, 3, (Bucket(MAIN_BUCKET, 0, 0),))


@given(
    pauses=st.lists(st.integers(0, 600), max_size=60),
    per_day=st.integers(0, 4),
    per_month=st.integers(0, 6),
    most_per_day=st.integers(0, 60),
    burst=st.integers(1, 3),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York"]),
)
def test_no_limit_is_ever_passed(
    pauses: list[int], per_day: int, per_month: int, most_per_day: int, burst: int, zone: str
) -> None:
    """By count and by money, each day, each month and in each hour; and who has to wait has not to wait for nothing."""
    rule = Rule(
        account_id="a", currency="EUR", minor=20, per_day=per_day, per_month=per_month, most_per_day_minor=most_per_day
    )
    policy, past, now_ms = AutomaticTopUps(burst_count=burst, burst_minutes=60), list[Past](), START_MS
    for pause in pauses:
        now_ms += pause * MINUTE_MS
        match judge(rule, policy, EMPTY, past, zone, now_ms, has_method=True):
            case ChargeNow():
                past.append(Past(now_ms, rule.minor))
            case Wait(until_ms, _):
                assert until_ms > now_ms
    for every, count_max, minor_max in (("day", per_day, most_per_day), ("month", per_month, 0)):
        ends = [period_end_ms(every, zone, each.at_ms) for each in past]
        assert not count_max or all(ends.count(end) <= count_max for end in ends)
        assert not minor_max or all(ends.count(end) * rule.minor <= minor_max for end in ends)
    for each in past:
        assert sum(each.at_ms <= other.at_ms < each.at_ms + 60 * MINUTE_MS for other in past) <= burst
