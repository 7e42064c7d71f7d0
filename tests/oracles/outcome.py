"""What evaluating an expression comes to, in a form in which the answers of all engines can be compared.

In comes plain Python; out comes nested tuples that say the type of every value, so that `1`, `1u`, `1.0` and
`true` are four things; or `Failed`, for every error is like every other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import field, frozen

from cigate.cel import Type, UInt

Outcome = Any
"""A nested tuple that `told` gives, or `Failed`."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}


@frozen
class Failed:
    """There is no value. Two failures are equal: engines name their errors as they like.

    Args:
        said: what the engine said.
        refused: the expression did not even compile.
    """

    said: str = field(default="", eq=False)
    refused: bool = field(default=False, eq=False)


def told(value: Any) -> Outcome:
    """A value of ours, or of an engine whose values are plain Python, with its type at every level."""
    match value:
        case None:
            return ("null",)
        case bool():
            return ("bool", value)
        case UInt():
            return ("uint", int(value))
        case int():
            return ("int", int(value))
        case float():
            return double(value)
        case str():
            return ("string", str(value))
        case bytes() | bytearray():
            return ("bytes", bytes(value))
        case datetime():
            finer = getattr(value, "nanosecond", 0)
            return ("timestamp", (value - EPOCH) // timedelta(microseconds=1) * 1000 + finer)
        case timedelta():
            finer = getattr(value, "nanosecond", 0)
            return ("duration", value // timedelta(microseconds=1) * 1000 + finer)
        case Type():
            return ("type", TYPES.get(value.name, value.name))
        case Mapping():
            return ("map", frozenset((told(key), told(item)) for key, item in value.items()))
        case list() | tuple():
            return ("list", tuple(told(item) for item in value))
    if type(value).__name__ == "Optional":
        return ("optional", *(() if not value else (told(value.value),)))
    raise AssertionError(f"{type(value)} is no value of an expression")


def double(value: float) -> Outcome:
    """A double; every NaN is like every other here, for what is compared is what engines say."""
    return ("double", "nan" if math.isnan(value) else value.hex())
