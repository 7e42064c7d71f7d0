"""Texts within an expression that somebody else must read: patterns, times and durations.

What is none of these is an error whenever the expression is evaluated, so it is said when it is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cigate.cel.syntax import Call, Literal
from cigate.cel.times import parse_duration, parse_timestamp


def _pattern(text: str) -> None:
    from cigate.cel.patterns import checked  # a native module, that only a policy with a pattern needs

    try:
        checked(text)
    except ValueError as error:
        raise ValueError(f"RE2 takes no such pattern: {error}") from None


_READ: Final[Mapping[str, tuple[int, Callable[[str], object]]]] = {
    "matches": (-1, _pattern),
    "regex.extract": (1, _pattern),
    "regex.extractAll": (1, _pattern),
    "regex.replace": (1, _pattern),
    "timestamp": (0, parse_timestamp),
    "duration": (0, parse_duration),
}
"""Which argument is such a text, and who reads it."""


def unreadable(call: Call) -> tuple[int, str] | None:
    """Where a literal argument is no pattern, time or duration, and what is wrong with it; None if nothing is."""
    read = _READ.get(call.function)
    if read is None or read[0] >= len(call.arguments) or not call.arguments:
        return None
    literal = call.arguments[read[0]]
    if not isinstance(literal, Literal) or not isinstance(literal.value, str):
        return None
    try:
        read[1](literal.value)
    except ValueError as error:
        return literal.at, str(error)
    return None
