"""What the Python of an expression calls besides operators and functions: names, errors again, steps, optionals.

An error that `&&`, `||`, `all` or `exists` sets aside is kept without its traceback, and raised as a new one: a
traceback holds the frame whose variable would hold the error, and only the collector ends that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from cigate.cel.error import EvaluationError
from cigate.cel.operators import select
from cigate.cel.values import AT_ONCE, LISTS, MAPS, NONE, NOTHING, Optional, adopted, no_overload

MAX_STEPS: Final = 100_000
"""Rounds of loops in one evaluation, all loops together. What a round does to large values counts as more."""

_CHARACTERS: Final = 256
"""Characters that are looked at in about the time of one round."""


_COPIED: Final = 16
"""Things that are copied in about the time of one round."""


def fact(facts: Mapping[str, Any], name: str) -> Any:
    """A top-level name.

    Raises:
        EvaluationError: `cel.no-such-field`, it is not known; `cel.input`.
    """
    found = facts.get(name, NOTHING)
    if found is NOTHING:
        raise _unknown(name)
    return found if type(found) in AT_ONCE else adopted(found)


def member(facts: Mapping[str, Any], group: str, name: str) -> Any:
    """A field of a top-level name: what is read most.

    Raises:
        EvaluationError: `cel.no-such-field`, one of the two is not known; `cel.no-such-overload`; `cel.input`.
    """
    found = facts.get(group, NOTHING)
    if type(found) is dict:
        found = found.get(name, NOTHING)
        if found is NOTHING:
            raise _unknown(name)
        return found if type(found) in AT_ONCE else adopted(found)
    if found is NOTHING:
        raise _unknown(group)
    return select(adopted(found), name)


def path(facts: Mapping[str, Any], steps: tuple[str, ...]) -> Any:
    """A path of which nobody said how much of it is a name: the first step, or as many as the facts have.

    Raises:
        EvaluationError: `cel.no-such-field`, `cel.no-such-overload`, `cel.input`.
    """
    return contained(facts, "", steps) if steps[0] not in facts else _selected(facts[steps[0]], steps[1:])


def contained(facts: Mapping[str, Any], container: str, steps: tuple[str, ...]) -> Any:
    """A path that is looked for in a container first, then in what is around that, the longest name first.

    That is the order of cel-spec, langdef.md, "Name Resolution".

    Raises:
        EvaluationError: `cel.no-such-field`, `cel.no-such-overload`, `cel.input`.
    """
    around = container.split(".") if container else []
    for kept in range(len(around), -1, -1):
        for length in range(len(steps), 0, -1):
            found = facts.get(".".join((*around[:kept], *steps[:length])), NOTHING)
            if found is not NOTHING:
                return _selected(found, steps[length:])
    raise _unknown(steps[0])


def _selected(found: Any, steps: tuple[str, ...]) -> Any:
    value = adopted(found)
    for step in steps:
        value = select(value, step)
    return value


def _unknown(name: str) -> EvaluationError:
    return EvaluationError("cel.no-such-field", f"{name!r} is not known")


def raise_again(error: EvaluationError) -> NoReturn:
    """Raise an error that was set aside.

    Raises:
        EvaluationError: that error, as a new one.
    """
    raise EvaluationError(error.code, error.message) from None


def no_function(name: str) -> NoReturn:
    """Say that there is no such function, of an expression that nobody checked.

    Raises:
        EvaluationError: `cel.no-such-overload`.
    """
    raise EvaluationError("cel.no-such-overload", f"there is no function {name!r} of this form")


def absent(error: EvaluationError) -> bool:
    """Is a declared field there, of a group that is in error? False if the group is not known.

    Raises:
        EvaluationError: the error, if it is another.
    """
    if error.code != "cel.no-such-field":
        raise_again(error)
    return False


def worked_out(value: Any) -> Any:
    """What a binding is worth, or the error that it has instead.

    Raises:
        EvaluationError: that error.
    """
    if type(value) is EvaluationError:
        raise_again(value)
    return value


class Exhausted(Exception):
    """The steps of an evaluation are spent. That ends all of it: an error of one operand would be set aside by
    `&&` and `||`, and their other operands begin with what is no longer there.
    """


def exhausted() -> NoReturn:
    """Say that too many steps were taken.

    Raises:
        Exhausted: always.
    """
    raise Exhausted


def size(*values: Any) -> int:
    """The steps that it takes to look at values all through. More than `MAX_STEPS` are not counted further."""
    steps = 0
    waiting: list[Any] = list(values)
    while waiting and steps <= MAX_STEPS:
        value = waiting.pop()
        kind = type(value)
        if kind is str or kind is bytes:
            steps += len(value) // _CHARACTERS
        elif kind in LISTS:
            steps += len(value)
            waiting.extend(value[: MAX_STEPS + 1])
        elif kind in MAPS:
            steps += len(value)
            if len(value) <= MAX_STEPS:
                waiting.extend(value.values())
        elif kind is Optional:
            waiting.append(value.value)
    return steps


def begun(over: Sequence[Any]) -> int:
    """The steps that it takes to go to the first of so many things: a loop may leave before the others."""
    return len(over) // _COPIED


def present(value: Any) -> bool:
    """Does an optional hold a value?

    Raises:
        EvaluationError: `cel.no-such-overload`, it is no optional.
    """
    if type(value) is not Optional:
        raise no_overload(value)
    return value is not NONE and value.value is not NOTHING


def optional(value: Any) -> Optional:
    """The value, if it is an optional.

    Raises:
        EvaluationError: `cel.no-such-overload`, it is none.
    """
    if type(value) is not Optional:
        raise no_overload(value)
    return value


def entries_of(value: Any) -> Sequence[tuple[Any, Any]]:
    """The entries of a map, for the map that `transformMapEntry` makes.

    Raises:
        EvaluationError: `cel.no-such-overload`, it is no map.
    """
    if type(value) not in MAPS:
        raise no_overload(value)
    return tuple(value.items())


def chosen(items: Sequence[Any], at: Sequence[int]) -> list[Any]:
    """The items of a list, of which those at some places are optionals, and left out where they are none.

    Raises:
        EvaluationError: `cel.no-such-overload`, one of those is no optional.
    """
    found: list[Any] = []
    for place, item in enumerate(items):
        if place not in at:
            found.append(item)
        elif present(item):
            found.append(item.value)
    return found


def chosen_entries(entries: Sequence[tuple[Any, Any]], at: Sequence[int]) -> list[tuple[Any, Any]]:
    """The entries of a map, of which those at some places have optionals, and are left out where they are none.

    Raises:
        EvaluationError: `cel.no-such-overload`, one of those is no optional.
    """
    found: list[tuple[Any, Any]] = []
    for place, (key, value) in enumerate(entries):
        if place not in at:
            found.append((key, value))
        elif present(value):
            found.append((key, value.value))
    return found
