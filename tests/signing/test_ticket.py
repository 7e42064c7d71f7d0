"""What a person reads is what they sign, and no two tickets read alike (threats C2, C7)."""

from __future__ import annotations

import json
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.decision import TicketId
from cigate.errors import RequestError
from cigate.money import Money
from cigate.ticket import Clause, Ticket
from cigate.wire.times import parse_timestamp

TICKET = Ticket(
    id=TicketId("t-0001"),
    audience="https://ci.example.com",
    action="create-infra",
    commit="ab" * 20,
    parameters={"size": 3, "region": "eu west", "keep": True},
    agent="agent-1234",
    agent_version="2.0.1",
    user="alice@example.com",
    device="laptop-1",
    purpose="load test",
    cost=Money(2500, "EUR"),
    risk=12,
    clauses=(Clause("infra-needs-a-person", 1, ("sre", "lead"), timedelta(minutes=30), "ask first"),),
    created=parse_timestamp("2026-11-24T08:00:00Z"),
    expires=parse_timestamp("2026-11-24T08:30:00Z"),
)
SUMMARY = """\
Approval asked by the gateway "https://ci.example.com", ticket t-0001
action: create-infra
commit: abababababababababababababababababababab
parameters:
  keep = true
  region = "eu west"
  size = 3
agent: agent-1234
user: alice@example.com
device: laptop-1
agent version, as the agent claims: "2.0.1"
purpose, as the agent claims: "load test"
cost at most: 2500 minor units of EUR
risk: 12 of 100
wanted:
  1 of sre, lead for rule infra-needs-a-person, within 1800s: "ask first"
held: 2026-11-24T08:00:00Z
expires: 2026-11-24T08:30:00Z
"""
HOSTILE = [
    "x\nuser: root",
    "x\r",
    "\x1b[2Kclean",
    "a\u202eb",
    "a\u2028b",
    "zero\u200bwidth",
    "\u0430gent",
    "\x7f",
    "\ud800",
    'quo"te',
    "back\\slash",
    "two words",
]
TEXT_FIELDS = ["id", "audience", "action", "commit", "agent", "agent_version", "user", "device", "purpose"]
CHANGED = {
    "id": "t-0002",
    "audience": "https://ci.example.org",
    "action": "destroy-infra",
    "commit": "cd" * 20,
    "parameters": {"size": True, "region": "eu west", "keep": True},
    "agent": "agent-1235",
    "agent_version": "2.0.2",
    "user": "bob@example.com",
    "device": "",
    "purpose": "",
    "cost": Money(2501, "EUR"),
    "risk": None,
    "clauses": (Clause("infra-needs-a-person", 1, ("sre,", "lead"), timedelta(minutes=30), "ask first"),),
    "created": parse_timestamp("2026-11-24T08:00:00.000001Z"),
    "expires": parse_timestamp("2026-11-24T08:30:01Z"),
}


def test_the_summary_is_a_page_that_a_person_can_read():
    assert TICKET.summary() == SUMMARY


def test_changed_covers_every_field_of_a_ticket():
    """A field added to Ticket without a line here, and so perhaps without one in the summary, fails."""
    assert set(CHANGED) == {each.name for each in attrs.fields(Ticket)}


@pytest.mark.parametrize("name", CHANGED)
def test_no_field_can_change_without_the_digest(name):
    other = attrs.evolve(TICKET, **{name: CHANGED[name]})
    assert other.digest != TICKET.digest
    assert other.summary() != TICKET.summary()


@pytest.mark.parametrize("name", [each.name for each in attrs.fields(Clause)])
def test_no_part_of_a_clause_can_change_without_the_digest(name):
    changed = {"rule": "other", "count": 2, "roles": (), "ttl": timedelta(minutes=31), "message": ""}
    clause = attrs.evolve(TICKET.clauses[0], **{name: changed[name]})
    assert attrs.evolve(TICKET, clauses=(clause,)).digest != TICKET.digest


@pytest.mark.parametrize("name", TEXT_FIELDS)
@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_in_a_ticket_can_move_the_cursor_or_add_a_line(name, value):
    summary = attrs.evolve(TICKET, **{name: value}).summary()
    assert summary.count("\n") == SUMMARY.count("\n")
    assert summary.replace("\n", "").isascii()
    assert summary.replace("\n", "").isprintable()


@pytest.mark.parametrize("value", HOSTILE)
def test_nor_can_parameters_rules_and_roles(value):
    clause = Clause(value, 1, (value, value), timedelta(minutes=30), value)
    ticket = attrs.evolve(TICKET, parameters={value: value}, clauses=(clause,))
    lines = ticket.summary().splitlines()
    assert len(lines) == len(SUMMARY.splitlines()) - 2
    assert all(line.isascii() and line.isprintable() for line in lines)


@given(*[st.text(st.characters(codec="utf-8"), max_size=12)] * 2, st.sampled_from(TEXT_FIELDS))
def test_two_values_never_read_alike(one, other, name):
    alike = attrs.evolve(TICKET, **{name: one}).summary() == attrs.evolve(TICKET, **{name: other}).summary()
    assert alike == (one == other)


@given(*[st.lists(st.text(max_size=5), max_size=3)] * 2)
def test_two_lists_of_roles_never_read_alike(one, other):
    def summary(roles):
        return attrs.evolve(TICKET, clauses=(Clause("r", 1, tuple(roles), timedelta(1)),)).summary()

    assert (summary(one) == summary(other)) == (one == other)


@pytest.mark.parametrize(
    "bare", [{}, {"cost": None, "risk": None, "clauses": (), "parameters": {}, "purpose": ""}]
)
def test_a_ticket_survives_json_with_its_digest(bare):
    ticket = attrs.evolve(TICKET, **bare)
    printed = {**ticket.to_json(), "state": "pending", "summary": "ignored", "digest": "ignored"}
    again = Ticket.from_json(json.loads(json.dumps(printed)))
    assert again == ticket
    assert again.digest == ticket.digest


@pytest.mark.parametrize("name", TICKET.to_json())
def test_a_ticket_with_a_field_missing_is_refused(name):
    document = {each: value for each, value in TICKET.to_json().items() if each != name}
    with pytest.raises(RequestError, match=name):
        Ticket.from_json(document)


@pytest.mark.parametrize("name", TICKET.to_json())
@pytest.mark.parametrize("value", [1.5, ["x"], True, {"a": 1.0}], ids=["float", "list", "true", "object"])
def test_a_field_of_another_type_is_refused(name, value):
    with pytest.raises(RequestError) as caught:
        Ticket.from_json({**TICKET.to_json(), name: value})
    assert caught.value.code == "ticket.malformed"


@pytest.mark.parametrize(
    "value", [{"count": True}, {"count": "1"}, {"roles": "sre"}, {"rule": 1}, {"ttl": 30}, {"message": None}]
)
def test_a_clause_of_another_type_is_refused(value):
    clause = {**TICKET.clauses[0].to_json(), **value}
    with pytest.raises(RequestError) as caught:
        Ticket.from_json({**TICKET.to_json(), "clauses": [clause]})
    assert caught.value.code == "ticket.malformed"
