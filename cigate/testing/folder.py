"""A whole gateway in a folder: real keys, a real store, a real ledger, and jobs in this process.

Jobs are Python callables (`FunctionPipeline`), so that a test of a policy or a host needs no sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cigate.action import Action
from cigate.controls import Budget
from cigate.credentials import CredentialBroker, Profile
from cigate.credentials.local import LocalBroker
from cigate.gateway import Gateway
from cigate.inventory import StaticInventory
from cigate.money import Money
from cigate.pipelines import Pipeline
from cigate.pipelines.function import FunctionPipeline, Job
from cigate.policy import PolicyEngine
from cigate.signing import KeyId, KeyRecord, Keyring, Signer
from cigate.stores import Store
from cigate.stores.sqlite import SQLiteStore

AUDIENCE = "testing.cigate.example"
COMMIT = "a" * 40

POLICY = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: testing, sequence: 1}
spec:
  rules:
    - {name: managed, effect: allow, actions: ["*"], expression: agent.managed}
    - name: infra-needs-a-person
      effect: require_approval
      actions: [create-infra]
      approval: {count: 1, roles: [sre], ttl: 30m}
    - name: ten-an-hour
      effect: throttle
      actions: [run-test-suite]
      throttle: {limit: 10, per: 1h, key: [agent.id]}
"""

ACTIONS: Mapping[str, Mapping[str, Any]] = {
    "run-test-suite": {
        "cost": {"per_run": 20, "per_minute": 8},
        "credential": {"broker": "local", "profile": "tests", "ttl": "10m"},
        "timeout": "1m",
        "parameters": {"test_suite": {"type": "string", "pattern": "[a-z][a-z0-9-]{0,40}"}},
    },
    "create-infra": {
        "cost": {"per_run": 2500},
        "timeout": "1m",
        "parameters": {"size": {"type": "string", "enum": ["small", "large"]}},
    },
}


@define
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = field(factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, duration: timedelta) -> None:
        self.now += duration


@define
class Bench:
    """A gateway and everybody around it.

    Args:
        gateway: under test.
        folder: its state.
        clock: its time, and the signers'.
        jobs: what ran, in order.
        agent, unmanaged: signers of requests: `agent-1234` of alice on laptop-1, and the unmanaged `agent-5678`.
        people: signers of approvals by user: bob and carol are sre, alice is the requester.
        rebuild: opens the same state once more, as another process would.
    """

    gateway: Gateway
    folder: Path
    clock: Clock
    jobs: list[Job]
    agent: Signer
    unmanaged: Signer
    people: Mapping[str, Signer]
    rebuild: Callable[[], Gateway]

    def request(
        self, action: str = "run-test-suite", *, agent: str = "agent-1234", **parameters: Any
    ) -> dict[str, Any]:
        """An unsigned request; without parameters those that the action needs."""
        needed = {"run-test-suite": {"test_suite": "unit"}, "create-infra": {"size": "small"}}.get(action, {})
        return {
            "agent_id": agent,
            "agent_version": "2.0.1",
            "user_id": "alice@example.com",
            "action": action,
            "commit": COMMIT,
            "parameters": parameters or needed,
        }

    def signed(self, action: str = "run-test-suite", **parameters: Any) -> bytes:
        """A request of the managed agent, signed now."""
        return self.agent.sign(self.request(action, **parameters))


def bench(
    folder: Path,
    *,
    policy: str = POLICY,
    actions: Mapping[str, Mapping[str, Any]] | None = None,
    work: Callable[[Job], Any] | None = None,
    pipelines: Mapping[str, Pipeline] | None = None,
    brokers: Mapping[str, CredentialBroker] | None = None,
    store: Store | None = None,
    budget: int = 100_000,
    clock: Clock | None = None,
    wrap: Callable[[Store], Store] = lambda store: store,
    **others: Any,
) -> Bench:
    """Make a gateway in an empty folder, with keys, people, two actions, a budget and a local broker.

    Args:
        work: what jobs do; by default nothing. A returned string is output, an int the exit code.
        store: default: SQLite in the folder.
        budget: of alice's team, minor units of EUR a month.
        wrap: put something between gateway and store, such as faults.
        others: what else a Gateway takes (`risk`, `inventory` …), or something in place of what is made here.
    """
    clock = clock or Clock()
    jobs: list[Job] = []

    def run(job: Job) -> Any:
        jobs.append(job)
        return work(job) if work is not None else None

    catalogue = {name: Action.from_config(name, section) for name, section in (actions or ACTIONS).items()}
    people = {
        name: _signer(f"{name.partition('@')[0]}-approves", clock)
        for name in ("alice@example.com", "bob@example.com", "carol@example.com")
    }
    agent, unmanaged = _signer("agent-laptop-1", clock), _signer("agent-laptop-2", clock)
    keyring = Keyring.of(
        _record(agent, use="request", agent="agent-1234", user="alice@example.com", device="laptop-1"),
        _record(unmanaged, use="request", agent="agent-5678", user="alice@example.com", device="laptop-2"),
        *(_record(signer, use="approval", user=user) for user, signer in people.items()),
    )
    key = Ed25519PrivateKey.generate()
    built: list[Gateway] = []
    profiles = {"tests": Profile(("tests",), timedelta(minutes=10))}
    own = LocalBroker.generate(profiles, clock=clock, live=lambda tag: built[-1].is_live(tag))
    path = folder / "state.db"
    if store is None:
        SQLiteStore.create(path).close()

    def build() -> Gateway:
        given: dict[str, Any] = {
            "policy": PolicyEngine.from_yaml(policy),
            "keyring": keyring,
            "inventory": StaticInventory.from_config(_AGENTS, _USERS, _DEVICES),
            "store": wrap(store if store is not None else SQLiteStore(path)),
            "brokers": brokers or {"local": own},
            "pipelines": pipelines or {"local": FunctionPipeline(dict.fromkeys(catalogue, run), clock=clock)},
            "budgets": {"qa": Budget("qa", Money(budget, "EUR"), "month")},
        }
        given |= others
        built.append(Gateway(audience=AUDIENCE, actions=catalogue, ledger_key=key, clock=clock, **given))
        return built[-1]

    return Bench(build(), folder, clock, jobs, agent, unmanaged, people, build)


def _signer(name: str, clock: Clock) -> Signer:
    return Signer.generate(key_id=KeyId(name), audience=AUDIENCE, clock=clock)


def _record(signer: Signer, **owner: Any) -> KeyRecord:
    return KeyRecord.enrol(signer.public_pem(), id=signer.key_id, **owner)


_AGENTS: Mapping[str, Any] = {
    "agent-1234": {"versions": [">=2.0,<3"], "managed": True, "trusted": True, "capabilities": ["tests"]},
    "agent-5678": {"versions": [">=2.0,<3"], "managed": False, "trusted": False},
}
_USERS: Mapping[str, Any] = {
    "alice@example.com": {"roles": ["developer", "sre"], "team": "qa"},
    "bob@example.com": {"roles": ["sre"], "team": "platform"},
    "carol@example.com": {"roles": ["sre"], "team": "platform"},
}
_DEVICES: Mapping[str, Any] = {
    "laptop-1": {
        "managed": True,
        "posture": {"compliant": True, "disk_encrypted": True, "edr_running": True, "os_patch_age_days": 3},
    },
    "laptop-2": {"managed": False},
}
