"""One parameter of an action: what a request may give for it.

Values are refused, never repaired (threats D1 to D4). Under any pattern a text has no control, format or
separator character, no `${{`, and no leading dash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import re2
from attrs import frozen

from cigate.errors import ConfigError, RequestError
from cigate.request import LONGEST_VALUE, forbidden_character
from cigate.wire import settings
from cigate.wire.ijson import BIGGEST_INTEGER
from cigate.wire.pointers import shown
from cigate.wire.settings import below

_TYPES: Final[Mapping[str, type]] = {"string": str, "integer": int, "boolean": bool}
_LONGEST_PATTERN: Final = 1024


@frozen
class Parameter:
    """What one parameter may be. A pattern is anchored: it always matches the whole value (RE2).

    Args:
        type: `string`, `integer` or `boolean`.
        pattern: of a string; a string has this or an enum, so that no string is unbounded in kind.
        max_length: of a string, in characters; 4096 where it is not given.
        enum: the values that it may have.
        minimum, maximum: of an integer, both inclusive.
        optional: it may be left out; it then has no value, never a default.

    Raises:
        ConfigError: `action.parameter`, `action.pattern`, `action.enum`, `action.range`; `where` is a pointer
            inside the parameter.
    """

    type: str
    pattern: str | None = None
    max_length: int | None = None
    enum: tuple[bool | int | str, ...] | None = None
    minimum: int | None = None
    maximum: int | None = None
    optional: bool = False

    def __attrs_post_init__(self) -> None:
        if self.type not in _TYPES:
            raise ConfigError(
                "action.parameter",
                f"{shown(str(self.type))!r} is not string, integer or boolean",
                where="/type",
            )
        self._check_bounds()
        if self.pattern is not None:
            _compiled(self.pattern)
        if self.enum is not None:
            self._check_enum(self.enum)

    def _check_bounds(self) -> None:
        of_strings = {"/pattern": self.pattern, "/maxLength": self.max_length}
        of_integers = {"/minimum": self.minimum, "/maximum": self.maximum}
        misplaced = [
            *(where for where, value in of_strings.items() if value is not None and self.type != "string"),
            *(where for where, value in of_integers.items() if value is not None and self.type != "integer"),
        ]
        if misplaced:
            message = f"{misplaced[0][1:]} has no meaning for type {self.type}"
            raise ConfigError("action.parameter", message, where=misplaced[0])
        if self.type == "string" and self.pattern is None and self.enum is None:
            raise ConfigError("action.parameter", "a string needs a pattern or an enum", where="/type")
        if self.max_length is not None and not 0 < self.max_length <= LONGEST_VALUE:
            raise ConfigError(
                "action.range", f"maxLength must be from 1 to {LONGEST_VALUE}", where="/maxLength"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ConfigError("action.range", "the minimum is above the maximum", where="/minimum")

    def _check_enum(self, values: tuple[object, ...]) -> None:
        if not values:
            raise ConfigError("action.enum", "an enum without values allows nothing", where="/enum")
        for at, value in enumerate(values):
            where = f"/enum/{at}"
            if type(value) is not _TYPES[self.type]:
                raise ConfigError(
                    "action.enum", f"{shown(repr(value))} is not of type {self.type}", where=where
                )
            if value in values[:at]:
                raise ConfigError("action.enum", f"{shown(repr(value))} stands here twice", where=where)
            if isinstance(value, str) and _forbidden(value):
                raise ConfigError(
                    "action.enum", f"{_forbidden(value)} may not stand in a parameter", where=where
                )

    @classmethod
    def from_config(cls, value: object, where: str) -> Parameter:
        """The parameter that one entry of an action's `parameters:` describes; `where` is its JSON pointer.

        Raises:
            ConfigError: `config.unknown-key`, `config.missing-key`, `config.type`, `config.range`, and what
                the class refuses.
        """
        readers: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
            "type": ("type", settings.text),
            "pattern": ("pattern", settings.text),
            "maxLength": ("max_length", _bound),
            "enum": ("enum", _values),
            "minimum": ("minimum", _bound),
            "maximum": ("maximum", _bound),
            "optional": ("optional", settings.boolean),
        }
        given = settings.section(value, where, known=readers)
        if "type" not in given:
            raise ConfigError("config.missing-key", "the key type is missing", where=where)
        read = {readers[key][0]: readers[key][1](given[key], below(where, key)) for key in given}
        try:
            return cls(**read)
        except ConfigError as error:
            error.where = where + error.where
            raise

    def check(self, value: object, where: str) -> bool | int | str:
        """The value itself, if it is one that this parameter may have.

        Raises:
            RequestError: `parameter.type`, `parameter.length`, `parameter.forbidden-character`,
                `parameter.enum`, `parameter.pattern`, `parameter.range`, with this `where`.
        """
        if type(value) is not _TYPES[self.type]:
            raise RequestError("parameter.type", f"expected {self.type}", where=where)
        assert isinstance(value, bool | int | str)
        if isinstance(value, str):
            self._check_text(value, where)
        if self.enum is not None and value not in self.enum:
            raise RequestError("parameter.enum", "this is none of the values that it may have", where=where)
        if type(value) is int:
            if self.minimum is not None and value < self.minimum:
                raise RequestError("parameter.range", f"{value} is below {self.minimum}", where=where)
            if self.maximum is not None and value > self.maximum:
                raise RequestError("parameter.range", f"{value} is above {self.maximum}", where=where)
        return value

    def _check_text(self, value: str, where: str) -> None:
        most = LONGEST_VALUE if self.max_length is None else self.max_length
        if len(value) > most:
            raise RequestError(
                "parameter.length", f"{len(value)} characters are more than {most}", where=where
            )
        found = _forbidden(value)
        if found:
            raise RequestError(
                "parameter.forbidden-character", f"{found} may not stand in a parameter", where=where
            )
        # threats D2: a program reads it as an option; an operator who wants that lists the very value
        if value.startswith("-") and (
            self.pattern is not None or self.enum is None or value not in self.enum
        ):
            raise RequestError(
                "parameter.forbidden-character", "a leading dash may not stand here", where=where
            )
        if self.pattern is not None and _compiled(self.pattern).fullmatch(value) is None:
            raise RequestError("parameter.pattern", f"it does not match {shown(self.pattern)}", where=where)

    def to_json(self) -> dict[str, Any]:
        """The parameter as the configuration spells it; what is not given is absent."""
        given = {
            "pattern": self.pattern,
            "maxLength": self.max_length,
            "enum": None if self.enum is None else list(self.enum),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }
        kept = {name: value for name, value in given.items() if value is not None}
        return {"type": self.type, **kept, "optional": self.optional}


def _bound(value: object, where: str) -> int:
    return settings.whole(value, where, least=-BIGGEST_INTEGER, most=BIGGEST_INTEGER)


def _values(value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError("config.type", f"expected a list, found {type(value).__name__}", where=where)
    return tuple(value)


def _forbidden(value: str) -> str:
    """What may stand in no parameter under any pattern; empty if nothing of it is there."""
    return "${{" if "${{" in value else forbidden_character(value) or ""


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        if len(pattern) > _LONGEST_PATTERN:
            raise ConfigError("action.pattern", f"more than {_LONGEST_PATTERN} characters", where="/pattern")
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        text = shown(error.args[0].decode() if isinstance(error.args[0], bytes) else str(error))
        raise ConfigError(
            "action.pattern", f"RE2 does not take this pattern: {text}", where="/pattern"
        ) from None
