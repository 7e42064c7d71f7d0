"""One section of a configuration, read strictly: what was wanted comes out, or an error with its place.

`where` is the JSON pointer of the value in the section that its room was given; who holds the file turns it
into line and column. A name that nobody reads is an error, for a misspelled restriction restricts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from cigate.errors import ConfigError
from cigate.wire.names import did_you_mean
from cigate.wire.pointers import place, shown
from cigate.wire.times import parse_duration


def below(where: str, name: str | int) -> str:
    """The pointer of a member of what stands at `where`."""
    return where + place([name])


def section(value: object, where: str, *, known: Collection[str] | None = None) -> Mapping[str, Any]:
    """A map whose names are strings and, if `known` is given, each among these.

    Raises:
        ConfigError: `config.type`, `config.unknown-key`.
    """
    if not isinstance(value, Mapping):
        raise _wrong("a map", value, where)
    for name in value:
        if not isinstance(name, str):
            raise _wrong("a map whose names are strings", name, where)
        if known is not None and name not in known:
            raise unknown_name("key", name, known, below(where, name))
    return value


def unknown_name(what: str, name: str, known: Collection[str], where: str) -> ConfigError:
    """The error for a name that does not exist, with the nearest one that does: `config.unknown-<what>`."""
    return ConfigError(
        f"config.unknown-{what}",
        f"{shown(name)} is not known here",
        where=where,
        fix=did_you_mean(name, known),
    )


def text(value: object, where: str) -> str:
    """A string that is not empty.

    Raises:
        ConfigError: `config.type`.
    """
    if not isinstance(value, str) or not value:
        raise _wrong("a text", value, where)
    return value


def texts(value: object, where: str) -> tuple[str, ...]:
    """A list of strings, none empty. A single string is no list of its letters.

    Raises:
        ConfigError: `config.type`.
    """
    if not isinstance(value, list | tuple):
        raise _wrong("a list of texts", value, where)
    for at, item in enumerate(value):
        if not isinstance(item, str) or not item:
            raise _wrong("a text", item, below(where, at))
    return tuple(value)


def boolean(value: object, where: str) -> bool:
    """True or false; `yes` is a string and refused.

    Raises:
        ConfigError: `config.type`.
    """
    if not isinstance(value, bool):
        raise _wrong("true or false", value, where)
    return value


def whole(value: object, where: str, *, least: int, most: int) -> int:
    """An integer from `least` to `most`.

    Raises:
        ConfigError: `config.type`, `config.range`.
    """
    if type(value) is not int:
        raise _wrong("a whole number", value, where)
    if not least <= value <= most:
        raise ConfigError("config.range", f"{value} is not from {least} to {most}", where=where)
    return value


def duration(value: object, where: str) -> timedelta:
    """A duration above zero, as `10m`.

    Raises:
        ConfigError: `config.type`, `config.duration`.
    """
    if not isinstance(value, str):
        raise _wrong("a duration such as 10m", value, where)
    try:
        found = parse_duration(value)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            "config.duration", str(error), where=where, fix="write it as 10m or 1h30m"
        ) from error
    if found <= timedelta(0):
        raise ConfigError("config.duration", "a duration must be above zero", where=where)
    return found


_NAMES: Final[Mapping[type, str]] = {
    type(None): "nothing",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a fraction",
    Mapping: "a map",
    list: "a list",
}
"""What the values of a document are called to those who write one; the values themselves may be secret."""


def _wrong(wanted: str, found: object, where: str) -> ConfigError:
    name = next((words for kind, words in _NAMES.items() if isinstance(found, kind)), type(found).__name__)
    if found == "":
        name = "an empty one"
    fix = "yes, no, on and off are texts" if wanted == "true or false" and isinstance(found, str) else ""
    return ConfigError("config.type", f"expected {wanted}, found {name}", where=where, fix=fix)
