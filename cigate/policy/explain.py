"""Why a policy decides as it does, as data for a program and in words for a person.

Each rule that applies is shown with what its parts were worth; for an answer that is not an allow also what a
yes would take: the parts that the nearest allow rule lacks, the rules that forbid, the people who are wanted.
Facts hold no secrets, so nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import field, frozen

from cigate import cel
from cigate.cel.rendering import render_literal, render_readable
from cigate.cel.syntax import AND, Call, Node
from cigate.decision import Decision, Effect, Quorum, Reservation, Token
from cigate.facts import Facts
from cigate.policy.absence import Outcome, outcome
from cigate.policy.combining import Verdict, missing_people, why_not_counted
from cigate.policy.engine import PolicyEngine, obstacle, verdicts
from cigate.ticket import Clause
from cigate.wire.times import seconds, timestamp

_LONGEST_VALUE: Final = 200


@frozen
class Seen:
    """A part of a rule's expression and its value, as CEL writes it; `error` is a code where it has none."""

    part: str
    value: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"part": self.part, **({"error": self.error} if self.error else {"value": self.value})}


@frozen
class RuleView:
    """One rule that applies to the action, and what it came to."""

    name: str
    effect: Effect
    outcome: Outcome
    why: str = ""
    seen: tuple[Seen, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.name,
            "effect": self.effect.value,
            "outcome": self.outcome.value,
            **({"why": self.why} if self.why else {}),
            "seen": [one.to_json() for one in self.seen],
        }


@frozen
class Explanation:
    """Why a decision is what it is.

    Args:
        decision: what is explained.
        rules: each rule that applies, in the order of the document.
        not_applicable: how many rules speak of other actions only.
        missing: what a yes would take, in words; empty for an allow that needs nothing more.
    """

    decision: Decision = field(repr=False)
    rules: tuple[RuleView, ...]
    not_applicable: int
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `cigate policy explain` prints."""
        return {
            "effect": self.decision.effect.value,
            "code": self.decision.code,
            "reasons": [reason.to_json() for reason in self.decision.reasons],
            "rules": [rule.to_json() for rule in self.rules],
            "not_applicable": self.not_applicable,
            "missing": list(self.missing),
        }

    def to_text(self) -> str:
        """The same in words, a line each."""
        lines = [f"{self.decision.effect} ({self.decision.code})"]
        lines += [f"  because {reason.message}" for reason in self.decision.reasons]
        for rule in self.rules:
            state = "in error" if rule.outcome is Outcome.ERROR else rule.outcome.value
            lines.append(f"{rule.effect} rule {rule.name} is {state}" + (f": {rule.why}" if rule.why else ""))
            lines += [f"  {one.part}: {one.error or one.value}" for one in rule.seen]
        count = self.not_applicable
        lines.append(f"{count} other {'rule speaks' if count == 1 else 'rules speak'} of other actions only")
        if self.missing:
            heading = "to be taken first:" if self.decision.effect is Effect.ALLOW else "still missing:"
            lines += [heading, *(f"  {line}" for line in self.missing)]
        return "\n".join(lines)


def explain(policy: PolicyEngine, facts: Facts | Mapping[str, Any]) -> Explanation:
    """Why the policy decides as it does. Pure, as `decide` is; like it, never raises for what facts say."""
    decision = policy.decide(facts)
    known = policy.conforming(facts)
    if isinstance(known, Decision) or decision.code == "policy.error" or obstacle(policy, known) is not None:
        return Explanation(decision, (), 0, tuple(reason.message for reason in decision.reasons))
    found = verdicts(policy, known)
    views = tuple(_view(verdict, known) for verdict in found)
    return Explanation(
        decision, views, len(policy.rules) - len(found), tuple(_missing(decision, found, known))
    )


def _view(verdict: Verdict, facts: Facts) -> RuleView:
    program = verdict.compiled.shown
    observed = () if program is None else program.explain(facts.document)
    seen = tuple(Seen(one.source, _shown(one.value), one.error) for one in observed)
    return RuleView(verdict.rule.name, verdict.rule.effect, verdict.outcome, verdict.why, seen)


def _missing(decision: Decision, found: tuple[Verdict, ...], facts: Facts) -> Iterator[str]:
    """What a yes would take: nothing that a rule forbids, a rule that allows, people, tokens, budget."""
    for verdict in found:
        if verdict.outcome is Outcome.ERROR:
            yield f"the {verdict.rule.effect} rule {verdict.rule.name} must not be in error: {verdict.why}"
        elif verdict.outcome is Outcome.TRUE and _shuts(verdict):
            yield f"the {verdict.rule.effect} rule {verdict.rule.name} must not be true"
    allows = [verdict for verdict in found if verdict.rule.effect is Effect.ALLOW]
    if all(verdict.outcome is Outcome.FALSE for verdict in allows):
        yield from _nearest_allow(allows, facts)
    for verdict in found if decision.effect is Effect.REQUIRE_APPROVAL else ():
        count = missing_people(verdict) if verdict.outcome is Outcome.TRUE else 0
        if verdict.rule.approval is not None and count:
            whom = " or ".join(verdict.rule.approval.roles) or "any approver"
            people = f"{count} more approval{'s' if count > 1 else ''} by {whom}"
            yield f"{people} for the rule {verdict.rule.name}"
            yield from _not_counted(verdict.rule.approval, facts)
    for take in decision.takes:
        match take:
            case Token():
                name = ", ".join(take.bucket) or "everyone"
                rate = f"{take.limit} per {seconds(take.per)}"
                yield f"a token of the rule {take.rule}, whose bucket for {name} holds {rate}"
            case Quorum():
                yield f"the approvals of {', '.join(take.people)} for the rule {take.rule}, used once"
            case Reservation():
                yield f"{take.amount} minor units of {take.currency or 'an unknown currency'} from the budget"


def _not_counted(clause: Clause, facts: Facts) -> Iterator[str]:
    for approval in facts.get("approvals") or ():
        why = why_not_counted(approval, clause, facts)
        if why:
            yield f"the approval of {approval['user']} does not count for the rule {clause.rule}: {why}"


def _shuts(verdict: Verdict) -> bool:
    """Whether a true rule alone keeps the answer from being an allow."""
    rule = verdict.rule
    return rule.effect is Effect.DENY or (rule.effect is Effect.THROTTLE and rule.throttle is None)


def _nearest_allow(allows: list[Verdict], facts: Facts) -> Iterator[str]:
    """The false allow rule that lacks the fewest of its `&&` parts, and those parts."""
    if not allows:
        yield f"a rule that allows {facts.get('action')}: there is none"
        return
    lacking = [(verdict.rule.name, tuple(_false_parts(verdict, facts))) for verdict in allows]
    name, parts = min(lacking, key=lambda each: len(each[1]))
    for program in parts:
        values = {
            one.source: one.error or _shown(one.value)
            for one in program.explain(facts.document)
            if one.source != program.source
        }
        seen = (
            f" (found {', '.join(f'{part} = {value}' for part, value in values.items())})" if values else ""
        )
        yield f"{program.source}, for the allow rule {name}{seen}"


def _false_parts(verdict: Verdict, facts: Facts) -> Iterator[cel.Program]:
    compiled = verdict.compiled
    for part in _conjuncts(compiled.shown.node) if compiled.shown is not None else ():
        program = cel.compile(render_readable(part), declarations=compiled.declarations)
        if outcome(program, facts) is not Outcome.TRUE:
            yield program


def _conjuncts(node: Node) -> Iterator[Node]:
    match node:
        case Call(function=function, target=None, arguments=parts) if function == AND:
            for part in parts:
                yield from _conjuncts(part)
        case _:
            yield node


def _shown(value: object) -> str:
    """A value as CEL would write it, cut where it is long."""
    match value:
        case datetime():
            text = timestamp(value)
        case timedelta():
            text = seconds(value)
        case Mapping():
            text = "{" + ", ".join(f"{_shown(name)}: {_shown(each)}" for name, each in value.items()) + "}"
        case list() | tuple():
            text = "[" + ", ".join(_shown(each) for each in value) + "]"
        case str() | bytes() | bool() | int() | float() | None:
            text = render_literal(value)
        case _:
            text = type(value).__name__
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
