"""YAML as people write configuration in it, with the line and column of every value.

A subset with one reading: mappings, sequences and scalars of YAML 1.2's core schema, nothing else. What
YAML 1.1 loaders are known to do in silence (the last of two equal keys wins, `no` is false, `1:30` is 90)
is refused or does not happen. JSON is read as JSON, so it loads as well.

Theory of operation: `quickjson` or `yamlvalue` builds the value without places, and tells its own errors where
they are. Where everything else stands is asked for only when a later reader finds an error: the text is read
again for that then.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import yaml
from attrs import field, frozen

from cigate.wire import ijson, quickjson, yamlvalue
from cigate.wire.ijson import Json, JSONError, Limits
from cigate.wire.pointers import pointer
from cigate.wire.yamlvalue import YAMLError

__all__ = ["LIMITS", "Document", "YAMLError", "parse"]

LIMITS: Final = Limits(octets=256 * 1024, depth=32, items=65536)
"""How much a document may be that a person writes by hand."""
_UNLIMITED: Final = Limits(octets=sys.maxsize, depth=sys.maxsize, items=sys.maxsize)

_Places: TypeAlias = Mapping[str, tuple[int, int]]

# Control characters, half surrogates, what moves text about on the screen, and everything that some YAML
# versions take for a line break and others do not.
_REFUSED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


@frozen
class Document:
    """A parsed document.

    Args:
        name: what people call it.
        value: plain dicts, lists, strings, ints, finite floats, bools and None.
    """

    name: str
    value: Json
    _text: str = field(repr=False, eq=False)

    @property
    def positions(self) -> _Places:
        """JSON pointer to (line, column), both from 1, of where each value begins."""
        return self._places[0]

    @property
    def keys(self) -> _Places:
        """The same of where the key of each value in a map begins."""
        return self._places[1]

    @cached_property
    def _places(self) -> tuple[_Places, _Places]:
        return _places_in_json(self._text) or _places_in_yaml(self._text)

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


def parse(text: str | bytes, name: str, *, limits: Limits = LIMITS) -> Document:
    """Read one document.

    Raises:
        YAMLError: `yaml.too-large`, `yaml.too-deep`, `yaml.too-many`, `yaml.encoding`, `yaml.character`,
            `yaml.syntax`, `yaml.duplicate-key`, `yaml.key` (not a string), `yaml.alias`, `yaml.tag`,
            `yaml.directive`, `yaml.documents` (not exactly one), `yaml.number`.
    """
    try:
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if len(raw) > limits.octets:
            raise YAMLError("yaml.too-large", f"more than {limits.octets} bytes")
        if isinstance(text, bytes):
            text = ijson.decode(text, limits)
        _refuse_characters(text)
        value = _json(text, limits)
        return Document(name, yamlvalue.value(text, limits) if value is None else value, text)
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


def _json(text: str, limits: Limits) -> Json:
    """The value if it is JSON, which libyaml does not read in full (long names, surrogate pairs); else None."""
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return None
    value = quickjson.value(text, limits)
    if value is not None:
        return value
    try:
        return ijson.scan(text, limits)
    except JSONError:
        # it may be YAML in flow style; and if it is neither, libyaml's own refusal says line and column
        return None


def _places_in_json(text: str) -> tuple[_Places, _Places] | None:
    """Where values and keys stand in a document that has been read; None: it is not JSON."""
    if text.lstrip(" \t\r\n")[:1] not in ("{", "["):
        return None
    found = ijson.Places()
    try:
        ijson.scan(text, _UNLIMITED, found)
    except JSONError:
        return None
    return _lines_and_columns(text, found.values), _lines_and_columns(text, found.names)


def _lines_and_columns(text: str, offsets: Mapping[str, int]) -> _Places:
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    found: dict[str, tuple[int, int]] = {}
    for place, offset in offsets.items():
        line = bisect_right(lines, offset)
        found[place] = line, offset - lines[line - 1] + 1
    return MappingProxyType(found)


def _places_in_yaml(text: str) -> tuple[_Places, _Places]:
    """The same in YAML.

    `here` is the pointer of the open container, and `step` leads from there to the next value: an index, or a
    key; None: the key comes first.
    """
    values: dict[str, tuple[int, int]] = {}
    keys: dict[str, tuple[int, int]] = {}
    here: str = ""
    step: Any = None
    stack: list[tuple[str, Any]] = []
    for event in yamlvalue.events(text):
        if isinstance(event, yaml.CollectionEndEvent):
            here, step = stack.pop()
        if not isinstance(event, yaml.NodeEvent):
            continue
        if stack and step is None and isinstance(event, yaml.ScalarEvent):
            step = event.value
            keys[here + pointer([step])] = yamlvalue.position(event)
            continue
        place = here + pointer([step]) if stack else ""
        values[place] = yamlvalue.position(event)
        step = step + 1 if isinstance(step, int) else None
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append((here, step))
            here, step = place, (0 if isinstance(event, yaml.SequenceStartEvent) else None)
    return MappingProxyType(values), MappingProxyType(keys)
