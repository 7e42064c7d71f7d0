"""Requests that people are asked about, from the ticket to the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cigate.facts import Facts
from cigate.inventory import StaticInventory
from cigate.outcome import Outcome, TicketStatus
from cigate.policy import PolicyEngine
from cigate.risk import Risk, Signal
from cigate.signing import KeyRecord, Signer
from cigate.testing import AUDIENCE
from cigate.testing.folder import _AGENTS, _DEVICES, _USERS
from cigate.ticket import Ticket
from tests.promises.promise_scene import NO_LIMITS, Stage, codes, stage, together

BOB, CAROL, DAVE, ALICE = (f"{name}@example.com" for name in ("bob", "carol", "dave", "alice"))
TWO = NO_LIMITS.replace("count: 1", "count: 2")
PEOPLE: Mapping[str, Any] = {**_USERS, DAVE: {"roles": ["sre"]}}


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Stage]:
    made = stage(tmp_path)
    yield made
    made.bench.gateway.close()


def _held(at: Stage, **parameters: Any) -> Ticket:
    outcome = at.bench.gateway.submit(at.bench.signed("create-infra", **parameters))
    assert (outcome.effect, outcome.code, outcome.exit_code) == ("require_approval", "approval.required", 11)
    assert outcome.ticket is not None
    return outcome.ticket


def _approve(at: Stage, who: str, ticket: Ticket) -> Outcome:
    return at.bench.gateway.approve(at.bench.people[who].approve(ticket))


def _state(at: Stage, ticket: Ticket) -> str:
    status = at.bench.gateway.status(ticket)
    assert isinstance(status, TicketStatus)
    return status.state


def _enrolled(at: Stage, who: str, name: str) -> Signer:
    signer = Signer.generate(key_id=name, audience=AUDIENCE, clock=at.bench.clock)
    at.bench.gateway.enrol(KeyRecord.enrol(signer.public_pem(), id=name, use="approval", user=who))
    return signer


def _people(**devices: Any) -> StaticInventory:
    return StaticInventory.from_config(_AGENTS, PEOPLE, {**_DEVICES, **devices})


def test_an_approved_request_runs_once_and_its_ticket_says_by_which_decision(at: Stage) -> None:
    ticket = _held(at)
    assert at.jobs == []
    assert _state(at, ticket) == "pending"
    outcome = _approve(at, BOB, ticket)
    assert (outcome.code, outcome.exit_code, len(at.jobs)) == ("run.succeeded", 0, 1)
    assert outcome.ticket == ticket
    status = at.bench.gateway.status(ticket)
    assert isinstance(status, TicketStatus)
    assert (status.state, status.redeemed_by) == ("redeemed", outcome.decision_id)
    assert [answer["user"] for answer in status.answers] == [BOB]
    assert _approve(at, CAROL, ticket).code == "approval.spent"
    assert len(at.jobs) == 1


@pytest.mark.parametrize("pair", [(BOB, CAROL), (CAROL, DAVE), (DAVE, BOB)])
def test_two_of_three_people_are_a_quorum_whoever_they_are(tmp_path: Path, pair: tuple[str, str]) -> None:
    at = stage(tmp_path, policy=TWO, inventory=_people())
    signers = {**at.bench.people, DAVE: _enrolled(at, DAVE, "dave-approves")}
    ticket = _held(at)
    first = at.bench.gateway.approve(signers[pair[0]].approve(ticket))
    assert (first.effect, first.exit_code, first.decision.wants[0].count) == ("require_approval", 11, 1)
    assert at.bench.gateway.approve(signers[pair[0]].approve(ticket)).exit_code == 11
    assert at.jobs == []
    assert at.bench.gateway.approve(signers[pair[1]].approve(ticket)).code == "run.succeeded"
    at.bench.gateway.close()


def test_a_rejection_closes_the_ticket_for_good(at: Stage) -> None:
    ticket = _held(at)
    outcome = at.bench.gateway.reject(at.bench.people[BOB].reject(ticket))
    assert (outcome.effect, outcome.code, outcome.exit_code) == ("deny", "approval.rejected", 10)
    assert _state(at, ticket) == "rejected"
    assert _approve(at, CAROL, ticket).code == "approval.rejected"
    assert at.jobs == []


def test_a_ticket_expires(at: Stage) -> None:
    ticket = _held(at)
    at.bench.clock.advance(timedelta(minutes=30))
    assert _state(at, ticket) == "expired"
    assert _approve(at, BOB, ticket).code == "approval.expired"
    assert at.jobs == []


def test_a_yes_is_no_no_and_a_no_is_no_yes(at: Stage) -> None:
    ticket = _held(at)
    assert at.bench.gateway.reject(at.bench.people[BOB].approve(ticket)).code == "approval.verdict"
    assert at.bench.gateway.approve(at.bench.people[BOB].reject(ticket)).code == "approval.verdict"
    assert (_state(at, ticket), at.jobs) == ("pending", [])


def test_neither_the_requester_nor_the_owner_of_the_device_approves(tmp_path: Path) -> None:
    device = {**_DEVICES["laptop-1"], "owner": BOB}
    at = stage(tmp_path, inventory=_people(**{"laptop-1": device}))
    ticket = _held(at)
    assert _approve(at, ALICE, ticket).code == "approval.self"
    assert _approve(at, BOB, ticket).code == "approval.self"
    assert at.jobs == []
    assert _approve(at, CAROL, ticket).code == "run.succeeded"
    at.bench.gateway.close()


class _Inventory:
    """An inventory that changes as a test says."""

    def __init__(self) -> None:
        self.now = _people()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


def test_roles_are_those_of_today(tmp_path: Path) -> None:
    inventory = _Inventory()
    at = stage(tmp_path, policy=TWO, inventory=inventory)
    ticket = _held(at)
    assert _approve(at, BOB, ticket).exit_code == 11
    inventory.now = StaticInventory.from_config(_AGENTS, {**PEOPLE, BOB: {"roles": ["developer"]}}, _DEVICES)
    again = _approve(at, CAROL, ticket)
    assert (again.exit_code, again.decision.wants[0].count) == (11, 1), "bob counts no more"
    assert at.jobs == []
    at.bench.gateway.close()


def test_who_was_revoked_counts_no_more(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=TWO)
    ticket = _held(at)
    assert _approve(at, BOB, ticket).exit_code == 11
    at.bench.gateway.revoke(f"user:{BOB}", "left")
    assert _approve(at, CAROL, ticket).exit_code == 11
    assert _approve(at, BOB, ticket).effect == "deny"
    assert at.jobs == []
    at.bench.gateway.close()


class _Scorer:
    """Scores what a test says."""

    def __init__(self, score: int) -> None:
        self.now = score

    def signals(self) -> tuple[Signal, ...]:
        return ()

    def score(self, facts: Facts) -> Risk:
        return Risk(self.now)


@pytest.mark.parametrize(("later", "opens"), [(24, True), (10, True), (25, False), (100, False)])
def test_an_approval_holds_within_its_band_of_risk(tmp_path: Path, later: int, opens: bool) -> None:
    scorer = _Scorer(20)
    at = stage(tmp_path, risk=scorer)
    ticket = _held(at)
    scorer.now = later
    outcome = _approve(at, BOB, ticket)
    assert outcome.code == ("run.succeeded" if opens else "approval.mismatch")
    assert len(at.jobs) == opens
    assert _state(at, ticket) == ("redeemed" if opens else "void")
    at.bench.gateway.close()


def _load(at: Stage, policy: str) -> None:
    from attrs import evolve

    gateway = at.bench.gateway
    gateway._deliberation.loaded = evolve(gateway._deliberation.loaded, policy=PolicyEngine.from_yaml(policy))
    gateway._state.load(gateway._deliberation.loaded)


def test_a_policy_that_denies_today_denies_what_was_approved_and_voids_the_ticket(at: Stage) -> None:
    ticket = _held(at)
    _load(at, NO_LIMITS.replace("sequence: 1", "sequence: 2") + "    - {name: freeze, effect: deny}\n")
    outcome = _approve(at, BOB, ticket)
    assert (outcome.effect, outcome.code, outcome.exit_code) == ("deny", "policy.denied", 10)
    assert (_state(at, ticket), at.jobs) == ("void", [])


def test_a_policy_that_asks_for_more_today_is_not_met_by_what_was_approved_then(at: Stage) -> None:
    ticket = _held(at)
    _load(at, TWO.replace("sequence: 1", "sequence: 2"))
    assert _approve(at, BOB, ticket).exit_code == 11
    assert _approve(at, CAROL, ticket).code == "approval.mismatch", "people were asked something else"
    assert at.jobs == []


def test_a_policy_that_asks_nobody_any_more_still_uses_the_ticket_up(at: Stage) -> None:
    ticket = _held(at)
    without = NO_LIMITS.replace("sequence: 1", "sequence: 2").partition("    - name: infra")[0]
    _load(at, without)
    assert _approve(at, BOB, ticket).code == "run.succeeded"
    assert _approve(at, CAROL, ticket).code == "approval.spent"
    assert len(at.jobs) == 1


def test_a_ticket_that_is_throttled_when_it_is_redeemed_stays_usable(tmp_path: Path) -> None:
    limit = NO_LIMITS + (
        "    - {name: one, effect: throttle, actions: [create-infra],"
        " throttle: {limit: 1, per: 10m, key: [agent.id]}}\n"
    )
    at = stage(tmp_path, policy=limit)
    first, second = _held(at, size="small"), _held(at, size="large")
    assert _approve(at, BOB, first).code == "run.succeeded"
    outcome = _approve(at, BOB, second)
    assert (outcome.effect, outcome.exit_code) == ("throttle", 12)
    assert outcome.retry_after == timedelta(minutes=10)
    assert _state(at, second) == "pending"
    at.bench.clock.advance(timedelta(minutes=10))
    assert _approve(at, BOB, second).code == "run.succeeded"
    at.bench.gateway.close()


def test_an_identical_request_joins_the_ticket_that_is_pending(at: Stage) -> None:
    ticket = _held(at)
    assert _held(at).id == ticket.id
    assert _held(at, size="large").id != ticket.id
    _approve(at, BOB, ticket)
    assert _held(at).id != ticket.id, "what was redeemed is asked anew"


def test_identical_requests_at_the_same_time_are_one_ticket(tmp_path: Path) -> None:
    at = stage(tmp_path, on_disk=True)
    signed = [at.bench.signed("create-infra") for _ in range(12)]
    outcomes = together(12, lambda number: at.bench.gateway.submit(signed[number]))
    assert codes(outcomes) == {"approval.required": 12}
    assert len({outcome.ticket.id for outcome in outcomes if outcome.ticket is not None}) == 1
    at.bench.gateway.close()


def test_so_many_requests_wait_for_people_and_no_more(at: Stage) -> None:
    for number in range(20):
        request = {**at.bench.request("create-infra"), "commit": f"{number:040x}"}
        assert at.bench.gateway.submit(at.bench.agent.sign(request)).exit_code == 11
    one_more = at.bench.gateway.submit(at.bench.signed("create-infra"))
    assert (one_more.effect, one_more.code, one_more.exit_code) == ("deny", "approval.too-many-pending", 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", "tkt-" + "0" * 20), ("id", "dec-nothing"), ("commit", "b" * 40), ("risk", 0)],
)
def test_an_approval_of_something_else_changes_nothing(at: Stage, name: str, value: Any) -> None:
    from attrs import evolve

    ticket = _held(at)
    outcome = _approve(at, BOB, evolve(ticket, **{name: value}))
    assert outcome.code == ("approval.unknown" if name == "id" else "approval.mismatch")
    assert (_state(at, ticket), at.jobs) == ("pending", [])


def test_a_halted_gateway_runs_nothing_that_is_approved(at: Stage) -> None:
    ticket = _held(at)
    at.bench.gateway.halt("a drill")
    assert _approve(at, BOB, ticket).code == "stop.halt"
    assert at.jobs == []


def test_a_request_whose_key_was_revoked_meanwhile_is_not_run_though_approved(at: Stage) -> None:
    ticket = _held(at)
    at.bench.gateway.revoke("agent-laptop-1", "stolen")
    assert _approve(at, BOB, ticket).effect == "deny"
    assert at.jobs == []


def test_the_ledger_keeps_who_approved_and_both_policies(at: Stage) -> None:
    ticket = _held(at)
    first = at.bench.gateway.policy.digest
    _load(at, NO_LIMITS.replace("sequence: 1", "sequence: 2"))
    _approve(at, BOB, ticket)
    entries = list(at.bench.gateway.ledger.entries())
    decisions = [entry for entry in entries if entry.kind == "decision"]
    assert [entry.public["effect"] for entry in decisions] == ["require_approval", "allow"]
    assert decisions[0].public["policy_digest"] == first
    assert decisions[1].public["policy_digest"] == at.bench.gateway.policy.digest != first
    assert [person["user"] for person in decisions[1].private["approvals"]] == [BOB]
    assert [entry.private["user"] for entry in entries if entry.kind == "approval"] == [BOB]


def test_an_approval_counts_once_and_a_captured_one_buys_no_commit(at: Stage) -> None:
    ticket = _held(at)
    signed = at.bench.people[BOB].approve(ticket)
    assert at.bench.gateway.approve(signed).code == "run.succeeded"
    before = at.bench.gateway.ledger.size
    for _ in range(5):
        assert at.bench.gateway.approve(signed).code == "attestation.replayed"
    assert (at.bench.gateway.ledger.size, len(at.jobs)) == (before, 1)


def test_an_approval_of_a_key_that_has_ended_since_does_not_count(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=TWO)
    until = at.bench.clock() + timedelta(minutes=5)
    bob = Signer.generate(key_id="bob-for-today", audience=AUDIENCE, clock=at.bench.clock)
    record = KeyRecord.enrol(
        bob.public_pem(), id="bob-for-today", use="approval", user=BOB, valid_until=until
    )
    at.bench.gateway.enrol(record)
    ticket = _held(at)
    assert at.bench.gateway.approve(bob.approve(ticket)).exit_code == 11
    at.bench.clock.advance(timedelta(minutes=5))
    assert _approve(at, CAROL, ticket).exit_code == 11
    assert at.jobs == []
    at.bench.gateway.close()
