"""The floor: plain Python of the shape that a compiler would emit, which no engine in Python should be far from.

One function for each action, found in a dict. It loads every fact that its ten or so candidate rules read once,
checks its type, evaluates every rule, whatever the ones before came to, and makes a fresh frozen decision: effect,
code, the names of the rules that are true, why, what must be taken. `matches` asks the compiled object beneath
google-re2's pattern. What is absent or of a wrong type leaves for the slow, naive evaluation.

The text of the functions comes from a generator, for nobody writes 400 of them by hand; it does no more than a
careful hand would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2
from attrs import frozen

from policies.documents import Document
from policies.reference import effect_of
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
    index,
)
from policies.rules import tests as tests_of


@frozen
class Reason:
    code: str
    message: str
    rule: str = ""


@frozen
class Token:
    rule: str
    bucket: tuple[str, ...]
    limit: int
    per: int


@frozen
class Decision:
    """As much as cigate's own says of an effect."""

    effect: str
    code: str
    digest: str
    rules: tuple[str, ...]
    reasons: tuple[Reason, ...]
    wants: tuple[Any, ...]
    takes: tuple[Token, ...]
    obligations: Any
    advice: Any


Decide = Callable[[Document], Decision]
_DIGEST = "sha256:" + "0" * 64
_NOTHING: dict[str, Any] = {}


def build(policy: Policy) -> Callable[[Document], str]:
    """The floor's `decide`, giving the effect: what is timed is the making of the whole decision."""
    decide = compiled(policy)
    return lambda document: decide(document).effect


def compiled(policy: Policy) -> Decide:
    """One function for each action, behind the index, made when the action is first asked about."""
    by_action, everywhere = index(policy.rules)
    functions: dict[str, Decide] = {}
    other = _emit(everywhere)
    get = functions.get

    def first(document: Document) -> Decision:
        action = document["action"]
        if action not in by_action:
            return other(document)
        functions[action] = _emit(by_action[action])
        return functions[action](document)

    def decide(document: Document) -> Decision:
        return get(document["action"], first)(document)

    return decide


def _emit(rules: tuple[Rule, ...]) -> Decide:
    writer = _Writer(rules)
    space = writer.names
    exec(compile(writer.text(), "<floor>", "exec"), space)
    decide: Decide = space["decide"]
    return decide


class _Writer:
    """The text of one action's function, and the values that it reads."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.names: dict[str, Any] = {
            "Decision": Decision,
            "Token": Token,
            "NOTHING": _NOTHING,
            "DIGEST": _DIGEST,
            "ANCHOR": re2._re2.RE2.Anchor.UNANCHORED,
            "NO_ALLOW": (Reason("policy.no-allow-rule", "no rule allows this"),),
            "slow": self._slow,
            "approved": _people,
        }
        self._patterns: dict[str, str] = {}

    def text(self) -> str:
        conditions = [self._condition(rule.when) for rule in self.rules]
        paths = sorted({test.path for rule in self.rules for test in tests_of(rule.when)} | self._buckets())
        lines = ["def decide(document):", "    try:"]
        groups: dict[str, str] = {}
        for path in paths:
            *above, last = path.split(".")
            for depth in range(len(above)):
                group = ".".join(above[: depth + 1])
                if group not in groups:
                    below = groups.get(".".join(above[:depth]), "document")
                    groups[group] = _local(group)
                    lines.append(f"        {groups[group]} = {below}[{above[depth]!r}]")
            lines.append(f"        {_local(path)} = {groups['.'.join(above)]}[{last!r}]")
        lines += ["        pass"] if not paths else []
        lines += ["    except (KeyError, TypeError):", "        return slow(document)"]
        guards = [f"type({_local(path)}) is not {self._kind(path).__name__}" for path in paths]
        lines += [f"    if {' or '.join(guards) or False}:", "        return slow(document)"]
        lines += ["    true = []", "    denied = waits = closed = opens = takes = ()"]
        for at, (rule, condition) in enumerate(zip(self.rules, conditions, strict=True)):
            self.names[f"reason_{at}"] = (
                Reason(_CODES[rule.effect], f"the rule {rule.name} is true", rule.name),
            )
            lines += [f"    if {condition}:", f"        true.append({rule.name!r})"]
            if rule.role:
                lines += [
                    f"        if not approved(document, {rule.role!r}):",
                    f"            waits += reason_{at}",
                ]
            elif rule.limit is not None:
                lines.append(f"        takes += (Token({rule.name!r}, (agent_id,), {rule.limit}, 3600),)")
            else:
                name = {"deny": "denied", "throttle": "closed", "allow": "opens"}[rule.effect]
                lines.append(f"        {name} += reason_{at}")
        made = "return Decision({}, {}, DIGEST, tuple(true), {}, (), {}, NOTHING, NOTHING)"
        for test, effect, code, why, takes in (
            ("denied", "deny", "policy.denied", "denied", "()"),
            ("not opens", "deny", "policy.no-allow-rule", "NO_ALLOW", "()"),
            ("waits", "require_approval", "approval.required", "waits", "()"),
            ("closed", "throttle", "throttle.rule", "closed", "()"),
        ):
            lines += [f"    if {test}:", f"        {made.format(repr(effect), repr(code), why, takes)}"]
        lines.append(f"    {made.format(repr('allow'), repr('policy.allowed'), 'opens', 'takes')}")
        return "\n".join(lines)

    def _buckets(self) -> set[str]:
        return {"agent.id"} if any(rule.limit is not None for rule in self.rules) else set()

    def _kind(self, path: str) -> type:
        if path in KINDS:
            return KINDS[path]
        found = next(test for rule in self.rules for test in tests_of(rule.when) if test.path == path)
        return {Is: bool, Compare: int, Holds: list}.get(type(found), str)

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Not(of=one):
                return f"not {self._condition(one)}"
            case All(of=several):
                return " and ".join(
                    f"({self._condition(one)})" if isinstance(one, Either) else self._condition(one)
                    for one in several
                )
            case Either(of=several):
                return " or ".join(self._condition(one) for one in several)
        name = _local(condition.path)
        match condition:
            case Is():
                return name
            case Compare(operator=operator, value=value):
                return f"{name} {operator} {value}"
            case OneOf(values=values):
                return f"({name} in {values!r})"
            case Holds(item=item):
                return f"{item!r} in {name}"
            case Matches(pattern=pattern):
                found = self._patterns.setdefault(pattern, f"match_{len(self._patterns)}")
                self.names[found] = re2.compile(pattern)._regexp.Match
                return f"{found}(ANCHOR, (text := {name}.encode()), 0, len(text))[0][0] >= 0"

    def _slow(self, document: Document) -> Decision:
        effect = effect_of(self.rules, document)
        return Decision(effect, "policy.rule-error", _DIGEST, (), (), (), (), _NOTHING, _NOTHING)


_CODES = {
    "deny": "policy.denied",
    "allow": "policy.allowed",
    "require_approval": "approval.required",
    "throttle": "throttle.rule",
}


def _local(path: str) -> str:
    return path.replace(".", "_")


def _people(document: Document, role: str) -> bool:
    requester = document["user"]["id"]
    return any(one["user"] != requester and role in one["roles"] for one in document["approvals"])
