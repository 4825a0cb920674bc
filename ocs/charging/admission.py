"""How many calls an account may have at once, and begin in one second: places that no session can keep beyond its end.

A session that begins takes a place in the posting that opens it, and gives it back in the one that closes it, by its last
report or by supervision. So the number of places taken is the number of open sessions that hold one; the audit proves it.
"""

from __future__ import annotations

from msgspec import structs

from balance.account import NO_EXTRAS, Account, CallLimit, with_extras
from ocs.charging.session import CreditSession


def admitted(
    account: Account, session: CreditSession, now_ms: int, *, has_begun: bool
) -> tuple[Account, CreditSession] | None:
    """Give the session a place, or None when there is none left. A call that has begun already cannot be refused."""
    limit = _limit_for(account, session.service)
    if limit is None:
        return account, session
    second = now_ms // 1000
    begun = limit.begun if limit.second == second else 0
    is_full = 0 < limit.at_once <= limit.open or 0 < limit.per_second <= begun
    if is_full and not has_begun:
        return None
    after = structs.replace(limit, open=limit.open + 1, second=second, begun=begun + 1)
    return _with_limit(account, after), structs.replace(session, place=limit.slot)


def left(account: Account, session: CreditSession) -> Account:
    """Take back the place of a session that ends; the limit may be another one by now, which never gave one."""
    if session.place and account.extras is not None:
        for limit in account.extras.calls:
            if limit.slot == session.place:
                assert limit.open > 0, "a place is given back once"
                return _with_limit(account, structs.replace(limit, open=limit.open - 1))
    return account


def _limit_for(account: Account, service: str) -> CallLimit | None:
    extras = account.extras or NO_EXTRAS
    return next((limit for limit in extras.calls if limit.service == service), None)


def _with_limit(account: Account, after: CallLimit) -> Account:
    assert account.extras is not None, "who has limits has extras"
    calls = tuple(after if limit.slot == after.slot else limit for limit in account.extras.calls)
    return with_extras(account, structs.replace(account.extras, calls=calls))
