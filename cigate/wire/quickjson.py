"""I-JSON at the speed of the standard library's scanner, for documents of megabytes that are almost always right.

Text and limits come in; out comes the very value that `ijson.scan` gives, or None: there is a doubt, and the
exact scanner must be asked, which knows what is wrong and where. A doubt may be about a good document, such
as one with a surrogate pair; it is never missing where `ijson.scan` refuses.

Theory of operation. The library's scanner is as strict as RFC 8259 in all but what the hooks below see:
names, numbers and NaN. What it does not tell a hook is bounded by looking at the text before (half surrogates,
the number of values) or at the value afterwards (depth).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from cigate.wire.ijson import BIGGEST_INTEGER, Json, Limits

_LONGEST_INTEGER: Final = 17  # of -(2^53-1)
_LONGEST_REAL: Final = 128
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


class _Doubtful(ValueError):
    """This may be no I-JSON."""


def value(text: str, limits: Limits) -> Json:
    """The value of a document that is an object or an array within limits, beyond doubt; else None."""
    # each value but the first follows a comma, or opens a container; so do commas and brackets inside strings
    most = 1 + text.count(",") + text.count("[") + text.count("{")
    if most > limits.items or _SURROGATE.search(text) is not None:
        return None
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return found if type(found) in (dict, list) and _within(found, limits.depth) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Doubtful
    return found


def _integer(written: str) -> int:
    # the length first: what Python takes for an integer of 5,000 digits grows with their square
    if len(written) > _LONGEST_INTEGER or abs(number := int(written)) > BIGGEST_INTEGER:
        raise _Doubtful
    return number


def _real(written: str) -> float:
    number = float(written) if len(written) <= _LONGEST_REAL else 0.0
    if number == 0.0 or not math.isfinite(number):  # zero may be what a number came to that is none
        raise _Doubtful
    return number


def _constant(name: str) -> NoReturn:
    raise _Doubtful(name)


def _within(found: Any, depth: int) -> bool:
    """Whether containers stand at most so deep in one another; nothing that is deeper is walked into."""
    level = [found]
    for _ in range(depth):
        level = [
            item
            for outer in level
            for item in (outer.values() if type(outer) is dict else outer)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return True
    return False


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
)
