"""The second opinion: an expression run on cel-python, as it comes, behind the interface of `cigate.cel`.

In comes the text of an expression; out comes a program that is called with facts and gives plain Python or
raises `EvaluationError`, as ours does. Nothing of our own takes part: cel-python's parser reads the text, its
operators and functions work it out. So the two share no mistake, and where they differ one of them is wrong.

cel-python is the weaker of the two, and `cigate.cel.defects` lists what is known of it, each with an example.
It checks no types, so declarations are taken and not looked at.

Nothing here is imported until somebody asks for it: it costs a parser generator. cel-python raises Python's
recursion limit for the whole process, and would lower a higher one: that is kept from happening. At debug
level it logs whole activations, which are people's facts: so its loggers are silenced unless somebody set them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import celpy
from attrs import field, frozen
from celpy import celtypes
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from cigate.cel.error import CompileError, EvaluationError
from cigate.cel.locks import lock_over_forks
from cigate.cel.syntax import UInt
from cigate.cel.types import Declarations, Type

_NAMES: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_LOCK: Final = lock_over_forks()


@frozen(eq=False)
class ReferenceProgram:
    """An expression that cel-python has parsed. Call it with facts; any number of threads may at once.

    Attributes:
        source: the text as given.
    """

    source: str
    _runner: Any = field(repr=False)
    _words: frozenset[str] = field(repr=False)

    def __call__(self, facts: Mapping[str, Any]) -> Any:
        """The value of the expression for these facts, as plain Python, as cel-python sees it.

        Raises:
            EvaluationError: it has none, for whatever reason. cel-python tells few reasons apart, so the code
                is not to be compared with ours.
        """
        read = {
            name: _to_cel(value) for name, value in facts.items() if self._words & set(name.split("."))
        }  # it goes through all that it is given, so it is given what the text may mean
        try:
            return _to_python(self._runner.evaluate(read))
        except (EvaluationError, MemoryError):
            raise
        except CELEvalError as error:
            raise _told(error) from None
        except RecursionError:
            raise EvaluationError("cel.too-deep", "the stack is too short for this expression") from None
        except Exception as error:  # noqa: BLE001  # threats B3: whatever it raises is a failed evaluation
            # Its message may hold the facts; the kind of the error does not.
            raise EvaluationError("cel.failed", f"cel-python failed: {type(error).__name__}") from None


def compile(
    source: str,
    *,
    declarations: Declarations | None = None,
    container: str = "",
    functions: Sequence[object] = (),
) -> ReferenceProgram:
    """Have cel-python parse an expression.

    Args:
        source: the expression.
        declarations: taken as `cigate.cel.compile` takes them, and not looked at: cel-python checks no types.
        container: where names are looked up first.
        functions: must be empty; a second opinion on somebody's own functions would only ask them again.

    Raises:
        CompileError: `cel.syntax`, with `where`; `cel.unsupported`.
    """
    if functions:
        raise CompileError("cel.unsupported", "cel-python is not given functions of one's own", where="1:1")
    try:
        with _LOCK:  # its parser keeps the text that it reads
            environment = _environment(container)
            runner = environment.program(environment.compile(source))
    except CELParseError as error:
        line, column = error.line or 1, error.column or 1
        raise CompileError("cel.syntax", "cel-python does not parse this", where=f"{line}:{column}") from None
    except RecursionError:
        raise CompileError("cel.too-large", "the stack is too short to parse this", where="1:1") from None
    except MemoryError:
        raise
    except Exception as error:
        told = f"cel-python does not take this: {type(error).__name__}"
        raise CompileError("cel.unsupported", told, where="1:1") from error
    return ReferenceProgram(source, runner, frozenset(_NAMES.findall(f"{container}.{source}")))


_ENVIRONMENTS: Final[dict[str, Any]] = {}


def _environment(container: str) -> Any:
    if container not in _ENVIRONMENTS:
        logger = logging.getLogger("celpy")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
        before = sys.getrecursionlimit()
        _ENVIRONMENTS[container] = celpy.Environment(package=container or None)
        sys.setrecursionlimit(max(before, sys.getrecursionlimit()))
    return _ENVIRONMENTS[container]


def _to_cel(value: Any) -> Any:
    match value:
        case None:
            return None
        case bool():
            return celtypes.BoolType(value)
        case UInt() if 0 <= value < 2**64:
            return celtypes.UintType(int(value))
        case int() if not isinstance(value, UInt) and -(2**63) <= value < 2**63:
            return celtypes.IntType(int(value))
        case float():
            return celtypes.DoubleType(value)
        case str():
            return celtypes.StringType(str.__str__(value))
        case bytes():
            return celtypes.BytesType(value)
        case datetime() if value.tzinfo is not None:
            return celtypes.TimestampType(value.astimezone(UTC))
        case timedelta():
            return celtypes.DurationType(value)
        case Mapping():
            return celtypes.MapType({_to_cel(key): _to_cel(item) for key, item in value.items()})
        case list() | tuple():
            return celtypes.ListType([_to_cel(item) for item in value])
    raise EvaluationError("cel.input", f"a {type(value).__name__} is no value of cel-python's")


_TYPES: Final[Mapping[Any, str]] = {
    celtypes.BoolType: "bool",
    celtypes.IntType: "int",
    celtypes.UintType: "uint",
    celtypes.DoubleType: "double",
    celtypes.StringType: "string",
    celtypes.BytesType: "bytes",
    celtypes.ListType: "list",
    celtypes.MapType: "map",
    celtypes.TimestampType: "google.protobuf.Timestamp",
    celtypes.DurationType: "google.protobuf.Duration",
    celtypes.TypeType: "type",
    type(None): "null_type",
}


def _to_python(value: Any) -> Any:
    """A result as plain Python. Some of its operations give Python's own types (`'a' + 'b'` is a `str`)."""
    match value:
        case None:
            return None
        case celtypes.BoolType() | bool():
            return bool(value)
        case celtypes.UintType():
            return UInt(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case str():
            return str.__str__(value)
        case bytes():
            return bytes(value)
        case datetime():
            return datetime.fromisoformat(datetime.isoformat(value)).astimezone(UTC)
        case timedelta():
            return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
        case list():
            return [_to_python(item) for item in value]
        case dict():
            return {_to_python(key): _to_python(item) for key, item in value.items()}
        case type() if value in _TYPES:
            return Type(_TYPES[value])
    raise EvaluationError("cel.result", "cel-python gives something that is no value")


def _told(error: CELEvalError) -> EvaluationError:
    """Our words for its error. Its own may hold the whole activation, so only its kind is taken from it."""
    kind = error.args[1] if len(error.args) > 1 else None
    if not isinstance(kind, type):
        return EvaluationError("cel.failed", "cel-python gives no value")
    if issubclass(kind, KeyError):
        return EvaluationError("cel.no-such-field", "cel-python knows no such name, field or function")
    if issubclass(kind, TypeError | AttributeError):
        return EvaluationError("cel.no-such-overload", "cel-python has no such operation on these types")
    if issubclass(kind, ZeroDivisionError):
        return EvaluationError("cel.divide-by-zero", "division by zero, as cel-python sees it")
    if issubclass(kind, IndexError):
        return EvaluationError("cel.out-of-range", "an index is out of range, as cel-python sees it")
    return EvaluationError("cel.failed", "cel-python gives no value")
