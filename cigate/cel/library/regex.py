"""`matches` and `regex.*`, on RE2's syntax and in linear time (cel-spec, langdef.md; cel-go, ext/README.md, "Regex").

A pattern that is wrong where it is written is refused when the rule loads; one that a fact brings raises here.
`matches` here takes any pattern; for one that is written in the rule the compiled function has its `matcher` at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.patterns import Finder, Spans, encoded, finder, matcher
from cigate.cel.types import BOOL, INT, STRING, list_of, optional_of
from cigate.cel.values import LONGEST_LIST, LONGEST_TEXT, NONE, Optional, no_overload


def matches(text: Any, pattern: Any) -> bool:
    """Is the pattern found in the text?

    Raises:
        EvaluationError: `cel.invalid`; `cel.too-costly`.
    """
    if type(text) is not str or type(pattern) is not str:
        raise no_overload(text, pattern)
    return matcher(pattern)(text)


def replace(text: Any, pattern: Any, by: Any, count: Any = -1) -> str:
    r"""The text with matches replaced: all of them, or the first so many. `\1` is what the first group took.

    Raises:
        EvaluationError: `cel.invalid`, of the pattern or of what replaces it; `cel.too-costly`.
    """
    if not (type(text) is type(pattern) is type(by) is str and type(count) is int):
        raise no_overload(text, pattern, by, count)
    if count == 0:
        return text
    search, data = finder(pattern), encoded(text)
    parts: list[bytes] = []
    template: list[bytes | int] | None = None
    size, end = 0, 0
    for number, spans in enumerate(search.each(data)):
        if number == count:
            break
        if template is None:
            template = _template(by, search.groups)
        made = [data[end : spans[0][0]], *(_piece(data, spans, piece) for piece in template)]
        size += sum(map(len, made))
        if size > 4 * LONGEST_TEXT:
            raise _too_long()
        parts += made
        end = spans[0][1]
    found = _decoded(b"".join([*parts, data[end:]]))
    if len(found) > LONGEST_TEXT:
        raise _too_long()
    return found


def extract(text: Any, pattern: Any) -> Optional:
    """The first match, or what its one group took; none if that is nothing.

    Raises:
        EvaluationError: `cel.invalid`, also of a pattern of several groups; `cel.too-costly`.
    """
    search, data = _of_one_group(text, pattern)
    for spans in search.each(data):
        begin, end = spans[-1]
        if search.groups and begin == end:
            return NONE
        return Optional(_decoded(data[begin:end]))
    return NONE


def extract_all(text: Any, pattern: Any) -> list[str]:
    """All matches, or what the one group took in each, but where it took nothing.

    Raises:
        EvaluationError: `cel.invalid`, also of a pattern of several groups; `cel.too-costly`.
    """
    search, data = _of_one_group(text, pattern)
    found: list[str] = []
    for spans in search.each(data):
        begin, end = spans[-1]
        if search.groups and begin == end:
            continue
        if len(found) == LONGEST_LIST:
            raise EvaluationError(
                "cel.too-costly", f"a list of an expression has at most {LONGEST_LIST} items"
            )
        found.append(_decoded(data[begin:end]))
    return found


def _of_one_group(text: Any, pattern: Any) -> tuple[Finder, bytes]:
    if type(text) is not str or type(pattern) is not str:
        raise no_overload(text, pattern)
    search = finder(pattern)
    if search.groups > 1:
        raise EvaluationError("cel.invalid", "the pattern has more than one group: which one is meant?")
    return search, encoded(text)


def _template(by: str, groups: int) -> list[bytes | int]:
    pieces: list[bytes | int] = []
    plain: list[str] = []
    signs = iter(by)
    for sign in signs:
        if sign != "\\":
            plain.append(sign)
            continue
        after = next(signs, "")
        if after == "\\":
            plain.append(after)
        elif not after or after not in "0123456789":
            raise EvaluationError(
                "cel.invalid", "in a replacement a backslash stands before a digit or another"
            )
        elif int(after) > groups:
            raise EvaluationError("cel.invalid", "a replacement names a group that the pattern has not")
        else:
            pieces += [encoded("".join(plain)), int(after)]
            plain.clear()
    return [*pieces, encoded("".join(plain))]


def _piece(data: bytes, spans: Spans, piece: bytes | int) -> bytes:
    if isinstance(piece, bytes):
        return piece
    begin, end = spans[piece]
    return data[begin:end] if begin >= 0 else b""


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        # RE2's \C takes one byte, whatever it is a part of
        raise EvaluationError("cel.invalid", "the pattern takes characters apart") from None


def _too_long() -> EvaluationError:
    return EvaluationError(
        "cel.too-costly", f"a string of an expression has at most {LONGEST_TEXT} characters"
    )


FUNCTIONS: Final = (
    Function("matches", (Overload((STRING,), BOOL, of=STRING), Overload((STRING, STRING), BOOL)), matches),
    Function(
        "regex.replace",
        (Overload((STRING, STRING, STRING), STRING), Overload((STRING, STRING, STRING, INT), STRING)),
        replace,
    ),
    Function("regex.extract", (Overload((STRING, STRING), optional_of(STRING)),), extract),
    Function("regex.extractAll", (Overload((STRING, STRING), list_of(STRING)),), extract_all),
)

FAILS: Final[Mapping[str, frozenset[str]]] = {
    function.name: frozenset({"cel.invalid", "cel.too-costly"}) for function in FUNCTIONS
}
