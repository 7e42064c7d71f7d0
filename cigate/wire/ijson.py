"""I-JSON (RFC 7493), read strictly: one meaning, or a typed refusal.

Theory of operation. Two readers must never disagree about what was signed, so everything on which JSON
readers are known to differ is refused: doubled names, lone surrogates, NaN, integers beyond 2^53-1, text
after the end. The scanner is a loop over one regular expression with its own stack: every character is
looked at a bounded number of times and nothing recurses, so hostile input costs no more than its length.
Bytes are counted before they are decoded, levels before they are entered, digits before they are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import MutableMapping
from typing import Final, TypeAlias

from attrs import field, frozen

from cigate.errors import CigateError
from cigate.wire.pointers import place, pointer, shown

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value as Python holds it."""

BIGGEST_INTEGER: Final = 2**53 - 1

_MOST_DIGITS: Final = 16  # of 2^53-1
_LONGEST_NUMBER: Final = 128

_SPACE = re.compile(r"[ \t\n\r]*+")
_BETWEEN = re.compile(r"[ \t\n\r]*+([,\]}])?[ \t\n\r]*+")
_PLAIN_NAME = re.compile(r'"([^"\\\x00-\x1f]*+)"[ \t\n\r]*+:[ \t\n\r]*+')
_TOKEN = re.compile(
    r'"(?P<string>[^"\\\x00-\x1f]*+)"'
    r"|(?P<open>[\[{])"
    r"|(?P<number>-?(?P<digits>0|[1-9][0-9]*+)(?P<real>(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?))"
    r"|(?P<word>true|false|null)"
)
_CHUNK = re.compile(r'[^"\\\x00-\x1f]*+')
_FOUR_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


class JSONError(CigateError):
    """These bytes are not I-JSON within bounds; `where` is a JSON pointer, or `line:column`."""


@frozen
class Limits:
    """How much of a document is read at most.

    Args:
        octets: bytes, counted before anything is decoded.
        depth: arrays and objects inside one another.
        items: values in the whole document, the document itself included.
    """

    octets: int = 64 * 1024
    depth: int = 32
    items: int = 4096


def parse(raw: bytes, *, limits: Limits = Limits()) -> Json:
    """The one value that these bytes are, as RFC 7493 (I-JSON) has it.

    Raises:
        JSONError: `json.too-large`, `json.too-deep`, `json.too-many`, `json.encoding`, `json.syntax`,
            `json.duplicate-key`, `json.surrogate`, `json.number`. Nothing else is raised, whatever the bytes.
    """
    return scan(decode(raw, limits), limits)


def decode(raw: bytes, limits: Limits) -> str:
    """Bytes to text, once they are known to be few enough: UTF-8 without a byte order mark.

    Raises:
        JSONError: `json.too-large`, `json.encoding`.
    """
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise JSONError("json.encoding", f"expected bytes, found {type(raw).__name__}")
    size = memoryview(raw).nbytes
    if size > limits.octets:
        raise JSONError("json.too-large", f"{size} bytes are more than {limits.octets}")
    octets = bytes(raw)
    if octets.startswith(b"\xef\xbb\xbf"):
        raise JSONError("json.encoding", "a byte order mark is not allowed (RFC 8259, 8.1)", where="1:1")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = line_and_column(octets[: error.start].decode("utf-8"), error.start)
        raise JSONError("json.encoding", "this is not UTF-8", where=f"{line}:{column}") from None


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Where an offset is, as people count: both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@frozen
class Places:
    """Where in a text each JSON pointer's value begins, and where the name of a member does."""

    values: MutableMapping[str, int] = field(factory=dict)
    names: MutableMapping[str, int] = field(factory=dict)


def scan(text: str, limits: Limits, places: Places | None = None) -> Json:
    """Text to value; `places`, if given, is told where everything begins.

    Raises:
        JSONError: as `parse`.
    """
    return _Scanner(text, limits, places).document()


class _Scanner:
    """One pass over one text. `_path` holds the name or index of the value being read, level by level."""

    def __init__(self, text: str, limits: Limits, places: Places | None) -> None:
        self._text = text
        self._limits = limits
        self._places = places
        self._path: list[str | int] = []
        self._items = 0

    def document(self) -> Json:
        text, path = self._text, self._path
        at = self._skip(0)
        result, at, opened = self._value(at)
        stack: list[list[Json] | dict[str, Json]] = []
        if opened:
            assert isinstance(result, list | dict)
            stack.append(result)
        fresh = opened
        while stack:
            inside = stack[-1]
            between = _BETWEEN.match(text, at)
            assert between is not None
            at, mark = between.end(), between[1]
            if mark == ("]" if isinstance(inside, list) else "}"):
                stack.pop()
                if not fresh:
                    path.pop()
                fresh = False
                continue
            if mark != (None if fresh else ","):
                raise self._broken(between.start(1) if mark else at, "expected a comma or the end")
            if not fresh:
                path.pop()
            value: Json
            if isinstance(inside, list):
                path.append(len(inside))
                value, at, opened = self._value(at)
                inside.append(value)
            else:
                name, at = self._name(at, inside)
                value, at, opened = self._value(at)
                inside[name] = value
            fresh = opened
            if opened:
                assert isinstance(value, list | dict)
                if len(stack) >= self._limits.depth:
                    raise self._refused("json.too-deep", f"more than {self._limits.depth} levels of nesting")
                stack.append(value)
        at = self._skip(at)
        if at != len(text):
            raise self._broken(at, "text after the end of the document")
        return result

    def _name(self, at: int, inside: dict[str, Json]) -> tuple[str, int]:
        plain = _PLAIN_NAME.match(self._text, at)
        if plain is not None:
            name, after = plain[1], plain.end()
            self._path.append(name)
        else:
            name, after = self._spelt_name(at)
        if name in inside:
            raise self._refused("json.duplicate-key", f"the name {shown(name)!r} stands here twice")
        if self._places is not None:
            self._places.names[pointer(self._path)] = at
        return name, after

    def _spelt_name(self, at: int) -> tuple[str, int]:
        """A name with escapes in it, or what stands in its place."""
        if self._text[at : at + 1] != '"':
            raise self._broken(at, "expected a member name in double quotes")
        self._path.append("")
        name, at = self._string(at)
        self._path[-1] = name
        at = self._skip(at)
        if self._text[at : at + 1] != ":":
            raise self._broken(at, "expected a colon")
        return name, self._skip(at + 1)

    def _value(self, at: int) -> tuple[Json, int, bool]:
        """The value that begins here, where it ends, and whether it is a container only just opened."""
        self._items += 1
        if self._items > self._limits.items:
            raise self._refused("json.too-many", f"more than {self._limits.items} values")
        if self._places is not None:
            self._places.values[pointer(self._path)] = at
        found = _TOKEN.match(self._text, at)
        if found is None:
            if self._text[at : at + 1] == '"':
                return *self._string(at), False
            raise self._broken(at, "expected a value")
        match found.lastgroup:
            case "string":
                return found["string"], found.end(), False
            case "open":
                return ([] if found["open"] == "[" else {}), found.end(), True
            case "word":
                return _WORDS[found["word"]], found.end(), False
        return self._number(found), found.end(), False

    def _number(self, found: re.Match[str]) -> int | float:
        written = found["number"]
        if not found["real"]:
            if len(found["digits"]) > _MOST_DIGITS or abs(number := int(written)) > BIGGEST_INTEGER:
                raise self._refused("json.number", "an integer must be within ±(2^53-1)")
            return number
        if len(written) > _LONGEST_NUMBER:
            raise self._refused("json.number", f"a number may have {_LONGEST_NUMBER} characters")
        real = float(written)
        # RFC 7493, 2.2: no greater magnitude than a double provides; what underflows is lost as well
        if not math.isfinite(real) or (real == 0.0 and re.search("[1-9]", re.split("[eE]", written)[0])):
            raise self._refused("json.number", "a number must fit a double (RFC 7493, 2.2)")
        return real

    def _string(self, at: int) -> tuple[str, int]:
        """The string whose opening quote is at `at`, and where it ends."""
        text, parts, begin = self._text, list[str](), at
        at += 1
        while True:
            chunk = _CHUNK.match(text, at)
            assert chunk is not None
            parts.append(chunk[0])
            at = chunk.end()
            stop = text[at : at + 1]
            if stop == '"':
                return "".join(parts), at + 1
            if not stop:
                raise self._broken(begin, "a string that does not end")
            if stop != "\\":
                raise self._broken(at, "a control character in a string must be escaped")
            part, at = self._escape(at)
            parts.append(part)

    def _escape(self, at: int) -> tuple[str, int]:
        kind = self._text[at + 1 : at + 2]
        if kind in _ESCAPES:
            return _ESCAPES[kind], at + 2
        if kind != "u":
            raise self._broken(at, "an unknown escape")
        unit = self._code_unit(at)
        if not 0xD800 <= unit <= 0xDFFF:
            return chr(unit), at + 6
        if unit >= 0xDC00 or self._text[at + 6 : at + 8] != "\\u":
            raise self._refused("json.surrogate", "half of a surrogate pair (RFC 7493, 2.1)")
        low = self._code_unit(at + 6)
        if not 0xDC00 <= low <= 0xDFFF:
            raise self._refused("json.surrogate", "half of a surrogate pair (RFC 7493, 2.1)")
        return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), at + 12

    def _code_unit(self, at: int) -> int:
        digits = _FOUR_HEX.match(self._text, at + 2)
        if digits is None:
            raise self._broken(at, "\\u wants four hexadecimal digits")
        return int(digits[0], 16)

    def _skip(self, at: int) -> int:
        space = _SPACE.match(self._text, at)
        assert space is not None
        return space.end()

    def _broken(self, at: int, message: str) -> JSONError:
        line, column = line_and_column(self._text, at)
        return JSONError("json.syntax", message, where=f"{line}:{column}")

    def _refused(self, code: str, message: str) -> JSONError:
        return JSONError(code, message, where=place(self._path))
