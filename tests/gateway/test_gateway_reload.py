"""Two processes on one state, and a policy or configuration that changes under them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cigate import Gateway
from cigate.errors import CigateError, ConfigError
from cigate.signing import KeyRecord, Signer, write_key_pair
from cigate.stores.sqlite import SQLiteStore
from cigate.testing import AUDIENCE, COMMIT
from tests.promises.promise_scene import NO_LIMITS, Stage, stage

POLICY = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {{name: reloading, sequence: {sequence}}}
spec:
  rules:
    - {{name: opens, effect: {effect}, actions: [build], expression: agent.managed}}
"""
CONFIG = """\
audience: testing.cigate.example
store: sqlite:state.db
policy: {file: policy.yaml}
ledger: {key: {secret: {file: ledger.key}}}
allow_unisolated_jobs: true
agents: {agent-1: {versions: [">=1"], managed: true}}
users: {alice@example.com: {roles: [developer]}}
devices: {laptop-1: {managed: true}}
pipelines: {local: {backend: local, isolation: none}}
actions: {build: {pipeline: local, command: ["/bin/true"], timeout: 1m}}
"""


class Folder:
    """A gateway folder, and an agent that is enrolled in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(1, "allow")
        (path / "gateway.yaml").write_text(CONFIG)
        write_key_pair(path / "ledger.key", algorithm="ed25519")
        SQLiteStore.create(path / "state.db").close()
        self.agent = Signer.generate(key_id="agent-laptop-1", audience=AUDIENCE)
        self._opened: list[Gateway] = []
        record = KeyRecord.enrol(
            self.agent.public_pem(),
            id="agent-laptop-1",
            use="request",
            agent="agent-1",
            user="alice@example.com",
            device="laptop-1",
        )
        self.open().enrol(record)

    def write(self, sequence: int, effect: str) -> None:
        (self.path / "policy.yaml").write_text(POLICY.format(sequence=sequence, effect=effect))

    def open(self) -> Gateway:
        self._opened.append(Gateway.from_config(self.path / "gateway.yaml"))
        return self._opened[-1]

    def asked(self, gateway: Gateway) -> str:
        request: dict[str, Any] = {
            "agent_id": "agent-1",
            "agent_version": "1.0",
            "user_id": "alice@example.com",
            "action": "build",
            "commit": COMMIT,
            "parameters": {},
        }
        return gateway.evaluate(self.agent.sign(request)).code

    def close(self) -> None:
        for gateway in self._opened:
            gateway.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.close()


def test_a_running_gateway_reads_a_newer_policy_that_another_has_loaded(folder: Folder) -> None:
    running = folder.open()
    assert folder.asked(running) == "policy.allowed"
    folder.write(2, "deny")
    assert folder.asked(running) == "policy.allowed", "a file alone changes nothing"
    newer = folder.open()
    assert [folder.asked(gateway) for gateway in (newer, running)] == ["policy.denied"] * 2
    assert running.policy.sequence == 2


def test_a_running_gateway_that_can_not_load_what_is_in_force_denies(folder: Folder) -> None:
    running = folder.open()
    folder.write(2, "allow")
    folder.open()
    (folder.path / "policy.yaml").write_text("this: is no policy")
    assert folder.asked(running) == "fence.stale"
    folder.write(2, "allow")
    assert folder.asked(running) == "policy.allowed"


def test_the_configuration_is_governed_like_the_policy(folder: Folder) -> None:
    running = folder.open()
    config = folder.path / "gateway.yaml"
    config.write_text(CONFIG.replace("managed: true}}\nusers", "managed: false}}\nusers"))
    assert folder.asked(folder.open()) == "policy.no-allow-rule"
    assert folder.asked(running) == "policy.no-allow-rule"
    loads = [entry for entry in running.ledger.entries() if entry.kind == "load"]
    assert len({entry.public["config_digest"] for entry in loads}) == 2
    assert len({entry.public["policy_digest"] for entry in loads}) == 1


@pytest.mark.parametrize("sequence", [1, 0])
def test_another_policy_needs_a_higher_sequence(folder: Folder, sequence: int) -> None:
    size = folder.open().ledger.size
    folder.write(sequence, "deny")
    with pytest.raises(CigateError) as refused:
        folder.open()
    assert refused.value.code.startswith("policy.")
    folder.write(1, "allow")
    assert folder.open().ledger.size == size


def test_an_older_policy_does_not_come_back(folder: Folder) -> None:
    folder.write(3, "deny")
    folder.open()
    folder.write(1, "allow")
    with pytest.raises(ConfigError) as refused:
        folder.open()
    assert refused.value.code == "policy.sequence"


def test_a_gateway_without_files_denies_once_another_policy_is_in_force(tmp_path: Path) -> None:
    at: Stage = stage(tmp_path)
    by_hand = at.bench.gateway
    assert by_hand.submit(at.bench.signed()).code == "run.succeeded"
    _next(at)
    outcome = by_hand.submit(at.bench.signed())
    assert (outcome.effect, outcome.code, outcome.exit_code) == ("deny", "fence.stale", 10)
    assert len(at.jobs) == 1


def _next(at: Stage) -> None:
    """Another process loads the next policy."""
    from attrs import evolve

    from cigate.policy import PolicyEngine

    loaded = at.bench.gateway._deliberation.loaded
    newer = PolicyEngine.from_yaml(NO_LIMITS.replace("sequence: 1", "sequence: 2"))
    at.bench.gateway._state.load(evolve(loaded, policy=newer))
