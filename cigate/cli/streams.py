"""What the verbs read and write: files or stdin in, JSON on stdout, prose on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from cigate.errors import RequestError

_MOST_OCTETS: Final = 1024 * 1024


def read_input(name: str, *, most: int | None = _MOST_OCTETS) -> bytes:
    """A file's bytes, or stdin's for `-`; at most so many, so that a device can't hold us for ever.

    Raises:
        RequestError: `input.unreadable`, `input.too-large`.
    """
    wanted = -1 if most is None else most + 1
    try:
        if name == "-":
            found = sys.stdin.buffer.read(wanted)
        else:
            with open(name, "rb") as file:
                found = file.read(wanted)
    except OSError as error:
        raise RequestError("input.unreadable", f"{name!r}: {error.strerror}") from None
    if most is not None and len(found) > most:
        raise RequestError("input.too-large", f"{name!r} has more than {most} bytes")
    return found


def show(document: Any) -> None:
    """JSON on stdout, for programs and people."""
    print(json.dumps(document, indent=2, ensure_ascii=True), flush=True)


def say(text: str) -> None:
    """Prose and progress, on stderr."""
    print(text, file=sys.stderr)
