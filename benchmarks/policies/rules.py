"""A policy as values: rules over conditions that every peer's language can say.

A condition is a test of one fact, or `All`, `Either`, `Not` over conditions. `approved` asks what an approval
clause asks: that somebody other than the requester approved who holds the role.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from attrs import frozen

KINDS: dict[str, type] = {
    "agent.id": str,
    "agent.version": str,
    "agent.managed": bool,
    "agent.trusted": bool,
    "agent.approved_version": bool,
    "user.id": str,
    "user.team": str,
    "device.managed": bool,
    "attestation.level": int,
    "risk.score": int,
    "risk.factors": list,
    "cost.estimate": int,
}
"""The facts that have a type. Members of `device.posture` and `parameters` have the type they come with."""


@frozen
class Is:
    """A bool that is true."""

    path: str


@frozen
class Compare:
    """An integer against a number: `>`, `>=`, `<`, `<=`."""

    path: str
    operator: str
    value: int


@frozen
class OneOf:
    """A text that is one of these."""

    path: str
    values: tuple[str, ...]


@frozen
class Holds:
    """A list of texts that has this one."""

    path: str
    item: str


@frozen
class Matches:
    """A text that a regular expression finds. `like` says the same in wildcards, for who has nothing else."""

    path: str
    pattern: str
    like: tuple[str, ...]


@frozen
class Not:
    of: Condition


@frozen
class All:
    of: tuple[Condition, ...]


@frozen
class Either:
    of: tuple[Condition, ...]


Test = Is | Compare | OneOf | Holds | Matches
Condition = Test | Not | All | Either


@frozen
class Rule:
    """One rule.

    Args:
        name: unique.
        effect: `allow`, `deny`, `require_approval`, `throttle`.
        actions: what it applies to; None: everything.
        when: its condition.
        role: of a require_approval rule: who must approve.
        limit: of a throttle rule with a bucket named after `agent.id`; None: it throttles whenever it is true.
        cheap: the condition begins with `variables.cheap` of the cigate document.
    """

    name: str
    effect: str
    actions: tuple[str, ...] | None
    when: Condition
    role: str = ""
    limit: int | None = None
    cheap: bool = False

    def applies_to(self, action: str) -> bool:
        return self.actions is None or action in self.actions


@frozen
class Policy:
    """All rules, and the actions that they are about."""

    rules: tuple[Rule, ...]
    actions: tuple[str, ...]

    def applicable(self, action: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.applies_to(action))


CHEAP = Compare("cost.estimate", "<=", 9000)
"""What `variables.cheap` stands for."""

STRONGEST_FIRST = ("deny", "require_approval", "throttle", "allow")


def tests(condition: Condition) -> Iterator[Test]:
    """Every test in a condition."""
    match condition:
        case Not(of=one):
            yield from tests(one)
        case All(of=several) | Either(of=several):
            for one in several:
                yield from tests(one)
        case _:
            yield condition


def conjunctions(condition: Condition) -> list[tuple[Test | Not, ...]]:
    """The condition as alternatives, each of which is tests and negated tests that must all hold.

    For languages whose rules are conjunctions. `Not` stands over single tests only.
    """
    match condition:
        case All(of=several):
            return [sum(parts, ()) for parts in product(*map(conjunctions, several))]
        case Either(of=several):
            return [part for one in several for part in conjunctions(one)]
        case _:
            return [(condition,)]


def index(rules: tuple[Rule, ...]) -> tuple[dict[str, tuple[Rule, ...]], tuple[Rule, ...]]:
    """The action index that somebody would write by hand around a linear engine: by action, and for all others."""
    everywhere = tuple(rule for rule in rules if rule.actions is None)
    named = dict.fromkeys(action for rule in rules for action in rule.actions or ())
    own: dict[str, list[Rule]] = {action: list(everywhere) for action in named}
    for rule in rules:
        for action in rule.actions or ():
            own[action].append(rule)
    return {action: tuple(found) for action, found in own.items()}, everywhere
