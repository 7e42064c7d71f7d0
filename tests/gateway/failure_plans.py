"""How things are made to go wrong in a scene."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from attrs import evolve

from cigate import PolicyEngine, gateway
from cigate.credentials import DiesAt
from cigate.errors import (
    BrokerUnavailable,
    BrokerUncertain,
    CannotList,
    PipelineUnavailable,
    PipelineUncertain,
    StoreUnavailable,
    StoreUncertain,
)
from cigate.facts import Facts
from cigate.inventory import AgentRecord, DeviceRecord, UserRecord
from cigate.outcome import Outcome
from cigate.pipelines.function import Job
from cigate.request import AgentId, DeviceId, UserId
from cigate.risk import Risk, Signal
from tests.gateway.failure_scene import Scene

Plan = Callable[[Scene], None]


def unavailable() -> StoreUnavailable:
    return StoreUnavailable("store.unavailable", "the store can't be reached")


def uncertain() -> StoreUncertain:
    return StoreUncertain("store.uncertain", "the store did not answer")


def no_runner() -> PipelineUnavailable:
    return PipelineUnavailable("pipeline.down", "there is no runner")


def pipeline_silent() -> PipelineUncertain:
    return PipelineUncertain("pipeline.timeout", "no answer")


def no_vendor() -> BrokerUnavailable:
    return BrokerUnavailable("broker.down", "the vendor can't be reached")


def vendor_silent() -> BrokerUncertain:
    return BrokerUncertain("broker.timeout", "no answer")


def can_not_list() -> CannotList:
    return CannotList("broker.no-list", "this vendor has no list")


def fault(at: str, *, running: bool = False, **how: Any) -> Plan:
    """A fault at a seam; `running`: it waits until the job runs."""
    return lambda scene: scene.faults.plan(at, after=scene.began if running else None, **how)


def both(*plans: Plan) -> Plan:
    def all_of(scene: Scene) -> None:
        for plan in plans:
            plan(scene)

    return all_of


def working(work: Callable[[Scene, Job], Any]) -> Plan:
    def plan(scene: Scene) -> None:
        scene.work = lambda job: work(scene, job)

    return plan


def bug() -> Exception:
    return RuntimeError("a bug, with who knows what in its text")


def until_cancelled(scene: Scene, job: Job) -> None:
    job.cancelled.wait(20)


def raising(what: Callable[[], BaseException]) -> Callable[[Scene, Job], Any]:
    def work(scene: Scene, job: Job) -> Any:
        raise what()

    return work


def changed(**changed: Any) -> Callable[[Any], Any]:
    return lambda run: evolve(run, **changed) if run is not None else None


class NoInventory:
    def agent(self, id: AgentId) -> AgentRecord | None:
        raise bug()

    def user(self, id: UserId) -> UserRecord | None:
        raise bug()

    def device(self, id: DeviceId) -> DeviceRecord | None:
        raise bug()


class NoScorer:
    def signals(self) -> tuple[Signal, ...]:
        return ()

    def score(self, facts: Facts) -> Risk:
        raise bug()


def policy_raises(scene: Scene) -> None:
    scene.patches.enter_context(patch.object(PolicyEngine, "decide", side_effect=bug()))


def clock_steps(by: timedelta) -> Callable[[Scene], Outcome]:
    def step(scene: Scene) -> Outcome:
        scene.bench.gateway.halt("a drill", scope="action:nothing")
        signed = scene.bench.signed()
        scene.bench.clock.advance(by)
        return scene.send(signed if by > timedelta(0) else scene.bench.signed())

    return step


def release_and_fail(scene: Scene) -> None:
    """The runner gets its credential and begins, and then the release fails."""

    def failed() -> Exception:
        scene.began.wait(20)
        return bug()

    scene.faults.plan("pipeline.release", done=True, raises=failed)


def start_without_threads(scene: Scene) -> Outcome:
    class NoThread:
        def __init__(self, **_: Any) -> None:
            scene.began.wait(20)

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    scene.sent = scene.bench.agent.sign(scene.request())
    with patch.object(gateway, "threading", SimpleNamespace(Thread=NoThread)):
        return scene.bench.gateway.start(scene.sent)


def _anchor(scene: Scene) -> Path:
    return scene.bench.folder / "state.db.anchor"


def without_anchor(scene: Scene) -> None:
    kept = _anchor(scene).read_bytes()
    _anchor(scene).unlink()
    scene.faults.put_back.append(lambda: _anchor(scene).write_bytes(kept))


def halting(scope: str) -> Plan:
    def work(scene: Scene, job: Job) -> None:
        scene.bench.gateway.halt("drill", scope=scope, drain=timedelta(0))
        job.cancelled.wait(20)

    return working(work)


DEAF: Final = fault("pipeline.stop", raises=pipeline_silent)
WIDE: Final = fault("broker.issue", gives=lambda lease: evolve(lease, scope=(*lease.scope, "admin")))


def dies_by_itself(scene: Scene) -> None:
    dies = scene.bench.clock() + timedelta(minutes=10)
    scene.faults.plan("broker.revoke", gives=lambda _: DiesAt(dies), instead=True)
