"""Facts to try a policy's expressions on, made from the expressions themselves.

In come an expression and the schema; out comes a bounded, always the same, list of facts. What an expression
compares a fact with, and what lies next to that on either side, are where an evaluator goes wrong; so are the
fact that is absent and, in an open map, the fact of another type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import gcd, prod
from typing import Any, Final

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import Call, Literal, Node, walk
from cigate.facts import FactType, Schema

MOST_CASES: Final = 200
"""How many an expression gets."""

ABSENT: Final = object()
_NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
_STEP: Final = timedelta(seconds=1)
_STRIDE: Final = 7919
"""A prime: steps of it through all combinations vary every fact early."""


def cases(program: cel.Program, schema: Schema) -> Iterator[Mapping[str, Any]]:
    """Documents of facts for an expression, at most `MOST_CASES`, in one order always.

    Args:
        program: the expression; what it reads and the constants in it are what the cases are about.
        schema: the types of the facts.
    """
    constants = _Constants(program.node)
    paths = sorted(_leaves(program.references, schema))
    values = [(*_values(path, schema, constants), ABSENT) for path in paths]
    total = prod(len(each) for each in values)
    stride = next(step for step in range(_STRIDE, 2 * _STRIDE) if gcd(step, total) == 1)
    if total <= MOST_CASES:
        stride = 1
    for count in range(min(total, MOST_CASES)):
        at, chosen = count * stride % total, []
        for each in values:
            at, which = divmod(at, len(each))
            chosen.append(each[which])
        yield _document(zip(paths, chosen, strict=True))


class _Constants:
    """The constants of an expression by type, with the values next to each."""

    def __init__(self, node: Node) -> None:
        literals = [part.value for part in walk(node) if isinstance(part, Literal)]
        self.texts = _distinct(text for text in literals if type(text) is str)
        numbers = [number for number in literals if type(number) is int]
        self.integers = _distinct(number + step for number in numbers for step in (0, -1, 1)) or [0, 1]
        self.strings = _distinct(
            each for text in self.texts for each in (text, f"{text}x", f"x{text}", text[:-1])
        ) or ["a", ""]
        spans = list(_converted(node, "duration", timedelta))
        times = [*_converted(node, "timestamp", datetime), _NOW]
        self.spans = _distinct(span + step for span in spans for step in (0 * _STEP, -_STEP, _STEP))
        self.times = _distinct(
            time + sign * span for time in times for sign in (-1, 1) for span in (*self.spans, 0 * _STEP)
        )


def _converted(node: Node, function: str, kind: type) -> Iterator[Any]:
    """What a conversion of a constant text gives, wherever one stands."""
    for part in walk(node):
        match part:
            case Call(function=called, target=None, arguments=(Literal(value=str()),)) if called == function:
                found = cel.compile(render_readable(part))({})  # the check has seen that it has a value
                if isinstance(found, kind):
                    yield found


def _distinct(values: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _leaves(references: frozenset[str], schema: Schema) -> Iterator[str]:
    """The facts that an expression reads, each once: of a group all that is in it."""
    for path in references:
        below = [known for known in schema.fields if known.startswith(f"{path}.")]
        yield from below or ([] if _covered(path, references) else [path])


def _covered(path: str, references: frozenset[str]) -> bool:
    """Is a whole open map read as well? Then its members are among that one's values."""
    return any(path.startswith(f"{other}.") for other in references)


def _values(path: str, schema: Schema, constants: _Constants) -> Sequence[Any]:
    match schema.type_of(path):
        case FactType.BOOL:
            return (True, False)
        case FactType.INT:
            return constants.integers
        case FactType.STRING:
            return constants.strings
        case FactType.TIMESTAMP:
            return constants.times
        case FactType.DURATION:
            return constants.spans or [timedelta(), timedelta(hours=1)]
        case FactType.STRINGS:
            return ([], *([text] for text in constants.strings), list(constants.texts))
        case FactType.APPROVALS:
            return ([], *([_approval(text)] for text in constants.strings), [_approval("x")] * 2)
        case FactType.SCALARS:
            return ({}, *({text: value} for text in constants.texts[:4] for value in (True, 1, "a")))
    return (*constants.strings[:8], *constants.integers[:8], True, False)


def _approval(text: str) -> Mapping[str, Any]:
    return {"user": text, "roles": [text], "at": _NOW}


def _document(facts: Iterator[tuple[str, Any]]) -> Mapping[str, Any]:
    document: dict[str, Any] = {}
    for path, value in facts:
        *groups, name = path.split(".")
        level = document
        for group in groups:
            level = level.setdefault(group, {})
        if value is not ABSENT:
            level[name] = value
    return document
