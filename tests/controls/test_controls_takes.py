"""What a decision wants is taken together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from cigate.controls import (
    Budget,
    HeldTicket,
    State,
    Verdict,
    ask_keys,
    budget_keys,
    open_ticket,
    read_ticket,
    record_verdict,
    redeem,
    remaining,
    take,
    take_keys,
    throttle_key,
    ticket_keys,
    void_tickets,
)
from cigate.decision import (
    Decision,
    DecisionId,
    Effect,
    Quorum,
    Reservation,
    Take,
    Taken,
    TicketId,
    Token,
)
from cigate.money import Money
from cigate.stores import Change, Rows, Store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore
from cigate.ticket import Clause, Ticket

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
QA = Budget("qa", Money(100, "EUR"), "month")
TOKEN = Token("ten-an-hour", ("agent-1",), 10, HOUR)
ONE = Token("one-an-hour", ("agent-1",), 1, HOUR)
MONEY = Reservation(60, "EUR")
TKT = TicketId("tkt-1")
BOB, CAROL = "bob@example.com", "carol@example.com"
SRE = Quorum("infra", 2, ("sre",), (BOB, CAROL))
OWNER = Quorum("owner", 1, ("owner",), (BOB,))


def allow(*takes: Take) -> Decision:
    return Decision(Effect.ALLOW, "policy.allowed", "sha256:p", takes=takes)


def taking(
    store: Store,
    decision: Decision,
    *,
    id: str = "dec-1",
    budget: Budget | None = QA,
    ticket: TicketId | None = None,
) -> Taken:
    name = DecisionId(id)
    keys = take_keys(decision, decision_id=name, now=NOW, budget=budget, ticket=ticket)

    def work(rows: Rows) -> Change[Taken]:
        taken, puts = take(decision, rows, decision_id=name, now=NOW, budget=budget, ticket=ticket)
        assert puts.keys() <= keys
        return Change(puts, taken)

    return store.transact(keys, work, now=NOW)


def left(store: Store) -> int:
    return remaining(store.read(budget_keys(QA, NOW)), QA, NOW)


def state(store: Store) -> State:
    held = read_ticket(store.read(ticket_keys(TKT)), TKT)
    assert held is not None
    return held.state


def hold(store: Store, *approvers: str) -> None:
    ticket = Ticket(
        id=TKT,
        audience="ci",
        action="create-infra",
        commit="ab" * 20,
        parameters={},
        agent="agent-1",
        agent_version="1",
        user="alice@example.com",
        device="",
        purpose="",
        cost=None,
        risk=None,
        clauses=(Clause("infra", 2, ("sre",), HOUR),),
        created=NOW,
        expires=NOW + HOUR,
    )
    held = HeldTicket.of(ticket, envelope=b"signed", decision_id=DecisionId("dec-0"))
    store.transact(ask_keys(held, {}), lambda rows: Change(open_ticket(rows, held, now=NOW)[1]), now=NOW)
    for user in approvers:
        given = Verdict(f"key-of-{user}", "ab" * 32, user, "approve", NOW, "jti-0001", b"")
        store.transact(
            ticket_keys(TKT),
            lambda rows, given=given: Change(  # type: ignore[misc]
                record_verdict(rows, TKT, given, digest=ticket.digest, now=NOW, device_owner=None)[1]
            ),
            now=NOW,
        )


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def test_a_decision_that_wants_nothing_takes_nothing(store: Store) -> None:
    assert taking(store, allow()) == Taken()


@pytest.mark.parametrize("order", list(permutations([TOKEN, MONEY, SRE, OWNER])))
def test_all_of_it_is_taken_in_whatever_order(order: tuple[Take, ...]) -> None:
    store = MemoryStore()
    hold(store, BOB, CAROL)
    assert taking(store, allow(*order), ticket=TKT) == Taken()
    assert (left(store), state(store)) == (40, State.REDEEMED)
    assert throttle_key(TOKEN) in store.read([throttle_key(TOKEN)])


REFUSALS: list[tuple[str, Take, Callable[[Store], None], str]] = [
    ("the bucket is empty", ONE, lambda store: _take(store, ONE), "throttle.empty"),
    ("the budget is spent", MONEY, lambda store: _take(store, Reservation(50, "EUR")), "budget.exhausted"),
    ("another currency", Reservation(1, "USD"), lambda store: None, "budget.currency"),
    ("no such amount", Reservation(-1, "EUR"), lambda store: None, "money.amount"),
    (
        "a person did not approve",
        Quorum("q", 1, (), ("dave@example.com",)),
        lambda store: None,
        "approval.missing",
    ),
    ("one person twice", Quorum("q", 2, (), (BOB, "BOB@example.com")), lambda store: None, "approval.quorum"),
    ("too few people", Quorum("q", 2, (), (BOB,)), lambda store: None, "approval.quorum"),
    ("the ticket is spent", SRE, lambda store: _redeem(store), "approval.spent"),
    ("the ticket is void", SRE, lambda store: _void(store), "approval.void"),
]


def _take(store: Store, wanted: Take) -> None:
    assert taking(store, allow(wanted), id="dec-earlier") == Taken()


def _redeem(store: Store) -> None:
    store.transact(
        ticket_keys(TKT), lambda rows: Change(redeem(rows, TKT, DecisionId("dec-x"), (), NOW)), now=NOW
    )


def _void(store: Store) -> None:
    store.transact(ticket_keys(TKT), lambda rows: Change(void_tickets(rows)), now=NOW)


@pytest.mark.parametrize(("why", "wanted", "before", "code"), REFUSALS, ids=[row[0] for row in REFUSALS])
@pytest.mark.parametrize("first", [True, False])
def test_if_one_can_not_be_had_nothing_is_taken(
    why: str, wanted: Take, before: Callable[[Store], None], code: str, first: bool
) -> None:
    store = MemoryStore()
    hold(store, BOB, CAROL)
    before(store)
    families = ("throttle", "budget", "reservation", "ticket")
    rows = [store.scan(family) for family in families]
    others: tuple[Take, ...] = (
        (TOKEN,) if isinstance(wanted, Reservation | Quorum) else (TOKEN, Reservation(5, "EUR"))
    )
    takes = (wanted, *others) if first else (*others, wanted)
    taken = taking(store, allow(*takes), ticket=TKT)
    assert (taken.refused, taken.code) == (wanted, code)
    assert (taken.retry_after == HOUR) == (code == "throttle.empty")
    assert [store.scan(family) for family in families] == rows, why


def test_a_reservation_without_a_budget_is_refused(store: Store) -> None:
    taken = taking(store, allow(MONEY), budget=None)
    assert (taken.refused, taken.code) == (MONEY, "budget.unknown")


def test_approvals_without_a_ticket_are_refused(store: Store) -> None:
    taken = taking(store, allow(OWNER))
    assert (taken.refused, taken.code) == (OWNER, "approval.unknown")


def test_an_allow_uses_its_ticket_up_even_if_nobody_is_asked_any_more(store: Store) -> None:
    hold(store)
    assert taking(store, allow(TOKEN), ticket=TKT) == Taken()
    assert state(store) is State.REDEEMED
    again = taking(store, allow(TOKEN), ticket=TKT, id="dec-2")
    assert (again.code, isinstance(again.refused, Quorum)) == ("approval.spent", True)


@pytest.mark.parametrize("effect", [Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.THROTTLE])
def test_only_an_allow_takes_anything(store: Store, effect: Effect) -> None:
    hold(store, BOB, CAROL)
    decision = Decision(effect, "policy.other", "sha256:p", takes=(SRE, MONEY))
    assert taking(store, decision, ticket=TKT) == Taken()
    assert (left(store), state(store)) == (100, State.PENDING)


def test_two_tokens_of_one_bucket_are_two_tokens(store: Store) -> None:
    two = Token("two-an-hour", ("agent-1",), 2, HOUR)
    assert taking(store, allow(two, two)) == Taken()
    assert taking(store, allow(two)).code == "throttle.empty"


def test_a_transaction_that_runs_again_takes_once(store: Store) -> None:
    decision = allow(MONEY)
    for _ in range(2):
        assert taking(store, decision, id="dec-1") == Taken()
    assert left(store) == 40


def test_of_many_that_want_the_last_token_and_money_one_gets_both(tmp_path: Path) -> None:
    store = SQLiteStore.create(tmp_path / "state.db")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: taking(store, allow(MONEY, ONE), id=f"dec-{n}"), range(32)))
    assert [taken.refused for taken in answers].count(None) == 1
    assert left(store) == 40


def test_a_refused_token_says_its_rate_as_durations_are_written(store: Store) -> None:
    two = Token("two-an-hour", ("agent-1",), 2, HOUR)
    assert taking(store, allow(two, two, two)).message == "rule 'two-an-hour' allows 2 in 3600s"
