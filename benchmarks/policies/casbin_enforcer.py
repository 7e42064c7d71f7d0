"""casbin: rules as policy lines whose condition its matcher evaluates, strongest effect first.

Its priority effect stops at the first line that holds, and the line says which effect that is.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import casbin

from policies import combining
from policies.combining import Decide, approved_roles
from policies.documents import Document
from policies.rules import (
    STRONGEST_FIRST,
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
)

_MODEL = """
[request_definition]
r = doc, roles
[policy_definition]
p = act, rule, eft, kind
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = (p.act == "*" || p.act == r.doc.action) && eval(p.rule)
"""


def build(policy: Policy) -> Decide:
    return _enforcer(policy.rules)


def indexed(policy: Policy) -> Decide:
    return combining.by_action(policy, _enforcer)


def _enforcer(rules: tuple[Rule, ...]) -> Decide:
    enforcer = _loaded([rule for effect in STRONGEST_FIRST for rule in rules if rule.effect == effect])
    opening = _loaded([rule for rule in rules if rule.effect == "allow"])

    def decide(document: Document) -> str:
        roles = approved_roles(document)
        try:
            _, line = enforcer.enforce_ex(document, roles)
            kind: str = line[3] if line else "deny"
            # A gate that holds hides whether anything opens what it gates, which is a second question.
            gated = kind in ("require_approval", "throttle")
            return "deny" if gated and not opening.enforce(document, roles) else kind
        except Exception:  # noqa: BLE001  # whatever it raises for a fact that is not there is its deny
            return "deny"

    return decide


def _loaded(rules: list[Rule]) -> Any:
    logging.disable(logging.WARNING)  # it logs every request that it denies
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=_MODEL))
    enforcer.add_policies(
        [
            [
                "*" if rule.actions is None else rule.actions[0],
                _rule(rule),
                "allow" if rule.effect == "allow" else "deny",
                rule.effect,
            ]
            for rule in rules
            if rule.limit is None
        ]
    )
    return enforcer


def _rule(rule: Rule) -> str:
    text = _text(rule.when)
    return f"({text}) && !({json.dumps(rule.role)} in r.roles)" if rule.role else text


def _text(condition: Condition) -> str:
    match condition:
        case Is(path=path):
            return f"r.doc.{path}"
        case Compare(path=path, operator=operator, value=value):
            return f"r.doc.{path} {operator} {value}"
        case OneOf(path=path, values=values):
            return f"r.doc.{path} in ({', '.join(map(json.dumps, values))},)"
        case Holds(path=path, item=item):
            return f"{json.dumps(item)} in r.doc.{path}"
        case Matches(path=path, pattern=pattern):
            return f"regexMatch(r.doc.{path}, {json.dumps(pattern)})"
        case Not(of=one):
            return f"!({_text(one)})"
        case All(of=several):
            return " && ".join(f"({_text(one)})" for one in several)
        case Either(of=several):
            return " || ".join(f"({_text(one)})" for one in several)
