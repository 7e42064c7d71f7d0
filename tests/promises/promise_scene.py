"""What the promises' tests share: one store in memory or on disk, parts that tell what they did, many threads."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from attrs import define

from cigate.outcome import Outcome
from cigate.pipelines.function import FunctionPipeline, Job
from cigate.stores.memory import MemoryStore
from cigate.testing import Bench, Clock, bench
from cigate.testing.folder import ACTIONS
from tests.simulators.faults import Faults, FaultyBroker, FaultyPipeline, FaultyStore
from tests.simulators.lying_broker import LyingBroker, Vendor

T = TypeVar("T")
NO_LIMITS = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: promises, sequence: 1}
spec:
  rules:
    - {name: managed, effect: allow, actions: ["*"], expression: agent.managed}
    - name: infra-needs-a-person
      effect: require_approval
      actions: [create-infra]
      approval: {count: 1, roles: [sre], ttl: 30m}
"""


@define
class Stage:
    """A bench, and what its parts did: `faults.calls` names every call at a seam, in order."""

    bench: Bench
    faults: Faults
    vendor: Vendor
    stores: list[FaultyStore]
    jobs: list[Job]

    @property
    def commits(self) -> int:
        return sum(store.commits for store in self.stores)


def stage(
    folder: Path,
    *,
    on_disk: bool = False,
    work: Callable[[Job], Any] = lambda job: None,
    faults: Faults | None = None,
    **others: Any,
) -> Stage:
    """A gateway without throttles, whose seams are all watched."""
    faults = faults or Faults()
    vendor, jobs, stores = Vendor(), [], []
    calls = threading.Lock()

    def run(job: Job) -> Any:
        with calls:
            jobs.append(job)
        return work(job)

    def watched(store: Any) -> FaultyStore:
        stores.append(FaultyStore(store, faults))
        return stores[-1]

    broker, clock = LyingBroker(vendor), Clock()
    functions = FunctionPipeline(dict.fromkeys(ACTIONS, run), clock=clock)
    others = {
        "clock": clock,
        "policy": NO_LIMITS,
        "pipelines": {"local": FaultyPipeline(functions, faults)},
        "brokers": {"local": FaultyBroker(broker, faults)},
        "wrap": watched,
        "store": None if on_disk else MemoryStore(),
        **others,
    }
    made = bench(folder, **others)
    broker._clock = made.clock
    return Stage(made, faults, vendor, stores, jobs)


def together(count: int, do: Callable[[int], T]) -> list[T]:
    """What `count` threads get that do it at once."""
    barrier = threading.Barrier(count)

    def each(at: int) -> T:
        barrier.wait(20)
        return do(at)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(each, range(count)))


def codes(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many outcomes there are of each code."""
    found = [outcome.code for outcome in outcomes]
    return {code: found.count(code) for code in sorted(set(found))}


def opened(signed: bytes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A signed request taken apart: outer fields, envelope, payload."""
    outer = json.loads(signed)
    envelope = json.loads(base64.b64decode(outer.pop("attestation")))
    return outer, envelope, json.loads(base64.b64decode(envelope["payload"]))


def closed(outer: dict[str, Any], envelope: dict[str, Any], payload: dict[str, Any] | None = None) -> bytes:
    """The same, put together again without signing it anew."""
    if payload is not None:
        envelope = {**envelope, "payload": base64.b64encode(json.dumps(payload).encode()).decode()}
    attestation = base64.b64encode(json.dumps(envelope).encode()).decode()
    return json.dumps({**outer, "attestation": attestation}).encode()
