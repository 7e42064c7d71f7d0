"""`math.*`: the greatest and least of numbers, rounding, signs, bits.

As cel-go's extension at its newest version has them (ext/README.md, "Math"). A number keeps its type: nothing here
turns an int into a double but `math.sqrt`. Bits are those of 64-bit words, so shifts lose what falls off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from operator import and_, gt, lt, or_, xor
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.syntax import UInt
from cigate.cel.types import BOOL, DOUBLE, DYN, INT, UINT, Type, list_of
from cigate.cel.values import LISTS, NUMBERS, adopted, integer, no_overload

_WORD: Final = 0xFFFFFFFFFFFFFFFF
_SIGN: Final = 1 << 63
_MOST_ARGUMENTS: Final = 16


def _extreme(beats: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def extreme(*numbers: Any) -> Any:
        if len(numbers) == 1 and type(numbers[0]) in LISTS:
            numbers = tuple(map(adopted, numbers[0]))
            if not numbers:
                raise EvaluationError("cel.invalid", "an empty list has no greatest and no least number")
        if not numbers or not all(type(number) in NUMBERS for number in numbers):
            raise no_overload(*numbers)
        if len(numbers) > 1 and any(number != number for number in numbers):
            raise EvaluationError("cel.invalid", "NaN is neither greater nor less than a number")
        found = numbers[0]
        for number in numbers[1:]:
            if beats(number, found):  # of equal ones the first, whatever its type
                found = number
        return found

    return extreme


def _of_double(apply: Callable[[float], Any]) -> Callable[[Any], Any]:
    def call(value: Any) -> Any:
        if type(value) is not float:
            raise no_overload(value)
        return apply(value)

    return call


def _whole(round_: Callable[[float], float]) -> Callable[[float], float]:
    # what is not finite stays, and a negative number that becomes zero stays negative
    return lambda value: math.copysign(round_(value), value) if math.isfinite(value) else value


def _half_away(value: float) -> float:
    whole = float(math.trunc(value))
    return whole + math.copysign(1.0, value) if abs(value - whole) >= 0.5 else whole


def absolute(value: Any) -> Any:
    """The number without its sign."""
    if type(value) is int:
        return integer(abs(value))
    if type(value) is UInt:
        return value
    if type(value) is float:
        return abs(value)
    raise no_overload(value)


def sign(value: Any) -> Any:
    """-1, 0 or 1 in the type of the number."""
    kind = type(value)
    if kind not in NUMBERS:
        raise no_overload(value)
    return value if value != value else kind((value > 0) - (value < 0))


def square_root(value: Any) -> float:
    """The root as a double; NaN of a negative number."""
    if type(value) not in NUMBERS:
        raise no_overload(value)
    return math.sqrt(value) if not value < 0 else math.nan


def _bits(apply: Callable[[int, int], int]) -> Callable[[Any, Any], Any]:
    def call(left: Any, right: Any) -> Any:
        kind = type(left)
        if kind is not type(right) or kind not in (int, UInt):
            raise no_overload(left, right)
        return kind(apply(int(left), int(right)))

    return call


def complement(value: Any) -> Any:
    """The number with every bit turned."""
    if type(value) is int:
        return ~value
    if type(value) is UInt:
        return UInt(int(value) ^ _WORD)
    raise no_overload(value)


def _shift(apply: Callable[[int, int], int]) -> Callable[[Any, Any], Any]:
    def call(value: Any, by: Any) -> Any:
        kind = type(value)
        if kind not in (int, UInt) or type(by) is not int:
            raise no_overload(value, by)
        if by < 0:
            raise EvaluationError("cel.invalid", "bits are shifted by a number that is not negative")
        word = apply(int(value) & _WORD, by) & _WORD if by < 64 else 0
        return UInt(word) if kind is UInt else (word ^ _SIGN) - _SIGN

    return call


def _same(*kinds: Type, of: int = 1) -> tuple[Overload, ...]:
    return tuple(Overload((kind,) * of, kind) for kind in kinds)


def _numbers() -> tuple[Overload, ...]:
    kinds: Sequence[Type] = (INT, UINT, DOUBLE)
    overloads = [
        *_same(*kinds),
        *(Overload((list_of(kind),), kind) for kind in kinds),
        Overload((list_of(DYN),), DYN),
    ]
    for count in (2, 3):
        for takes in product(kinds, repeat=count):
            overloads.append(Overload(takes, takes[0] if len(set(takes)) == 1 else DYN))
    for count in range(4, _MOST_ARGUMENTS + 1):
        # every mixture would be 3 to the power of their number
        overloads += [*_same(*kinds, of=count), Overload((DYN,) * count, DYN)]
    return tuple(overloads)


_ON_DOUBLE: Final[Mapping[str, tuple[Type, Callable[[float], Any]]]] = {
    "math.ceil": (DOUBLE, _whole(math.ceil)),
    "math.floor": (DOUBLE, _whole(math.floor)),
    "math.round": (DOUBLE, _whole(_half_away)),
    "math.trunc": (DOUBLE, _whole(math.trunc)),
    "math.isNaN": (BOOL, math.isnan),
    "math.isInf": (BOOL, math.isinf),
    "math.isFinite": (BOOL, math.isfinite),
}
_SHIFTED: Final = (Overload((INT, INT), INT), Overload((UINT, INT), UINT))

FUNCTIONS: Final = (
    Function("math.greatest", _numbers(), _extreme(gt)),
    Function("math.least", _numbers(), _extreme(lt)),
    *(
        Function(name, (Overload((DOUBLE,), gives),), _of_double(apply))
        for name, (gives, apply) in _ON_DOUBLE.items()
    ),
    Function("math.abs", _same(INT, UINT, DOUBLE), absolute),
    Function("math.sign", _same(INT, UINT, DOUBLE), sign),
    Function("math.sqrt", tuple(Overload((kind,), DOUBLE) for kind in (DOUBLE, INT, UINT)), square_root),
    *(
        Function(f"math.bit{name}", _same(INT, UINT, of=2), _bits(apply))
        for name, apply in (("And", and_), ("Or", or_), ("Xor", xor))
    ),
    Function("math.bitNot", _same(INT, UINT), complement),
    Function("math.bitShiftLeft", _SHIFTED, _shift(lambda word, by: word << by)),
    Function("math.bitShiftRight", _SHIFTED, _shift(lambda word, by: word >> by)),
)

_INVALID: Final = frozenset({"cel.invalid"})

FAILS: Final[Mapping[str, frozenset[str]]] = {
    **{function.name: frozenset() for function in FUNCTIONS},
    "math.greatest": _INVALID,
    "math.least": _INVALID,
    "math.abs": frozenset({"cel.overflow"}),
    "math.bitShiftLeft": _INVALID,
    "math.bitShiftRight": _INVALID,
}
