"""Promises about decisions: doubt means no, more rules never open, approvals fit one decision, the ledger tells."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from cigate.inventory import StaticInventory
from cigate.ledger import verify_export
from cigate.money import Money
from cigate.signing import KeyRecord, Signer
from cigate.stores import Change, Put
from cigate.testing import AUDIENCE, bench
from cigate.testing.folder import _AGENTS, _DEVICES, _USERS
from cigate.ticket import Ticket
from tests.gateway.failure_cases import CASES
from tests.gateway.failure_table import seen
from tests.promises.promise_scene import NO_LIMITS, Stage, codes, stage, together

BEFORE_THE_COMMIT = ("store.read", "clock", "inventory", "risk scorer", "policy", "source")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Stage]:
    made = stage(tmp_path)
    yield made
    made.faults.lift()
    made.bench.gateway.close()


@pytest.mark.parametrize("number", range(len(CASES)), ids=[str(case) for case in CASES])
def test_promise_fail_closed(number: int) -> None:
    case, found = CASES[number], seen(number)
    assert not found.problems
    assert (found.exit_code == 0) == (found.code == "run.succeeded")
    if case.seam in BEFORE_THE_COMMIT and "fence can't be read" not in case.fault:
        assert (found.effect, found.jobs, found.entries.count("intent")) == ("deny", 0, 0)
    if found.code in (
        "gate.closed",
        "run.mismatch",
        "run.not-started",
        "credential.refused",
        "credential.too-wide",
    ):
        assert found.jobs == 0


POSTURE = NO_LIMITS.replace("agent.managed}", "agent.managed && device.posture.compliant}")


def _inventory(**changed: Any) -> StaticInventory:
    given = {"agents": _AGENTS, "users": _USERS, "devices": _DEVICES}
    return StaticInventory.from_config(*({**given[name], **changed.get(name, {})} for name in given))


def _posture(**fields: Any) -> dict[str, Any]:
    return {"devices": {"laptop-1": {"managed": True, **fields}}}


@pytest.mark.parametrize(
    ("changed", "opens"),
    [
        (_posture(posture={"compliant": True}), True),
        (_posture(posture={"compliant": False}), False),
        (_posture(posture={}), False),
        (_posture(), False),
        (_posture(posture={"compliant": True, "observed_at": "2020-01-01T00:00:00Z"}), False),
        ({"agents": {"agent-1234": {"versions": [">=2.0,<3"]}}}, False),
    ],
    ids=["compliant", "not compliant", "unknown", "no posture", "stale", "agent not known as managed"],
)
def test_promise_fail_closed_on_what_is_not_known(
    tmp_path: Path, changed: dict[str, Any], opens: bool
) -> None:
    at = stage(tmp_path, policy=POSTURE, inventory=_inventory(**changed))
    outcome = at.bench.gateway.submit(at.bench.signed())
    assert outcome.allowed == opens
    assert len(at.jobs) == opens
    at.bench.gateway.close()


RANK = {"deny": 0, "require_approval": 1, "throttle": 2, "allow": 3}
_HEAD = (
    "apiVersion: cigate/v1\nkind: GatewayPolicy\nmetadata: {name: generated, sequence: 1}\nspec:\n  rules:\n"
)
_CONDITIONS = st.sampled_from(
    ["agent.managed", "!agent.managed", "risk.score >= 10", "cost.estimate <= 5000", "user.team == 'qa'", "true",
     "agent.trusted && risk.score < 50", "history.denials > 3", "size(approvals) > 0",
     "device.posture.os_patch_age_days > 2"]
)  # fmt: skip
_ACTIONS = st.sampled_from(["[run-test-suite]", "[create-infra]", "[run-test-suite, create-infra]"])


@st.composite
def _rule(draw: Any, effects: tuple[str, ...]) -> str:
    effect, actions, condition = draw(st.sampled_from(effects)), draw(_ACTIONS), draw(_CONDITIONS)
    more = {
        "require_approval": ", approval: {count: 1, ttl: 30m}",
        "throttle": draw(st.sampled_from(["", ", throttle: {limit: 1, per: 1h, key: [agent.id]}"])),
    }.get(effect, "")
    return f'effect: {effect}, actions: {actions}, expression: "{condition}"{more}'


def _decided(folder: Path, rules: list[str], name_of: dict[str, str], action: str) -> Any:
    text = _HEAD + "".join(f"    - {{name: {name_of[rule]}, {rule}}}\n" for rule in rules)
    made = stage(folder, policy=text)
    try:
        return made.bench.gateway.evaluate(made.bench.signed(action))
    finally:
        made.bench.gateway.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_promise_policy_monotone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    every = ("allow", "deny", "require_approval", "throttle")
    rules = data.draw(st.lists(_rule(every), min_size=1, max_size=4, unique=True))
    added = data.draw(st.lists(_rule(every[1:]), min_size=1, max_size=2, unique=True))
    action = data.draw(st.sampled_from(["run-test-suite", "create-infra"]))
    names = {rule: f"rule-{at}" for at, rule in enumerate(dict.fromkeys([*rules, *added]))}
    before = _decided(folder, rules, names, action)
    shuffled = _decided(folder, data.draw(st.permutations(rules)), names, action)
    assert (shuffled.effect, set(shuffled.rules)) == (before.effect, set(before.rules))
    more = data.draw(st.permutations([*rules, *(rule for rule in added if rule not in rules)]))
    after = _decided(folder, more, names, action)
    assert RANK[after.effect] <= RANK[before.effect]
    for rule in more:  # what is true and restricts, does
        if names[rule] in after.rules and "throttle: {" not in rule:
            assert RANK[after.effect] <= RANK[rule.split()[1].rstrip(",")], rule
    if not any(rule.startswith("effect: allow") for rule in rules):
        assert before.effect == "deny"


OTHER_TICKET: dict[str, Any] = {
    "audience": None,
    "action": "run-test-suite",
    "commit": "b" * 40,
    "parameters": {"size": "large"},
    "agent": "agent-5678",
    "agent_version": "9.9.9",
    "user": "bob@example.com",
    "device": "laptop-2",
    "purpose": "another",
    "cost": Money(1, "EUR"),
    "risk": 99,
    "clauses": (),
    "created": datetime.fromisoformat("2020-01-01T00:00:00Z"),
    "expires": datetime.fromisoformat("2040-01-01T00:00:00Z"),
}


def _held(at: Stage) -> Ticket:
    ticket = at.bench.gateway.submit(at.bench.signed("create-infra")).ticket
    assert ticket is not None
    return ticket


def test_promise_approval_binding(at: Stage) -> None:
    gateway, people = at.bench.gateway, at.bench.people
    ticket, bob = _held(at), people["bob@example.com"]
    assert {field.name for field in attrs.fields(Ticket)} - {"id"} == set(OTHER_TICKET)
    for name, other in OTHER_TICKET.items():
        if name == "audience":
            elsewhere = Signer.generate(key_id=bob.key_id, audience="other.example", clock=at.bench.clock)
            signed = elsewhere.approve(evolve(ticket, audience="other.example"))
        else:
            signed = bob.approve(evolve(ticket, **{name: other}))
        outcome = gateway.approve(signed)
        assert (outcome.effect, at.jobs) == ("deny", []), name
        if name != "audience":
            assert outcome.code == "approval.mismatch", name
    refused = {
        "the requester": people["alice@example.com"].approve(ticket),
        "the agent": at.bench.agent.approve(ticket),
        "another ticket": bob.approve(evolve(ticket, id="tkt-00000000000000000000")),
        "a rejection given as an approval": bob.reject(ticket),
        "too old": evolve(bob, clock=lambda: at.bench.clock() - timedelta(hours=1)).approve(ticket),
    }
    for who, signed in refused.items():
        assert (gateway.approve(signed).effect, at.jobs) == ("deny", []), who
    good = bob.approve(ticket)
    outcomes = together(32, lambda _: gateway.approve(good))
    assert codes(outcomes) == {"attestation.replayed": 31, "run.succeeded": 1}
    assert len(at.jobs) == 1


def test_promise_approval_binding_counts_people(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=NO_LIMITS.replace("count: 1", "count: 2"))
    gateway, bob = at.bench.gateway, at.bench.people["bob@example.com"]
    second = Signer.generate(key_id="bob-too", audience=AUDIENCE, clock=at.bench.clock)
    gateway.enrol(KeyRecord.enrol(second.public_pem(), id="bob-too", use="approval", user="bob@example.com"))
    ticket = _held(at)
    for signer in (bob, second, bob):
        assert gateway.approve(signer.approve(ticket)).code == "approval.required"
    assert at.jobs == []
    assert gateway.approve(at.bench.people["carol@example.com"].approve(ticket)).code == "run.succeeded"
    gateway.close()


def _exported(at: Any) -> bytes:
    into = io.BytesIO()
    at.gateway.ledger.export(into)
    return into.getvalue()


def test_promise_tamper_evident(tmp_path: Path) -> None:
    """Whoever holds a checkpoint that was taken later than an entry sees every change to it."""
    made = bench(tmp_path)
    made.gateway.submit(made.signed())
    early = made.gateway.ledger.checkpoint()
    for _ in range(2):
        made.gateway.submit(made.signed())
        made.gateway.submit(made.unmanaged.sign(made.request(agent="agent-5678")))
    later = made.gateway.ledger.checkpoint()
    good = _exported(made)
    for checkpoint in (early, later):
        assert verify_export(good, checkpoint=checkpoint).ok
        assert verify_export(good, checkpoint=checkpoint).anchored
    for place in {*range(0, len(good), 199), *range(len(good) - 200, len(good))}:
        bad = good[:place] + bytes([good[place] ^ 0x01]) + good[place + 1 :]
        assert not verify_export(bad, checkpoint=later).ok, place
    lines = good.splitlines(keepends=True)
    for at in range(len(lines)):
        assert not verify_export(b"".join(lines[:at] + lines[at + 1 :]), checkpoint=later).ok
        assert not verify_export(b"".join([*lines[: at + 1], *lines[at:]]), checkpoint=later).ok
        if at:
            swapped = [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]]
            assert not verify_export(b"".join(swapped), checkpoint=later).ok
    made.gateway.close()


def test_promise_tamper_evident_even_by_whoever_has_the_key(at: Stage) -> None:
    """A history that is forgotten and signed anew, by the gateway itself, does not fit what is held outside."""
    gateway, rows = at.bench.gateway, at.stores[0].inner._rows  # type: ignore[attr-defined]  # the disk, as it were
    gateway.submit(at.bench.signed())
    common, kept = gateway.ledger.checkpoint(), dict(rows)
    gateway.submit(at.bench.signed())
    held = gateway.ledger.checkpoint()
    rows.clear()
    rows.update(kept)
    for _ in range(2):
        gateway.submit(at.bench.signed())
    assert gateway.ledger.verify().ok
    assert gateway.ledger.verify(common).ok
    assert not gateway.ledger.verify(held).ok


def test_promise_tamper_evident_in_the_store(at: Stage) -> None:
    gateway, store = at.bench.gateway, at.stores[0].inner
    gateway.submit(at.bench.signed())
    assert gateway.ledger.verify().ok
    for key, raw in store.scan("entry"):
        entry = json.loads(raw)
        entry["public"] = {**entry["public"], "effect": "deny"}
        forged = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        for bad in (forged, None):
            store.transact({key}, lambda _, key=key, bad=bad: Change({key: Put(bad)}), now=at.bench.clock())
            found = gateway.ledger.verify()
            assert not found.ok
            assert found.first_bad in (entry["index"], entry["index"] + 1, None)
            store.transact({key}, lambda _, key=key, raw=raw: Change({key: Put(raw)}), now=at.bench.clock())
    assert gateway.ledger.verify().ok
