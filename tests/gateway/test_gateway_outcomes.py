"""What callers get: codes, exit codes, what is charged, when to come back, and how much of a run they see."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cigate.decision import Decision, Effect
from cigate.errors import RequestError
from cigate.outcome import Outcome, RunStatus, refusal
from cigate.pipelines.function import Job
from cigate.testing.folder import ACTIONS
from tests.promises.promise_scene import NO_LIMITS, Stage, stage

THROTTLED = NO_LIMITS + (
    "    - {name: two, effect: throttle, actions: [run-test-suite],"
    " throttle: {limit: 2, per: 10m, key: [agent.id]}}\n"
)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Stage]:
    made = stage(tmp_path)
    yield made
    made.bench.gateway.close()


def _submitted(at: Stage, **changed: Any) -> Outcome:
    return at.bench.gateway.submit(at.bench.agent.sign({**at.bench.request(), **changed}))


def test_an_empty_bucket_throttles_until_it_has_a_token_again(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=THROTTLED)
    assert [_submitted(at).code for _ in range(2)] == ["run.succeeded"] * 2
    outcome = _submitted(at)
    assert (outcome.effect, outcome.code, outcome.exit_code) == ("throttle", "throttle.empty", 12)
    assert outcome.retry_after == timedelta(minutes=10), "no ten minutes see more than two"
    assert outcome.to_json()["retry_after"] == 600
    assert len(at.jobs) == 2
    at.bench.clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    assert _submitted(at).retry_after == timedelta(seconds=1)
    at.bench.clock.advance(timedelta(seconds=1))
    assert _submitted(at).code == "run.succeeded"
    at.bench.gateway.close()


def test_a_throttled_request_is_spent(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=THROTTLED)
    for _ in range(2):
        _submitted(at)
    signed = at.bench.signed()
    assert at.bench.gateway.submit(signed).code == "throttle.empty"
    assert at.bench.gateway.submit(signed).code == "attestation.replayed"
    at.bench.gateway.close()


def test_a_budget_that_is_used_up_denies_and_takes_no_token(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=THROTTLED, budget=30)
    first, second = _submitted(at), _submitted(at)
    assert (first.cost.minor if first.cost else None, second.code, second.exit_code) == (
        28,
        "budget.exhausted",
        10,
    )
    assert second.cost is None
    at.bench.gateway.close()


def test_a_run_that_never_started_costs_nothing(at: Stage) -> None:
    at.faults.plan("store.lock", about="gate", raises=lambda: OSError("no locks"), times=1)
    outcome = _submitted(at)
    assert (outcome.code, outcome.cost, outcome.exit_code) == ("gate.closed", None, 1)


def _actions(**test_suite: Any) -> Mapping[str, Any]:
    return {**ACTIONS, "run-test-suite": {**ACTIONS["run-test-suite"], **test_suite}}


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        ({"output": "none"}, {"id"}),
        ({}, {"id", "state", "exit_code", "duration"}),
        (
            {"output": "full", "accept_output_disclosure": True},
            {"id", "state", "exit_code", "duration", "output"},
        ),
    ],
)
def test_a_caller_sees_of_a_run_what_the_action_gives_out(
    tmp_path: Path, output: Any, seen: set[str]
) -> None:
    at = stage(tmp_path, actions=_actions(**output), work=lambda job: "all is green")
    outcome = _submitted(at)
    shown = outcome.to_json()
    assert set(shown["run"]) == seen
    assert ("all is green" in json.dumps(shown)) == ("output" in seen)
    assert ("all is green" in repr(outcome.run)) is False
    assert outcome.run is not None
    assert (outcome.run.output == b"all is green") == ("output" in seen)
    status = at.bench.gateway.status(str(outcome.decision_id))
    assert isinstance(status, RunStatus)
    assert status.output == b"all is green", "operators see it all"
    at.bench.gateway.close()


@pytest.mark.parametrize(
    ("changed", "code", "exit_code"),
    [
        ({"action": "no-such-action"}, "action.unknown", 10),
        ({"parameters": {"test_suite": "$(x)"}}, "parameter.pattern", 10),
        ({"parameters": {}}, "parameter.missing", 10),
        ({"parameters": {"test_suite": "unit", "x": 1}}, "parameter.unknown", 10),
        ({"agent_version": "1.0.0"}, "run.succeeded", 0),
    ],
)
def test_what_a_signed_request_gets_wrong_is_told_by_its_code(
    at: Stage, changed: Any, code: str, exit_code: int
) -> None:
    outcome = _submitted(at, **changed)
    assert (outcome.code, outcome.exit_code) == (code, exit_code)


def _effect(effect: Effect, code: str) -> Decision:
    return Decision(effect, code, "")


@pytest.mark.parametrize(
    ("outcome", "exit_code"),
    [
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "run.succeeded"), 0),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "run.started"), 0),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "run.failed"), 1),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "run.stopped"), 1),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "run.unknown"), 1),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "run.not-started"), 1),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "gate.closed"), 1),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "credential.refused"), 1),
        (Outcome(_effect(Effect.ALLOW, "policy.allowed"), "gateway.unrecorded"), 1),
        (refusal("request.syntax", "x"), 2),
        (refusal("gateway.store.unavailable", "x"), 3),
        (refusal("attestation.replayed", "x"), 10),
        (Outcome(_effect(Effect.DENY, "policy.denied"), "policy.denied"), 10),
        (Outcome(_effect(Effect.REQUIRE_APPROVAL, "approval.required"), "approval.required"), 11),
        (Outcome(_effect(Effect.THROTTLE, "throttle.empty"), "throttle.empty"), 12),
    ],
    ids=lambda value: value.code if isinstance(value, Outcome) else str(value),
)
def test_each_kind_of_outcome_has_its_exit_code(outcome: Outcome, exit_code: int) -> None:
    assert outcome.exit_code == exit_code
    with pytest.raises(TypeError):
        bool(outcome)
    with pytest.raises(TypeError):
        bool(outcome.decision)


def test_evaluate_says_what_submit_would_and_consumes_nothing(tmp_path: Path) -> None:
    at = stage(tmp_path, policy=THROTTLED)
    gateway = at.bench.gateway
    requests = {
        "allowed": at.bench.signed(),
        "held": at.bench.signed("create-infra"),
        "denied": at.bench.unmanaged.sign(at.bench.request(agent="agent-5678")),
        "malformed": b"{",
        "unknown action": at.bench.agent.sign({**at.bench.request(), "action": "nothing"}),
        "bad parameters": at.bench.signed(test_suite="$(x)"),
    }
    for _ in range(5):
        before = [gateway.evaluate(signed) for signed in requests.values()]
    assert (at.commits, gateway.ledger.size, gateway.health()["strangers"]) == (2, 2, {})
    for decision, signed in zip(before, requests.values(), strict=True):
        outcome = gateway.submit(signed)
        assert (decision.effect, decision.code, decision.rules) == (
            outcome.decision.effect,
            outcome.decision.code,
            outcome.decision.rules,
        )
    assert gateway.evaluate(requests["allowed"]).code == "attestation.replayed"
    gateway.submit(at.bench.signed())
    assert gateway.evaluate(at.bench.signed()).effect is Effect.THROTTLE
    gateway.close()


def test_start_returns_as_the_job_runs_and_status_tells_its_end(tmp_path: Path) -> None:
    running, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work(job: Job) -> int:
        running.set()
        assert go_on.wait(20)
        return 3

    at = stage(tmp_path, work=work)
    at.faults.plan("store.transact", about="intent", gives=lambda result: (ended.set(), result)[1])
    outcome = at.bench.gateway.start(at.bench.signed())
    assert (outcome.code, outcome.exit_code) == ("run.started", 0)
    assert running.wait(20)
    status = at.bench.gateway.status(str(outcome.decision_id))
    assert isinstance(status, RunStatus)
    assert status.record["state"] == "intent"
    assert at.bench.gateway.health()["running"] == [outcome.decision_id]
    assert at.bench.gateway.reconcile() == [], "what is followed is left alone"
    go_on.set()
    assert ended.wait(20)
    status = at.bench.gateway.status(str(outcome.decision_id))
    assert isinstance(status, RunStatus)
    assert (status.record["state"], status.record["outcome"]["code"]) == ("concluded", "run.failed")
    assert at.vendor.leases == {}
    at.bench.gateway.close()


@pytest.mark.parametrize("name", ["", "dec-nothing", "tkt-nothing", "../x", "x" * 1000])
def test_status_of_what_does_not_exist_is_refused(at: Stage, name: str) -> None:
    with pytest.raises(RequestError) as refused:
        at.bench.gateway.status(name)
    assert refused.value.code == "status.unknown"


def test_a_clock_that_is_behind_refuses_and_right_again_it_goes_on(at: Stage) -> None:
    assert _submitted(at).code == "run.succeeded"
    at.bench.clock.advance(timedelta(minutes=-5))
    outcome = _submitted(at)
    assert (outcome.code, outcome.exit_code) == ("gateway.clock.behind", 3)
    at.bench.clock.advance(timedelta(minutes=5))
    assert _submitted(at).code == "run.succeeded"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_whose_follower_dies_is_left_to_reconcile(tmp_path: Path) -> None:
    def work(job: Job) -> None:
        assert job.cancelled.wait(20)

    at = stage(tmp_path, work=work)
    at.faults.plan("pipeline.observe", raises=lambda: SystemExit(1), first=2)
    outcome = at.bench.gateway.start(at.bench.signed())
    for thread in threading.enumerate():
        if thread.name == f"cigate-{outcome.decision_id}":
            thread.join(20)
    at.faults.lift()
    assert at.bench.gateway.health()["running"] == [outcome.decision_id]
    assert at.bench.gateway.reconcile() == []
    assert (at.bench.gateway.health()["running"], at.vendor.leases) == ([], {})
    status = at.bench.gateway.status(str(outcome.decision_id))
    assert isinstance(status, RunStatus)
    assert status.record["outcome"]["code"] == "run.stopped"
    at.bench.gateway.close()
