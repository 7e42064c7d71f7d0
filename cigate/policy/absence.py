"""What an absent fact excuses: the error of reading it, and no other.

Theory of operation. By polarity alone a fact that goes missing never makes a rule open. But rules also deny
by being in error, and CEL's `&&` and `||` absorb errors: in `risk.score < 30 && has(parameters.ref)` an
unknown score is an error while the parameter is given, and nothing at all once the agent leaves it out, so
that another allow rule may open what was denied. So a rule whose presence test fails is also read with that
test undecided, both ways: if any such reading is in error, then the rule is.

Reading the absent fact itself is never that error: that `has(x) && x < 30` is false without x is what it says,
and whoever tests for a whole map, as in `has(device.posture)`, tests for all that is in it: where a member that
the rule reads is missing, the map counts as absent, or taking away the rest of it would heal the error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from itertools import product

from attrs import frozen

from cigate import cel
from cigate.cel.syntax import AND, NOT, OR, Call, Node
from cigate.facts import Facts
from cigate.policy.loading.polarity import Test, presence


class Outcome(StrEnum):
    """What a rule, or a part of one, came to."""

    TRUE = "true"
    FALSE = "false"
    ERROR = "error"


_EITHER = frozenset((Outcome.TRUE, Outcome.FALSE))


def outcome(program: cel.Program, facts: Facts) -> Outcome:
    """What a program comes to; only the bool True is true (threats B1)."""
    try:
        value = program(facts.document)
    except cel.EvaluationError:
        return Outcome.ERROR
    if value is True:
        return Outcome.TRUE
    return Outcome.FALSE if value is False else Outcome.ERROR


@frozen(eq=False, repr=False)
class Part:
    """A part of a rule below its `&&`, `||` and `!`: a presence test, or an expression without any."""

    program: cel.Program
    test: Test | None


@frozen(eq=False, repr=False)
class Junction:
    """`&&`, `||` or `!` over parts."""

    function: str
    parts: tuple[Reading, ...]


Reading = Part | Junction


def reading(node: Node, maps: Collection[str], compile_part: Callable[[Node], cel.Program]) -> Reading | None:
    """A rule's expression taken apart, or None if it has no presence test and so nothing to excuse."""
    found = _apart(node, maps, compile_part)
    return found if next(_tests(found), None) is not None else None


def hides_error(found: Reading, facts: Facts) -> bool:
    """Whether the rule would be in error if the absent facts that it tests for were there."""
    absent = frozenset(
        test.path for test in _tests(found) if test.path is not None and facts.get(test.path) is None
    )
    return Outcome.ERROR in _readings(found, facts, absent)


def without_partial(found: Reading, references: Collection[str], facts: Facts) -> Facts:
    """The facts without the maps that are tested for and lack a member that is read; else the same facts."""
    for test in _tests(found):
        if test.path is None or facts.get(test.path) is None:
            continue
        if any(_is_below(path, (test.path,)) and facts.get(path) is None for path in references):
            facts = facts.without(test.path)
    return facts


def _apart(node: Node, maps: Collection[str], compile_part: Callable[[Node], cel.Program]) -> Reading:
    match node:
        case Call(function=function, target=None, arguments=parts) if function in (AND, OR, NOT):
            return Junction(function, tuple(_apart(part, maps, compile_part) for part in parts))
    return Part(compile_part(node), presence(node, maps))


def _tests(found: Reading) -> Iterator[Test]:
    if isinstance(found, Junction):
        for part in found.parts:
            yield from _tests(part)
    elif found.test is not None:
        yield found.test


def _readings(found: Reading, facts: Facts, absent: Collection[str]) -> frozenset[Outcome]:
    """Everything that a part may come to when the tests that an absent fact decides are left undecided."""
    if isinstance(found, Part):
        return _part_readings(found, facts, absent)
    each = [_readings(part, facts, absent) for part in found.parts]
    return frozenset(_join(found.function, values) for values in product(*each))


def _part_readings(part: Part, facts: Facts, absent: Collection[str]) -> frozenset[Outcome]:
    value = outcome(part.program, facts)
    if part.test is not None:
        if part.test.path is not None and part.test.path not in absent:
            return frozenset((value,))  # the fact is there, and false may be what it says
        undecided = Outcome.FALSE if part.test.positive else Outcome.TRUE
        return _EITHER if value is undecided else frozenset((value,))
    excused = [path for path in part.program.references if _is_below(path, absent)]
    if not excused:
        return frozenset((value,))
    missing = any(facts.get(path) is None for path in part.program.references if path not in excused)
    return _EITHER | {Outcome.ERROR} if missing else _EITHER


def _join(function: str, values: tuple[Outcome, ...]) -> Outcome:
    """Kleene's three-valued logic, which is CEL's."""
    if function == NOT:
        return {Outcome.TRUE: Outcome.FALSE, Outcome.FALSE: Outcome.TRUE}.get(values[0], Outcome.ERROR)
    decides, rest = (Outcome.FALSE, Outcome.TRUE) if function == AND else (Outcome.TRUE, Outcome.FALSE)
    if decides in values:
        return decides
    return Outcome.ERROR if Outcome.ERROR in values else rest


def _is_below(path: str, above: Collection[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in above)
