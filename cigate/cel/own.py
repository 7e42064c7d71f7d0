"""Functions of one's own: a callable that sees only operands that one of its overloads is for.

What must hold: whatever such a function raises or returns, an expression that calls it has a value of the type
that the overload declares, or is in error; and no expression means anything else because such a function is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.lexer import KEYWORDS, RESERVED
from cigate.cel.library import LIBRARY
from cigate.cel.macros import MACRO_NAMES
from cigate.cel.types import DURATION, DYN, TIMESTAMP, Type
from cigate.cel.values import LISTS, MAPS, NONE, NOTHING, adopted, no_overload, type_of

_WRITTEN: Final = {TIMESTAMP.name: "google.protobuf.Timestamp", DURATION.name: "google.protobuf.Duration"}
"""How an expression names the types that have another name there."""

_WORD: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


def library_with(own: Sequence[Function]) -> Mapping[str, Function]:
    """The library's functions and one's own, by name. One's own may add signatures to one of the library.

    Raises:
        ValueError: a function has no signature, or one that there is already, or a name that can't be called.
    """
    found = dict(LIBRARY)
    for function in own:
        if not _may_be_called(function.name):
            raise ValueError(
                f"{function.name!r} is no name of a function: it is no word, or has a meaning in CEL"
            )
        if not function.overloads:
            raise ValueError(f"the function {function.name!r} has no overload")
        known = found.get(function.name)
        if known is not None and any(_form(one) in map(_form, known.overloads) for one in function.overloads):
            raise ValueError(f"there is a function {function.name!r} of this form already")
        found[function.name] = _joined(function, known)
    return MappingProxyType(found)


def _may_be_called(name: str) -> bool:
    words = name.split(".")
    if not all(_WORD.fullmatch(word) and word not in KEYWORDS for word in words) or words[0] in RESERVED:
        return False
    return name not in MACRO_NAMES and not (words[0] == "cel" and words[-1] in MACRO_NAMES)


def _form(overload: Overload) -> tuple[Type | None, tuple[Type, ...]]:
    return overload.of, overload.takes


def _joined(function: Function, known: Function | None) -> Function:
    """What was known by its name, for operands that it is for, and the function for all others."""

    def call(*operands: Any) -> Any:
        if known is not None and any(_takes(overload, operands) for overload in known.overloads):
            return known.call(*operands)
        for overload in function.overloads:
            if _takes(overload, operands):
                return _result(function, overload, operands)
        raise no_overload(*operands)

    return Function(function.name, (*(known.overloads if known else ()), *function.overloads), call)


def _takes(overload: Overload, operands: tuple[Any, ...]) -> bool:
    wanted = overload.takes if overload.of is None else (overload.of, *overload.takes)
    return len(wanted) == len(operands) and all(map(is_of, operands, wanted))


def _result(function: Function, overload: Overload, operands: tuple[Any, ...]) -> Any:
    try:
        found = adopted(function.call(*operands))
    except EvaluationError:
        raise
    except (RecursionError, MemoryError):
        raise
    except Exception as error:
        said = f"the function {function.name!r} failed: {type(error).__name__}"
        raise EvaluationError("cel.failed", said) from error
    if not is_of(found, overload.gives):
        raise EvaluationError("cel.result", f"the function {function.name!r} gave no {overload.gives}")
    return found


def is_of(value: Any, kind: Type) -> bool:
    """Is a value of a type, all through? A type parameter takes any: a list may hold values of several types."""
    if kind.parameter or kind == DYN:
        return True
    if kind.is_record:
        return type(value) in MAPS and all(
            found is NOTHING or is_of(adopted(found), field)
            for found, field in ((value.get(name, NOTHING), field) for name, field in kind.fields or ())
        )
    if type_of(value).name != _WRITTEN.get(kind.name, kind.name):
        return False
    if not kind.arguments or kind.name == "type":
        return True
    if type(value) in LISTS:
        return all(is_of(adopted(item), kind.arguments[0]) for item in value)
    if type(value) in MAPS:
        key, item = kind.arguments
        return all(is_of(adopted(k), key) and is_of(adopted(v), item) for k, v in value.items())
    return value is NONE or is_of(value.value, kind.arguments[0])
