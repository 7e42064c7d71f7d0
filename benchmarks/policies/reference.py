"""What is right: the policy evaluated naively, in as few lines as will do it.

A test of a fact that is absent or has another type is in error. `All` is false if any part is, else in error if any
part is, as CEL's `&&`; `Either` likewise. A fact of a wrong type that any applicable rule reads denies, whatever
the rules come to. Deny, or an error, is stronger than require_approval, than throttle, than allow.
"""

from __future__ import annotations

import re
from typing import Any

from policies.documents import Document
from policies.rules import (
    KINDS,
    All,
    Compare,
    Condition,
    Either,
    Holds,
    Is,
    Matches,
    Not,
    OneOf,
    Policy,
    Rule,
    tests,
)

_ABSENT = object()
_COMPARE = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}


def effect(policy: Policy, document: Document) -> str:
    """The effect of the policy."""
    return effect_of(policy.applicable(document["action"]), document)


def effect_of(rules: tuple[Rule, ...], document: Document) -> str:
    """The effect of the rules that apply to the document's action."""
    for path in {test.path for rule in rules for test in tests(rule.when)}:
        value = _fact(document, path)
        if value is not _ABSENT and path in KINDS and type(value) is not KINDS[path]:
            return "deny"
    found = {rule.name: outcome(rule, document) for rule in rules}
    true = [rule for rule in rules if found[rule.name]]
    if None in found.values() or any(rule.effect == "deny" for rule in true):
        return "deny"
    if not any(rule.effect == "allow" for rule in true):
        return "deny"
    if any(rule.role and not approved(rule.role, document) for rule in true):
        return "require_approval"
    if any(rule.effect == "throttle" and rule.limit is None for rule in true):
        return "throttle"
    return "allow"


def outcome(rule: Rule, document: Document) -> bool | None:
    """Whether a rule is true; None: it is in error."""
    value = _value(rule.when, document)
    if value and rule.limit is not None and type(_fact(document, "agent.id")) is not str:
        return None
    return value


def approved(role: str, document: Document) -> bool:
    """Whether somebody other than the requester approved who holds the role."""
    return any(
        one["user"] != document["user"].get("id") and role in one["roles"] for one in document["approvals"]
    )


def _value(condition: Condition, document: Document) -> bool | None:
    match condition:
        case Not(of=one):
            value = _value(one, document)
            return None if value is None else not value
        case All(of=several):
            values = {_value(one, document) for one in several}
            return False if False in values else None if None in values else True
        case Either(of=several):
            values = {_value(one, document) for one in several}
            return True if True in values else None if None in values else False
    value = _fact(document, condition.path)
    match condition:
        case Is():
            return value if type(value) is bool else None
        case Compare(operator=operator, value=other):
            return _COMPARE[operator](value, other) if type(value) is int else None
        case OneOf(values=values):
            return value in values if type(value) is str else None
        case Holds(item=item):
            return item in value if type(value) is list else None
        case Matches(pattern=pattern):
            return re.search(pattern, value) is not None if type(value) is str else None


def _fact(document: Document, path: str) -> Any:
    found: Any = document
    for step in path.split("."):
        if type(found) is not dict or step not in found:
            return _ABSENT
        found = found[step]
    return found
