"""cigate: a CI gateway inside the process that runs CI.

Desktop agents hand it one signed request; it decides, starts the run, gives it (and only it) a short-lived
credential, and can prove afterwards what it did and why. This module holds the names that a host imports,
and nothing else; each is loaded when it is first used, so that importing cigate costs nearly nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = (
    False  # type checkers know it by name; importing typing would cost more than all the rest here
)
if TYPE_CHECKING:
    from typing import Any

    from cigate import cel as cel
    from cigate import testing as testing
    from cigate.action import Action as Action
    from cigate.attestation import Attestation as Attestation
    from cigate.attestation import AttestationVerifier as AttestationVerifier
    from cigate.attestation import DSSEVerifier as DSSEVerifier
    from cigate.attestation import attest as attest
    from cigate.credentials import CredentialBroker as CredentialBroker
    from cigate.credentials import Grant as Grant
    from cigate.credentials import Lease as Lease
    from cigate.credentials import Profile as Profile
    from cigate.credentials.local import LocalBroker as LocalBroker
    from cigate.decision import Decision as Decision
    from cigate.decision import Effect as Effect
    from cigate.errors import CigateError as CigateError
    from cigate.facts import Facts as Facts
    from cigate.facts import Schema as Schema
    from cigate.gateway import Gateway as Gateway
    from cigate.inventory import Inventory as Inventory
    from cigate.inventory import StaticInventory as StaticInventory
    from cigate.ledger import Ledger as Ledger
    from cigate.outcome import Outcome as Outcome
    from cigate.pipelines import Pipeline as Pipeline
    from cigate.pipelines import Run as Run
    from cigate.pipelines.function import FunctionPipeline as FunctionPipeline
    from cigate.pipelines.local import LocalPipeline as LocalPipeline
    from cigate.policy import LivePolicy as LivePolicy
    from cigate.policy import PolicyEngine as PolicyEngine
    from cigate.request import Request as Request
    from cigate.risk import RiskScorer as RiskScorer
    from cigate.risk import WeightedScorer as WeightedScorer
    from cigate.secret import Secret as Secret
    from cigate.signing import KeyRecord as KeyRecord
    from cigate.signing import Keyring as Keyring
    from cigate.signing import Signer as Signer
    from cigate.stores import Store as Store
    from cigate.stores.memory import MemoryStore as MemoryStore
    from cigate.stores.sqlite import SQLiteStore as SQLiteStore

_HOME = {
    "Action": "cigate.action",
    "Attestation": "cigate.attestation",
    "AttestationVerifier": "cigate.attestation",
    "CigateError": "cigate.errors",
    "CredentialBroker": "cigate.credentials",
    "DSSEVerifier": "cigate.attestation",
    "Decision": "cigate.decision",
    "Effect": "cigate.decision",
    "Facts": "cigate.facts",
    "FunctionPipeline": "cigate.pipelines.function",
    "Gateway": "cigate.gateway",
    "Grant": "cigate.credentials",
    "Inventory": "cigate.inventory",
    "KeyRecord": "cigate.signing",
    "Keyring": "cigate.signing",
    "Lease": "cigate.credentials",
    "Ledger": "cigate.ledger",
    "LivePolicy": "cigate.policy",
    "LocalBroker": "cigate.credentials.local",
    "LocalPipeline": "cigate.pipelines.local",
    "MemoryStore": "cigate.stores.memory",
    "Outcome": "cigate.outcome",
    "Pipeline": "cigate.pipelines",
    "PolicyEngine": "cigate.policy",
    "Profile": "cigate.credentials",
    "Request": "cigate.request",
    "RiskScorer": "cigate.risk",
    "Run": "cigate.pipelines",
    "SQLiteStore": "cigate.stores.sqlite",
    "Schema": "cigate.facts",
    "Secret": "cigate.secret",
    "Signer": "cigate.signing",
    "StaticInventory": "cigate.inventory",
    "Store": "cigate.stores",
    "WeightedScorer": "cigate.risk",
    "attest": "cigate.attestation",
}
_ROOMS = ("cel", "testing")

__all__ = [*_HOME, *_ROOMS]  # names are strings in a table above


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"cigate.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'cigate' has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
