"""What must still hold: a policy evaluated as far as the known facts go.

In come facts that are known already; a fact that is not among them is not known yet. Out comes for each rule
that applies whether it is true, false or in error already, or the condition that is left of it, as CEL; and one
condition for all of them, under which the answer is allow and nobody has to approve. Where the action is not
known, the same for each action: what may this agent do?

What must always hold: where the condition is true for the rest of the facts, the policy allows. An error in any
rule denies, so the condition is strict: `true in [a, b]` has no value where b has none, unlike `a || b`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import reduce
from typing import Any

from attrs import evolve, field, frozen

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import AND, OPERATORS, Call, Literal, Node
from cigate.decision import Effect
from cigate.facts import Facts, FactType, Schema
from cigate.policy.absence import Junction, Outcome, Part, Reading
from cigate.policy.engine import PolicyEngine
from cigate.policy.exact import obstacle
from cigate.policy.explaining.simplifying import TRUE, Failing, Simplifier
from cigate.policy.loading.compiled import CompiledRule

OTHER_ACTIONS = "*"
"""Stands for every action that no rule names, where the schema does not say which actions there are."""


@frozen
class RuleResidual:
    """One rule that applies, as far as it is known.

    Args:
        name, effect: as written.
        outcome: what it came to; None: that is not known yet.
        condition: when it is true, as CEL: `true`, `false`, or what is left of its expression.
        shown: the same without the guards that nobody wrote, for people.
    """

    name: str
    effect: Effect
    outcome: Outcome | None
    condition: str
    shown: str

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.name,
            "effect": self.effect.value,
            "outcome": None if self.outcome is None else self.outcome.value,
            "condition": self.condition,
            "shown": self.shown,
        }


@frozen
class Residual:
    """What must still hold for an allow.

    Args:
        action: which action this is about; None: it is not known, so see `by_action`.
        rules: each rule that applies, in the order of the document.
        condition: CEL over the facts that are not known yet: the answer is allow, and nobody has to approve.
            Tokens and the budget are taken later.
        exact: it is true whenever that is so. Otherwise it may also be false or in error then, where a rule says
            `on_unknown: ignore` or tests for presence; it is never true when the answer is no allow.
        by_action: for each action that rules name what must still hold for it; with the action known, this alone.
        why: why no rule is asked at all, if there is such a reason.
    """

    action: str | None
    rules: tuple[RuleResidual, ...]
    condition: str
    exact: bool
    by_action: Mapping[str, Residual] = field(factory=dict, repr=False)
    why: str = ""
    _schema: Schema = field(factory=Schema.default, repr=False, eq=False)

    @property
    def program(self) -> cel.Program:
        """The condition, ready to be evaluated for the facts that were not known yet."""
        return cel.compile(self.condition, declarations=cel.Declarations.from_schema(self._schema))

    def of(self, effect: Effect | str) -> str:
        """When any rule of this effect is true, as CEL. A rule in error is none that is true."""
        wanted = Effect(effect)
        parts = [rule.condition for rule in self.rules if rule.effect is wanted and rule.condition != "false"]
        if "true" in parts:
            return "true"
        return " || ".join(_operand(part) for part in parts) if len(parts) > 1 else (parts or ["false"])[0]

    def to_json(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "condition": self.condition,
            "exact": self.exact,
            "rules": [rule.to_json() for rule in self.rules],
            **({"why": self.why} if self.why else {}),
            **(
                {"by_action": {name: each.to_json() for name, each in self.by_action.items()}}
                if self.action is None
                else {}
            ),
        }


def residual(
    policy: PolicyEngine, known: Facts | Mapping[str, Any], *, absent: Collection[str] = ()
) -> Residual:
    """What must still hold when some facts are known.

    Args:
        policy: what will decide.
        known: the facts that are known already.
        absent: paths of facts that will never be known, each with all that is below it.

    Raises:
        FactsError: a known fact has the wrong type.
        PolicyError: what is left is too large for an expression.
    """
    facts = Facts.of(known.document if isinstance(known, Facts) else known, policy.schema)
    action = facts.get("action")
    if isinstance(action, str):
        found = _for_action(policy, facts, tuple(absent), action)
        return evolve(found, by_action={action: found})
    each = {
        name: _for_action(policy, facts.including("action", name), tuple(absent), name)
        for name in _actions(policy)
    }
    if policy.schema.parameters is None:
        # A name that no rule has: only the rules about all actions apply. What they compare it with is left.
        each[OTHER_ACTIONS] = _for_action(policy, facts, tuple(absent), "")
    condition = each[OTHER_ACTIONS].condition if OTHER_ACTIONS in each else "false"
    for name, one in reversed(each.items()):
        if name != OTHER_ACTIONS and one.condition != condition:
            asked = render_readable(Literal(0, name))
            condition = f"action == {asked} ? {_operand(one.condition)} : {_operand(condition)}"
    return Residual(None, (), condition, all(one.exact for one in each.values()), each, schema=policy.schema)


def _actions(policy: PolicyEngine) -> tuple[str, ...]:
    named = {action for rule in policy.rules for action in rule.actions or ()}
    return tuple(sorted(named | (policy.schema.parameters or {}).keys()))


def _for_action(policy: PolicyEngine, facts: Facts, absent: tuple[str, ...], action: str) -> Residual:
    blocked = obstacle(policy, facts) if action else None
    if blocked is not None:
        return Residual(action, (), "false", True, why=blocked.message, schema=policy.schema)
    left = tuple(_Left(policy, one, facts, absent) for one in policy.applicable(action))
    return Residual(
        action or OTHER_ACTIONS,
        tuple(one.view() for one in left),
        _condition(left),
        all(one.is_exact(left) for one in left),
        schema=policy.schema,
    )


class _Left:
    """What is left of one rule."""

    def __init__(
        self, policy: PolicyEngine, rule: CompiledRule, facts: Facts, absent: tuple[str, ...]
    ) -> None:
        self._schema, self._rule, self._facts, self._absent = policy.schema, rule, facts, absent
        self.effect = rule.rule.effect
        self.error = ""
        self.condition = "true"
        if rule.program is not None:
            try:
                self.condition = self._simplified(rule.program.node)
            except Failing as failing:
                self.error = str(failing)
                self.condition = _failing(self.error)
        if self.error and rule.rule.ignores_unknown:
            self._ignore()

    def _ignore(self) -> None:
        """An error that is nothing but an unknown fact makes the rule false."""
        program = self._rule.program
        assert program is not None
        if any(self._is_open(path) for path in program.references):
            return
        try:
            program(self._facts.document)
        except cel.EvaluationError as error:
            if error.code == "cel.no-such-field":
                self.error, self.condition = "", "false"

    @property
    def outcome(self) -> Outcome | None:
        if self.error:
            return Outcome.ERROR
        return {"true": Outcome.TRUE, "false": Outcome.FALSE}.get(self.condition)

    @property
    def restricts(self) -> bool:
        """Whether it alone shuts when it is true, unless people approve."""
        return self.effect in (Effect.DENY, Effect.REQUIRE_APPROVAL) or (
            self.effect is Effect.THROTTLE and self._rule.rule.throttle is None
        )

    @property
    def bucket_keys(self) -> tuple[str, ...]:
        """What names the bucket and is not known yet."""
        throttle = self._rule.rule.throttle
        return (
            () if throttle is None else tuple(path for path in throttle.key if self._facts.get(path) is None)
        )

    def view(self) -> RuleResidual:
        rule = self._rule.rule
        if self.outcome is not None or self._rule.shown is None:
            shown = self.error or self.condition
            return RuleResidual(rule.name, rule.effect, self.outcome, self.condition, shown)
        try:
            shown = self._simplified(self._rule.shown.node)
        except Failing as failing:
            shown = str(failing)
        return RuleResidual(rule.name, rule.effect, None, self.condition, shown)

    def is_exact(self, others: tuple[_Left, ...]) -> bool:
        """Whether the condition says all that the rule does."""
        rule = self._rule
        if rule.rule.ignores_unknown:
            return self.outcome is not None and not self.error
        if rule.tests is None:
            return True
        maps = self._schema.groups() | {
            path for path, kind in self._schema.fields.items() if kind is FactType.SCALARS
        }
        whole = any(part.test is not None and part.test.path in {None, *maps} for part in _parts(rule.tests))
        return not whole and not self.may_hide(others)

    def may_hide(self, others: tuple[_Left, ...]) -> bool:
        """Whether a test for presence could hide an error that matters to the answer."""
        if self._rule.tests is None:
            return False
        if self.effect is Effect.ALLOW:
            return any(
                other is not self and other.effect is Effect.ALLOW and other.outcome is not Outcome.FALSE
                for other in others
            )
        return self.effect is Effect.THROTTLE and not self.restricts

    def guards(self) -> Iterator[str]:
        """Conditions that have no value, or are false, where a test for presence hides an error."""
        tested = [part for part in _parts(self._rule.tests) if part.test is not None]
        for part in _parts(self._rule.tests):
            if part.test is not None:  # a look at a whole map is in error itself where that is not there
                yield f"{_operand(self._attempted(part.program.node))} in [true, false]"
                continue
            about = next(
                (
                    test
                    for test in tested
                    if test.test is not None
                    and test.test.path is not None
                    and all(_is_below(path, test.test.path) for path in part.program.references)
                ),
                None,
            )
            strict = f"{_operand(self._attempted(part.program.node))} in [true, false]"
            if about is None or not part.program.references:
                yield strict
            else:
                yield f"{_operand(self._attempted(about.program.node))} ? {strict} : true"

    def _attempted(self, node: Node) -> str:
        try:
            return self._simplified(node)
        except Failing as failing:
            return _failing(str(failing))

    def _simplified(self, node: Node) -> str:
        """What is left of an expression, as text that passes the check."""
        for wrapped in (False, True):
            simplifier = Simplifier(self._facts, self._absent, self._rule.declarations, wrapped)
            try:
                found = simplifier.of(node)
                if isinstance(found, Literal):
                    if not isinstance(found.value, bool):
                        raise Failing(f"it gave {type(found.value).__name__}, not a bool")
                    return "true" if found == TRUE else "false"
                text = render_readable(simplifier.as_bool(found))
                cel.compile(text, declarations=self._rule.declarations)
            except cel.CompileError:
                if wrapped:
                    raise
                continue  # a known value has another type than what it meets: that is for the evaluation to say
            return text
        raise AssertionError("the second round returns or raises")

    def _is_open(self, path: str) -> bool:
        decided = any(path == one or path.startswith(f"{one}.") for one in self._absent)
        value = self._facts.get(path)
        return not decided and (value is None or isinstance(value, Mapping))


def _condition(left: tuple[_Left, ...]) -> str:
    """When the answer is allow and nobody has to approve."""
    if any(one.error or (one.restricts and one.outcome is Outcome.TRUE) for one in left):
        return "false"
    allows = [one.condition for one in left if one.effect is Effect.ALLOW and one.condition != "false"]
    if not allows:
        return "false"
    parts = []
    if len(allows) > 1 and set(allows) != {"true"}:
        parts.append(f"true in [{', '.join(dict.fromkeys(allows))}]")
    elif allows[0] != "true":
        parts.append(allows[0])
    for one in left:
        if one.effect is Effect.ALLOW or one.condition == "false":
            continue
        if one.restricts:
            parts.append(f"!{_operand(one.condition)}")
        else:
            parts.extend(_bucket(one))
    for one in left:
        if one.may_hide(left):
            parts.extend(one.guards())
    nodes = [cel.parse(part) for part in dict.fromkeys(parts)] or [TRUE]
    return render_readable(reduce(lambda one, other: Call(0, AND, None, (one, other)), nodes))


def _bucket(one: _Left) -> Iterator[str]:
    """A throttle rule with a bucket shuts nothing here, but its errors do, and a name that is missing."""
    named = " && ".join(f"type({path}) == string" for path in one.bucket_keys)
    if one.condition == "true":
        yield from (named,) if named else ()
    else:
        yield f"{_operand(one.condition)} ? {named or 'true'} : true"


def _failing(why: str) -> str:
    """An expression that is in error, and says why."""
    return f"bool({render_readable(Literal(0, why))})"


def _operand(text: str) -> str:
    """The text as part of another expression."""
    node = cel.parse(text)
    loose = isinstance(node, Call) and node.target is None and node.function in OPERATORS
    return f"({text})" if loose else text


def _parts(found: Reading | None) -> Iterator[Part]:
    if isinstance(found, Junction):
        for part in found.parts:
            yield from _parts(part)
    elif found is not None:
        yield found


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")
