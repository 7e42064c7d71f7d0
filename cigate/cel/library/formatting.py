"""`format`: values written into a text where it has clauses (cel-go, ext/README.md, "Format"; formatting rules v2).

`%s` writes any value, `%d` numbers, `%f` and `%e` doubles to so many digits (`%.3f`), `%b` `%o` `%x` integers in
other bases, `%x` the bytes of strings too; `%%` is a per cent sign. Each clause takes the next value of the list.
The output is the same everywhere: no locale, keys of maps in the order of their texts.
"""

from __future__ import annotations

import math
import re
from operator import itemgetter
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.syntax import UInt
from cigate.cel.times import duration_text, timestamp_text
from cigate.cel.types import Type
from cigate.cel.values import (
    LISTS,
    LONGEST_TEXT,
    MAPS,
    MOMENTS,
    NUMBERS,
    SPANS,
    adopted,
    no_overload,
    type_of,
)

_CLAUSE: Final = re.compile(r"%(?:%|(?:\.(?P<digits>[0-9]*))?(?P<kind>.)?)", re.DOTALL)
_DIGITS: Final = 6
_MOST_DIGITS: Final = 100
_DEEPEST: Final = 100
_INTEGERS: Final = frozenset({int, UInt})
_BASES: Final = {"b": "b", "o": "o", "x": "x", "X": "X"}


def formatted(form: Any, values: Any) -> str:
    """The text with its clauses filled.

    Args:
        form: the text.
        values: a list; what is left over is ignored.

    Raises:
        EvaluationError: `cel.invalid`, of a clause that is none, has no value or does not take its value;
            `cel.too-costly`; `cel.too-deep`.
    """
    if type(form) is not str or type(values) not in LISTS:
        raise no_overload(form, values)
    writing = _Writing()
    end, taken = 0, 0
    for clause in _CLAUSE.finditer(form):
        writing.add(form[end : clause.start()])
        end = clause.end()
        if clause[0] == "%%":
            writing.add("%")
            continue
        kind, digits = clause["kind"], _digits(clause["digits"])
        if kind is None or kind not in "sdfeboxX":
            raise EvaluationError(
                "cel.invalid", "the format has a clause that is none of %s %d %f %e %b %o %x %X"
            )
        if taken >= len(values):
            raise EvaluationError(
                "cel.invalid", f"the format has more clauses than its list has values: {taken}"
            )
        value = adopted(values[taken])
        taken += 1
        if kind == "s":
            writing.value(value, 0)
        else:
            writing.add(_written(kind, value, digits))
    writing.add(form[end:])
    return writing.text()


def _digits(written: str | None) -> int:
    if written is None:
        return _DIGITS
    if not written or len(written) > 9 or int(written) > _MOST_DIGITS:
        raise EvaluationError("cel.invalid", f"the digits of a clause are a number of at most {_MOST_DIGITS}")
    return int(written)


def _written(kind: str, value: Any, digits: int) -> str:
    of = type(value)
    if kind in "fe" and of in NUMBERS:
        return _special(value) or f"{float(value):.{digits}{kind}}"
    if kind == "d" and of in NUMBERS:
        return _special(value) or _number(value)
    if kind in _BASES and of in _INTEGERS:
        return format(int(value), _BASES[kind])
    if kind == "b" and of is bool:
        return "1" if value else "0"
    if kind in "xX" and of in (str, bytes):
        pairs = _encoded(value).hex()
        return pairs.upper() if kind == "X" else pairs
    raise EvaluationError("cel.invalid", f"the clause %{kind} does not take a value of type {type_of(value)}")


def _encoded(value: str | bytes) -> bytes:
    try:
        return value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError:
        raise EvaluationError("cel.invalid", "the text is not valid Unicode") from None


def _special(value: float) -> str | None:
    if math.isfinite(value):
        return None
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number(value: float) -> str:
    if type(value) is not float:
        return str(int(value))
    from decimal import Decimal  # for doubles alone

    shortest = format(Decimal(repr(value)), "f")
    return shortest.removesuffix(".0")


class _Writing:
    """A text in the making, of a bounded length."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = LONGEST_TEXT

    def add(self, part: str) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise EvaluationError(
                "cel.too-costly", f"a string of an expression has at most {LONGEST_TEXT} characters"
            )
        self._parts.append(part)

    def text(self) -> str:
        return "".join(self._parts)

    def value(self, value: Any, depth: int) -> None:
        """What `%s` writes."""
        kind = type(value)
        if kind in LISTS:
            self._list(value, _deeper(depth))
        elif kind in MAPS:
            self._map(value, _deeper(depth))
        else:
            self.add(_simple(value))

    def _list(self, items: Any, depth: int) -> None:
        self.add("[")
        for at, item in enumerate(items):
            self.add(", " if at else "")
            self.value(adopted(item), depth)
        self.add("]")

    def _map(self, entries: Any, depth: int) -> None:
        self.add("{")
        named = [(_simple(adopted(key)), item) for key, item in entries.items()]
        for at, (name, item) in enumerate(sorted(named, key=itemgetter(0))):
            self.add(f"{', ' if at else ''}{name}: ")
            self.value(adopted(item), depth)
        self.add("}")


def _deeper(depth: int) -> int:
    if depth >= _DEEPEST:
        raise EvaluationError("cel.too-deep", f"a value has more than {_DEEPEST} levels")
    return depth + 1


def _simple(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    if kind in NUMBERS:
        return _special(value) or _number(value)
    if kind is bytes:
        try:
            return value.decode()  # type: ignore[no-any-return]
        except UnicodeDecodeError:
            raise EvaluationError("cel.invalid", "the bytes are not UTF-8") from None
    if kind in MOMENTS:
        return timestamp_text(value)
    if kind in SPANS:
        return duration_text(value)
    if kind is Type:
        return value.name  # type: ignore[no-any-return]
    raise EvaluationError("cel.invalid", f"the clause %s does not take a value of type {type_of(value)}")
