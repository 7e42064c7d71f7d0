"""libyaml's events to one plain value: what `yamldoc` reads when a document is not JSON.

In comes text and how much of it may be there; out comes the value, or an error at the event that it is about.
What must hold: no anchor is expanded, no tag is obeyed, no key stands twice, nothing recurses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from typing_extensions import override

from cigate.errors import CigateError
from cigate.wire.ijson import BIGGEST_INTEGER, Json, Limits
from cigate.wire.pointers import shown

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
# A leading zero makes a string: YAML 1.1 counts 010 as eight and YAML 1.2 as ten.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER: Final = 128
_TELLING: Final = frozenset("~nNtTfF+-.0123456789")
"""How a scalar without quotes begins that may be no string; what begins otherwise is one, unless it is empty."""


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


def events(text: str) -> Iterator[yaml.Event]:
    """What libyaml reads, in its order.

    Raises:
        YAMLError: `yaml.syntax`.
    """
    take = yaml.CSafeLoader(text).get_event
    try:
        yield from iter(take, None)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise YAMLError("yaml.syntax", error.problem or "this is not YAML", where=where) from None
    except yaml.YAMLError as error:
        raise YAMLError("yaml.syntax", shown(str(error))) from None


def value(text: str, limits: Limits) -> Json:
    """The value, in one pass over the events.

    `inside` is the container that is open, `key` the one that has been read and waits for its value, and
    `stack` holds what stands around them. Some 25 events make a rule of a policy, and there may be 20,000
    rules: what every event needs is in this loop, and what few of them need is not.
    """
    root: list[Json] = []
    inside: Any = root  # a dict or a list; to tell mypy which costs an assertion for each event
    key: str | None = None
    stack: list[tuple[Any, str | None]] = []
    keys: dict[str, str] = {}  # one string for all keys of a name: less memory, and faster to look up
    items, most, deepest = 0, limits.items, limits.depth
    event: Any
    found: Any
    for event in events(text):
        kind = type(event)
        if kind is yaml.ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                raise _decorated(event)
            found = event.value
            if not event.style and (not found or found[0] in _TELLING):
                found = _plain(event, found)
            if key is None and type(inside) is dict:
                key = keys.setdefault(found, found) if type(found) is str else None
                if key is None or key in inside or (key == "<<" and not event.style):
                    raise _wrong_key(event, key)
                continue
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.anchor is not None or event.tag is not None:
                raise _decorated(event)
            if key is None and type(inside) is dict:
                raise _wrong_key(event, None)
            found = {} if kind is yaml.MappingStartEvent else []
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            inside, key = stack.pop()
            continue
        else:
            _refuse_frame(event, root)
            continue
        items += 1
        if items > most:
            raise _at(event, "yaml.too-many", f"more than {most} values")
        if type(inside) is dict:
            inside[key] = found
            key = None
        else:
            inside.append(found)
        if kind is not yaml.ScalarEvent:
            if len(stack) >= deepest:
                raise _at(event, "yaml.too-deep", f"more than {deepest} levels of nesting")
            stack.append((inside, key))
            inside = found
    if not root:
        raise YAMLError("yaml.documents", "the document is empty", where="1:1")
    return root[0]


def _refuse_frame(event: yaml.Event, root: list[Json]) -> None:
    """What stands around a value, or in place of one, may say only that one document begins and ends."""
    if isinstance(event, yaml.AliasEvent):
        raise _at(event, "yaml.alias", "aliases are not read; write the value out")
    if isinstance(event, yaml.DocumentStartEvent):
        if event.version or event.tags:
            raise _at(event, "yaml.directive", "directives are not read")
        if root:
            raise _at(event, "yaml.documents", "a second document; one file holds one")


def _decorated(event: yaml.NodeEvent) -> YAMLError:
    if event.anchor is not None:
        return _at(event, "yaml.alias", "anchors are not read; write the value out")
    return _at(event, "yaml.tag", "tags are not read")


def _wrong_key(event: yaml.NodeEvent, key: str | None) -> YAMLError:
    if key is None:
        return _at(event, "yaml.key", "a key must be a string; put it in quotes")
    if key == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style:
        return _at(event, "yaml.alias", "merge keys are not read; write the values out")
    return _at(event, "yaml.duplicate-key", f"the key {shown(key)!r} stands here twice")


def _plain(event: yaml.ScalarEvent, text: str) -> bool | int | float | str | None:
    """A scalar without quotes by YAML 1.2's core schema, decimal integers only."""
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
    line, column = position(event)
    return YAMLError(code, message, where=f"{line}:{column}")


def position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1, mark.column + 1
