"""The values of CEL as plain Python: what comes in from a caller, and what goes out to one.

Comes in: whatever a caller's facts hold. Goes out: None, bool, int, UInt, float, str, bytes, list, dict, aware
datetimes in UTC, timedeltas, `Optional`, `Type`. Between the two every value has one of exactly these types, so
that all else may tell values apart by `type(value) is …`, which a bool that is an int to Python can't fool.

Containers are not walked when they come in: what is in them is adopted when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType, NoneType
from typing import Any, Final, NoReturn

from attrs import frozen
from typing_extensions import override

from cigate.cel.error import EvaluationError
from cigate.cel.syntax import UInt
from cigate.cel.times import LONGEST, Duration, Timestamp, nanoseconds
from cigate.cel.types import TYPE_VALUES, Type

LONGEST_TEXT: Final = 2**20
"""The most characters that a string or bytes made by an expression has."""

LONGEST_LIST: Final = 2**17
"""The most items that a list or map made by an expression has."""

MOST_PARTS: Final = 2**17
"""How many values a deep walk looks at: a list that holds one list twice, and so on, doubles at each level."""

_DEEPEST: Final = 100


class _Nothing:
    """What `NONE` holds; it is no value."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "none"

    @override
    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""Where a value is looked for and there is none: null is a value."""


@frozen(repr=False)
class Optional:
    """A value that may be absent: `Optional(value)`, or `NONE`."""

    value: Any

    def __bool__(self) -> NoReturn:
        raise TypeError("an optional is not true or false: compare its value")

    @override
    def __repr__(self) -> str:
        return "NONE" if self.value is NOTHING else f"Optional({self.value!r})"


NONE: Final = Optional(NOTHING)


class MixedMap(Mapping[Any, Any]):
    """A map that has both `true` and `1`, or both `false` and `0`, among its keys; no dict of Python can.

    It stays within an expression: as an outcome it is an error (`cel.result`).
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[Any, Any]]) -> None:
        self._entries = {(type(key) is bool, key): (key, value) for key, value in entries}

    @override
    def __getitem__(self, key: Any) -> Any:
        return self._entries[type(key) is bool, key][1]

    @override
    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._entries.values())

    @override
    def __len__(self) -> int:
        return len(self._entries)


LISTS: Final = frozenset({list, tuple})
MAPS: Final = frozenset({dict, MappingProxyType, MixedMap})
NUMBERS: Final = frozenset({int, UInt, float})
MOMENTS: Final = frozenset({datetime, Timestamp})
SPANS: Final = frozenset({timedelta, Duration})

AT_ONCE: Final = frozenset({str, bool, NoneType, float, bytes, Optional, Type}) | LISTS | MAPS
"""Types all of whose objects are values as they are."""


def adopted(value: Any) -> Any:
    """A caller's object as a value of CEL; containers are taken as they are.

    Raises:
        EvaluationError: `cel.input`, of what CEL has no value for: an integer beyond 64 bits, a time without a
            zone, a foreign object. The message never shows it.
    """
    kind = type(value)
    if kind in AT_ONCE:
        return value
    if kind is int:
        if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
            return value
    elif kind is UInt:
        if 0 <= value <= 0xFFFFFFFFFFFFFFFF:
            return value
    elif kind in MOMENTS:
        if value.tzinfo is UTC:
            return value
        if value.tzinfo is not None and value.utcoffset() is not None:
            return _in_utc(value)
    elif kind in SPANS:
        if -LONGEST <= value <= LONGEST or -(2**63) <= nanoseconds(value) < 2**63:
            return value
    else:
        return _plain(value)
    raise _no_value(kind)


def _in_utc(value: datetime) -> datetime:
    # two times of one zone are compared and subtracted by their clocks, whatever the zone does between them
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise EvaluationError("cel.input", "a time lies outside the years 1 to 9999 in UTC") from None


def _plain(value: object) -> Any:
    match value:
        case str():
            return str.__str__(value)
        case UInt():
            return adopted(UInt(int(value)))
        case int():
            return adopted(int.__index__(value))
        case float():
            return float.__float__(value)
        case bytes():
            return bytes.__getitem__(value, slice(None))
        case datetime():
            return adopted(datetime.combine(value.date(), value.timetz()))
        case timedelta():
            return adopted(timedelta(value.days, value.seconds, value.microseconds))
        case dict():  # as the built-in types see them: a subclass may invent items, and never end
            return dict.copy(value)
        case list():
            return list.copy(value)
        case tuple():
            return tuple.__getitem__(value, slice(None))
        case Mapping():
            return _bounded_copy(value)
    raise _no_value(type(value))


def _bounded_copy(value: Mapping[Any, Any]) -> dict[Any, Any]:
    entries = dict(islice(value.items(), LONGEST_LIST + 1))
    if len(entries) > LONGEST_LIST:
        raise EvaluationError("cel.too-costly", f"a map that is no dict has more than {LONGEST_LIST} entries")
    return entries


def _no_value(kind: type) -> EvaluationError:
    return EvaluationError("cel.input", f"a {kind.__name__} is no value of CEL, or is out of its range")


def result(value: Any) -> Any:
    """What a caller gets: lists are lists, maps are dicts, however deep.

    Raises:
        EvaluationError: `cel.result`, of a map that no dict can hold; `cel.too-deep`; `cel.too-costly`, of what
            has too many parts; `cel.input`, of a caller's object that is no value.
    """
    kind = type(value)
    if kind is bool or kind is str or kind is int:
        return value
    return _whole(value, 0, [MOST_PARTS]) if kind in LISTS or kind in MAPS or kind is Optional else value


def _whole(value: Any, depth: int, left: list[int]) -> Any:
    value = adopted(value)
    kind = type(value)
    if kind in LISTS:
        spend(len(value), depth, left)
        return [_whole(item, depth + 1, left) for item in value]
    if kind is MixedMap:
        raise EvaluationError("cel.result", "a map that has both true and 1 for keys can't be given out")
    if kind in MAPS:
        spend(2 * len(value), depth, left)
        return {adopted(key): _whole(item, depth + 1, left) for key, item in value.items()}
    if kind is Optional and value.value is not NOTHING:
        spend(1, depth, left)
        return Optional(_whole(value.value, depth + 1, left))
    return value


def spend(parts: int, depth: int, left: list[int]) -> None:
    """Count parts of a value that is walked through, of which there may be so many, so deep."""
    if depth >= _DEEPEST:
        raise EvaluationError("cel.too-deep", f"a value has more than {_DEEPEST} levels")
    left[0] -= parts
    if left[0] < 0:
        raise EvaluationError("cel.too-costly", f"a value has more than {MOST_PARTS} parts")


_NAMES: Final[Mapping[type, str]] = {
    NoneType: "null_type",
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    Optional: "optional_type",
    Type: "type",
    **dict.fromkeys(LISTS, "list"),
    **dict.fromkeys(MAPS, "map"),
    **dict.fromkeys(MOMENTS, "google.protobuf.Timestamp"),
    **dict.fromkeys(SPANS, "google.protobuf.Duration"),
}


def type_of(value: Any) -> Type:
    """The type of a value, without the types of what is in it."""
    return TYPE_VALUES[_NAMES[type(value)]]


def no_overload(*operands: Any) -> EvaluationError:
    """The error of an operation that is not defined on these types; it shows their types, never a value."""
    kinds = ", ".join(_NAMES.get(type(operand), "?") for operand in operands)
    return EvaluationError("cel.no-such-overload", f"the operation is not defined on ({kinds})")


def text(made: str) -> str:
    """A string that an expression made.

    Raises:
        EvaluationError: `cel.too-costly`.
    """
    if len(made) > LONGEST_TEXT:
        raise EvaluationError("cel.too-costly", f"a string has more than {LONGEST_TEXT} characters")
    return made


def integer(made: int) -> int:
    """An int that an expression made.

    Raises:
        EvaluationError: `cel.overflow`.
    """
    if -0x8000000000000000 <= made <= 0x7FFFFFFFFFFFFFFF:
        return made
    raise EvaluationError("cel.overflow", "an int has 64 bits")


def unsigned(made: int) -> UInt:
    """A uint that an expression made.

    Raises:
        EvaluationError: `cel.overflow`.
    """
    if 0 <= made <= 0xFFFFFFFFFFFFFFFF:
        return UInt(made)
    raise EvaluationError("cel.overflow", "a uint has 64 bits and no sign")
