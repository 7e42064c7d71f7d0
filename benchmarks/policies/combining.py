"""What a host writes around an engine that answers one expression at a time: the index, and the effect of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from policies.cel_text import condition, guarded
from policies.documents import Document
from policies.rules import Policy, Rule, index

Decide = Callable[[Document], str]
Outcome = tuple[Rule, bool | None]
"""A rule, and whether it is true; None: it is in error."""
_Programs = TypeVar("_Programs")


def effect(outcomes: Iterable[Outcome], document: Document) -> tuple[str, list[str], list[Any]]:
    """The effect of all rules together, which are true, and what must be taken."""
    true, takes = list[str](), list[Any]()
    denied = opens = waits = closed = False
    for rule, value in outcomes:
        if value is None:
            denied = True
        elif value:
            true.append(rule.name)
            if rule.effect == "deny":
                denied = True
            elif rule.effect == "allow":
                opens = True
            elif rule.role:
                waits = True
            elif rule.limit is None:
                closed = True
            else:
                takes.append((rule.name, document["agent"]["id"], rule.limit))
    if denied or not opens:
        return "deny", true, []
    if waits:
        return "require_approval", true, []
    return ("throttle", true, []) if closed else ("allow", true, takes)


def linear(
    policy: Policy, compile_text: Callable[[str], Any], run: Callable[..., Iterable[Outcome]]
) -> Decide:
    """Every rule asked, each with the actions that it is about in its expression."""
    programs = [(rule, compile_text(guarded(rule))) for rule in policy.rules]
    return lambda document: effect(run(programs, document), document)[0]


def indexed(
    policy: Policy, compile_text: Callable[[str], Any], run: Callable[..., Iterable[Outcome]]
) -> Decide:
    """Every rule that applies, found by the action in an index made by hand."""
    programs = {rule.name: compile_text(condition(rule)) for rule in policy.rules}
    by_action, everywhere = index(policy.rules)
    found = {action: [(rule, programs[rule.name]) for rule in rules] for action, rules in by_action.items()}
    other = [(rule, programs[rule.name]) for rule in everywhere]

    def decide(document: Document) -> str:
        applicable: Sequence[tuple[Rule, Any]] = found.get(document["action"], other)
        return effect(run(applicable, document), document)[0]

    return decide


def by_action(policy: Policy, build: Callable[[tuple[Rule, ...]], Decide]) -> Decide:
    """One small engine for each action, behind an index made by hand; made when the action is first asked about."""
    rules, everywhere = index(policy.rules)
    built: dict[str, Decide] = {}
    other = build(everywhere)

    def decide(document: Document) -> str:
        action = document["action"]
        own = built.get(action)
        if own is None:
            if action not in rules:
                return other(document)
            own = built[action] = build(rules[action])
        return own(document)

    return decide


def approved_roles(document: Document) -> list[str]:
    """The roles of those who approved, but the requester: for languages that can't look into a list of people."""
    approvals = document["approvals"]
    if not approvals:
        return []
    requester = document["user"]["id"]
    return [role for one in approvals if one["user"] != requester for role in one["roles"]]
