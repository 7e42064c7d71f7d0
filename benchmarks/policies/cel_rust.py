"""common-expression-language: CEL in Rust."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cel

from policies import combining
from policies.combining import Decide, Outcome
from policies.documents import Document
from policies.rules import Policy, Rule


def _run(applicable: Sequence[tuple[Rule, Any]], document: Document) -> Iterable[Outcome]:
    facts = cel.Context(document)
    for rule, program in applicable:
        try:
            yield rule, program.execute(facts)
        except (RuntimeError, ValueError, TypeError, KeyError):
            yield rule, None


def build(policy: Policy) -> Decide:
    return combining.linear(policy, cel.compile, _run)


def indexed(policy: Policy) -> Decide:
    return combining.indexed(policy, cel.compile, _run)
