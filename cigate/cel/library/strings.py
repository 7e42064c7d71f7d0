"""Methods of strings, `strings.quote` and `join`, as cel-go's extension at its newest version has them.

All indexes count characters from 0 (ext/README.md, "Strings"). An index beyond the string is an error, as the
conformance tests have it, where cel-go's own text says that nothing is found there. `format` is in formatting.py,
`reverse` in lists.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.library.formatting import formatted
from cigate.cel.types import DYN, INT, STRING, Type, list_of
from cigate.cel.values import LISTS, LONGEST_LIST, LONGEST_TEXT, adopted, no_overload, text

_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER: Final = str.maketrans(ascii_lowercase, ascii_uppercase)
_ESCAPES: Final = {"\\": "\\", '"': '"', **dict(zip("\a\b\f\n\r\t\v", "abfnrtv", strict=True))}
_QUOTED: Final = str.maketrans(
    dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\ufffd")
    | {sign: f"\\{letter}" for sign, letter in _ESCAPES.items()}
)
# what Unicode calls white space (property White_Space): Python's strip takes four separators besides
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def _out_of_range() -> EvaluationError:
    return EvaluationError("cel.out-of-range", "the string has no such index")


def char_at(of: Any, at: Any) -> str:
    """The character at an index; nothing at the end."""
    if type(of) is not str or type(at) is not int:
        raise no_overload(of, at)
    if not 0 <= at <= len(of):
        raise _out_of_range()
    return of[at : at + 1]


def index_of(of: Any, wanted: Any, start: Any = 0) -> int:
    """Where a string is first found from an index on, or -1."""
    if type(of) is not str or type(wanted) is not str or type(start) is not int:
        raise no_overload(of, wanted, start)
    if not 0 <= start <= len(of):
        raise _out_of_range()
    return of.find(wanted, start)


def last_index_of(of: Any, wanted: Any, *last: Any) -> int:
    """Where a string is last found, beginning at an index or before, or -1."""
    if type(of) is not str or type(wanted) is not str or len(last) > 1:
        raise no_overload(of, wanted, *last)
    if not last:
        return of.rfind(wanted)
    if type(last[0]) is not int:
        raise no_overload(of, wanted, *last)
    if not 0 <= last[0] <= len(of):
        raise _out_of_range()
    return of.rfind(wanted, 0, last[0] + len(wanted))


def join(items: Any, between: Any = "") -> str:
    """The strings of a list as one, with a separator between them."""
    if type(items) not in LISTS or type(between) is not str:
        raise no_overload(items, between)
    parts = [adopted(item) for item in items]
    for part in parts:
        if type(part) is not str:
            raise no_overload(items, part)
    _see_length(sum(map(len, parts)) + len(between) * max(len(parts) - 1, 0))
    return between.join(parts)


def lower_ascii(of: Any) -> str:
    """The string with A to Z in lower case."""
    if type(of) is not str:
        raise no_overload(of)
    return text(of.lower() if of.isascii() else of.translate(_LOWER))


def upper_ascii(of: Any) -> str:
    """The string with a to z in upper case."""
    if type(of) is not str:
        raise no_overload(of)
    return text(of.upper() if of.isascii() else of.translate(_UPPER))


def replace(of: Any, old: Any, new: Any, count: Any = -1) -> str:
    """The string with one string replaced by another: everywhere, or the first so many times."""
    if not (type(of) is type(old) is type(new) is str and type(count) is int):
        raise no_overload(of, old, new, count)
    found = of.count(old)  # of nothing: between all characters, as Go counts too
    times = found if count < 0 else min(found, count)
    _see_length(len(of) + times * (len(new) - len(old)))
    return of.replace(old, new, times)


def split(of: Any, by: Any, limit: Any = -1) -> list[str]:
    """What stands between separators, in so many parts at most; no separator splits into characters."""
    if not (type(of) is type(by) is str and type(limit) is int):
        raise no_overload(of, by, limit)
    if limit == 0:
        return []
    parts = (of.count(by) + 1) if by else len(of)
    if (parts if limit < 0 else min(parts, limit)) > LONGEST_LIST:
        raise EvaluationError("cel.too-costly", f"a list of an expression has at most {LONGEST_LIST} items")
    most = parts - 1 if limit < 0 else limit - 1
    if by:
        return of.split(by, most)
    return [*of[:most], *([of[most:]] if of[most:] else [])] if of else []


def substring(of: Any, start: Any, *end: Any) -> str:
    """The characters from an index to the end, or up to, but not with, another."""
    if type(of) is not str or type(start) is not int or len(end) > 1 or (end and type(end[0]) is not int):
        raise no_overload(of, start, *end)
    stop = end[0] if end else len(of)
    if not 0 <= start <= stop <= len(of):
        raise _out_of_range()
    return of[start:stop]


def trim(of: Any) -> str:
    """The string without white space at its ends."""
    if type(of) is not str:
        raise no_overload(of)
    return of.strip(_SPACE)


def quote(of: Any) -> str:
    """The string as a literal of CEL; half characters become U+FFFD."""
    if type(of) is not str:
        raise no_overload(of)
    return text(f'"{of.translate(_QUOTED)}"')


def _see_length(length: int) -> None:
    if length > LONGEST_TEXT:
        raise EvaluationError(
            "cel.too-costly", f"a string of an expression has at most {LONGEST_TEXT} characters"
        )


def _method(name: str, call: Any, gives: Type, *takes: tuple[Type, ...], of: Type = STRING) -> Function:
    return Function(name, tuple(Overload(each, gives, of=of) for each in takes), call)


_STRINGS: Final = list_of(STRING)

FUNCTIONS: Final = (
    _method("charAt", char_at, STRING, (INT,)),
    _method("format", formatted, STRING, (list_of(DYN),)),
    _method("indexOf", index_of, INT, (STRING,), (STRING, INT)),
    _method("lastIndexOf", last_index_of, INT, (STRING,), (STRING, INT)),
    _method("join", join, STRING, (), (STRING,), of=_STRINGS),
    _method("lowerAscii", lower_ascii, STRING, ()),
    _method("upperAscii", upper_ascii, STRING, ()),
    _method("replace", replace, STRING, (STRING, STRING), (STRING, STRING, INT)),
    _method("split", split, _STRINGS, (STRING,), (STRING, INT)),
    _method("substring", substring, STRING, (INT,), (INT, INT)),
    _method("trim", trim, STRING, ()),
    Function("strings.quote", (Overload((STRING,), STRING),), quote),
)

_COSTLY: Final = frozenset({"cel.too-costly"})
_INDEXED: Final = frozenset({"cel.out-of-range"})

FAILS: Final[Mapping[str, frozenset[str]]] = {
    "charAt": _INDEXED,
    "format": frozenset({"cel.invalid", "cel.too-costly", "cel.too-deep"}),
    "indexOf": _INDEXED,
    "lastIndexOf": _INDEXED,
    "join": _COSTLY,
    "lowerAscii": _COSTLY,
    "upperAscii": _COSTLY,
    "replace": _COSTLY,
    "split": _COSTLY,
    "substring": _INDEXED,
    "trim": frozenset(),
    "strings.quote": _COSTLY,
}
