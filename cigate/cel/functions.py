"""The standard functions: what each takes and gives (cel-spec, langdef.md, "List of Standard Definitions").

`of` is what a method is called on; None for a global function. Where CEL has both spellings, both are here.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
    map_of,
)


@frozen
class Overload:
    """One signature of a function or an operator."""

    takes: tuple[Type, ...]
    gives: Type
    of: Type | None = None


_LIST: Final = list_of(DYN)
_MAP: Final = map_of(DYN, DYN)
_SIZED: Final = (STRING, BYTES, _LIST, _MAP)


def _global(gives: Type, *each: Type) -> tuple[Overload, ...]:
    return tuple(Overload((one,), gives) for one in each)


def _text(*takes: Type) -> tuple[Overload, ...]:
    return (Overload(takes, BOOL, of=STRING),)


def _moment(*also: Type) -> tuple[Overload, ...]:
    zoned = Overload((STRING,), INT, of=TIMESTAMP)
    return (Overload((), INT, of=TIMESTAMP), zoned, *(Overload((), INT, of=one) for one in also))


FUNCTIONS: Final[dict[str, tuple[Overload, ...]]] = {
    "size": (*_global(INT, *_SIZED), *(Overload((), INT, of=one) for one in _SIZED)),
    "contains": _text(STRING),
    "startsWith": _text(STRING),
    "endsWith": _text(STRING),
    "matches": (*_text(STRING), Overload((STRING, STRING), BOOL)),
    "bool": _global(BOOL, BOOL, STRING),
    "int": _global(INT, INT, UINT, DOUBLE, STRING, TIMESTAMP),
    "uint": _global(UINT, UINT, INT, DOUBLE, STRING),
    "double": _global(DOUBLE, DOUBLE, INT, UINT, STRING),
    "string": _global(STRING, STRING, BOOL, INT, UINT, DOUBLE, BYTES, TIMESTAMP, DURATION),
    "bytes": _global(BYTES, BYTES, STRING),
    "timestamp": _global(TIMESTAMP, TIMESTAMP, STRING, INT),
    "duration": _global(DURATION, DURATION, STRING),
    "dyn": _global(DYN, DYN),
    "type": _global(TYPE, DYN),
    "getFullYear": _moment(),
    "getMonth": _moment(),
    "getDate": _moment(),
    "getDayOfMonth": _moment(),
    "getDayOfWeek": _moment(),
    "getDayOfYear": _moment(),
    "getHours": _moment(DURATION),
    "getMinutes": _moment(DURATION),
    "getSeconds": _moment(DURATION),
    "getMilliseconds": _moment(DURATION),
}

_NUMBERS: Final = (INT, UINT, DOUBLE)
_ORDERED: Final = (BOOL, STRING, BYTES, TIMESTAMP, DURATION)

_ORDER: Final = (
    *(Overload((one, one), BOOL) for one in _ORDERED),
    *(Overload((left, right), BOOL) for left in _NUMBERS for right in _NUMBERS),
)


def _same(*each: Type) -> tuple[Overload, ...]:
    return tuple(Overload((one, one), one) for one in each)


OPERATORS: Final[dict[str, tuple[Overload, ...]]] = {
    "_&&_": (Overload((BOOL, BOOL), BOOL),),
    "_||_": (Overload((BOOL, BOOL), BOOL),),
    "!_": (Overload((BOOL,), BOOL),),
    "-_": (Overload((INT,), INT), Overload((DOUBLE,), DOUBLE)),
    "_<_": _ORDER,
    "_<=_": _ORDER,
    "_>_": _ORDER,
    "_>=_": _ORDER,
    "_+_": (
        *_same(*_NUMBERS, STRING, BYTES, DURATION),
        Overload((TIMESTAMP, DURATION), TIMESTAMP),
        Overload((DURATION, TIMESTAMP), TIMESTAMP),
    ),
    "_-_": (
        *_same(*_NUMBERS, DURATION),
        Overload((TIMESTAMP, TIMESTAMP), DURATION),
        Overload((TIMESTAMP, DURATION), TIMESTAMP),
    ),
    "_*_": _same(*_NUMBERS),
    "_/_": _same(*_NUMBERS),
    "_%_": _same(INT, UINT),
}

TYPE_NAMES: Final = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"}
)
"""Names that stand for a type, as in `type(x) == int`."""
