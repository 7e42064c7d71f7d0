"""The exact way to decide: each rule that applies is asked by its own program, errors and absences told apart.

It defines what a policy means. Facts that fit the schema go in, what each rule came to comes out; `combine` makes the
answer of it. The straight way, which most decisions take, gives the same or gives up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cigate import cel
from cigate.decision import Decision, Effect, Reason, Ruling, ruled
from cigate.errors import FactsError
from cigate.facts import Facts, Schema
from cigate.policy.absence import Outcome, hides_error, without_partial
from cigate.policy.combining import Verdict, combine, people_who_count
from cigate.policy.loading.compiled import CompiledRule
from cigate.policy.rulings import ruling_of

if TYPE_CHECKING:
    from cigate.policy.engine import PolicyEngine


def decided(policy: PolicyEngine, facts: Facts) -> Decision:
    """What a policy says of facts that fit its schema. Pure: the same two always give the same decision."""
    blocked = obstacle(policy, facts)
    if blocked is None:
        return combined(policy, verdicts(policy, facts), facts)
    ruling = Ruling(
        Effect.DENY, blocked.code, policy.digest, reasons=(blocked,), explainer=policy.explanation
    )
    return ruled(ruling, (), facts)


def combined(policy: PolicyEngine, found: Sequence[Verdict], facts: Facts) -> Decision:
    """The decision that the verdicts of all rules which apply come to."""
    true = [verdict.compiled for verdict in found if verdict.outcome is Outcome.TRUE]
    answer = combine(found, facts)
    return ruled(ruling_of(answer, true, policy.digest, policy.explanation), answer.takes, facts)


def obstacle(policy: PolicyEngine, facts: Facts) -> Reason | None:
    """Why no rule needs to be asked at all, if there is such a reason."""
    if not policy.rules:
        return Reason("policy.empty", f"the policy {policy.name} has no rule, so nothing is allowed")
    action = facts.get("action")
    if not isinstance(action, str):
        return Reason("facts.missing", "/action is not known, so no rule can apply")
    if policy.schema.parameters is None:
        return None
    if action not in policy.schema.parameters:
        return Reason("policy.unknown-action", f"there is no action {action}")
    try:
        _check_parameters(policy.schema, action, facts)
    except FactsError as error:
        return Reason(error.code, f"{error.where}: {error.message}")
    return None


def verdicts(policy: PolicyEngine, facts: Facts) -> tuple[Verdict, ...]:
    """What each rule that applies to the action came to, in the order of the document."""
    return tuple(verdict(one, facts) for one in policy.applicable(facts.get("action") or ""))


def _check_parameters(schema: Schema, action: str, facts: Facts) -> None:
    """Parameters have the types of their own action: a wrong one must not look like another value."""
    assert schema.parameters is not None
    types = {f"parameters.{name}": kind for name, kind in schema.parameters[action].items()}
    given = facts.get("parameters")
    if isinstance(given, Mapping):
        Facts.of({"parameters": given}, Schema(types))


def verdict(one: CompiledRule, facts: Facts) -> Verdict:
    """What one rule came to."""
    if one.expression is not None:
        found, why = came_to(one, facts)
        if found is not Outcome.TRUE:
            return Verdict(one, found, why)
    return completed(one, facts)


def completed(one: CompiledRule, facts: Facts) -> Verdict:
    """The verdict of a rule whose expression is true."""
    rule = one.rule
    if rule.approval is not None:
        return Verdict(one, Outcome.TRUE, people=people_who_count(rule.approval, facts))
    if rule.throttle is None:
        return Verdict(one, Outcome.TRUE)
    bucket: list[str] = []
    for path in rule.throttle.key:
        value = facts.get(path)
        if not isinstance(value, str):
            return Verdict(one, Outcome.ERROR, f"{path}, which names its bucket, is not known")
        bucket.append(value)
    return Verdict(one, Outcome.TRUE, bucket=tuple(bucket))


def came_to(one: CompiledRule, facts: Facts) -> tuple[Outcome, str]:
    """What a rule's expression came to, and why if it is in error."""
    assert one.program is not None
    try:
        value = one.program(facts.document)
    except cel.EvaluationError as error:
        whole = without_partial(one.tests, one.program.references, facts) if one.tests is not None else facts
        if whole is not facts:
            return came_to(one, whole)
        ignored = one.rule.ignores_unknown and error.code == "cel.no-such-field"
        return (Outcome.FALSE if ignored else Outcome.ERROR), f"{error.code}: {error.message}"
    if type(value) is not bool:  # threats B1: a number or a text is not an answer
        return Outcome.ERROR, f"it gave {type(value).__name__}, not a bool"
    # Where a rule that is true for want of a fact holds back less than an error, or a false allow rule
    # does, the absent fact must not have hidden an error.
    lenient = value is False if one.rule.effect is Effect.ALLOW else value is True
    if one.tests is not None and lenient and hides_error(one.tests, facts):
        return Outcome.ERROR, "an absent fact that it tests for hides that another one is missing"
    return (Outcome.TRUE if value else Outcome.FALSE), ""
