"""cel-expr-python: Google's CEL in C++."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cel_expr_python import cel

from policies import combining
from policies.combining import Decide, Outcome
from policies.documents import Document
from policies.rules import Policy, Rule

_FACTS = ("action", "parameters", "agent", "user", "device", "attestation", "risk", "cost", "approvals")
_ENVIRONMENT = cel.NewEnv(variables=dict.fromkeys(_FACTS, cel.Type.DYN))


def _run(applicable: Sequence[tuple[Rule, Any]], document: Document) -> Iterable[Outcome]:
    approvals = document["approvals"]
    if approvals:  # it takes no datetime within a list, and no rule reads when they approved
        people = [{"user": one["user"], "roles": one["roles"]} for one in approvals]
        document = {**document, "approvals": people}
    facts = _ENVIRONMENT.Activation(data=document)
    for rule, program in applicable:
        value = program.eval(activation=facts)
        yield rule, value.value() if value.type() == cel.Type.BOOL else None


def build(policy: Policy) -> Decide:
    return combining.linear(policy, _ENVIRONMENT.compile, _run)


def indexed(policy: Policy) -> Decide:
    return combining.indexed(policy, _ENVIRONMENT.compile, _run)
