"""JSON pointers (RFC 6901), and how text that a stranger wrote is shown in a message."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST_PLACE = 256


def pointer(steps: Iterable[str | int]) -> str:
    """The pointer to what these member names and indexes lead to; the whole document is the empty string."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def place(steps: Iterable[str | int]) -> str:
    """The pointer as an error's `where`: a stranger's names can neither move a cursor nor fill a log."""
    return shown(pointer(steps), most=_LONGEST_PLACE)


def shown(text: str, *, most: int = 80) -> str:
    """Text on one line: at most `most` characters of it, and what does not print is escaped as `\\u001b`."""
    cut = text if len(text) <= most else text[:most] + "…"
    return cut if cut.isprintable() else "".join(map(_escaped, cut))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"
