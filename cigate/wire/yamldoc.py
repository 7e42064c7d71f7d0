"""YAML as people write configuration in it, with the line and column of every value.

A subset with one reading: mappings, sequences and scalars of YAML 1.2's core schema, nothing else. What
YAML 1.1 loaders are known to do in silence (the last of two equal keys wins, `no` is false, `1:30` is 90)
is refused or does not happen. JSON is read as JSON, so it loads as well.

Theory of operation: libyaml's parser gives events, and this module builds the value from them with its own
stack. No composer or constructor runs, so no anchor is expanded, no tag is obeyed and nothing recurses.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import yaml
from attrs import field, frozen
from typing_extensions import override

from cigate.errors import CigateError
from cigate.wire import ijson
from cigate.wire.ijson import BIGGEST_INTEGER, Json, JSONError, Limits
from cigate.wire.pointers import pointer, shown

_LIMITS: Final = Limits(octets=256 * 1024, depth=32, items=65536)

# Control characters, half surrogates, what moves text about on the screen, and everything that some YAML
# versions take for a line break and others do not.
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
# A leading zero makes a string: YAML 1.1 counts 010 as eight and YAML 1.2 as ten.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER: Final = 128


class YAMLError(CigateError):
    """The author must change the document; `where` is `line:column`, and `str()` puts the name before it.

    Args:
        name: the document's name, as people call the file.
    """

    def __init__(self, code: str, message: str, *, where: str = "", fix: str = "", name: str = "") -> None:
        super().__init__(code, message, where=where, fix=fix)
        self.name = name

    @override
    def __str__(self) -> str:
        after_name = ":" if self.where else ": "
        return f"{self.name}{after_name}{super().__str__()}" if self.name else super().__str__()

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.code, self.message, self.where, self.fix, self.name))


def _rebuild(code: str, message: str, where: str, fix: str, name: str) -> YAMLError:
    return YAMLError(code, message, where=where, fix=fix, name=name)


@frozen
class Document:
    """A parsed document.

    Args:
        name: what people call it.
        value: plain dicts, lists, strings, ints, finite floats, bools and None.
        positions: JSON pointer to (line, column), both from 1, of where each value begins.
        keys: the same of where the key of each value in a map begins.
    """

    name: str
    value: Json
    positions: Mapping[str, tuple[int, int]] = field(repr=False)
    keys: Mapping[str, tuple[int, int]] = field(repr=False)

    def position(self, pointer: str) -> tuple[int, int]:
        """Line and column, from 1, of the value at a JSON pointer, or of its nearest parent that is there."""
        while pointer not in self.positions:
            if not pointer:
                return (1, 1)
            pointer = pointer.rpartition("/")[0]
        return self.positions[pointer]

    def place(self, pointer: str) -> str:
        """`NAME:LINE:COLUMN` of the value at a JSON pointer, as compilers and editors write it."""
        return self._written(self.position(pointer))

    def place_of_key(self, pointer: str) -> str:
        """The same of the key that the value stands under; of the value where it has none."""
        return self._written(self.keys.get(pointer) or self.position(pointer))

    def _written(self, position: tuple[int, int]) -> str:
        line, column = position
        return f"{self.name}:{line}:{column}"


def parse(text: str | bytes, name: str) -> Document:
    """Read one document; at most 256 KiB and 32 levels.

    Raises:
        YAMLError: `yaml.too-large`, `yaml.too-deep`, `yaml.too-many`, `yaml.encoding`, `yaml.character`,
            `yaml.syntax`, `yaml.duplicate-key`, `yaml.key` (not a string), `yaml.alias`, `yaml.tag`,
            `yaml.directive`, `yaml.documents` (not exactly one), `yaml.number`.
    """
    try:
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if len(raw) > _LIMITS.octets:
            raise YAMLError("yaml.too-large", f"more than {_LIMITS.octets} bytes")
        if isinstance(text, bytes):
            text = ijson.decode(text, _LIMITS)
        _refuse_characters(text)
        return _from_json(text, name) or _Builder(text, name).document()
    except JSONError as error:
        code = error.code.replace("json.", "yaml.")
        raise YAMLError(code, error.message, where=error.where, fix=error.fix, name=name) from None
    except YAMLError as error:
        error.name = name
        raise


def _refuse_characters(text: str) -> None:
    found = _REFUSED.search(text)
    if found is not None:
        line, column = ijson.line_and_column(text, found.start())
        message = f"the character U+{ord(found[0]):04X} may not stand here"
        raise YAMLError("yaml.character", message, where=f"{line}:{column}")


def _from_json(text: str, name: str) -> Document | None:
    """The document if it is JSON, which libyaml does not read in full (long names, surrogate pairs)."""
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return None
    places = ijson.Places()
    try:
        value = ijson.scan(text, _LIMITS, places)
    except JSONError:
        # it may be YAML in flow style; and if it is neither, libyaml's own refusal says line and column
        return None
    return Document(name, value, _positions(text, places.values), _positions(text, places.names))


def _positions(text: str, offsets: Mapping[str, int]) -> Mapping[str, tuple[int, int]]:
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    found: dict[str, tuple[int, int]] = {}
    for place, offset in offsets.items():
        line = bisect_right(lines, offset)
        found[place] = line, offset - lines[line - 1] + 1
    return MappingProxyType(found)


class _Builder:
    """One pass over libyaml's events. `_path` leads to the next node; `_waiting`: its key has been read."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._positions: dict[str, tuple[int, int]] = {}
        self._keys: dict[str, tuple[int, int]] = {}
        self._stack: list[dict[str, Json] | list[Json]] = []
        self._path: list[str | int] = []
        self._root: list[Json] = []
        self._waiting = False

    def document(self) -> Document:
        try:
            for event in yaml.parse(self._text, Loader=yaml.CSafeLoader):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{mark.line + 1}:{mark.column + 1}" if mark else ""
            raise YAMLError("yaml.syntax", error.problem or "this is not YAML", where=where) from None
        except yaml.YAMLError as error:
            raise YAMLError("yaml.syntax", shown(str(error))) from None
        if not self._root:
            raise YAMLError("yaml.documents", "the document is empty", where="1:1")
        positions, keys = MappingProxyType(self._positions), MappingProxyType(self._keys)
        return Document(self._name, self._root[0], positions, keys)

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                if event.version or event.tags:
                    raise _at(event, "yaml.directive", "directives are not read")
                if self._root:
                    raise _at(event, "yaml.documents", "a second document; one file holds one")
            case yaml.AliasEvent():
                raise _at(event, "yaml.alias", "aliases are not read; write the value out")
            case yaml.NodeEvent():
                self._node(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
                self._leave()

    def _node(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            raise _at(event, "yaml.alias", "anchors are not read; write the value out")
        if getattr(event, "tag", None) is not None:
            raise _at(event, "yaml.tag", "tags are not read")
        inside = self._stack[-1] if self._stack else None
        if isinstance(inside, dict) and not self._waiting:
            self._key(event, inside)
            return
        if isinstance(inside, list):
            self._path.append(len(inside))
        self._positions[pointer(self._path)] = _position(event)
        if len(self._positions) > _LIMITS.items:
            raise _at(event, "yaml.too-many", f"more than {_LIMITS.items} values")
        value: Json
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        else:
            if len(self._stack) >= _LIMITS.depth:
                raise _at(event, "yaml.too-deep", f"more than {_LIMITS.depth} levels of nesting")
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if inside is None:
            self._root.append(value)
        elif isinstance(inside, list):
            inside.append(value)
        else:
            inside[str(self._path[-1])] = value
            self._waiting = False
        if isinstance(value, dict | list):
            self._stack.append(value)
        else:
            self._leave()

    def _leave(self) -> None:
        """The node that `_path` leads to is complete."""
        if self._path:
            self._path.pop()

    def _key(self, event: yaml.NodeEvent, inside: Mapping[str, Json]) -> None:
        key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
        if not isinstance(key, str):
            raise _at(event, "yaml.key", "a key must be a string; put it in quotes")
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style:
            raise _at(event, "yaml.alias", "merge keys are not read; write the values out")
        if key in inside:
            raise _at(event, "yaml.duplicate-key", f"the key {shown(key)!r} stands here twice")
        self._path.append(key)
        self._keys[pointer(self._path)] = _position(event)
        self._waiting = True


def _scalar(event: yaml.ScalarEvent) -> bool | int | float | str | None:
    """A scalar by YAML 1.2's core schema, decimal integers only; what is quoted is a string."""
    text: str = event.value
    if event.style:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NO_NUMBER.fullmatch(text):
        raise _at(
            event, "yaml.number", f"{text} is not a number that can be used here; put a string in quotes"
        )
    integer = _INTEGER.fullmatch(text) is not None
    if not integer and _REAL.fullmatch(text) is None:
        return text
    if len(text) > _LONGEST_NUMBER:
        raise _at(event, "yaml.number", f"a number may have {_LONGEST_NUMBER} characters")
    number = int(text) if integer else float(text)
    if (integer and abs(number) > BIGGEST_INTEGER) or not math.isfinite(number):
        raise _at(event, "yaml.number", "a number must fit ±(2^53-1), or a double")
    return number


def _at(event: yaml.Event, code: str, message: str) -> YAMLError:
    line, column = _position(event)
    return YAMLError(code, message, where=f"{line}:{column}")


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1
