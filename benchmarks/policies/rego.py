"""Rego in regorus' virtual machine: one module, whose rules are the policy's, asked for effect and takes at once.

Rego has no errors of this kind: what is absent is undefined, and a comparison of other types is some answer. So a
guard over the types of the facts stands before the rules, or denies would be silent.
"""

from __future__ import annotations

import json
from datetime import datetime

import regorus

from policies import combining
from policies.combining import Decide
from policies.documents import Document
from policies.rules import (
    KINDS,
    Compare,
    Holds,
    Is,
    Matches,
    Not,
    OneOf,
    Policy,
    Rule,
    Test,
    conjunctions,
    tests,
)

_TYPES = {bool: "is_boolean", int: "is_number", str: "is_string", list: "is_array"}
_OTHER = {Is: bool, Compare: int, Holds: list}
_HEAD = """\
package policy
import rego.v1

default effect := "deny"
effect := "require_approval" if { opens; count(waits) > 0 }
effect := "throttle" if { opens; count(waits) == 0; count(closed) > 0 }
effect := "allow" if { opens; count(waits) == 0; count(closed) == 0 }
opens if { not doubtful; count(denied) == 0; count(opened) > 0 }
decision := {"effect": effect, "denied": denied, "allowed": opened, "takes": taken}
approved(role) if { some one in input.approvals; one.user != input.user.id; role in one.roles }
"""


def build(policy: Policy) -> Decide:
    return _machine(policy.rules)


def indexed(policy: Policy) -> Decide:
    return combining.by_action(policy, _machine)


def _machine(rules: tuple[Rule, ...]) -> Decide:
    program = regorus.Program.compile_from_modules(
        "{}", [("policy.rego", _module(rules))], ["data.policy.decision"]
    )
    machine = regorus.Rvm()
    machine.load_program(program)

    def decide(document: Document) -> str:
        machine.set_input_json(json.dumps(document, default=_time))
        effect: str = json.loads(machine.execute())["effect"]
        return effect

    return decide


def _time(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def _module(rules: tuple[Rule, ...]) -> str:
    lines = [_HEAD]
    for path, kind in _read(rules).items():
        lines.append(f"doubtful if {{ not {_TYPES[kind]}(input.{path}) }}")
    heads = {"deny": "denied", "allow": "opened", "require_approval": "waits", "throttle": "closed"}
    for rule in rules:
        head = "taken" if rule.limit is not None else heads[rule.effect]
        for alternative in conjunctions(rule.when):
            body = [_test(one) for one in alternative]
            if rule.actions is not None:
                body.insert(0, f"input.action == {json.dumps(rule.actions[0])}")
            if rule.role:
                body.append(f"not approved({json.dumps(rule.role)})")
            lines.append(f"{head} contains {json.dumps(rule.name)} if {{ {'; '.join(body)} }}")
    for head in ("denied", "opened", "waits", "closed", "taken"):
        lines.append(f'{head} contains "" if {{ false }}')
    return "\n".join(lines)


def _read(rules: tuple[Rule, ...]) -> dict[str, type]:
    """The types of the facts that rules about everything read; of the others where a document always has them."""
    return {
        test.path: KINDS.get(test.path) or _OTHER.get(type(test), str)
        for rule in rules
        for test in tests(rule.when)
    }


def _test(test: Test | Not) -> str:
    match test:
        case Not(of=one):
            return f"not {_test(one)}"
        case Is(path=path):
            return f"input.{path} == true"
        case Compare(path=path, operator=operator, value=value):
            return f"input.{path} {operator} {value}"
        case OneOf(path=path, values=values):
            return f"input.{path} in {{{', '.join(map(json.dumps, values))}}}"
        case Holds(path=path, item=item):
            return f"{json.dumps(item)} in input.{path}"
        case Matches(path=path, pattern=pattern):
            return f"regex.match({json.dumps(pattern)}, input.{path})"
