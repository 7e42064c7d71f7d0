"""cel-python's values: facts in, plain Python out, and errors that are handed on as values.

Every operation on them is total in cel-python's sense: an error is a value, so that `&&` and `||` can
absorb it (cel-spec, langdef.md, "Logical operators").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

from celpy import celtypes
from celpy.evaluation import CELEvalError

from cigate.cel.error import EvaluationError
from cigate.cel.syntax import UInt

Bool, Int, Uint, Double = celtypes.BoolType, celtypes.IntType, celtypes.UintType, celtypes.DoubleType
String, Bytes, List, Map = celtypes.StringType, celtypes.BytesType, celtypes.ListType, celtypes.MapType
Timestamp, Duration = celtypes.TimestampType, celtypes.DurationType

NUMBERS: Final = (Int, Uint, Double)


class Refused(Exception):
    """An operation that has no value for its operands."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


def to_cel(value: Any) -> Any:
    """A fact as the evaluator's value.

    Raises:
        EvaluationError: `cel.input`, of what CEL has no value for (a naive time, an integer beyond 64 bits).
    """
    match value:
        case None:
            return None
        case bool():
            return Bool(value)
        case UInt() if 0 <= value < 2**64:
            return Uint(int(value))
        case int() if not isinstance(value, UInt) and -(2**63) <= value < 2**63:
            return Int(int(value))
        case float():
            return Double(value)
        case str():
            return String(str.__str__(value))
        case bytes():
            return Bytes(value)
        case datetime() if value.tzinfo is not None:
            return Timestamp(value.astimezone(UTC))
        case timedelta():
            return Duration(value)
        case Mapping():
            return Map({to_cel(key): to_cel(item) for key, item in value.items()})
        case list() | tuple():
            return List([to_cel(item) for item in value])
    raise EvaluationError("cel.input", f"a {type(value).__name__} is no value of CEL, or is out of its range")


def to_python(value: Any) -> Any:
    """A result as plain Python, told by its exact type: a boolean of the evaluator is an int to Python.

    Raises:
        EvaluationError: `cel.result`, of something that is no value (a type, an error within a list).
    """
    kind = type(value)
    if value is None:
        return None
    if kind is Bool:
        return bool(value)
    if kind is Int:
        return int(value)
    if kind is Uint:
        return UInt(value)
    if kind is Double:
        return float(value)
    if kind is String:
        return str.__str__(value)
    if kind is Bytes:
        return bytes(value)
    if kind is Timestamp:
        return datetime.fromisoformat(datetime.isoformat(value)).astimezone(UTC)
    if kind is Duration:
        return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    if kind is List:
        return [to_python(item) for item in value]
    if kind is Map:
        return {to_python(key): to_python(item) for key, item in value.items()}
    raise EvaluationError("cel.result", "the expression gives something that is no value")


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with errors as values, in and out."""

    @wraps(function)
    def total(*operands: Any) -> Any:
        for operand in operands:
            if isinstance(operand, CELEvalError):
                return operand
        try:
            return function(*operands)
        except Refused as refused:
            return CELEvalError(*refused.args)
        except ZeroDivisionError:
            return CELEvalError("cel.divide-by-zero", "division by zero")
        except OverflowError:
            return CELEvalError("cel.overflow", "a result is out of range")
        except ValueError:
            return CELEvalError("cel.invalid", "a value is out of its domain")
        except (TypeError, AttributeError):
            return no_overload(*operands)

    return total


def no_overload(*operands: Any) -> CELEvalError:
    """The error of an operation that is not defined on these types; it never shows a value."""
    kinds = ", ".join(_spoken(operand) for operand in operands)
    return CELEvalError("cel.no-such-overload", f"the operation is not defined on ({kinds})")


def _spoken(value: Any) -> str:
    return type(value).__name__.removesuffix("Type").lower()


def number(value: Any) -> int | float:
    """A number as Python's own, which compares integers with doubles exactly."""
    return float(value) if type(value) is Double else int(value)


def whole(kind: Any, value: int) -> Any:
    """An integer of 64 bits, signed or unsigned.

    Raises:
        Refused: `cel.overflow`.
    """
    low, high = (-(2**63), 2**63) if kind is Int else (0, 2**64)
    if not low <= value < high:
        raise Refused("cel.overflow", "an integer has 64 bits")
    return kind(value)
