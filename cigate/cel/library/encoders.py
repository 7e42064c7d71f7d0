"""`base64.encode` and `base64.decode`: the standard alphabet, as cel-go's extension reads and writes it."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.types import BYTES, STRING
from cigate.cel.values import LONGEST_TEXT, no_overload, text

_WORDS: Final = re.compile(r"(?P<data>[A-Za-z0-9+/]*)(?P<padding>={0,2})")


def encode(data: Any) -> str:
    """The bytes in base64, padded."""
    if type(data) is not bytes:
        raise no_overload(data)
    return text(b2a_base64(data, newline=False).decode())


def decode(written: Any) -> bytes:
    """The bytes of a text in base64: padded wholly or not at all, line ends ignored.

    Raises:
        EvaluationError: `cel.invalid`; `cel.too-costly`.
    """
    if type(written) is not str:
        raise no_overload(written)
    if len(written) > 2 * LONGEST_TEXT:
        raise EvaluationError("cel.too-costly", f"bytes of an expression are at most {LONGEST_TEXT}")
    found = _WORDS.fullmatch(written.replace("\n", "").replace("\r", ""))
    odd = len(found["data"]) % 4 if found else 1
    if found is None or odd == 1 or (found["padding"] and (odd == 0 or odd + len(found["padding"]) != 4)):
        raise EvaluationError("cel.invalid", "the text is not base64")
    made = a2b_base64(found["data"] + "=" * (-odd % 4))
    if len(made) > LONGEST_TEXT:
        raise EvaluationError("cel.too-costly", f"bytes of an expression are at most {LONGEST_TEXT}")
    return made


FUNCTIONS: Final = (
    Function("base64.encode", (Overload((BYTES,), STRING),), encode),
    Function("base64.decode", (Overload((STRING,), BYTES),), decode),
)

FAILS: Final[Mapping[str, frozenset[str]]] = {
    "base64.encode": frozenset({"cel.too-costly"}),
    "base64.decode": frozenset({"cel.invalid", "cel.too-costly"}),
}
