"""What cel-python is known to get wrong: where the second opinion is not to be believed.

Each defect has an example, what cel-python 0.5 makes of it, and what the language says, so that a test can
hold it against the installed one. `known` tells whether a difference between our answer and cel-python's is
one of them: from what stands in the expression, and from which of the two has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from cigate.cel.error import EvaluationError
from cigate.cel.syntax import Call, Comprehension, Has, Index, ListOf, Literal, MapOf, Node, Select, walk

Answer = Any
"""A value, or the EvaluationError instead of one."""


@frozen
class Defect:
    """One way in which cel-python departs from the language.

    Args:
        name: what it is called in reports.
        expression: the shortest example.
        gives: what cel-python makes of it, as an expression of CEL; `error`: it has no value.
        right: what it is worth, likewise.
        says: the sentence of the language definition, or of the conformance tests, that it goes against.
        shows: whether a difference can be this one: the expression, our answer, cel-python's, the facts.
        facts: what the example reads.
    """

    name: str
    expression: str
    gives: str
    right: str
    says: str
    shows: Callable[[Node, Answer, Answer, Mapping[str, Any]], bool] = field(repr=False)
    facts: Mapping[str, Any] = field(factory=dict)


def known(node: Node, ours: Answer, theirs: Answer, facts: Mapping[str, Any]) -> Defect | None:
    """The defect that explains why cel-python's answer differs from ours; None: nothing known does."""
    return next((one for one in (TOO_DEEP, *DEFECTS) if one.shows(node, ours, theirs, facts)), None)


def _failed(answer: Answer) -> bool:
    return isinstance(answer, EvaluationError)


def _calls(node: Node, *names: str) -> bool:
    return any(isinstance(part, Call) and part.function in names for part in walk(node))


def _has(node: Node, *kinds: type) -> bool:
    return any(isinstance(part, kinds) for part in walk(node))


_EQUAL: Final = ("_==_", "_!=_", "@in")
_ORDER: Final = ("_<_", "_<=_", "_>_", "_>=_")
_ARITHMETIC: Final = ("_+_", "_-_", "_*_", "_/_", "_%_", "-_")
_CONVERSIONS: Final = ("int", "uint", "double", "bool", "string", "bytes")
_STANDARD: Final = frozenset(
    {
        *_EQUAL,
        *_ORDER,
        *_ARITHMETIC,
        *_CONVERSIONS,
        *("_&&_", "_||_", "!_", "_?_:_", "_[_]", "size", "contains", "startsWith", "endsWith", "matches"),
        *("type", "dyn", "timestamp", "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth"),
        *("getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)


def _beyond(node: Node) -> bool:
    """Does it call what cel-python does not have: an extension, an optional?"""
    return any(
        (isinstance(part, Call) and part.function not in _STANDARD)
        or (isinstance(part, Select | Index) and part.optional)
        for part in walk(node)
    )


def _bool_and_number(node: Node, facts: Mapping[str, Any]) -> bool:
    """Is there a bool and a number that it could be taken for, in the facts or in the text?"""
    found = [*_scalars(facts), *(part.value for part in walk(node) if isinstance(part, Literal))]
    kinds = {type(value) for value in found if value in (0, 1)}
    return bool in kinds and len(kinds) > 1


def _scalars(value: Any) -> Iterator[Any]:
    match value:
        case Mapping():
            for key, item in value.items():
                yield from (key, *_scalars(item))
        case list() | tuple():
            for item in value:
                yield from _scalars(item)
        case _:
            yield value


TOO_DEEP: Final = Defect(
    "too-deep",
    "(" * 60 + "1" + ")" * 60,
    "error",
    "1",
    "Evaluation is recursive over Python's own stack, at dozens of frames a level.",
    lambda node, ours, theirs, facts: _failed(theirs) and theirs.code == "cel.too-deep",
)
"""Apart from the others, for what runs out of stack on Python 3.11 does not on later ones."""

DEFECTS: Final[tuple[Defect, ...]] = (
    Defect(
        "no-extensions",
        "optional.of(1).hasValue()",
        "error",
        "true",
        "It has no optionals, no `cel.bind`, no two-variable macros and none of the extension libraries.",
        lambda node, ours, theirs, facts: _failed(theirs) and _beyond(node),
    ),
    Defect(
        "late-times",
        "timestamp('9999-12-31T23:59:59Z').getHours('+02:00')",
        "error",
        "1",
        "A time of day in a zone is worked out by way of a date that may lie beyond the year 9999.",
        lambda node, ours, theirs, facts: (
            _failed(theirs) and _calls(node, *(n for n in _STANDARD if n[:3] == "get"))
        ),
    ),
    Defect(
        "results-of-python",
        "('a' + 'b').contains('a' + 'b')",
        "error",
        "true",
        "`+` of strings, lists and doubles gives Python's own types, which its functions then refuse.",
        lambda node, ours, theirs, facts: _failed(theirs) and _calls(node, "_+_", "_-_"),
    ),
    Defect(
        "mixed-equality",
        "1 == 1.0",
        "error",
        "true",
        "Equality is defined between values of any two types, and numbers compare by value (Equality).",
        lambda node, ours, theirs, facts: _failed(theirs) and (_calls(node, *_EQUAL) or _has(node, Index)),
    ),
    Defect(
        "mixed-order",
        "dyn(1) < 1.5",
        "error",
        "true",
        "Numbers of different types are ordered by value (Ordering).",
        lambda node, ours, theirs, facts: _failed(theirs) and _calls(node, *_ORDER),
    ),
    Defect(
        "has-hides-errors",
        "has(x.y)",
        "false",
        "error",
        "`has` tells whether a field is there; an operand that is in error is an error (Field Selection).",
        lambda node, ours, theirs, facts: _failed(ours) and _has(node, Has),
    ),
    Defect(
        "truthy-logic",
        "1 && true",
        "1",
        "error",
        "The operands of `&&` and `||` are bool; another type is an error (Logical Operators).",
        lambda node, ours, theirs, facts: _failed(ours) and _calls(node, "_&&_", "_||_"),
    ),
    Defect(
        "truthy-macros",
        "[1, 2].filter(x, x)",
        "[1, 2]",
        "error",
        "The predicate of a macro gives a bool; another type is an error (Macros).",
        lambda node, ours, theirs, facts: _failed(ours) and _has(node, Comprehension),
    ),
    Defect(
        "bool-is-int",
        "dyn(true) == dyn(1)",
        "true",
        "false",
        "A bool is equal to no number, neither by itself nor in a list or as a key (Equality).",
        lambda node, ours, theirs, facts: (
            (_calls(node, *_EQUAL) or _has(node, Index)) and _bool_and_number(node, facts)
        ),
    ),
    Defect(
        "bool-counts",
        "dyn(true) + 1",
        "2",
        "error",
        "There is no arithmetic on a bool, nor between numbers of different types (Arithmetic).",
        lambda node, ours, theirs, facts: _failed(ours) and _calls(node, *_ARITHMETIC),
    ),
    Defect(
        "negative-index",
        "[1, 2][-1]",
        "2",
        "error",
        "An index below zero is out of range; a string or bytes have no index (Lists).",
        lambda node, ours, theirs, facts: _failed(ours) and _has(node, Index),
    ),
    Defect(
        "errors-as-items",
        "'a' in {'b': x}",
        "false",
        "error",
        "A list or a map with an item that is in error is in error (Evaluation).",
        lambda node, ours, theirs, facts: _failed(ours) and _has(node, ListOf, MapOf),
    ),
    Defect(
        "division-of-doubles",
        "0.0 / 0.0 == 0.0 / 0.0",
        "true",
        "false",
        "Division of doubles is IEEE 754's: 0/0 is NaN, which is equal to nothing, and signs count.",
        lambda node, ours, theirs, facts: _calls(node, "_/_"),
    ),
    Defect(
        "lax-conversions",
        "string(true)",
        "'True'",
        "'true'",
        "Text is converted as the language writes it: `True`, `1_0`, `0x1f` and `string(null)` are Python's.",
        lambda node, ours, theirs, facts: _calls(node, *_CONVERSIONS),
    ),
    Defect(
        "reads-the-clock",
        "timestamp('now') > timestamp('2020-01-01T00:00:00Z')",
        "true",
        "error",
        "A timestamp is written as RFC 3339 has it; a program reads no clock.",
        lambda node, ours, theirs, facts: _calls(node, "timestamp"),
    ),
    Defect(
        "lax-durations",
        "duration('1d') == duration('24h')",
        "true",
        "error",
        "A duration has the units h, m, s, ms, us and ns.",
        lambda node, ours, theirs, facts: _failed(ours) and _calls(node, "duration"),
    ),
    Defect(
        "milliseconds-of-a-duration",
        "duration('1500ms').getMilliseconds()",
        "1500",
        "500",
        "`getMilliseconds` of a duration is the part of it below a second.",
        lambda node, ours, theirs, facts: _calls(node, "getMilliseconds"),
    ),
    Defect(
        "size-of-nothing",
        "size(dyn(null))",
        "0",
        "error",
        "`size` is of a string, bytes, a list or a map.",
        lambda node, ours, theirs, facts: _failed(ours) and _calls(node, "size"),
    ),
)
