"""Why a policy decides as it does, as data for a program and in words for a person.

Each rule that applies is shown with what its parts were worth, and which of them decided it: of a false `&&` the
false parts, of a true `||` the true ones, of an error what failed. For an answer that is not an allow also what a
yes would take: the parts that the nearest allow rule lacks, the rules that forbid, the people who are wanted, and
the smallest change of facts. Facts hold no secrets, so nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, Final

from attrs import field, frozen

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import AND, Call, Node
from cigate.decision import Decision, Effect, Quorum, Reservation, Token
from cigate.facts import Facts
from cigate.policy.absence import Outcome, outcome
from cigate.policy.combining import Verdict, missing_people, why_not_counted
from cigate.policy.engine import PolicyEngine
from cigate.policy.exact import obstacle, verdicts
from cigate.policy.explaining.drawing import decision_html, decision_markdown
from cigate.policy.explaining.nearest import Counterfactual, counterfactual
from cigate.policy.explaining.parts import Atom, apart, deciding
from cigate.policy.explaining.showing import shown
from cigate.ticket import Clause
from cigate.wire.times import seconds

_MOST_SHOWN: Final = 5
_UNKNOWN: Final = "cel.no-such-field"


@frozen
class Seen:
    """A part of a rule's expression and its value, as CEL writes it; `error` is a code where it has none."""

    part: str
    value: str = ""
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"part": self.part, **({"error": self.error} if self.error else {"value": self.value})}


@frozen
class Decided:
    """A part that decided its rule, what it was worth, and what it saw.

    Args:
        part: the part itself.
        facts: the facts in it with their values.
        failed: where the part is in error, the innermost part of it that is.
    """

    part: Seen
    facts: tuple[Seen, ...] = ()
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.part.to_json(),
            "facts": [one.to_json() for one in self.facts],
            **({"failed": self.failed} if self.failed else {}),
        }

    def to_text(self) -> str:
        """`cost.estimate <= 500 is true: cost.estimate is 120`."""
        if self.failed:
            unknown = self.part.error == _UNKNOWN
            where = f": {self.failed} {'is not known' if unknown else f'fails ({self.part.error})'}"
            return f"{self.part.part} is in error{where}"
        seen = ", ".join(
            f"{one.part} is {'not known' if one.error == _UNKNOWN else one.error or one.value}"
            for one in self.facts
        )
        return f"{self.part.part} is {self.part.value}" + (f": {seen}" if seen else "")


@frozen
class RuleView:
    """One rule that applies to the action, and what it came to.

    Args:
        name, effect: as written.
        outcome: true, false or in error.
        why: what the error was.
        seen: every comparison, presence test and fact in its expression.
        decided: the parts that made it what it is.
    """

    name: str
    effect: Effect
    outcome: Outcome
    why: str = ""
    seen: tuple[Seen, ...] = ()
    decided: tuple[Decided, ...] = ()

    def to_text(self) -> str:
        """The rule, and below it the parts that decided it."""
        state = "in error" if self.outcome is Outcome.ERROR else self.outcome.value
        first = f"{self.effect} rule {self.name} is {state}" + (f": {self.why}" if self.why else "")
        return "\n".join((first, *(f"  {one.to_text()}" for one in self.decided)))

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.name,
            "effect": self.effect.value,
            "outcome": self.outcome.value,
            **({"why": self.why} if self.why else {}),
            "seen": [one.to_json() for one in self.seen],
            "decided": [one.to_json() for one in self.decided],
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
    _find: Callable[[], Counterfactual] = field(default=Counterfactual, eq=False, repr=False)

    @cached_property
    def counterfactual(self) -> Counterfactual:
        """The smallest changes of facts that would have given an allow; looked for when first asked."""
        return self._find()

    def to_json(self) -> dict[str, Any]:
        """What `cigate policy explain` prints."""
        return {
            "effect": self.decision.effect.value,
            "code": self.decision.code,
            "reasons": [reason.to_json() for reason in self.decision.reasons],
            "rules": [rule.to_json() for rule in self.rules],
            "not_applicable": self.not_applicable,
            "missing": list(self.missing),
            "counterfactual": self.counterfactual.to_json(),
        }

    def to_text(self) -> str:
        """The same in words, a line each."""
        lines = [f"{self.decision.effect} ({self.decision.code})"]
        lines += [f"  because {reason.message}" for reason in self.decision.reasons]
        lines += [rule.to_text() for rule in self.rules]
        count = self.not_applicable
        lines.append(f"{count} other {'rule speaks' if count == 1 else 'rules speak'} of other actions only")
        if self.decision.effect is not Effect.ALLOW:
            lines += self._changes()
        if self.missing:
            heading = "to be taken first:" if self.decision.effect is Effect.ALLOW else "still missing:"
            lines += [heading, *(f"  {line}" for line in self.missing)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return decision_html(self)

    def _repr_markdown_(self) -> str:
        return decision_markdown(self)

    def _changes(self) -> Iterator[str]:
        found = self.counterfactual
        if found.changes:
            yield "the least that would have been allowed:"
            for change in found.changes[:_MOST_SHOWN]:
                yield f"  {change.words}"
            more = len(found.changes) - _MOST_SHOWN
            if more > 0:
                yield f"  or one of {more} other changes of that size"
        elif found.why and found.why not in self.missing:
            yield f"what would have been allowed: {found.why}"


def explain(policy: PolicyEngine, facts: Facts | Mapping[str, Any]) -> Explanation:
    """Why the policy decides as it does. Pure, as `decide` is; like it, never raises for what facts say."""
    decision = policy.decide(facts)
    known = policy.conforming(facts)
    if isinstance(known, Decision) or decision.code == "policy.error" or obstacle(policy, known) is not None:
        return Explanation(decision, (), 0, tuple(reason.message for reason in decision.reasons))
    found = verdicts(policy, known)
    views = tuple(_view(verdict, known) for verdict in found)
    return Explanation(
        decision,
        views,
        len(policy.rules) - len(found),
        tuple(_missing(decision, found, known)),
        find=partial(counterfactual, policy, known),
    )


def _view(verdict: Verdict, facts: Facts) -> RuleView:
    program = verdict.compiled.shown
    if program is None:
        return RuleView(verdict.rule.name, verdict.rule.effect, verdict.outcome, verdict.why)
    # What runs has guards that nobody wrote; where these fail, the parts that people know are all well.
    whole = apart(program.node, verdict.compiled.declarations)
    decided = (
        ()
        if _guarded(verdict, program, facts)
        else tuple(
            {one.part: one for one in (_decided(atom, facts) for atom in deciding(whole, facts))}.values()
        )
    )
    return RuleView(
        verdict.rule.name,
        verdict.rule.effect,
        verdict.outcome,
        verdict.why,
        tuple(map(_seen, program.explain(facts.document))),
        decided,
    )


def _guarded(verdict: Verdict, program: cel.Program, facts: Facts) -> bool:
    """Whether the rule came to something else than the expression that people see."""
    return outcome(program, facts) is not verdict.outcome


def _decided(atom: Atom, facts: Facts) -> Decided:
    program = atom.program
    try:
        part = Seen(program.source, shown(program(facts.document)))
    except cel.EvaluationError as error:
        failed = _innermost(program, facts)
        return Decided(Seen(program.source, error=error.code), failed=failed)
    inside = (one for one in program.explain(facts.document) if one.source in program.references)
    return Decided(part, tuple(_seen(one) for one in inside if one.source != program.source))


def _innermost(program: cel.Program, facts: Facts) -> str:
    """The smallest part that has no value: the last one in error, for outer parts come first."""
    failing = [one.source for one in program.explain(facts.document) if one.error]
    return failing[-1] if failing else program.source


def _seen(one: cel.Observed) -> Seen:
    return Seen(one.source, "" if one.error else shown(one.value), one.error)


def _missing(decision: Decision, found: tuple[Verdict, ...], facts: Facts) -> Iterator[str]:
    """What a yes would take: nothing that a rule forbids, a rule that allows, people, tokens, budget."""
    for verdict in found:
        if verdict.outcome is Outcome.ERROR:
            yield f"the {verdict.rule.effect} rule {verdict.rule.name} must not be in error: {verdict.why}"
        elif verdict.outcome is Outcome.TRUE and verdict.shuts:
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


def _nearest_allow(allows: list[Verdict], facts: Facts) -> Iterator[str]:
    """The false allow rule that lacks the fewest of its `&&` parts, and those parts."""
    if not allows:
        yield f"a rule that allows {facts.get('action')}: there is none"
        return
    lacking = [(verdict.rule.name, tuple(_false_parts(verdict, facts))) for verdict in allows]
    name, parts = min(lacking, key=lambda each: len(each[1]))
    for program in parts:
        values = {
            one.source: one.error or shown(one.value)
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
