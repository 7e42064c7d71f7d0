"""Halts and revocations, at rest and while a job runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cigate import effects
from cigate.errors import ConfigError
from cigate.outcome import Outcome
from cigate.pipelines.function import Job
from tests.promises.promise_scene import Stage, stage

SCOPES = (
    None,
    "gateway",
    "agent:agent-1234",
    "action:run-test-suite",
    "pipeline:local",
    "user:alice@example.com",
    "device:laptop-1",
    "key:agent-laptop-1",
)
OTHERS = (
    "agent:agent-5678",
    "action:create-infra",
    "pipeline:other",
    "user:bob@example.com",
    "device:laptop-2",
    "key:agent-laptop-2",
)
REVOCABLE = (
    "agent-laptop-1",
    "key:agent-laptop-1",
    "agent:agent-1234",
    "user:alice@example.com",
    "device:laptop-1",
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "HEARTBEAT", timedelta(milliseconds=10))


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Stage]:
    made = stage(tmp_path)
    yield made
    made.bench.gateway.close()


def _submitted(at: Stage) -> Outcome:
    return at.bench.gateway.submit(at.bench.signed())


@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_halted_does_not_start_until_it_is_resumed(at: Stage, scope: str | None) -> None:
    assert at.bench.gateway.halt("a drill", scope=scope).drained
    refused = _submitted(at)
    assert (refused.effect, refused.code, refused.exit_code) == ("deny", "stop.halt", 10)
    assert at.bench.gateway.health()["stops"][0]["reason"] == "a drill"
    assert not at.bench.gateway.health()["ok"]
    at.bench.gateway.resume("it is over", scope=scope)
    assert _submitted(at).code == "run.succeeded"
    assert at.bench.gateway.health()["ok"]
    kinds = [entry.kind for entry in at.bench.gateway.ledger.entries()]
    assert kinds == ["genesis", "load", "halt", "decision", "resume", "decision", "intent", "outcome"]


@pytest.mark.parametrize("scope", OTHERS)
def test_a_halt_of_something_else_stops_nothing_here(at: Stage, scope: str) -> None:
    at.bench.gateway.halt("a drill", scope=scope)
    assert _submitted(at).code == "run.succeeded"


def test_resuming_one_scope_leaves_the_others_halted(at: Stage) -> None:
    at.bench.gateway.halt("one", scope="agent:agent-1234")
    at.bench.gateway.halt("two", scope="action:run-test-suite")
    at.bench.gateway.resume("one is fine", scope="agent:agent-1234")
    assert _submitted(at).code == "stop.halt"
    at.bench.gateway.halt("again", scope="agent:agent-1234")
    at.bench.gateway.resume("all is fine")
    assert _submitted(at).code == "run.succeeded"


def test_a_halt_holds_over_a_restart(at: Stage) -> None:
    at.bench.gateway.halt("a drill")
    assert at.bench.rebuild().submit(at.bench.signed()).code == "stop.halt"


@pytest.mark.parametrize("scope", SCOPES)
def test_what_runs_when_its_scope_is_halted_is_stopped(tmp_path: Path, scope: str | None) -> None:
    running, outcomes = threading.Event(), []

    def work(job: Job) -> None:
        running.set()
        assert job.cancelled.wait(20)

    at = stage(tmp_path, work=work)
    thread = threading.Thread(target=lambda: outcomes.append(_submitted(at)))
    thread.start()
    assert running.wait(20)
    assert at.bench.gateway.halt("a drill", scope=scope).drained, "a job that runs is no starter"
    thread.join(20)
    assert [outcome.code for outcome in outcomes] == ["run.stopped"]
    assert outcomes[0].exit_code == 1
    assert at.vendor.leases == {}
    at.bench.gateway.close()


@pytest.mark.parametrize("scope", REVOCABLE)
def test_what_is_revoked_stays_revoked(at: Stage, scope: str) -> None:
    at.bench.gateway.revoke(scope, "stolen")
    refused = _submitted(at)
    assert (refused.effect, refused.exit_code) == ("deny", 10)
    at.bench.gateway.resume("nothing lifts a revocation")
    assert _submitted(at).effect == "deny"
    assert at.bench.rebuild().submit(at.bench.signed()).effect == "deny"
    assert at.jobs == []


@pytest.mark.parametrize("scope", REVOCABLE)
def test_what_runs_when_it_is_revoked_is_stopped(tmp_path: Path, scope: str) -> None:
    def work(job: Job) -> None:
        at.bench.gateway.revoke(scope, "stolen")
        assert job.cancelled.wait(20)

    at = stage(tmp_path, work=work)
    assert _submitted(at).code == "run.stopped"
    assert at.vendor.leases == {}
    at.bench.gateway.close()


@pytest.mark.parametrize(
    ("do", "code"),
    [
        (lambda gateway: gateway.halt(""), "halt.reason"),
        (lambda gateway: gateway.halt(" \t"), "halt.reason"),
        (lambda gateway: gateway.resume(""), "halt.reason"),
        (lambda gateway: gateway.halt("x", scope="agent"), "halt.scope"),
        (lambda gateway: gateway.halt("x", scope="nothing:x"), "halt.scope"),
        (lambda gateway: gateway.halt("x", scope=""), "halt.scope"),
    ],
)
def test_a_stop_without_a_reason_or_a_scope_that_exists_is_refused(at: Stage, do: Any, code: str) -> None:
    size = at.bench.gateway.ledger.size
    with pytest.raises(ConfigError) as refused:
        do(at.bench.gateway)
    assert refused.value.code == code
    assert at.bench.gateway.ledger.size == size
    assert _submitted(at).code == "run.succeeded"
