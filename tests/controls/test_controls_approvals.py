"""A ticket is answered by other people than its requester, counts each once, and is redeemed once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields

from cigate.controls import (
    HeldTicket,
    State,
    Verdict,
    ask_digest,
    ask_keys,
    distinct_people,
    open_ticket,
    read_ticket,
    record_verdict,
    redeem,
    ticket_keys,
    void_tickets,
)
from cigate.decision import DecisionId, TicketId
from cigate.errors import CigateError, StoreUnavailable
from cigate.money import Money
from cigate.stores import Change, Key, Store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore
from cigate.ticket import Clause, Ticket

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
TTL = timedelta(minutes=30)
RUN = DecisionId("dec-run")
TICKET = Ticket(
    id=TicketId("tkt-1"),
    audience="https://ci.example.com",
    action="create-infra",
    commit="sha256:" + "ab" * 32,
    parameters={"shards": 2, "fast": True, "suite": "qa"},
    agent="agent-1",
    agent_version="2.0.1",
    user="alice@example.com",
    device="laptop-1",
    purpose="a test bed",
    cost=Money(500, "EUR"),
    risk=12,
    clauses=(Clause("infra", 2, ("sre",), TTL, "two of you"),),
    created=NOW,
    expires=NOW + TTL,
)


class Desk:
    """Tickets on a store, and the calls as a gateway makes them."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store if store is not None else MemoryStore()
        self.now = NOW

    def hold(self, ticket: Ticket = TICKET, *, most_pending: int = 20) -> HeldTicket:
        held = HeldTicket.of(ticket, envelope=b"\x00signed", decision_id=DecisionId(f"dec-{ticket.id}"))
        keys = ask_keys(held, self.store.read(ask_keys(held, {})))
        return self.store.transact(
            keys,
            lambda rows: _change(open_ticket(rows, held, now=self.now, most_pending=most_pending)),
            now=self.now,
        )

    def answer(
        self,
        user: str,
        verdict: str = "approve",
        *,
        digest: str = TICKET.digest,
        owner: str | None = None,
        key: str = "key",
        id: str = "tkt-1",
    ) -> HeldTicket:
        given = Verdict(f"{key}-of-{user}", "ab" * 32, user, verdict, self.now, "jti-0001", b"\xffenvelope")
        return self.store.transact(
            ticket_keys(TicketId(id)),
            lambda rows: _change(
                record_verdict(rows, TicketId(id), given, digest=digest, now=self.now, device_owner=owner)
            ),
            now=self.now,
        )

    def redeem(self, *people: str, by: DecisionId = RUN, id: str = "tkt-1") -> None:
        self.store.transact(
            ticket_keys(TicketId(id)),
            lambda rows: Change(redeem(rows, TicketId(id), by, people, self.now)),
            now=self.now,
        )

    def read(self, id: str = "tkt-1") -> HeldTicket:
        found = read_ticket(self.store.read(ticket_keys(TicketId(id))), TicketId(id))
        assert found is not None
        return found


def _change(answer: tuple[HeldTicket, Any]) -> Change[HeldTicket]:
    held, puts = answer
    return Change(puts, held)


def refusal(act: Callable[..., object], *arguments: Any, **named: Any) -> str:
    with pytest.raises(CigateError) as refused:
        act(*arguments, **named)
    return refused.value.code


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.hold()
    return desk


def test_a_ticket_is_kept_as_it_was_held_and_answered(desk: Desk) -> None:
    held = desk.answer("bob@example.com")
    found = desk.read()
    assert found == held
    assert (found.ticket, found.envelope, found.decision_id) == (TICKET, b"\x00signed", "dec-tkt-1")
    assert [verdict.envelope for verdict in found.verdicts] == [b"\xffenvelope"]


def test_a_quorum_redeems_a_ticket_once(desk: Desk) -> None:
    desk.answer("bob@example.com")
    desk.answer("carol@example.com")
    desk.redeem("bob@example.com", "carol@example.com")
    assert (desk.read().state, desk.read().redeemed_by) == (State.REDEEMED, RUN)
    assert refusal(desk.redeem, "bob@example.com", by=DecisionId("dec-2")) == "approval.spent"
    assert refusal(desk.answer, "dave@example.com") == "approval.spent"


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_of_32_that_redeem_at_once_one_does(engine: str, tmp_path: Path) -> None:
    desk = Desk(MemoryStore() if engine == "memory" else SQLiteStore.create(tmp_path / "state.db"))
    desk.hold()
    desk.answer("bob@example.com")

    def attempt(n: int) -> str:
        try:
            desk.redeem("bob@example.com", by=DecisionId(f"dec-{n}"))
        except CigateError as refused:
            return refused.code
        return f"dec-{n}"

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(attempt, range(32)))
    assert answers.count("approval.spent") == 31
    assert desk.read().redeemed_by in answers


@pytest.mark.parametrize(
    "approver",
    [
        "alice@example.com",
        "ALICE@example.com",
        " Alice@Example.COM",
        "ａｌｉｃｅ@example.com",
        "agent-1",
        "AGENT-1",
    ],
)
def test_nobody_approves_what_they_ask_for_under_any_spelling(desk: Desk, approver: str) -> None:
    assert refusal(desk.answer, approver) == "approval.self"
    assert desk.read().verdicts == ()


@pytest.mark.parametrize("approver", ["bob@example.com", "BOB@example.com"])
def test_the_devices_owner_does_not_approve(desk: Desk, approver: str) -> None:
    assert refusal(desk.answer, approver, owner="bob@example.com") == "approval.self"
    assert len(desk.answer("carol@example.com", owner="bob@example.com").approvals) == 1


def test_the_requester_may_take_the_request_back(desk: Desk) -> None:
    assert desk.answer("alice@example.com", "reject").state is State.REJECTED


def test_two_keys_and_two_spellings_of_one_person_count_once(desk: Desk) -> None:
    desk.answer("bob@example.com", key="laptop")
    for again in ("bob@example.com", "Bob@example.com"):
        assert len(desk.answer(again, key="token").approvals) == 1
    assert distinct_people(["bob@example.com", "BOB@example.com", "bob@example.com "]) == 1
    assert distinct_people(["bob@example.com", "carol@example.com"]) == 2


def test_one_rejection_closes_a_ticket_whoever_had_approved(desk: Desk) -> None:
    desk.answer("bob@example.com")
    assert desk.answer("bob@example.com", "reject").state is State.REJECTED
    assert refusal(desk.answer, "carol@example.com") == "approval.rejected"
    assert refusal(desk.redeem, "bob@example.com") == "approval.rejected"


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_an_answer_to_something_else_does_not_count(desk: Desk, verdict: str) -> None:
    other = evolve(TICKET, cost=Money(501, "EUR")).digest
    assert refusal(desk.answer, "bob@example.com", verdict, digest=other) == "approval.mismatch"
    assert desk.read() == HeldTicket.of(TICKET, envelope=b"\x00signed", decision_id=DecisionId("dec-tkt-1"))


def test_an_answer_that_is_neither_yes_nor_no_does_not_count(desk: Desk) -> None:
    assert refusal(desk.answer, "bob@example.com", "APPROVE") == "approval.verdict"


def test_a_ticket_is_answered_and_redeemed_before_it_expires(desk: Desk) -> None:
    desk.now = TICKET.expires - timedelta(microseconds=1)
    desk.answer("bob@example.com")
    desk.now = TICKET.expires
    assert refusal(desk.answer, "carol@example.com") == "approval.expired"
    assert refusal(desk.redeem, "bob@example.com") == "approval.expired"


def test_an_unknown_ticket_is_answered_by_nobody(desk: Desk) -> None:
    assert refusal(desk.answer, "bob@example.com", id="tkt-2") == "approval.unknown"
    assert refusal(desk.redeem, id="tkt-2") == "approval.unknown"


def test_who_did_not_approve_can_not_be_counted(desk: Desk) -> None:
    desk.answer("bob@example.com")
    assert refusal(desk.redeem, "bob@example.com", "carol@example.com") == "approval.missing"
    assert desk.read().state is State.PENDING


def test_a_void_ticket_is_over_and_what_had_ended_stays_as_it_was() -> None:
    desk = Desk()
    for id in ("tkt-1", "tkt-2"):
        desk.hold(evolve(TICKET, id=TicketId(id), purpose=id, commit=id))
    desk.redeem(id="tkt-2")
    keys = [key for key, _ in desk.store.scan("ticket")]
    desk.store.transact(keys, lambda rows: Change(void_tickets(rows)), now=NOW)
    assert [desk.read(id).state for id in ("tkt-1", "tkt-2")] == [State.VOID, State.REDEEMED]
    assert refusal(desk.answer, "bob@example.com") == "approval.void"
    assert refusal(desk.redeem) == "approval.void"


BOUND: dict[str, Any] = {
    "action": "run-test-suite",
    "commit": "sha256:" + "cd" * 32,
    "parameters": {"shards": 3, "fast": True, "suite": "qa"},
    "agent": "agent-2",
    "agent_version": "2.0.2",
    "user": "eve@example.com",
    "device": "laptop-2",
    "purpose": "another",
    "cost": Money(501, "EUR"),
    "clauses": (Clause("infra", 1, ("sre",), TTL, "two of you"),),
}
FREE: dict[str, Any] = {
    "id": TicketId("tkt-2"),
    "audience": "elsewhere",
    "risk": 13,
    "created": NOW + timedelta(minutes=1),
    "expires": NOW + timedelta(minutes=31),
}


def test_every_field_of_a_ticket_is_bound_by_the_ask_or_known_not_to_be() -> None:
    assert BOUND.keys() | FREE.keys() == {field.name for field in fields(Ticket)}


@pytest.mark.parametrize("name", BOUND)
def test_another_ask_is_another_ticket(name: str) -> None:
    desk = Desk()
    first = desk.hold()
    other = evolve(TICKET, id=TicketId("tkt-2"), **{name: BOUND[name]})
    assert ask_digest(other) != ask_digest(TICKET)
    assert desk.hold(other).ticket.id == "tkt-2" != first.ticket.id


@pytest.mark.parametrize("parameters", [{"shards": True}, {"shards": "1"}, {"shards": 1, "x": 1}, {}])
def test_parameters_are_compared_by_type_too(parameters: dict[str, bool | int | str]) -> None:
    one = ask_digest(evolve(TICKET, parameters={"shards": 1}))
    assert ask_digest(evolve(TICKET, parameters=parameters)) != one


@pytest.mark.parametrize("name", FREE)
def test_an_identical_ask_joins_the_pending_ticket(name: str) -> None:
    desk = Desk()
    first = desk.hold()
    desk.answer("bob@example.com")
    joined = desk.hold(evolve(TICKET, **{"id": TicketId("tkt-2"), name: FREE[name]}))
    assert joined.ticket == first.ticket
    assert len(joined.approvals) == 1
    assert [key.id for key, _ in desk.store.scan("ticket")] == ["tkt-1"]


def _redeemed(desk: Desk) -> None:
    desk.redeem()


def _rejected(desk: Desk) -> None:
    desk.answer("bob@example.com", "reject")


def _expired(desk: Desk) -> None:
    desk.now = TICKET.expires


@pytest.mark.parametrize("end", [_redeemed, _rejected, _expired])
def test_an_identical_ask_does_not_join_a_ticket_that_has_ended(
    desk: Desk, end: Callable[[Desk], None]
) -> None:
    end(desk)
    again = evolve(TICKET, id=TicketId("tkt-2"), expires=desk.now + TTL)
    assert desk.hold(again).ticket.id == "tkt-2"
    joined = desk.hold(evolve(again, id=TicketId("tkt-3")))
    assert joined.ticket.id == "tkt-2"


def _nth(n: int, **changes: Any) -> Ticket:
    return evolve(TICKET, id=TicketId(f"tkt-{n}"), commit=f"{n:040x}", **changes)


@pytest.mark.parametrize(
    "changes", [{"agent": "agent-9"}, {"user": "eve@example.com"}], ids=["one user", "one agent"]
)
def test_the_requests_that_wait_are_bounded_for_each_user_and_each_agent(changes: dict[str, str]) -> None:
    desk = Desk()
    for n in range(1, 4):
        desk.hold(_nth(n), most_pending=3)
    assert refusal(desk.hold, _nth(4, **changes), most_pending=3) == "approval.too-many-pending"
    desk.hold(_nth(4, agent="agent-9", user="eve@example.com"), most_pending=3)
    assert desk.hold(_nth(2), most_pending=3).ticket.id == "tkt-2", "joining needs no room"


@pytest.mark.parametrize("end", [_redeemed, _rejected, _expired])
def test_a_ticket_that_has_ended_makes_room(end: Callable[[Desk], None]) -> None:
    desk = Desk()
    desk.hold(TICKET, most_pending=1)
    end(desk)
    desk.hold(_nth(2, expires=desk.now + TTL), most_pending=1)
    assert refusal(desk.hold, _nth(3), most_pending=1) == "approval.too-many-pending"


def test_many_that_ask_the_same_at_once_share_one_ticket(tmp_path: Path) -> None:
    desk = Desk(SQLiteStore.create(tmp_path / "state.db"))

    def attempt(n: int) -> str:
        while True:
            try:
                return desk.hold(evolve(TICKET, id=TicketId(f"tkt-{n}"))).ticket.id
            except StoreUnavailable as raced:
                if raced.code != "approval.raced":
                    raise

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(attempt, range(32)))
    assert len(ids) == 1
    assert {key.id for key, _ in desk.store.scan("ticket")} == ids


def test_an_ask_that_did_not_see_the_ticket_it_would_join_is_told_to_read_again(desk: Desk) -> None:
    held = HeldTicket.of(evolve(TICKET, id=TicketId("tkt-2")), envelope=b"", decision_id=DecisionId("dec-2"))
    rows = desk.store.read(ask_keys(held, {}))
    assert refusal(open_ticket, rows, held, now=NOW) == "approval.raced"


def test_a_waiting_ticket_that_was_not_read_counts_as_one_that_waits() -> None:
    desk = Desk()
    third = HeldTicket.of(_nth(3), envelope=b"", decision_id=DecisionId("dec-3"))
    keys = ask_keys(third, {})
    desk.hold(_nth(1))
    rows = desk.store.read(keys)
    assert refusal(open_ticket, rows, third, now=NOW, most_pending=1) == "approval.too-many-pending"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"ticket":{}}'])
def test_a_ticket_that_can_not_be_read_is_answered_by_nobody(raw: bytes) -> None:
    rows = {Key("ticket", "tkt-1"): raw}
    assert refusal(read_ticket, rows, TicketId("tkt-1")) == "store.corrupt"
    assert refusal(redeem, rows, TicketId("tkt-1"), RUN, (), NOW) == "store.corrupt"
