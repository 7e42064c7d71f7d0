"""A policy as its author wrote it, checked for form: names, effects, clauses and expressions as text.

Nothing here knows CEL; `compiled.py` turns the expressions into programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from cigate.decision import Effect, Obligations
from cigate.ticket import Clause

BUCKET_KEYS: Final = ("agent.id", "user.id", "device.id", "user.team", "action")
"""What a bucket may be named after: what a verified key or our own directory says, no claim of a request.

An agent that could choose part of its bucket's name would have as many buckets as it likes (threats G4).
"""

ISOLATIONS: Final = ("none", "sandbox")
"""What the obligation `isolation` may ask for, weakest first."""


NO_ADVICE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
NO_OBLIGATIONS: Final = Obligations()


def _frozen(given: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    # a proxy stays the one it is, so that thousands of rules can share it
    return given if isinstance(given, MappingProxyType) else MappingProxyType(dict(given))


@frozen
class Variable:
    """An expression with a name, read as `variables.NAME` by rules and by later variables."""

    name: str
    expression: str


@frozen
class Throttle:
    """At most `limit` in any window of `per`, for each value of `key` (none: for all together)."""

    limit: int
    per: timedelta
    key: tuple[str, ...]


@frozen
class Rule:
    """One rule. Only an allow rule opens; every other one only restricts.

    Args:
        name: unique in the document; decisions, buckets and tickets speak of the rule by it.
        effect: what it does when it is true.
        actions: the actions it applies to; None: all of them.
        expression: CEL that gives a bool; None (never for an allow rule): it is true.
        message: for people: why.
        message_expression: CEL that gives a string, used before `message`.
        approval: what a `require_approval` rule asks of people.
        throttle: the bucket of a `throttle` rule; None: it throttles whenever it is true.
        obligations: what binds an allow while the rule is true.
        advice: best effort notes while the rule is true.
        ignores_unknown: `on_unknown: ignore`; it does not fire when its expression reads a fact that is not
            known, and presence tests are not checked by polarity.
    """

    name: str
    effect: Effect
    actions: tuple[str, ...] | None = None
    expression: str | None = None
    message: str = ""
    message_expression: str | None = None
    approval: Clause | None = None
    throttle: Throttle | None = None
    obligations: Obligations = NO_OBLIGATIONS
    advice: Mapping[str, tuple[str, ...]] = field(default=NO_ADVICE, converter=_frozen)
    ignores_unknown: bool = False


@frozen
class PolicyDocument:
    """A whole policy.

    Args:
        name: `metadata.name`.
        sequence: `metadata.sequence`; a gateway never goes back to a lower one.
        variables: in the order of the document; each may use those before it.
        rules: in the order of the document, which never decides anything.
        digest: `sha256:` and hex over the canonical JSON of the document, so that the same policy written as
            YAML, as JSON or with other comments has the same digest.
    """

    name: str
    sequence: int
    variables: tuple[Variable, ...]
    rules: tuple[Rule, ...]
    digest: str
