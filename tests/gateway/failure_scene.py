"""One request through a gateway in which one thing goes wrong, and everything that can be seen of it afterwards."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import define, field, frozen

from cigate import effects
from cigate.outcome import Outcome
from cigate.pipelines.function import FunctionPipeline, Job
from cigate.stores import Store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore
from cigate.testing import Bench, bench
from tests.simulators.faults import Faults, FaultyBroker, FaultyPipeline, FaultyStore
from tests.simulators.lying_broker import LyingBroker, Vendor

ACTIONS: Mapping[str, Mapping[str, Any]] = {
    "run-test-suite": {
        "cost": {"per_run": 20},
        "credential": {"broker": "local", "profile": "tests", "ttl": "10m"},
        "timeout": "1s",
        "parameters": {"test_suite": {"type": "string", "pattern": "[a-z]{1,40}"}},
    },
    "create-infra": {"cost": {"per_run": 20}, "timeout": "1s"},
    "from-source": {
        "cost": {"per_run": 20},
        "timeout": "1s",
        "source": {"git": "no-repository-is-here", "branches": ["main"]},
    },
}
_BEFORE = frozenset({"genesis", "load"})


@define
class Scene:
    """A bench whose every part can fail.

    Args:
        work: what the job does; a case sets it before it submits.
        sent: the request as it was sent last.
        began: set once a job runs.
        vendor: what the broker really issued, and what still opens something.
        jobs: what ran.
    """

    faults: Faults
    vendor: Vendor
    jobs: list[Job]
    bench: Bench
    pipeline: FunctionPipeline
    store: FaultyStore
    work: Callable[[Job], Any] = lambda job: None
    sent: bytes = b""
    began: threading.Event = field(factory=threading.Event)
    patches: ExitStack = field(factory=ExitStack)

    def request(self, action: str = "run-test-suite") -> dict[str, Any]:
        parameters = {"test_suite": "unit"} if action == "run-test-suite" else {}
        return {**self.bench.request(action), "parameters": parameters}

    def submit(self, action: str = "run-test-suite") -> Outcome:
        return self.send(self.bench.agent.sign(self.request(action)))

    def send(self, signed: bytes) -> Outcome:
        """Submit these bytes, and keep them to be sent again."""
        self.sent = signed
        return self.bench.gateway.submit(signed)

    def rows(self, family: str) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value in self.store.inner.scan(family)]

    def entries(self) -> list[Any]:
        return [entry for entry in self.bench.gateway.ledger.entries() if entry.kind not in _BEFORE]


@contextmanager
def scene(*, on_disk: bool = False, budget: int = 100_000, **others: Any) -> Iterator[Scene]:
    """A scene; the times for which the effects wait are moments in it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name, value in (
            ("HEARTBEAT", timedelta(milliseconds=20)),
            ("GRACE", timedelta(milliseconds=200)),
            ("GATE_TIMEOUT", timedelta(milliseconds=200)),
            ("_RETRIES", (0.0, 0.0, 0.0)),
        ):
            stack.enter_context(patch.object(effects, name, value))
        faults, vendor, jobs = Faults(), Vendor(), []
        found: list[Scene] = []

        def run(job: Job) -> Any:
            jobs.append(job)
            found[0].began.set()
            return found[0].work(job)

        wrapped: list[FaultyStore] = []

        def wrap(store: Store) -> Store:
            wrapped.append(FaultyStore(store, faults))
            return wrapped[-1]

        pipeline = FunctionPipeline(dict.fromkeys(ACTIONS, run))
        broker = LyingBroker(vendor)
        made = bench(
            folder,
            actions=ACTIONS,
            pipelines={"local": FaultyPipeline(pipeline, faults)},
            brokers={"local": FaultyBroker(broker, faults)},
            store=_on_disk(folder) if on_disk else MemoryStore(),
            wrap=wrap,
            budget=budget,
            **others,
        )
        broker._clock = made.clock
        stack.callback(made.gateway.close)
        stack.callback(faults.lift)
        found.append(Scene(faults, vendor, jobs, made, pipeline, wrapped[0]))
        found[0].patches = stack
        faults.calls.clear()
        yield found[0]


def _on_disk(folder: Path) -> Store:
    SQLiteStore.create(folder / "state.db").close()
    return SQLiteStore(folder / "state.db")


@frozen
class Seen:
    """What came of one case: first what the table says, then what must hold whatever goes wrong.

    Args:
        budget: `untouched`, `reserved`, `charged` or `released`.
        lease: `none`, `revoked`, `named` (it may open something, and health or the intent says so), or `LOST`.
        intent: whether one is left for `reconcile`.
        entries: the kinds of entries, in order, with the code of an outcome.
        reconciled: what `reconcile` does of it once nothing goes wrong any more.
        problems: what must never be; empty.
    """

    effect: str
    code: str
    exit_code: int
    jobs: int
    budget: str
    lease: str
    intent: bool
    entries: tuple[str, ...]
    reconciled: str
    problems: tuple[str, ...]


def look(at: Scene, submit: Callable[[Scene], Outcome], plan: Callable[[Scene], None] | None) -> Seen:
    """Submit with a fault planned, look; lift it, reconcile, look again."""
    problems: list[str] = []
    if plan is not None:
        plan(at)
    outcome = submit(at)
    at.faults.lift()
    jobs, lease = len(at.jobs), _lease(at)
    intent, budget, entries = bool(at.rows("intent")), _budget(at), tuple(map(_told, at.entries()))
    if lease == "LOST":
        problems.append("a lease that opens something is named nowhere")
    if at.jobs and "intent" not in entries:
        problems.append("a job ran without an intent before it")
    if outcome.decision_id is None and "decision" in entries and len(at.rows("decision")) == 1:
        problems.append("the caller is not told the name of a committed decision")
    if outcome.receipt and not any(entry.kind == "decision" for entry in at.entries()):
        problems.append("an acknowledged decision is not in the ledger")
    left = at.bench.gateway.reconcile()
    settled = tuple(map(_told, at.entries()))[len(entries) :]
    if left:
        names = {row.get("lease") for row in left if row["kind"] == "lease"}
        if not set(at.vendor.leases) <= names:
            problems.append("reconcile does not name a lease that opens something")
    elif at.vendor.leases:
        problems.append("reconcile names nothing, and a lease still opens something")
    if at.rows("intent") and not left:
        problems.append("an intent is left, and reconcile is silent about it")
    at.work = lambda job: None
    at.bench.gateway.submit(at.sent)
    if at.vendor.issued > 1:
        problems.append("two leases were issued for one decision")
    if len(at.jobs) > 1:
        problems.append("it ran twice")
    if not at.bench.gateway.ledger.verify().ok:
        problems.append("the ledger does not verify")
    reconciled = ", ".join(settled) if settled else ""
    if left:
        why = "; ".join(sorted({str(row["why"]) for row in left}))
        reconciled = f"{reconciled}{', ' if reconciled else ''}outstanding: {why}"
    after = _budget(at)
    if after == "reserved" and not left:
        problems.append("a reservation is left that nobody will settle")
    if reconciled and after != budget:
        reconciled += f" (budget {after})"
    return Seen(
        outcome.effect.value,
        outcome.code,
        outcome.exit_code,
        jobs,
        budget,
        lease,
        intent,
        entries,
        reconciled,
        tuple(problems),
    )


def _lease(at: Scene) -> str:
    if not at.vendor.leases:
        return "revoked" if at.vendor.issued else "none"
    named = {row["lease"] for row in at.bench.gateway.health()["outstanding"]}
    tags = {row["decision_id"] for row in at.rows("intent")}
    tags |= {row["decision_id"] for row in at.rows("lease") if not row["lease"]}
    unnamed = [
        lease for lease in at.vendor.leases.values() if lease.id not in named and lease.tag not in tags
    ]
    return "LOST" if unnamed else "named"


def _budget(at: Scene) -> str:
    states = {row["state"] for row in at.rows("reservation")}
    words = {"reserved": "reserved", "committed": "charged", "released": "released"}
    return words[states.pop()] if states else "untouched"


def _told(entry: Any) -> str:
    if entry.kind == "outcome":
        return f"outcome {entry.public['code']}"
    return str(entry.kind)
