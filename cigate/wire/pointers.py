"""JSON pointers (RFC 6901), and how text that a stranger wrote is shown in a message."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST_PLACE = 256
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def pointer(steps: Iterable[str | int]) -> str:
    """The pointer to what these member names and indexes lead to; the whole document is the empty string."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def place(steps: Iterable[str | int]) -> str:
    """The pointer as an error's `where`: a stranger's names can neither move a cursor nor fill a log."""
    return shown(pointer(steps), most=_LONGEST_PLACE)


def shown(text: str, *, most: int = 80) -> str:
    """Text on one line: at most `most` characters of it, what does not print is escaped as `\\u001b`."""
    cut = text if len(text) <= most else text[:most] + "…"
    return _UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)
