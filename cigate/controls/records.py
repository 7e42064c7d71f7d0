"""A control's row: one JSON object in canonical bytes, and a typed refusal when it can't be read.

Rows are read with the standard parser, not the strict one: nobody outside writes them, and some are large.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cigate.errors import StoreUnavailable
from cigate.stores import Key, Put, Rows
from cigate.wire.canonical import encode

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def record(document: Mapping[str, Any], *, expires: datetime | None = None) -> Put:
    """The write of a row that holds this object."""
    return Put(encode(document), expires)


def recorded(rows: Rows, key: Key) -> dict[str, Any] | None:
    """The object in a row, or None if there is no such row.

    Raises:
        StoreUnavailable: `store.corrupt`, the row is not one of ours.
    """
    raw = rows.get(key)
    if raw is None:
        return None
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise unreadable(key, error) from error
    if not isinstance(found, dict):
        raise unreadable(key, "it holds no object")
    return found


def unreadable(key: Key, why: object) -> StoreUnavailable:
    """A row that doubt is about: nothing is decided upon it."""
    return StoreUnavailable(
        "store.corrupt",
        f"the row {key.family}/{key.id} can't be read: {why}",
        fix="restore a backup and `adopt` it",
    )


def micros(moment: datetime) -> int:
    """Microseconds since 1970 (UTC)."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """The time that `micros` gave."""
    return _EPOCH + timedelta(microseconds=microseconds)
