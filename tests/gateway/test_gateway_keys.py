"""One key has one name and one use, wherever it was made known."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cigate import Gateway, KeyRecord, MemoryStore, StaticInventory
from cigate.errors import ConfigError
from cigate.testing import Bench, bench


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def refusal(gateway: Gateway, pem: bytes, id: str, **owner: str) -> str:
    with pytest.raises(ConfigError) as refused:
        gateway.enrol(KeyRecord.enrol(pem, id=id, **owner))
    return refused.value.code


def test_a_key_of_the_hosts_keyring_is_not_enrolled_under_another_name(at: Bench) -> None:
    pem = at.agent.public_pem()
    approver = {"use": "approval", "user": "mallory@example.com"}
    assert refusal(at.gateway, pem, "second-name", **approver) == "key.enrolled-already"
    at.gateway.revoke("agent-laptop-1")
    assert refusal(at.gateway, pem, "second-name", **approver) == "key.enrolled-already"
    assert not at.gateway.submit(at.signed()).allowed


def test_the_keys_that_the_gateway_itself_signs_with_are_nobodys_to_enrol(at: Bench) -> None:
    ledger = at.gateway.ledger.public_pem()
    owner = {"use": "request", "agent": "agent-1234", "user": "alice@example.com"}
    assert refusal(at.gateway, ledger, "ledger-key", **owner) == "key.enrolled-already"


def test_a_keys_name_can_not_be_taken_for_a_scope(at: Bench) -> None:
    with pytest.raises(ConfigError) as refused:
        KeyRecord.enrol(at.agent.public_pem(), id="device:laptop-9", use="approval", user="bob@example.com")
    assert refused.value.code == "key.id"


def test_opening_the_same_gateway_again_costs_no_commit(at: Bench) -> None:
    before = at.gateway.ledger.size
    at.rebuild().close()
    assert at.gateway.ledger.size == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("policy", "policy.yaml"),
        ("inventory", {"agents": {}}),
        ("store", "sqlite:state.db"),
        ("keyring", []),
        ("actions", {"run-test-suite": {}}),
    ],
)
def test_a_gateway_by_hand_is_built_from_values_and_says_which_is_none(
    at: Bench, name: str, value: object
) -> None:
    engine = at.gateway.policy
    arguments = {
        "audience": "x",
        "policy": engine,
        "actions": {},
        "inventory": StaticInventory.from_config({}, {}, {}),
        "store": MemoryStore(),
        "ledger_key": Ed25519PrivateKey.generate(),
    }
    with pytest.raises(ConfigError, match=name) as refused:
        Gateway(**(arguments | {name: value}))
    assert refused.value.code == "gateway.argument"
