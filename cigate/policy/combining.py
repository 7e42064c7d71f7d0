"""From what each rule came to, to the one answer. Pure, and blind to the order of the rules.

Strongest first: a deny rule is true, or a rule is in error, or no allow rule is true: deny. A quorum is not
met: require_approval, and nothing is taken while people are wanted. A throttle rule without a bucket is
true: throttle.
Else allow, with what must be taken first, in the order of what a refusal of it would mean: quorums and budget
(a deny) before tokens (a throttle), so that whoever stops at the first refused take keeps the precedence.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import frozen

from cigate import cel
from cigate.decision import Effect, Obligations, Quorum, Reason, Reservation, Take, Token, Want
from cigate.facts import Facts
from cigate.policy.absence import Outcome
from cigate.policy.document import ISOLATIONS, Rule
from cigate.policy.loading.compiled import CompiledRule
from cigate.ticket import Clause
from cigate.wire.times import seconds

_LONGEST_MESSAGE: Final = 500


@frozen
class Verdict:
    """What one applicable rule came to.

    Args:
        compiled: the rule.
        outcome: true, false or in error.
        why: what the error was.
        people: of a true require_approval rule: who counts for it.
        bucket: of a true throttle rule with a clause: which bucket of the rule.
    """

    compiled: CompiledRule
    outcome: Outcome
    why: str = ""
    people: tuple[str, ...] = ()
    bucket: tuple[str, ...] = ()

    @property
    def rule(self) -> Rule:
        return self.compiled.rule

    @property
    def shuts(self) -> bool:
        """Whether the rule alone, where it is true, keeps the answer from being an allow."""
        rule = self.rule
        return rule.effect is Effect.DENY or (rule.effect is Effect.THROTTLE and rule.throttle is None)


@frozen
class Answer:
    """What the verdicts come to together."""

    effect: Effect
    code: str
    reasons: tuple[Reason, ...]
    wants: tuple[Want, ...] = ()
    takes: tuple[Take, ...] = ()


def combine(verdicts: Sequence[Verdict], facts: Facts) -> Answer:
    """The effect of all rules that apply together, why, and what is wanted or must be taken."""
    true = [verdict for verdict in verdicts if verdict.outcome is Outcome.TRUE]
    of = {effect: [verdict for verdict in true if verdict.rule.effect is effect] for effect in Effect}
    denies = [_reason("policy.denied", verdict, facts) for verdict in of[Effect.DENY]]
    errors = [
        Reason(
            "policy.rule-error", f"the rule {verdict.rule.name} is in error: {verdict.why}", verdict.rule.name
        )
        for verdict in verdicts
        if verdict.outcome is Outcome.ERROR
    ]
    if denies or errors:
        return Answer(Effect.DENY, "policy.denied" if denies else "policy.rule-error", (*denies, *errors))
    if not of[Effect.ALLOW]:
        message = f"no rule allows {facts.get('action')} for these facts"
        return Answer(Effect.DENY, "policy.no-allow-rule", (Reason("policy.no-allow-rule", message),))

    unmet = [verdict for verdict in of[Effect.REQUIRE_APPROVAL] if missing_people(verdict) > 0]
    if unmet:
        reasons = tuple(_reason("approval.required", verdict, facts) for verdict in unmet)
        return Answer(Effect.REQUIRE_APPROVAL, "approval.required", reasons, wants=tuple(map(_want, unmet)))

    closed = [verdict for verdict in of[Effect.THROTTLE] if verdict.rule.throttle is None]
    if closed:
        reasons = tuple(_reason("throttle.rule", verdict, facts) for verdict in closed)
        return Answer(Effect.THROTTLE, "throttle.rule", reasons)

    quorums = map(_quorum, of[Effect.REQUIRE_APPROVAL])
    tokens = (_token(verdict, facts) for verdict in of[Effect.THROTTLE])
    takes: tuple[Take, ...] = (*quorums, *reservation(facts.document), *tokens)
    reasons = tuple(_reason("policy.allowed", verdict, facts) for verdict in of[Effect.ALLOW])
    return Answer(Effect.ALLOW, "policy.allowed", reasons, takes=takes)


def people_who_count(clause: Clause, facts: Facts) -> tuple[str, ...]:
    """Who counts for a clause, each once, in order: not the requester, with a listed role, in time.

    An approval counts within the clause's `ttl` of `now`, so neither where `now` is unknown nor where it does not
    say when it was given. Where the requester is unknown nobody can be told from them, so nobody counts.
    """
    counted: dict[str, str] = {}
    for approval in facts.get("approvals") or ():
        if why_not_counted(approval, clause, facts) == "":
            person = _person(approval["user"])
            counted[person] = min(approval["user"], counted.get(person, approval["user"]))
    return tuple(sorted(counted.values()))


def why_not_counted(approval: Mapping[str, Any], clause: Clause, facts: Facts) -> str:
    """Why an approval counts for nothing under a clause, in words; empty if it counts."""
    requester = facts.get("user.id")
    if requester is None:
        return "nobody knows who asks"
    if _person(approval["user"]) == _person(requester):
        return "it is the requester's own"
    if clause.roles and set(clause.roles).isdisjoint(approval.get("roles", ())):
        return f"they hold none of the roles {', '.join(clause.roles)}"
    if not _in_time(approval.get("at"), clause, facts.now):
        return f"it was not given within the {seconds(clause.ttl)} before now"
    return ""


def missing_people(verdict: Verdict) -> int:
    """How many more people the verdict's approval clause wants."""
    return 0 if verdict.rule.approval is None else max(0, verdict.rule.approval.count - len(verdict.people))


def merged_obligations(each: Iterable[Obligations]) -> Obligations:
    """All of them at once: the least time to live, the strongest isolation."""
    found = list(each)
    times = [one.ttl_max for one in found if one.ttl_max is not None]
    isolations = [one.isolation for one in found if one.isolation is not None]
    return Obligations(
        ttl_max=min(times, default=None), isolation=max(isolations, key=ISOLATIONS.index, default=None)
    )


def merged_advice(each: Iterable[Mapping[str, tuple[str, ...]]]) -> Mapping[str, tuple[str, ...]]:
    """All of it, each note once, in order."""
    found: dict[str, set[str]] = {}
    for advice in each:
        for name, values in advice.items():
            found.setdefault(name, set()).update(values)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}


def message_of(verdict: Verdict, facts: Facts) -> str:
    """What the rule says of itself, else its name."""
    return _said(verdict, facts) or f"the rule {verdict.rule.name} is true"


def _said(verdict: Verdict, facts: Facts) -> str:
    """The text of its message expression if that gives one, else its message, which may be empty."""
    rule, program = verdict.rule, verdict.compiled.message
    if program is not None:
        try:
            said = program(facts.document)
        except cel.EvaluationError:
            said = None
        if isinstance(said, str) and said:
            return said[:_LONGEST_MESSAGE]
    return rule.message


def _reason(code: str, verdict: Verdict, facts: Facts) -> Reason:
    return Reason(code, message_of(verdict, facts), verdict.rule.name)


def _person(name: str) -> str:
    """One spelling for all that look the same: another case makes nobody another person (threats C3)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def _in_time(given: datetime | None, clause: Clause, now: datetime | None) -> bool:
    return given is not None and now is not None and timedelta(0) <= now - given <= clause.ttl


def _want(verdict: Verdict) -> Want:
    clause = _clause(verdict)
    return Want(verdict.rule.name, missing_people(verdict), clause.roles, clause.ttl)


def _quorum(verdict: Verdict) -> Quorum:
    clause = _clause(verdict)
    return Quorum(verdict.rule.name, clause.count, clause.roles, verdict.people)


def _clause(verdict: Verdict) -> Clause:
    assert verdict.rule.approval is not None  # a require_approval rule does not load without one
    return verdict.rule.approval


def _token(verdict: Verdict, facts: Facts) -> Token:
    throttle = verdict.rule.throttle
    assert throttle is not None  # one without has throttled by now
    return Token(verdict.rule.name, verdict.bucket, throttle.limit, throttle.per, _said(verdict, facts))


def reservation(document: Mapping[str, Any]) -> tuple[Reservation, ...]:
    """The budget that an allow takes: what it is estimated to cost, where the facts carry a budget."""
    cost = document.get("cost", _NOTHING)
    estimate = cost.get("estimate")
    if not document.get("budget") or estimate is None or estimate <= 0:
        return ()
    # An unknown currency stays unknown: borrowing the budget's would let a mismatch pass.
    return (Reservation(estimate, cost.get("currency") or ""),)


_NOTHING: Final[Mapping[str, Any]] = {}
