"""A value that only its one reader may see: whatever shows, stores or copies values gets `[redacted]`.

A wrapper is hygiene against accidents (a log line, a traceback with locals, a pickle), not a boundary: code
in this process can always reach what this process holds. The value is kept under a random mask, so that
nothing reachable from a Secret holds it in one piece, and an error keeps no frame whose locals show it.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn, TypeVar, final
from urllib.parse import quote, quote_plus

from typing_extensions import override

from cigate.errors import ConfigError

T = TypeVar("T")

REDACTED: Final = "[redacted]"

_MOST_OCTETS: Final = 64 * 1024
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@final
class Secret:
    """A credential or key, masked. It has no attributes to read, no value equality, no hash, no copy.

    Args:
        value: what is to be kept; text is kept as UTF-8.

    Raises:
        ConfigError: `secret.empty`, `secret.type`.
    """

    __slots__ = ("_mask", "_masked")

    _mask: bytes
    _masked: bytes

    def __init__(self, value: str | bytes) -> None:
        if not isinstance(value, str | bytes):
            del value
            raise ConfigError("secret.type", "a secret is text or bytes")
        if not value:
            raise ConfigError("secret.empty", "a secret must not be empty")
        octets = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        mask = secrets.token_bytes(len(octets))
        object.__setattr__(self, "_mask", mask)
        object.__setattr__(self, "_masked", _xor(octets, mask))

    @classmethod
    def from_env(cls, name: str) -> Secret:
        """The value of an environment variable.

        Raises:
            ConfigError: `secret.missing`, it is not set or empty.
        """
        if not os.environ.get(name):
            raise ConfigError("secret.missing", f"the environment variable {name} is not set, or is empty")
        return cls(os.fsencode(os.environ[name]))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Secret:
        """The content of a file, without one line end at its end.

        Raises:
            ConfigError: `secret.missing` (it can't be read), `secret.file` (no regular file, over 64 KiB, or
                others may write it), `secret.empty`.
        """
        where = Path(path)
        try:
            # non-blocking, so that a FIFO in its place can't hold us
            descriptor = os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise ConfigError("secret.missing", f"the secret file {where} can't be read: {error}") from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_OCTETS:
                raise ConfigError(
                    "secret.file", f"{where} is no regular file of at most {_MOST_OCTETS} bytes"
                )
            if found.st_mode & _OTHERS_MAY_WRITE:
                raise ConfigError("secret.file", f"others may write {where}", fix=f"chmod go-w {where}")
            return cls(os.read(descriptor, _MOST_OCTETS).removesuffix(b"\n").removesuffix(b"\r"))
        finally:
            os.close(descriptor)

    def reveal_to(self, write: Callable[[bytes], T]) -> T:
        """Call the channel's writer with the value, and give back what it returns.

        If the writer raises, its error passes without its frames: their locals hold the value.
        """
        under_way = sys.exception()
        try:
            return write(_xor(self._masked, self._mask))
        except BaseException as error:
            _drop_frames(error, keep=under_way)
            raise

    def matches(self, other: Secret | str | bytes) -> bool:
        """Whether this is the same value, in constant time for values of one length."""
        if isinstance(other, Secret):
            return other.reveal_to(self.matches)
        octets = other.encode("utf-8", "surrogatepass") if isinstance(other, str) else other
        return hmac.compare_digest(_xor(self._masked, self._mask), octets)

    def scrub(self, data: bytes) -> bytes:
        """The data with the value taken out: as it is, reversed, and in base64, hex, URL and JSON spelling.

        Hygiene, never a boundary: a program can always spell its secret in a way that nobody looks for.
        Give it the whole output; what straddles two pieces is not found.
        """
        return self.reveal_to(lambda value: _scrubbed(value, data))

    @override
    def __repr__(self) -> str:
        return f"Secret('{REDACTED}')"

    @override
    def __str__(self) -> str:
        return REDACTED

    @override
    def __format__(self, spec: str) -> str:
        return REDACTED

    def __bytes__(self) -> bytes:
        return REDACTED.encode()

    @override
    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]  # a hash would be an oracle for the value, or a lie

    @override
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret does not change")

    @override
    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret does not change")

    def __iter__(self) -> NoReturn:
        raise TypeError("a Secret can't be iterated")

    def __copy__(self) -> NoReturn:
        raise TypeError("a Secret can't be copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a Secret can't be copied")

    @override
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret can't be pickled")

    @override
    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled")


def _xor(one: bytes, other: bytes) -> bytes:
    size = len(one)
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(size, "big")


def _drop_frames(error: BaseException, *, keep: BaseException | None) -> None:
    """Forget the frames of an error and of all that led to it, but not of what was handled before it."""
    seen = {id(keep)}
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        waiting += [each.__context__, each.__cause__]


def _scrubbed(value: bytes, data: bytes) -> bytes:
    for spelling in sorted(set(_spelt(value)), key=len, reverse=True):
        data = data.replace(spelling, REDACTED.encode())
    return data


def _spelt(value: bytes) -> Iterator[bytes]:
    yield value
    yield value[::-1]
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted.encode()
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted).encode()
    text = value.decode("utf-8", "replace")
    yield text[::-1].encode()
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(value)
        yield encode(value).rstrip(b"=")
        # in a longer text it begins at one of three places of a group; both ends depend on the neighbours
        for before in range(3):
            begin = (before * 8 + 5) // 6
            end = (before + len(value)) * 8 // 6
            inner = encode(b"\0" * before + value + b"\0\0")[begin:end]
            if len(inner) >= 8:
                yield inner
