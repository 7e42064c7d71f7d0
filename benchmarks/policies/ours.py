"""cigate's own engine, asked as any host asks it."""

from __future__ import annotations

from cigate import PolicyEngine
from policies.combining import Decide
from policies.generate import document
from policies.rules import Policy


def build(policy: Policy) -> Decide:
    decide = PolicyEngine.from_yaml(document(policy)).decide
    return lambda facts: decide(facts).effect.value
