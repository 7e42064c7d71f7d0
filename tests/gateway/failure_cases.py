"""What can go wrong with one request, seam by seam."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import evolve, field, frozen

from cigate.outcome import Outcome
from cigate.pipelines import RunState
from tests.gateway.failure_plans import (
    DEAF,
    WIDE,
    NoInventory,
    NoScorer,
    Plan,
    both,
    bug,
    can_not_list,
    changed,
    clock_steps,
    dies_by_itself,
    fault,
    halting,
    no_runner,
    no_vendor,
    pipeline_silent,
    policy_raises,
    raising,
    release_and_fail,
    start_without_threads,
    unavailable,
    uncertain,
    until_cancelled,
    vendor_silent,
    without_anchor,
    working,
)
from tests.gateway.failure_scene import Scene


def submit(at: Scene) -> Outcome:
    return at.submit()


@frozen
class Case:
    """One thing that goes wrong.

    Args:
        seam: where.
        fault: what, in words.
        plan: arranges it.
        submit: how the request is made.
        scene: what the scene needs.
    """

    seam: str
    fault: str
    plan: Plan | None = None
    submit: Callable[[Scene], Outcome] = submit
    scene: Mapping[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        return f"{self.seam}: {self.fault}"


CASES: Final = (
    Case("nothing", "nothing goes wrong"),
    Case("store.read", "keys can't be read", fault("store.read", about="key", raises=unavailable)),
    Case(
        "store.read", "what is known can't be read", fault("store.read", about="history", raises=unavailable)
    ),
    Case(
        "store.read", "the read raises what nobody foresaw", fault("store.read", about="history", raises=bug)
    ),
    Case(
        "store.read", "the row of the fence is lost", fault("store.read", about="fence", gives=lambda _: {})
    ),
    Case(
        "store.read",
        "the fence can't be read before the start",
        fault("store.read", about="fence only", raises=unavailable),
    ),
    Case(
        "store.read",
        "the fence can't be read before the lease",
        fault("store.read", about="fence only", raises=unavailable, first=2),
    ),
    Case(
        "store.read",
        "the fence can't be read before the release",
        fault("store.read", about="fence only", raises=unavailable, first=3),
    ),
    Case(
        "store.read",
        "the fence can't be read while the job runs",
        both(
            fault("store.read", about="fence only", raises=unavailable, first=4, running=True),
            working(until_cancelled),
        ),
    ),
    Case(
        "store.transact",
        "the decision is not committed",
        fault("store.transact", about="nonce", raises=unavailable),
    ),
    Case(
        "store.transact",
        "the decision is not committed, and nobody knows",
        fault("store.transact", about="nonce", raises=uncertain),
    ),
    Case(
        "store.transact",
        "the decision is committed, and nobody knows",
        fault("store.transact", about="nonce", raises=uncertain, done=True),
    ),
    Case(
        "store.transact",
        "the decision is committed, nobody knows, and it can't be looked up",
        both(
            fault("store.transact", about="nonce", raises=uncertain, done=True),
            fault("store.read", about="decision", raises=unavailable),
        ),
    ),
    Case(
        "store.transact",
        "the commit of the decision raises what nobody foresaw",
        fault("store.transact", about="nonce", raises=bug),
    ),
    Case(
        "store.transact",
        "the decision is committed, and the store raises what nobody foresaw",
        fault("store.transact", about="nonce", raises=bug, done=True),
    ),
    Case(
        "store.transact",
        "the outcome is not committed at first",
        fault("store.transact", about="intent", raises=unavailable, times=2),
    ),
    Case(
        "store.transact",
        "the outcome is not committed",
        fault("store.transact", about="intent", raises=unavailable),
    ),
    Case(
        "store.transact",
        "the outcome is committed, and nobody knows",
        fault("store.transact", about="intent", raises=uncertain, done=True, times=1),
    ),
    Case(
        "store.transact",
        "the outcome is committed, and nobody can be asked any more",
        fault("store.transact", about="intent", raises=uncertain, done=True),
    ),
    Case(
        "store.transact",
        "the commit of the outcome raises what nobody foresaw",
        fault("store.transact", about="intent", raises=bug),
    ),
    Case(
        "store.lock",
        "the process can't take the lock by which it owns intents",
        fault("store.lock", about="owner", raises=unavailable),
    ),
    Case(
        "store.lock",
        "the gate can't be had before the start",
        fault("store.lock", about="gate", raises=unavailable),
    ),
    Case(
        "store.lock",
        "the gate can't be had before the lease",
        fault("store.lock", about="gate", raises=unavailable, first=2),
    ),
    Case(
        "store.lock",
        "the gate can't be had before the release",
        fault("store.lock", about="gate", raises=unavailable, first=3),
    ),
    Case(
        "store.lock",
        "the gate raises what nobody foresaw before the release",
        fault("store.lock", about="gate", raises=bug, first=3),
    ),
    Case("anchor", "it is gone when the decision is committed", without_anchor, scene={"on_disk": True}),
    Case(
        "anchor",
        "it is gone when the outcome is committed",
        working(lambda scene, _: without_anchor(scene)),
        scene={"on_disk": True},
    ),
    Case("clock", "it steps an hour back", submit=clock_steps(timedelta(hours=-1))),
    Case("clock", "it steps an hour ahead", submit=clock_steps(timedelta(hours=1))),
    Case("inventory", "it raises", scene={"inventory": NoInventory()}),
    Case("risk scorer", "it raises", scene={"risk": NoScorer()}),
    Case("policy", "the engine raises", policy_raises),
    Case("source", "the repository can't be read", submit=lambda at: at.submit("from-source")),
    Case("pipeline.start", "it starts nothing", fault("pipeline.start", raises=no_runner)),
    Case(
        "pipeline.start",
        "it starts nothing, and nobody knows",
        fault("pipeline.start", raises=pipeline_silent),
    ),
    Case(
        "pipeline.start",
        "it starts the run, and nobody knows",
        fault("pipeline.start", done=True, raises=pipeline_silent),
    ),
    Case(
        "pipeline.start",
        "it raises what nobody foresaw, and starts nothing",
        fault("pipeline.start", raises=bug),
    ),
    Case(
        "pipeline.start",
        "it raises what nobody foresaw, and has started the run",
        fault("pipeline.start", done=True, raises=bug),
    ),
    Case(
        "pipeline.start",
        "it raises an error of another kind, and has started the run",
        fault("pipeline.start", done=True, raises=unavailable),
    ),
    Case(
        "pipeline.start",
        "it raises, has started the run, and it can't be stopped",
        both(fault("pipeline.start", done=True, raises=bug), DEAF),
    ),
    Case("pipeline.observe", "the started run is not there", fault("pipeline.observe", gives=lambda _: None)),
    Case("pipeline.observe", "it raises at first", fault("pipeline.observe", raises=bug)),
    Case(
        "pipeline.observe", "another commit runs", fault("pipeline.observe", gives=changed(commit="f" * 40))
    ),
    Case(
        "pipeline.observe",
        "another workflow runs",
        fault("pipeline.observe", gives=changed(workflow="sha256:" + "f" * 64)),
    ),
    Case(
        "pipeline.observe",
        "other parameters run",
        fault("pipeline.observe", gives=changed(parameters={"test_suite": "all"})),
    ),
    Case(
        "pipeline.observe",
        "a run of another decision is shown",
        fault("pipeline.observe", gives=changed(decision_id="dec-other")),
    ),
    Case(
        "pipeline.observe",
        "another commit runs, and it can't be stopped",
        both(fault("pipeline.observe", gives=changed(commit="f" * 40)), DEAF),
    ),
    Case(
        "pipeline.observe",
        "it raises for a while as the job runs",
        fault("pipeline.observe", raises=bug, first=2, times=2),
    ),
    Case(
        "pipeline.observe",
        "it raises from the release on",
        both(fault("pipeline.observe", raises=bug, first=2, running=True), working(until_cancelled)),
    ),
    Case(
        "pipeline.observe",
        "the running job is lost",
        both(
            fault("pipeline.observe", gives=lambda _: None, first=2, running=True), working(until_cancelled)
        ),
    ),
    Case(
        "pipeline.observe",
        "the run never ends and can't be stopped",
        both(
            fault(
                "pipeline.observe",
                first=2,
                running=True,
                gives=changed(state=RunState.RUNNING, ended=None, exit_code=None),
            ),
            fault("pipeline.stop", gives=lambda _: None, instead=True),
        ),
    ),
    Case(
        "pipeline.observe",
        "it notes more than an entry can hold",
        fault("pipeline.observe", gives=changed(note="x" * 3_000_000), first=2),
    ),
    Case("broker.issue", "it issues nothing", fault("broker.issue", raises=no_vendor)),
    Case("broker.issue", "it issues nothing, and nobody knows", fault("broker.issue", raises=vendor_silent)),
    Case(
        "broker.issue",
        "it issues the lease, and nobody knows",
        fault("broker.issue", done=True, raises=vendor_silent),
    ),
    Case(
        "broker.issue",
        "it issues the lease and raises what nobody foresaw",
        fault("broker.issue", done=True, raises=bug),
    ),
    Case(
        "broker.issue",
        "it issues the lease and raises an error of another kind",
        fault("broker.issue", done=True, raises=unavailable),
    ),
    Case("broker.issue", "the lease opens more than was granted", WIDE),
    Case(
        "broker.issue",
        "the lease lives longer than was granted",
        fault("broker.issue", gives=lambda lease: evolve(lease, expires=lease.expires + timedelta(hours=12))),
    ),
    Case(
        "broker.issue",
        "the lease has somebody else's tag",
        fault("broker.issue", gives=lambda lease: evolve(lease, tag="dec-other")),
    ),
    Case("broker.issue", "what comes back is no lease", fault("broker.issue", gives=lambda _: None)),
    Case("broker.issue", "the lease opens more, and the run can't be stopped", both(WIDE, DEAF)),
    Case(
        "broker.outstanding",
        "after an uncertain issue it can't list",
        both(
            fault("broker.issue", done=True, raises=vendor_silent),
            fault("broker.outstanding", raises=can_not_list),
        ),
    ),
    Case(
        "broker.outstanding",
        "after an uncertain issue it raises",
        both(fault("broker.issue", done=True, raises=vendor_silent), fault("broker.outstanding", raises=bug)),
    ),
    Case("pipeline.release", "the runner does not get it", fault("pipeline.release", raises=no_runner)),
    Case(
        "pipeline.release",
        "it raises, and the runner got it",
        both(release_and_fail, working(until_cancelled)),
    ),
    Case(
        "pipeline.release",
        "it raises, and the run can't be stopped",
        both(fault("pipeline.release", raises=bug), DEAF),
    ),
    Case("broker.revoke", "it raises at first", fault("broker.revoke", raises=bug, times=1)),
    Case("broker.revoke", "it can't revoke: the lease dies by itself", dies_by_itself),
    Case("job", "it raises", working(raising(bug))),
    Case("job", "it ends with 3", working(lambda scene, job: 3)),
    Case("job", "it calls sys.exit(0)", working(raising(lambda: SystemExit(0)))),
    Case("job", "it runs into its timeout", working(until_cancelled)),
    Case(
        "pipeline.stop",
        "it raises when a halt ends the run",
        both(halting("agent:agent-1234"), fault("pipeline.stop", done=True, raises=bug, times=1)),
    ),
    Case(
        "threads",
        "`start` can't have one to follow the run",
        working(until_cancelled),
        submit=start_without_threads,
    ),
    Case("stops", "the gateway is halted while the job runs", halting("gateway")),
    Case("stops", "the agent is halted while the job runs", halting("agent:agent-1234")),
)
