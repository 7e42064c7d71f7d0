"""vakt, as its guard is asked: conjunctions over a flat context, in its memory storage, by its checker of rules.

vakt knows allow and deny. So there are three guards: one says whether anything opens and nothing denies, one whether an
approval is missing, one whether a throttle is closed; the two latter are asked only about what the first opens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from vakt import Guard, Inquiry, MemoryStorage, RulesChecker
from vakt import Policy as VaktPolicy
from vakt.effects import ALLOW_ACCESS, DENY_ACCESS
from vakt.rules import And, Eq, Falsy, Greater, GreaterOrEqual, In, Less, LessOrEqual, RegexMatch, Truthy
from vakt.rules import Any as Anything
from vakt.rules import Not as VaktNot
from vakt.rules.base import Rule as VaktRule

from policies import combining
from policies.combining import Decide, approved_roles
from policies.documents import Document
from policies.rules import Compare, Holds, Is, Matches, Not, OneOf, Policy, Rule, Test, conjunctions, tests

logging.getLogger("vakt").setLevel(logging.CRITICAL)
_COMPARE = {">": Greater, ">=": GreaterOrEqual, "<": Less, "<=": LessOrEqual}


class Containing(VaktRule):
    """A list that has this item: vakt has the rule only the other way round."""

    def __init__(self, item: str) -> None:
        self.item = item

    def satisfied(self, what: Any, inquiry: Any = None) -> bool:
        return self.item in what


def build(policy: Policy) -> Decide:
    return _guard(policy.rules)


def indexed(policy: Policy) -> Decide:
    return combining.by_action(policy, _guard)


def _guard(rules: tuple[Rule, ...]) -> Decide:
    opens = _allowed([rule for rule in rules if rule.effect in ("allow", "deny")])
    waits = _allowed([rule for rule in rules if rule.role])
    closed = _allowed([rule for rule in rules if rule.effect == "throttle" and rule.limit is None])
    paths = sorted({test.path for rule in rules for test in tests(rule.when)})
    steps = [(path, path.split(".")) for path in paths]

    def decide(document: Document) -> str:
        context: dict[str, Any] = {"approved_roles": approved_roles(document)}
        try:
            for path, way in steps:
                value: Any = document
                for step in way:
                    value = value[step]
                context[path] = value
        except KeyError:
            return "deny"
        inquiry = Inquiry(action=document["action"], subject="agent", resource="gateway", context=context)
        if not opens(inquiry):
            return "deny"
        if waits(inquiry):
            return "require_approval"
        return "throttle" if closed(inquiry) else "allow"

    return decide


def _allowed(rules: list[Rule]) -> Callable[[Inquiry], bool]:
    storage = MemoryStorage()
    for rule in rules:
        for at, alternative in enumerate(conjunctions(rule.when)):
            storage.add(_policy(rule, at, alternative))
    allowed: Callable[[Inquiry], bool] = Guard(storage, RulesChecker()).is_allowed
    return allowed


def _policy(rule: Rule, at: int, alternative: tuple[Test | Not, ...]) -> VaktPolicy:
    context: dict[str, VaktRule] = {}
    for test in alternative:
        path = test.of.path if isinstance(test, Not) else test.path
        made = _rule(test)
        context[path] = And(context[path], made) if path in context else made
    if rule.role:
        context["approved_roles"] = VaktNot(Containing(rule.role))
    return VaktPolicy(
        f"{rule.effect}:{rule.name}:{at}",
        actions=[Anything() if rule.actions is None else Eq(rule.actions[0])],
        subjects=[Anything()],
        resources=[Anything()],
        context=context,
        effect=DENY_ACCESS if rule.effect == "deny" else ALLOW_ACCESS,
    )


def _rule(test: Test | Not) -> VaktRule:
    match test:
        case Not(of=Is()):
            return Falsy()
        case Not(of=one):
            return VaktNot(_rule(one))
        case Is():
            return Truthy()
        case Compare(operator=operator, value=value):
            return _COMPARE[operator](value)
        case OneOf(values=values):
            return In(*values)
        case Holds(item=item):
            return Containing(item)
        case Matches(pattern=pattern):
            return RegexMatch(pattern)
