"""The functions that an expression may call: CEL's own, and the extensions that policies use. All are always on.

Each file declares functions by name with their overloads, and says which codes they can fail with when their
operands are of the right types. None of them reads a clock, the environment or the host's time zone.

In: values as `cel.values` has them. Out: `LIBRARY`, the functions by name, and `FAILS`, what can go wrong in
a rule that is well typed: `cel.overflow` (a number or time out of range), `cel.divide-by-zero`, `cel.out-of-
range` (an index), `cel.no-such-field` (a key of an open map, an optional that is none), `cel.invalid` (what a
conversion or a pattern refuses), `cel.too-costly` and `cel.too-deep` (a value too large). Whatever is not in
it never fails so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from cigate.cel import operators
from cigate.cel.functions import Function
from cigate.cel.library import core, encoders, lists, math, optionals, regex, sets, strings, times

_FILES: Final = (core, times, optionals, strings, math, lists, sets, encoders, regex)

_READING: Final = {
    "_[_]": frozenset({"cel.no-such-field", "cel.out-of-range", "cel.input"}),
    "_[?_]": frozenset({"cel.input"}),
    "_.?_": frozenset({"cel.input"}),
    "_._": frozenset({"cel.no-such-field", "cel.input"}),
    "{_}": frozenset({"cel.invalid", "cel.too-costly"}),
}
"""Reading and making containers. `cel.input` is of a caller's object that no schema lets in."""


def _merged(files: Iterable[tuple[Function, ...]]) -> Mapping[str, Function]:
    found: dict[str, Function] = {}
    for functions in files:
        for function in functions:
            if found.setdefault(function.name, function) is not function:
                raise ValueError(f"{function.name} is declared in two files")
    return MappingProxyType(found)


LIBRARY: Final = _merged(file.FUNCTIONS for file in _FILES)
"""The functions by name, without the operators."""

FAILS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {**_READING, **operators.FAILS, **{name: codes for file in _FILES for name, codes in file.FAILS.items()}}
)
"""The codes that each operator and function can fail with on operands of the right types."""
