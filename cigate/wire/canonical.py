"""Canonical JSON (RFC 8785, JCS) for digests and ledger entries: one value, one sequence of bytes.

Floats are refused: their shortest form is where implementations of JCS part ways, and nothing here has any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Final

from cigate.wire.ijson import BIGGEST_INTEGER, JSONError
from cigate.wire.pointers import place, shown

_DEEPEST: Final = 64


def encode(value: object) -> bytes:
    """The canonical bytes of a JSON value: names in order of UTF-16 code units, no space, UTF-8.

    Mappings and tuples count as objects and arrays.

    Raises:
        JSONError: `json.float`, `json.number` (beyond ±(2^53-1)), `json.surrogate`, `json.key` (a name that
            is no string), `json.type` (no JSON value), `json.too-deep`; `where` is its JSON pointer.
    """
    parts: list[str] = []
    _write(value, (), parts)
    return "".join(parts).encode("utf-8")


def digest(value: object) -> str:
    """`sha256:` and the hex digest of the canonical bytes.

    Raises:
        JSONError: as `encode`.
    """
    return "sha256:" + hashlib.sha256(encode(value)).hexdigest()


def _write(value: object, path: tuple[str | int, ...], parts: list[str]) -> None:
    match value:
        case None:
            parts.append("null")
        case bool():
            parts.append("true" if value else "false")
        case str():
            parts.append(_string(value, path))
        case int():
            if abs(value) > BIGGEST_INTEGER:
                raise JSONError("json.number", "an integer must be within ±(2^53-1)", where=place(path))
            parts.append(int.__repr__(value))
        case float():
            raise JSONError("json.float", "a float has no place in canonical JSON here", where=place(path))
        case Mapping():
            _enter(path)
            parts.append("{")
            for at, name in enumerate(_in_order(value, path)):
                parts.append("," if at else "")
                parts.append(encode_basestring(name))
                parts.append(":")
                _write(value[name], (*path, name), parts)
            parts.append("}")
        case list() | tuple():
            _enter(path)
            parts.append("[")
            for at, item in enumerate(value):
                parts.append("," if at else "")
                _write(item, (*path, at), parts)
            parts.append("]")
        case _:
            raise JSONError("json.type", f"{type(value).__name__} is no JSON value", where=place(path))


def _enter(path: tuple[str | int, ...]) -> None:
    if len(path) >= _DEEPEST:
        raise JSONError("json.too-deep", f"more than {_DEEPEST} levels of nesting", where=place(path))


def _in_order(names: Mapping[object, object], path: tuple[str | int, ...]) -> list[str]:
    """The names of an object in order of their UTF-16 code units, which for ASCII is that of the strings."""
    plain = [name for name in names if isinstance(name, str) and name.isascii()]
    if len(plain) == len(names):
        return sorted(plain)
    return [str(name) for name in sorted(names, key=lambda name: _utf16(name, path))]


def _utf16(name: object, path: tuple[str | int, ...]) -> bytes:
    if not isinstance(name, str):
        raise JSONError("json.key", f"the name {shown(repr(name))} is not a string", where=place(path))
    _string(name, (*path, name))
    return name.encode("utf-16-be")


def _string(value: str, path: tuple[str | int, ...]) -> str:
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise JSONError("json.surrogate", "half of a surrogate pair", where=place(path)) from None
    return encode_basestring(value)
