"""Promises about what is done: the decided thing, written down before, within its budget, never after a halt."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from cigate import effects
from cigate.controls import FENCE
from cigate.credentials import DiesAt
from cigate.errors import BrokerUnavailable
from cigate.pipelines.function import Job
from cigate.policy import PolicyEngine
from cigate.stores import Key
from tests.gateway.failure_cases import CASES
from tests.gateway.failure_table import seen
from tests.promises.promise_scene import NO_LIMITS, Stage, codes, stage, together

EFFECTS = ("pipeline.start", "broker.issue", "pipeline.release")
COST = 28
"""Of one run of the test suite, in minor units: twenty, and eight for its minute."""


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Stage]:
    made = stage(tmp_path)
    yield made
    made.faults.lift()
    made.bench.gateway.close()


def _run(**fields: Any) -> Callable[[Any], Any]:
    return lambda run: evolve(run, **fields)


DRIFTS: dict[str, Callable[[Any], Any]] = {
    "the ref moved to another commit": _run(commit="f" * 40),
    "the workflow is another": _run(workflow="sha256:" + "f" * 64),
    "a parameter is another": _run(parameters={"test_suite": "all"}),
    "a parameter is missing": _run(parameters={}),
    "a parameter came in": _run(parameters={"test_suite": "unit", "extra": "1"}),
    "it is another decision's": _run(decision_id="dec-another"),
    "nothing is there": lambda run: None,
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_promise_no_toctou(at: Stage, drift: str) -> None:
    at.faults.plan("pipeline.observe", gives=DRIFTS[drift])
    outcome = at.bench.gateway.submit(at.bench.signed())
    assert outcome.exit_code == 1
    assert (at.vendor.issued, at.jobs) == (0, []), "no credential, and the job never began"
    assert "pipeline.stop" in at.faults.calls


def _newer(at: Stage) -> None:
    """Another process loads the next policy: the same words, a later sequence."""
    text = NO_LIMITS.replace("sequence: 1", "sequence: 2")
    at.bench.gateway._state.load(
        evolve(at.bench.gateway._deliberation.loaded, policy=PolicyEngine.from_yaml(text))
    )


@pytest.mark.parametrize(
    ("seam", "about", "first", "code"),
    [
        ("store.transact", "nonce", 1, "fence.stale"),
        ("store.lock", "gate", 1, "gate.closed"),
        ("store.lock", "gate", 2, "gate.closed"),
        ("store.lock", "gate", 3, "gate.closed"),
    ],
    ids=["before the commit", "before the start", "before the lease", "before the release"],
)
def test_promise_no_toctou_of_the_policy(at: Stage, seam: str, about: str, first: int, code: str) -> None:
    at.faults.plan(seam, about=about, first=first, times=1, before=lambda: _newer(at))
    outcome = at.bench.gateway.submit(at.bench.signed())
    assert outcome.code == code
    assert (at.jobs, at.vendor.leases) == ([], {})


def test_promise_lease_reconciled_in_every_failure() -> None:
    issued = 0
    for number, case in enumerate(CASES):
        found = seen(number)
        issued += found.lease != "none"
        assert found.lease in ("none", "revoked", "named"), case
        assert not [problem for problem in found.problems if "lease" in problem], case
    assert issued > 20


def test_promise_lease_reconciled(at: Stage) -> None:
    down = lambda: BrokerUnavailable("broker.down", "no answer")  # noqa: E731
    at.faults.plan("broker.revoke", raises=down, times=3)
    assert at.bench.gateway.submit(at.bench.signed()).code == "run.succeeded"
    (lease,) = at.vendor.leases
    for _ in range(2):
        assert [row["lease"] for row in at.bench.gateway.health()["outstanding"]] == [lease]
        assert not at.bench.gateway.health()["ok"]
        assert [row["lease"] for row in at.bench.gateway.reconcile()] == [lease]
    assert at.bench.gateway.reconcile() == []
    assert (at.vendor.leases, at.bench.gateway.health()["outstanding"]) == ({}, [])


def test_promise_lease_reconciled_when_it_only_dies_by_itself(at: Stage) -> None:
    clock = at.bench.clock
    dies = clock() + timedelta(minutes=10)
    at.faults.plan("broker.revoke", gives=lambda _: DiesAt(dies), instead=True)
    at.bench.gateway.submit(at.bench.signed())
    clock.advance(timedelta(minutes=9, seconds=59))
    assert [row["kind"] for row in at.bench.gateway.reconcile()] == ["lease"]
    clock.advance(timedelta(seconds=2))
    assert at.bench.gateway.reconcile() == []


def test_promise_lease_reconciled_never_wider_or_longer_than_granted(at: Stage) -> None:
    for change in (
        {"scope": ("tests:read", "admin")},
        {"expires": at.bench.clock() + timedelta(hours=1)},
        {"tag": "dec-another"},
    ):
        at.faults.plan("broker.issue", gives=lambda lease, change=change: evolve(lease, **change))
        assert at.bench.gateway.submit(at.bench.signed()).code == "credential.too-wide"
        assert (at.jobs, at.vendor.leases) == ([], {})
        at.faults.lift()
    assert at.vendor.issued == 3


def test_promise_write_ahead(at: Stage) -> None:
    """At the moment of each effect its intent is in the ledger and in the state, and its outcome is not."""
    moments: list[str] = []

    def witness(effect: str) -> Callable[[], None]:
        def look() -> None:
            entries = [entry.kind for entry in at.bench.gateway.ledger.entries()]
            assert entries[-2:] == ["decision", "intent"], effect
            assert at.bench.gateway.ledger.verify().ok
            assert [key.family for key, _ in at.stores[0].inner.scan("intent")] == ["intent"]
            moments.append(effect)

        return look

    for effect in EFFECTS:
        at.faults.plan(effect, before=witness(effect))
    before = at.commits
    outcome = at.bench.gateway.submit(at.bench.signed())
    assert (outcome.code, moments) == ("run.succeeded", list(EFFECTS))
    assert at.commits - before == 2, "an allowed request costs two commits"
    assert (
        at.bench.gateway.submit(at.bench.unmanaged.sign(at.bench.request(agent="agent-5678"))).effect
        == "deny"
    )
    assert at.commits - before == 3, "a refusal costs one"


def test_promise_write_ahead_or_no_effect(at: Stage) -> None:
    at.faults.plan("store.transact", raises=lambda: OSError("the disk is full"))
    assert at.bench.gateway.submit(at.bench.signed()).exit_code == 3
    assert not set(EFFECTS) & set(at.faults.calls)


def test_promise_no_overspend(tmp_path: Path) -> None:
    limit, spent = 5 * COST + COST - 1, []

    def work(job: Job) -> None:
        for _, row in at.stores[0].inner.scan("budget"):
            held = json.loads(row)
            spent.append(held["committed"] + held["reserved"])

    at = stage(tmp_path, on_disk=True, work=work, budget=limit)
    gateways = (at.bench.gateway, at.bench.rebuild())
    signed = [at.bench.signed() for _ in range(16)]
    outcomes = together(16, lambda at: gateways[at % 2].submit(signed[at]))
    assert codes(outcomes) == {"budget.exhausted": 11, "run.succeeded": 5}
    assert len(at.jobs) == 5
    assert 0 < max(spent) <= limit
    assert sum(outcome.cost.minor for outcome in outcomes if outcome.cost is not None) == 5 * COST
    for gateway in gateways:
        gateway.close()


def test_promise_no_overspend_unnoticed(tmp_path: Path) -> None:
    """A run that outlived its timeout costs more than was reserved: it is charged, and nothing more is reserved."""
    at = stage(tmp_path, work=lambda job: at.bench.clock.advance(timedelta(minutes=5)))
    outcome = at.bench.gateway.submit(at.bench.signed())
    assert outcome.cost is not None
    assert outcome.cost.minor == 20 + 5 * 8 > COST
    refused = at.bench.gateway.submit(at.bench.signed())
    assert (refused.effect, refused.code) == ("deny", "budget.suspended")
    at.bench.gateway.close()


@pytest.mark.parametrize("first", [1, 2, 3], ids=EFFECTS)
@pytest.mark.parametrize("scope", [None, "agent:agent-1234", "action:run-test-suite", "key:agent-laptop-1"])
def test_promise_kill_switch(at: Stage, first: int, scope: str | None) -> None:
    """A halt at each boundary: what had begun before it is ended, and nothing begins after it."""
    after: list[int] = []

    def halt() -> None:
        assert at.bench.gateway.halt("a drill", scope=scope, drain=timedelta(0)).drained
        after.append(len(at.faults.calls))

    at.faults.plan("store.lock", about="gate", first=first, times=1, before=halt)
    outcome = at.bench.gateway.submit(at.bench.signed())
    assert outcome.code == "gate.closed"
    assert not set(EFFECTS) & set(at.faults.calls[after[0] :])
    assert (at.jobs, at.vendor.leases) == ([], {})
    assert at.bench.gateway.submit(at.bench.signed()).code == "stop.halt"
    at.bench.gateway.resume("the drill is over")
    assert at.bench.gateway.submit(at.bench.signed()).code == "run.succeeded"


def test_promise_kill_switch_before_the_decision_is_committed(at: Stage) -> None:
    at.faults.plan("store.transact", about="nonce", times=1, before=lambda: at.bench.gateway.halt("a drill"))
    assert at.bench.gateway.submit(at.bench.signed()).code == "stop.halt"
    assert not set(EFFECTS) & set(at.faults.calls)


def test_promise_kill_switch_under_load(tmp_path: Path) -> None:
    """Threads submit all the time; once `halt` has returned, no start, lease or release begins any more."""
    at = stage(tmp_path, on_disk=True)
    gateways = (at.bench.gateway, at.bench.rebuild())
    busy, halted = threading.Event(), threading.Event()
    after: list[int] = []

    def submit(number: int) -> str:
        if number == 0:
            assert busy.wait(20)
            assert gateways[1].halt("a drill").drained
            after.append(len(at.faults.calls))
            halted.set()
            return "halt"
        for _ in range(200):
            outcome = gateways[number % 2].submit(at.bench.signed())
            if at.faults.calls.count("pipeline.release") > 2:
                busy.set()
            if halted.is_set():
                return outcome.code
        return "never halted"

    ended = together(8, submit)
    assert "never halted" not in ended
    assert not set(EFFECTS) & set(at.faults.calls[after[0] :])
    assert {gateway.submit(at.bench.signed()).code for gateway in gateways} == {"stop.halt"}
    for gateway in gateways:
        gateway.close()


def test_promise_kill_switch_that_can_not_be_read_counts_as_thrown(at: Stage) -> None:
    at.faults.plan("store.read", about="fence only", gives=lambda rows: {})
    assert Key("fence", "current") == FENCE
    assert at.bench.gateway.submit(at.bench.signed()).code == "gate.closed"
    assert not set(EFFECTS) & set(at.faults.calls)


def test_promise_kill_switch_names_who_still_starts(at: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A halt that can't drain says so, and who is starting."""
    monkeypatch.setattr(effects, "HEARTBEAT", timedelta(milliseconds=10))
    starting, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        starting.set()
        assert go_on.wait(20)

    at.faults.plan("pipeline.start", before=slow, times=1)
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(at.bench.gateway.submit(at.bench.signed())))
    thread.start()
    assert starting.wait(20)
    halt = at.bench.gateway.halt("a drill", drain=timedelta(milliseconds=20))
    assert not halt.drained
    go_on.set()
    thread.join(20)
    assert halt.starters == (outcomes[0].decision_id,)
    assert outcomes[0].code == "gate.closed"
    assert at.jobs == []
