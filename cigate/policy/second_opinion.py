"""A policy's own expressions, evaluated by ours and by cel-python over cases made from the policy.

In comes a loaded policy; out comes what the two do not agree on, each with its place in the document. What is
a known defect of cel-python is counted apart, by name. Where they differ otherwise one of the two is wrong, and
nobody should rely on the rule before it is known which.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from cigate import cel
from cigate.cel.defects import Answer, known
from cigate.errors import PolicyError
from cigate.facts import Schema
from cigate.policy.cases import cases
from cigate.policy.loading.compiled import compile_rules
from cigate.policy.loading.reading import read

_MOST_REPORTED: Final = 3
"""How many differences of one expression are told; the rest would say the same."""


@frozen
class SecondOpinion:
    """What cel-python made of a policy.

    Attributes:
        expressions: how many were compared.
        cases: in how many cases altogether.
        defects: in how many of them a known defect of cel-python made the difference, by its name.
        differences: all others, as errors with their places; at most three an expression.
    """

    expressions: int
    cases: int
    defects: Mapping[str, int]
    differences: tuple[PolicyError, ...]

    def to_json(self) -> dict[str, Any]:
        """The counts, for programs and people."""
        return {
            "engine": "cel-python",
            "expressions": self.expressions,
            "cases": self.cases,
            "differences": len(self.differences),
            "known_defects": dict(self.defects),
        }


def second_opinion(text: str, schema: Schema, name: str) -> SecondOpinion:
    """Evaluate every expression of a policy in both engines, and compare.

    Expressions are compared as rules have them, with their variables in place. Both engines are given the same
    facts, and an error of one is like an error of the other.

    Args:
        text: the policy.
        schema: the facts.
        name: what errors call the document.

    Raises:
        PolicyError: it does not load.
    """
    document, source = read(text, name, actions=schema.parameters)
    defects: Counter[str] = Counter()
    differences: list[PolicyError] = []
    expressions = tried = 0
    for at, one in enumerate(compile_rules(document, source, schema)):
        for key, program, written in (
            ("expression", one.shown, one.rule.expression),
            ("messageExpression", one.message, one.rule.message_expression),
        ):
            if program is None or written is None:
                continue
            expressions += 1
            unknown: list[str] = []
            for facts, ours, theirs in _answers(program, schema):
                tried += 1
                if _alike(ours, theirs):
                    continue
                defect = known(program.node, ours, theirs, facts)
                if defect is None:
                    unknown.append(
                        f"{_said(ours)} here and {_said(theirs)} by cel-python, of {_shown(facts)}"
                    )
                else:
                    defects[defect.name] += 1
            for told in unknown[:_MOST_REPORTED]:
                where = f"/spec/rules/{at}/{key}"
                differences.append(
                    source.expression_error(
                        "policy.second-opinion", f"{one.rule.name}: {told}", where, written, 0
                    )
                )
    return SecondOpinion(expressions, tried, dict(defects), tuple(differences))


def _answers(program: cel.Program, schema: Schema) -> Iterator[tuple[Mapping[str, Any], Answer, Answer]]:
    other = _other(program.source)
    for facts in cases(program, schema):
        yield facts, _answer(program, facts), _answer(other, facts)


def _other(source: str) -> Callable[[Mapping[str, Any]], Any]:
    from cigate.cel import reference  # costs a parser generator, so only once a second opinion is asked for

    try:
        return reference.compile(source)
    except cel.CompileError as error:
        failed = cel.EvaluationError(error.code, error.message)

        def fail(_: Mapping[str, Any]) -> Any:
            raise failed

        return fail


def _answer(program: Callable[[Mapping[str, Any]], Any], facts: Mapping[str, Any]) -> Answer:
    try:
        return program(facts)
    except cel.EvaluationError as error:
        return error


def _alike(ours: Answer, theirs: Answer) -> bool:
    if isinstance(ours, cel.EvaluationError) or isinstance(theirs, cel.EvaluationError):
        return isinstance(ours, cel.EvaluationError) and isinstance(theirs, cel.EvaluationError)
    return type(ours) is type(theirs) and bool(ours == theirs)


def _said(answer: Answer) -> str:
    return answer.code if isinstance(answer, cel.EvaluationError) else f"{answer!r}"


def _shown(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, default=str, ensure_ascii=True)
