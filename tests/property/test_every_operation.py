"""Everything that can happen to accounts, in any order, on the memory store and on Valkey: the memory store is the judge.

After every step both stores hold the same, octet by octet, whichever of two processes did it, and the invariants of
charging-behaviours, section A, hold. At the end every session is over, nothing is held any more, and the audit finds nothing.

`make operations` runs it for longer (OCS_OPERATIONS is how many examples); with OCS_SHRINK=1 a failing example is made shorter, which
may take minutes.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from balance.account import NO_EXTRAS, AccountState, Source
from ocs.charging.money_desk import REVERSIBLE, MoneyDesk
from ocs.charging.operations import BucketOptions, CallsChoice, CapChoice, Limits, RechargeResult, RechargeStatus
from ocs.charging.plans import PlanOrder
from ocs.charging.request import ChargingRequest, ChargingStatus, EventAction, RequestKind
from ocs.rating.periods import day_end_ms
from tests.property.accounts_machine import SUBSCRIBERS, Call, charging
from tests.property.payments_machine import PaymentsMachine
from tests.property.sides import Worker
from tests.scenario.traffic import STOP_NUMBER, access, accounting, group
from tests.scenario.world import amount

INITIAL, UPDATE, TERMINATION, EVENT = (
    RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION, RequestKind.EVENT,
)  # fmt: skip
EXAMPLES: Final = int(os.environ.get("OCS_OPERATIONS", "15"))
STEPS: Final = 60 if EXAMPLES <= 15 else 80

OWN: Final = ("A", "B", "R~C")
CALLED: Final = ("T1", "T2", "T3", "free", "barred", "TT", "D1", "falling", "rising", "volume", "packs", "fair-use",
                 "valley", "answered", "ended", "going-on", "anew")  # fmt: skip
PACKAGES: Final = ("60-seconds", "50-today", "mixed", "monthly", "daily", "weekly", "contract", "nothing")

LIMITS: Final = (
    Limits(calls=()),
    Limits(calls=(CallsChoice("voice", 2, 3),)),
    Limits(calls=(CallsChoice("voice", 1), CallsChoice("data", 0, 1))),
    Limits(caps=()),
    Limits(caps=(CapChoice("all", "day", amount("0.60"), warn_percent=80),)),
    Limits(caps=(CapChoice("each", "month", amount("0.45"), ("voice",), 50, "*"),)),
    Limits(caps=(CapChoice("units", "day", 50, unit=1, member="anna"), CapChoice("all", "month", amount("0.90")))),
    Limits(credit_limit=0),
    Limits(credit_limit=amount("0.50")),
)
amounts = st.integers(1, 300).map(lambda cents: cents * 10**7)
accounts = st.sampled_from(OWN)
turns = st.integers(0, 1)
chosen = st.integers(0, 99)


class Everything(PaymentsMachine):
    """Each rule is one thing that a client, a subscriber, an operator or time does."""

    # --- clients ----------------------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(sorted(SUBSCRIBERS)), tariff=st.sampled_from(CALLED), ask=st.sampled_from([0, 0, 0, 5, 900]), received=st.booleans(), turn=turns)  # fmt: skip
    def open_session(self, who: str, tariff: str, ask: int, received: bool, turn: int) -> None:
        """A new session, sometimes under the name of one that is over."""
        call = Call(f"s{len(self.calls) % 5}-{self.account_of(who)}", who, tariff, is_received=received)
        self.calls.append(call)
        self.send(call, INITIAL, None, ask, turn)

    @rule(
        who=st.sampled_from(["anna", "ben", "carl", "dora"]),
        tariff=st.sampled_from(CALLED),
        uses=st.lists(st.integers(0, 45), min_size=1, max_size=5),
        ends=st.booleans(),
        received=st.booleans(),
        turn=turns,
    )
    def talk(self, who: str, tariff: str, uses: list[int], ends: bool, received: bool, turn: int) -> None:
        """A session from its beginning on, at alternating processes, and perhaps to its end."""
        self.open_session(who, tariff, 0, received, turn)
        call = self.calls[-1]
        for at, used in enumerate(uses):
            self.clock.now_ms += used * 1000
            call.is_over = ends and at == len(uses) - 1
            quantity = self.quantity(call, min(used, call.granted) if used % 9 else used)
            self.send(call, TERMINATION if call.is_over else UPDATE, quantity, None if call.is_over else 0, turn + at)

    @precondition(lambda self: self.open_calls())
    @rule(at=chosen, used=st.integers(0, 60), more=st.booleans(), ends=st.booleans(), turn=turns)
    def report(self, at: int, used: int, more: bool, ends: bool, turn: int) -> None:
        """What was used, mostly of what was granted, and sometimes more."""
        call = self.pick(self.open_calls(), at)
        quantity = self.quantity(call, used if more and not at % 5 else min(used, call.granted))
        call.is_over = ends
        self.send(call, TERMINATION if ends else UPDATE, quantity, None if ends or used % 7 == 6 else 0, turn)

    @precondition(lambda self: self.sent)
    @rule(at=chosen, turn=turns)
    def send_again(self, at: int, turn: int) -> None:
        """A5: what was processed is answered as before, and moves nothing."""
        sent = self.pick(self.sent[-6:], at)
        booked = {name: account.buckets for name, account in self.sides.store.accounts.items()}
        written = sum(map(len, self.sides.entries.values()))
        is_last = sent.number == sent.call.number and sent is self.last_of(sent.call)
        is_known = is_last and sent.answer.status is ChargingStatus.SUCCESS and self.is_known(sent.call)
        answer = self.both(sent.operation, turn, sent.answer)
        if is_known:
            assert answer.status is sent.answer.status
            assert sent.call.is_radius or answer.groups == sent.answer.groups, (
                sent,
                answer,
            )  # its replies tell no grants
            account_id = sent.call.account_id
            was_due = sum(map(len, self.sides.entries.values())) > written
            after = self.sides.store.accounts[account_id].buckets
            assert was_due or after == booked[account_id], (answer, sent.number, sent.call, booked[account_id], after)

    @precondition(lambda self: self.calls)
    @rule(at=chosen, back=st.integers(1, 4), used=st.integers(1, 20), kind=st.sampled_from([UPDATE, TERMINATION]))
    def report_late(self, at: int, back: int, used: int, kind: RequestKind) -> None:
        """A number below the last one, or of a session that is over: debited at most once."""
        call = self.pick(self.calls[-8:], at)
        if not call.is_radius and call.number >= back:
            number, call.number = call.number, call.number - back - 1
            self.loosen(call)
            self.send(call, kind, self.quantity(call, used), None, back)
            call.number = number

    @rule(who=st.sampled_from(sorted(SUBSCRIBERS)), action=st.sampled_from(list(EventAction)), turn=turns, count=st.integers(1, 3))  # fmt: skip
    def event(self, who: str, action: EventAction, turn: int, count: int) -> None:
        """A message is paid, given back, priced, or the balance looked at."""
        call = Call(f"m{len(self.sent)}.{self.clock()}", who, "S1")
        request = self.maker(call, EVENT, 0, group(ask=count, unit=3), action=action)  # type: ignore[arg-type]
        self.charge(call, 0, request, turn)

    @precondition(lambda self: self.sent)
    @rule(at=chosen, turn=turns)
    def refund_event(self, at: int, turn: int) -> None:
        """The debit of a message is taken back by its name, once."""
        debits = [each for each in self.sent if each.call.tariff == "S1"]
        if debits:
            paid = self.pick(debits, at).call
            call = Call(f"r{len(self.sent)}.{self.clock()}", paid.who, "S1")
            maker = self.maker(call, EVENT, 0, group(ask=1, unit=3), action=EventAction.REFUND_ACCOUNT)  # type: ignore[arg-type]

            def naming(each: Worker) -> ChargingRequest:
                request = maker(each)
                request.refund_of = f"gy:{paid.name}"
                return request

            self.charge(call, 0, naming, turn)

    @rule(who=st.sampled_from(["anna", "carl", "dora"]), turn=turns, authorized=st.booleans(), starts=st.booleans())
    def radius_call(self, who: str, turn: int, authorized: bool, starts: bool) -> None:
        """A call over RADIUS: an authorization, perhaps, then its start, perhaps."""
        call = Call(f"c{len(self.sent)}-{self.account_of(who)}", who, "T1", is_radius=True)
        identity = self.identity_of(who)
        if authorized:
            self.charge(call, 0, lambda each: access(each.world, f"a-{call.name}", identity=identity), turn)
        if starts:
            lease = f"a-{call.name}" if authorized else ""
            self.calls.append(call)
            self.charge(call, 0, lambda each: accounting(each.world, INITIAL, call.name, lease_of=lease, identity=identity), turn)  # fmt: skip

    @precondition(lambda self: any(call.is_radius for call in self.calls))
    @rule(at=chosen, used=st.integers(0, 40), ends=st.booleans(), turn=turns)
    def radius_report(self, at: int, used: int, ends: bool, turn: int) -> None:
        """An interim or the stop, with the total; a stop may come twice, and an interim after it."""
        call = self.pick([each for each in self.calls if each.is_radius], at)
        call.used += used
        self.loosen(call)
        kind, total, identity = TERMINATION if ends else UPDATE, call.used, self.identity_of(call.who)
        number = STOP_NUMBER if ends else total + 1
        self.charge(call, number, lambda each: accounting(each.world, kind, call.name, total, identity=identity), turn)

    # --- money ------------------------------------------------------------------------------------------------------

    @rule(name=accounts, nano=amounts, days=st.sampled_from([0, 0, 1, 5]), turn=turns)
    def top_up(self, name: str, nano: int, days: int, turn: int) -> None:
        """Into the main bucket, or into one of its own that expires."""
        bucket = (
            BucketOptions(50, day_end_ms("Europe/Berlin", self.clock(), days), Source.PROMOTIONAL) if days else None
        )
        self.pay_in(name, nano, bucket, turn)

    @rule(name=st.sampled_from([*OWN, "R"]), nano=amounts, turn=turns)
    def adjust(self, name: str, nano: int, turn: int) -> None:
        """Something is taken away, debt or not."""
        self.loose.add(name)
        key = self.key()
        once = lambda each: each.desk.adjust(name, -nano, "EUR", **key)  # noqa: E731
        assert isinstance(self.both(once, turn), RechargeResult)
        assert self.both(once, turn + 1).status is not RechargeStatus.APPLIED

    @rule(payer=accounts, payee=st.sampled_from([*OWN, "R", "U", "nobody"]), nano=amounts, dies=st.booleans(), turn=turns)  # fmt: skip
    def transfer(self, payer: str, payee: str, nano: int, dies: bool, turn: int) -> None:
        """To whomever, perhaps by a process that dies on the way."""
        key = self.key()
        if payer == payee:
            return  # refused by the API

        async def sent(each: Worker) -> RechargeResult:
            desk = MoneyDesk(each.desk, self.clock)
            if dies:
                desk.finish = _gone  # type: ignore[assignment, method-assign]
            return await desk.transfer(payer, payee, nano, "EUR", **key)

        self.both(sent, turn)
        if not dies:
            assert self.both(sent, turn + 1).status is not RechargeStatus.APPLIED or payee in {"U", "nobody"}

    @rule(name=accounts, at=st.integers(0, 4), turn=turns)
    def redeem(self, name: str, at: int, turn: int) -> None:
        """A voucher, or a wrong code."""

        async def redeemed(each: Worker) -> Any:
            codes = self.sides.codes[each]
            return await each.vouchers.redeem(name, codes[at] if at < len(codes) else "1234", actor="test")

        found = self.both(redeemed, turn)
        if isinstance(found, RechargeResult) and found.status is RechargeStatus.APPLIED:
            self.note_paid(name, amount("0.50"))

    @rule(name=accounts, at=chosen, part=st.booleans(), turn=turns)
    def take_back(self, name: str, at: int, part: bool, turn: int) -> None:
        """A record, a top-up or an adjustment is undone, once."""
        found = [each for each in self.sides.entries[name] if each.kind in REVERSIBLE and each.changes]
        if found:
            entry, key = self.pick(found, at), self.key()
            del key["key"]
            self.loose.add(name)
            nano = abs(sum(change.amount for change in entry.changes)) // 2 if part else 0
            once = lambda each: each.money.take_back(name, entry.entry_number, entry, nano, **key)  # noqa: E731
            self.both(once, turn)
            assert self.both(once, turn + 1).status is not RechargeStatus.APPLIED

    # --- operators --------------------------------------------------------------------------------------------------

    @rule(name=accounts, package=st.sampled_from(PACKAGES), turn=turns)
    def buy(self, name: str, package: str, turn: int) -> None:
        """A bundle, once or every so often."""
        if package in {"weekly", "contract"}:
            self.loose.add(name)  # debited whatever the balance
        key = self.key()
        self.both(lambda each: each.desk.buy(name, package, **key), turn)

    @rule(name=accounts, at=chosen, turn=turns)
    def cancel(self, name: str, at: int, turn: int) -> None:
        """A subscription ends with its period."""
        found = (self.sides.store.accounts[name].extras or NO_EXTRAS).subscriptions
        number, key = self.pick(found, at).number if found else 77, self.key()
        self.both(lambda each: each.desk.cancel(name, number, **key), turn)

    @rule(name=accounts, limits=st.sampled_from(LIMITS), turn=turns)
    def set_limits(self, name: str, limits: Limits, turn: int) -> None:
        """Calls, caps, credit."""
        if limits.credit_limit == 0:
            self.loose.add(name)
        key = self.key()
        self.both(lambda each: each.desk.set_limits(name, limits, **key), turn)

    @rule(name=accounts, state=st.sampled_from([AccountState.SUSPENDED, AccountState.LIMITED, AccountState.ACTIVE, AccountState.ACTIVE]), block=st.sampled_from(["operator", "dunning", "fraud"]), turn=turns)  # fmt: skip
    def block(self, name: str, state: AccountState, block: str, turn: int) -> None:
        """Block, wholly or but for incoming calls, or lift a block."""
        key = self.key()
        self.both(lambda each: each.desk.set_state(name, state, block=block, **key), turn)

    @rule(
        giver=st.sampled_from(["B", "D", "R~C"]),
        taker=st.sampled_from(["A", "B", "U", "nobody"]),
        at=chosen,
        turn=turns,
    )
    def merge(self, giver: str, taker: str, at: int, turn: int) -> None:
        """Seldom, and mostly refused: one account becomes another."""
        if giver == taker or at % 3:
            return
        self.loose.add(taker)  # a debt comes along
        key = self.key()
        once = lambda each: each.money.merge(giver, taker, **key)  # noqa: E731
        done = self.both(once, turn)
        self.sides.forget()
        if done.status is RechargeStatus.APPLIED:
            assert self.both(once, turn + 1).status is RechargeStatus.REPLAYED

    @rule(name=st.sampled_from(["B", "R~C"]), at=st.integers(0, 9), turn=turns)
    def close(self, name: str, at: int, turn: int) -> None:
        """Seldom, for good."""
        if at == 9:
            key = self.key()
            self.both(lambda each: each.desk.set_state(name, AccountState.CLOSED, **key), turn)

    @rule(name=accounts, plan=st.sampled_from(["test-eur", "test-eur", "test-resale-eur", "wholesale-usd"]), waits=st.booleans(), turn=turns)  # fmt: skip
    def change_plan(self, name: str, plan: str, waits: bool, turn: int) -> None:
        """At once, or when the cycle ends."""
        key = self.key()
        self.both(lambda each: each.desk.change_plan(name, PlanOrder(plan, waits), **key), turn)

    @rule(giver=st.sampled_from(sorted(SUBSCRIBERS)), taker=st.sampled_from(sorted(SUBSCRIBERS)), at=chosen, turn=turns)
    def port(self, giver: str, taker: str, at: int, turn: int) -> None:
        """A number moves to another subscriber; a giver keeps one, so that everybody can call."""
        there = self.sides.subscriber(giver)
        if len(there.identities) > 1:
            identity = self.pick(there.identities, at)
            self.both(lambda each: each.desk.subscribers.port(identity, giver, taker), turn)
            self.sides.forget()

    # --- time -------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 29, 61, 250, 700, 3_700]), turn=turns)
    def wait(self, seconds: int, turn: int) -> None:
        """Time passes, and supervision looks."""
        self.clock.now_ms += seconds * 1000
        self.both(lambda each: each.supervise(), turn)

    @rule(days=st.sampled_from([1, 1, 2, 7, 30]), early_s=st.sampled_from([0, 20]), turn=turns)
    def wait_for_midnight(self, days: int, early_s: int, turn: int) -> None:
        """To a local midnight, or to shortly before it, and perhaps nobody looks; but money on its way is not left for days."""
        if any(self.sides.on_the_way(currency) for currency in ("EUR", "USD")):
            self.wait(61, turn)
        self.clock.now_ms = day_end_ms("Europe/Berlin", self.clock(), days - 1) - early_s * 1000
        if turn:
            self.both(lambda each: each.supervise(), turn)

    @rule(name=accounts, nano=amounts, tariff=st.sampled_from(["T1", "T3", "rising", "D1"]))
    def everything_at_once(self, name: str, nano: int, tariff: str) -> None:
        """Calls, a message, a top-up and an adjustment at two processes in the same moment: any order will do."""
        who = next(who for who, account_id in SUBSCRIBERS.items() if account_id == name)
        calls = [Call(f"p{len(self.calls) + at}-{name}", who, tariff) for at in range(3)]
        for call in calls:
            call.account_id = self.account_of(who)
        makers = [self.maker(call, INITIAL, 0, self.group_of(call, None, 0)) for call in calls]
        operations: list[Any] = [charging(maker) for maker in makers]
        key = self.key()
        operations.append(lambda each: each.desk.top_up(name, nano, "EUR", **key))
        for call in self.open_calls()[-2:]:
            if not call.is_radius:
                call.number += 1
                self.loosen(call)
                operations.append(charging(self.maker(call, UPDATE, call.number, self.group_of(call, 1, 0))))
        answers = self.run(self.sides.at_once(operations))
        for call, answer in zip(calls, answers, strict=False):
            call.granted = sum(each.granted for each in answer.groups)
        self.calls += calls
        if answers[3].status is RechargeStatus.APPLIED:
            self.note_paid(name, nano)
        self.look()


async def _gone(_way: object) -> None:
    """The process dies here."""


@pytest.mark.integration
def test_section_a_whatever_happens_in_whatever_order(valkey_url: str, billing_dsn: str) -> None:
    """Both stores agree on every answer and on what stands there afterwards, and the invariants hold (statements 1 to 7)."""
    Everything.url, Everything.dsn = valkey_url, billing_dsn
    run_state_machine_as_test(
        Everything,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=tuple(Phase) if "OCS_SHRINK" in os.environ else (Phase.generate,),
            derandomize="OCS_OPERATIONS" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
