"""A fact's value as CEL would write it, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from cigate.cel.rendering import render_literal
from cigate.wire.times import seconds, timestamp

_LONGEST: Final = 200


def shown(value: object) -> str:
    """A value as CEL would write it, cut where it is long."""
    match value:
        case datetime():
            text = timestamp(value)
        case timedelta():
            text = seconds(value)
        case Mapping():
            text = "{" + ", ".join(f"{shown(name)}: {shown(each)}" for name, each in value.items()) + "}"
        case list() | tuple():
            text = "[" + ", ".join(shown(each) for each in value) + "]"
        case str() | bytes() | bool() | int() | float() | None:
            text = render_literal(value)
        case _:
            text = type(value).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
