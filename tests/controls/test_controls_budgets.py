"""A budget is never overspent, whatever comes in whatever order, from however many processes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from cigate.controls import (
    Budget,
    budget_keys,
    budget_keys_of,
    budget_row,
    commit_budget,
    release_budget,
    remaining,
    reserve_budget,
)
from cigate.decision import DecisionId
from cigate.errors import CigateError, ConfigError, RequestError, StoreUnavailable
from cigate.money import Money
from cigate.stores import Change, Key
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
LIMIT = 1000
QA = Budget("qa", Money(LIMIT, "EUR"), "month")
ONE, TWO = DecisionId("dec-1"), DecisionId("dec-2")


class Account:
    """A budget on a store, and the calls as a gateway makes them."""

    def __init__(self, budget: Budget = QA) -> None:
        self.store = MemoryStore()
        self.budget = budget
        self.now = NOW
        self.rows: dict[DecisionId, str] = {}

    def reserve(self, decision_id: DecisionId, amount: int, currency: str = "EUR") -> None:
        row = self.rows.setdefault(decision_id, budget_row(self.budget, self.now))
        keys = budget_keys_of(decision_id, row)
        money = Money(amount, currency)
        self.store.transact(
            keys,
            lambda rows: Change(reserve_budget(rows, self.budget, decision_id, money, self.now)),
            now=self.now,
        )

    def commit(self, decision_id: DecisionId, actual: int | None = None, currency: str = "EUR") -> None:
        money = Money(actual, currency) if actual is not None else None
        keys = budget_keys_of(decision_id, self.rows.get(decision_id, ""))
        self.store.transact(keys, lambda rows: Change(commit_budget(rows, decision_id, money)), now=self.now)

    def release(self, decision_id: DecisionId) -> None:
        keys = budget_keys_of(decision_id, self.rows.get(decision_id, ""))
        self.store.transact(keys, lambda rows: Change(release_budget(rows, decision_id)), now=self.now)

    @property
    def left(self) -> int:
        return remaining(self.store.read(budget_keys(self.budget, self.now)), self.budget, self.now)


def refusal(act: Any, *arguments: Any) -> str:
    with pytest.raises(CigateError) as refused:
        act(*arguments)
    return refused.value.code


class BudgetMachine(RuleBasedStateMachine):
    """Against the obvious model: a dict of reservations, a sum of what was committed, a flag."""

    decisions = Bundle("decisions")

    def __init__(self) -> None:
        super().__init__()
        self.account = Account()
        self.reserved: dict[DecisionId, int] = {}
        self.settled: dict[DecisionId, tuple[str, int]] = {}
        self.committed = 0
        self.suspended = False

    @rule(target=decisions, number=st.integers(1, 8))
    def decide(self, number: int) -> DecisionId:
        return DecisionId(f"dec-{number}")

    @rule(decision=decisions, amount=st.one_of(st.integers(0, 500), st.just(LIMIT), st.just(LIMIT + 1)))
    def reserve(self, decision: DecisionId, amount: int) -> None:
        held = self.committed + sum(self.reserved.values())
        if self.reserved.get(decision) == amount:
            self.account.reserve(decision, amount)
        elif decision in self.reserved or decision in self.settled:
            assert refusal(self.account.reserve, decision, amount) == "budget.settled"
        elif amount == 0:
            assert refusal(self.account.reserve, decision, amount) == "budget.amount"
        elif self.suspended:
            assert refusal(self.account.reserve, decision, amount) == "budget.suspended"
        elif held + amount > LIMIT:
            assert refusal(self.account.reserve, decision, amount) == "budget.exhausted"
        else:
            self.account.reserve(decision, amount)
            self.reserved[decision] = amount
            assert held + amount <= LIMIT

    @rule(decision=decisions, actual=st.one_of(st.none(), st.integers(0, 600)))
    def commit(self, decision: DecisionId, actual: int | None) -> None:
        if decision in self.reserved:
            amount = self.reserved.pop(decision)
            cost = amount if actual is None else actual
            self.account.commit(decision, actual)
            self.committed += cost
            self.suspended = self.suspended or cost > amount
            self.settled[decision] = ("committed", cost)
        elif decision not in self.settled:
            assert refusal(self.account.commit, decision, actual) == "budget.no-reservation"
        elif actual is not None and self.settled[decision] == ("committed", actual):
            self.account.commit(decision, actual)
        elif actual is not None:
            assert refusal(self.account.commit, decision, actual) == "budget.settled"

    @rule(decision=decisions)
    def release(self, decision: DecisionId) -> None:
        if self.settled.get(decision, ("",))[0] == "committed":
            assert refusal(self.account.release, decision) == "budget.settled"
            return
        self.account.release(decision)
        if decision in self.reserved:
            self.settled[decision] = ("released", self.reserved.pop(decision))

    @invariant()
    def what_remains_is_what_the_model_says(self) -> None:
        left = max(LIMIT - self.committed - sum(self.reserved.values()), 0)
        assert self.account.left == (0 if self.suspended else left)


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_run_that_costs_more_than_was_reserved_is_committed_in_full_and_suspends_the_budget() -> None:
    account = Account()
    account.reserve(ONE, 100)
    account.commit(ONE, 101)
    assert account.left == 0
    assert refusal(account.reserve, TWO, 1) == "budget.suspended"


def test_a_suspension_outlives_a_later_run_that_costs_what_was_reserved() -> None:
    account = Account()
    account.reserve(ONE, 100)
    account.reserve(TWO, 100)
    account.commit(ONE, 101)
    account.commit(TWO, 100)
    assert account.left == 0


def test_a_run_that_costs_less_gives_the_rest_back() -> None:
    account = Account()
    account.reserve(ONE, 400)
    account.commit(ONE, 150)
    assert account.left == 850


def test_a_suspension_ends_with_its_period() -> None:
    account = Account()
    account.reserve(ONE, 1)
    account.commit(ONE, 2)
    account.now = NOW + timedelta(days=10)
    assert account.left == LIMIT


def test_a_reservation_is_settled_in_the_period_in_which_it_was_made() -> None:
    account = Account()
    account.reserve(ONE, 400)
    account.now = NOW + timedelta(days=10)
    assert account.left == LIMIT
    account.commit(ONE, 300)
    assert account.left == LIMIT
    account.now = NOW
    assert account.left == 700


@pytest.mark.parametrize(
    ("period", "last", "next"),
    [
        ("day", "2026-11-24T23:59:59.999999", "2026-11-25T00:00:00"),
        ("week", "2026-11-29T23:59:59.999999", "2026-11-30T00:00:00"),
        ("week", "2027-01-03T23:59:59.999999", "2027-01-04T00:00:00"),
        ("month", "2026-11-30T23:59:59.999999", "2026-12-01T00:00:00"),
        ("year", "2026-12-31T23:59:59.999999", "2027-01-01T00:00:00"),
    ],
)
def test_a_period_ends_in_utc(period: Any, last: str, next: str) -> None:
    budget = Budget("qa", Money(1, "EUR"), period)
    before, after = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (last, next))
    assert budget_row(budget, before) != budget_row(budget, after)
    assert budget_row(budget, before) == budget_row(budget, before - timedelta(hours=20))


def test_a_week_over_new_year_is_one_period() -> None:
    budget = Budget("qa", Money(1, "EUR"), "week")
    days = (datetime(2026, 12, 28, tzinfo=UTC) + timedelta(days=n) for n in range(7))
    assert len({budget_row(budget, day) for day in days}) == 1


def test_a_budget_in_total_never_starts_anew() -> None:
    budget = Budget("qa", Money(1, "EUR"), "total")
    assert budget_row(budget, NOW) == budget_row(budget, NOW + timedelta(days=4000))


def test_periods_and_teams_have_rows_of_their_own() -> None:
    periods: tuple[Any, ...] = ("day", "week", "month", "year", "total")
    rows = {
        budget_row(Budget(team, Money(1, "EUR"), each), NOW) for each in periods for team in ("qa", "sre")
    }
    assert len(rows) == 10


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        Budget("qa", Money(1, "EUR"), "fortnight")  # type: ignore[arg-type]
    assert refused.value.code == "budget.period"


def test_currencies_never_mix() -> None:
    account = Account()
    assert refusal(account.reserve, ONE, 1, "USD") == "budget.currency"
    account.reserve(TWO, 5)
    assert refusal(account.commit, TWO, 5, "USD") == "budget.currency"
    account.budget = Budget("qa", Money(LIMIT, "USD"), "month")
    with pytest.raises(RequestError):
        assert account.left


def test_a_settlement_that_does_not_see_the_budgets_row_is_refused() -> None:
    account = Account()
    account.reserve(ONE, 5)
    rows = account.store.read([Key("reservation", ONE)])
    for settle in (commit_budget, release_budget):
        with pytest.raises(StoreUnavailable):
            settle(rows, ONE)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"committed":"0"}',
        b'{"currency":"EUR","committed":-5,"reserved":0,"overrun":false}',
    ],
)
def test_a_budget_that_can_not_be_read_is_spent(raw: bytes) -> None:
    rows = {Key("budget", budget_row(QA, NOW)): raw}
    with pytest.raises(StoreUnavailable):
        remaining(rows, QA, NOW)
    with pytest.raises(StoreUnavailable):
        reserve_budget(rows, QA, ONE, Money(1, "EUR"), NOW)


SPENDER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from cigate.controls import budget_keys_of, budget_row, reserve_budget
from cigate.decision import DecisionId
from cigate.errors import RequestError
from cigate.money import Money
from cigate.stores import Change
from cigate.stores.sqlite import SQLiteStore
sys.path.insert(0, sys.argv[3])
from test_controls_budgets import NOW, QA

store = SQLiteStore(sys.argv[1])
row = budget_row(QA, NOW)

def spend(n):
    name = DecisionId(f"{sys.argv[2]}-{n}")
    try:
        store.transact(
            budget_keys_of(name, row),
            lambda rows: Change(reserve_budget(rows, QA, name, Money(7, "EUR"), NOW)),
            now=NOW,
        )
    except RequestError as refused:
        assert refused.code == "budget.exhausted"
        return 0
    return 1

with ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(spend, range(60))))
"""


def test_sixteen_threads_in_each_of_four_processes_never_overspend(tmp_path: Path) -> None:
    store = SQLiteStore.create(tmp_path / "state.db")
    here = str(Path(__file__).parent)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, str(store.path), str(n), here], stdout=subprocess.PIPE, text=True
        )
        for n in range(4)
    ]
    won = [int(each.communicate()[0]) for each in running]
    assert sum(won) == LIMIT // 7, "all that fits was reserved, and nothing more"
    assert remaining(store.read(budget_keys(QA, NOW)), QA, NOW) == LIMIT % 7
    assert len(store.scan("reservation")) == LIMIT // 7
