"""Refusals that nobody's signature stands behind: counted, never written singly, so that strangers can't buy commits.

The counts ride along with the next commit that somebody else causes. A process that ends before one leaves
its counts in a small file beside the store, without a sync, for the next process to take along.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from cigate.errors import CigateError
from cigate.stores import Store
from cigate.wire import canonical, ijson

log = logging.getLogger("cigate")


class Strangers:
    """Counts by code. Safe to use from many threads, and by many processes on one store.

    Args:
        left: the file in which a process leaves its counts; None: they end with it.
    """

    def __init__(self, left: Path | None) -> None:
        self._left = left
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def beside(cls, store: Store) -> Strangers:
        """Those of a store: one that lives in a file has a place beside it."""
        path = getattr(store, "path", None)
        return cls(Path(f"{path}.refused") if path is not None else None)

    def count(self, code: str) -> None:
        """Note one refusal."""
        with self._lock:
            self._counts[code] += 1

    @property
    def counts(self) -> Mapping[str, int]:
        """What this process has counted and no commit has taken along yet."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def claim(self) -> Counter[str]:
        """Take all counts, also those that ended processes left, for the commit that is about to be tried."""
        with self._lock:
            claimed, self._counts = self._counts, Counter()
        claimed.update(self._taken_up())
        return claimed

    def give_back(self, counts: Mapping[str, int]) -> None:
        """The commit did not happen: the next one takes them."""
        with self._lock:
            self._counts.update(counts)

    def leave(self) -> None:
        """This process ends: leave its counts to the next one. Not synced: nobody was promised them."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts or self._left is None:
            return
        try:
            descriptor = os.open(self._left, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, canonical.encode(counts) + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("refusals %s could not be left to the next process: %s", dict(counts), error.strerror)

    def _taken_up(self) -> Counter[str]:
        found: Counter[str] = Counter()
        if self._left is None:
            return found
        mine = self._left.with_name(f"{self._left.name}.{secrets.token_hex(4)}")
        try:
            os.rename(self._left, mine)  # only one process gets it
            lines = mine.read_bytes().splitlines()
            mine.unlink()
        except FileNotFoundError:
            return found
        except OSError as error:
            log.warning("refusals that were left can't be read: %s", error.strerror)
            return found
        for line in lines:
            try:
                counts = ijson.parse(line)
            except CigateError:
                continue  # torn: its process died while it wrote
            if isinstance(counts, dict):
                found.update({code: n for code, n in counts.items() if isinstance(n, int) and n > 0})
        return found
