"""A policy in a file that changes while it is in use: the last version that was good is in force.

In come a path and a schema, then facts, many times; out come decisions, each of one whole policy that loaded.
What must hold: a file that does not load, or that others may write, or that is older, changes nothing but
`problem`; the sequence never falls; no exception leaves `decide` for what a file says or for want of one.

Theory of operation. The engine in force is one attribute, and a swap is one assignment: who decides reads it
once and is never held up by who loads. `decide` looks at the file's status now and then, and reads it once
two looks in a row have seen the same, so that a file that is being written is left alone; a policy of which
the end is not there yet may well load, and lack the rules that deny. Content that was read is known by its
digest, and is neither compiled nor complained about twice.

A gateway needs none of this. Its policy is in force for all processes on one store at one moment, is recorded
in the ledger, and denies where it can't be loaded; the store tells each of them when to read the files again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from cigate.decision import Decision
from cigate.errors import ConfigError, PolicyError
from cigate.facts import Facts, Schema
from cigate.policy.engine import PolicyEngine
from cigate.policy.loading.reading import POLICY_LIMITS
from cigate.wire import ownfile

_LOG: Final = logging.getLogger("cigate")
_MOST_TOLD: Final = 100

_Status: TypeAlias = tuple[int, ...] | None
"""What changes when a file, its owner, its mode or its folders' do; None: there is no file."""


class LivePolicy:
    """The policy that a file holds, for a host that uses `PolicyEngine` without a gateway. Safe from many threads.

    Make one with `from_path`; then ask `decide`. A version replaces the one in force if it loads and its
    `metadata.sequence` is higher. Write a new version beside the file and rename it to the file's name:
    then nobody ever sees half of it.
    """

    def __init__(
        self, path: Path, schema: Schema | None, every: timedelta | None, clock: Callable[[], float]
    ) -> None:
        self._path = path
        self._schema = Schema.default() if schema is None else schema
        self._every = every.total_seconds() if every is not None else float("inf")
        self._clock = clock
        self._due = clock() + self._every
        self._loading, self._process = threading.RLock(), os.getpid()
        self._seen: _Status = None
        self._read: _Status = None
        self._problem: PolicyError | None = None
        self._told: set[str] = set()
        raw = self._bytes(_status(path))
        self._engine = self._loaded(raw)
        self._last: tuple[str, PolicyError | None] = _digest(raw), None

    @classmethod
    def from_path(
        cls,
        path: str | PathLike[str],
        schema: Schema | None = None,
        *,
        every: timedelta | None = timedelta(seconds=1),
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Load a policy from a file, and follow the file.

        Args:
            path: the file; only this process's user and root may be able to write it.
            schema: as of `PolicyEngine.from_yaml`.
            every: how often `decide` looks at the file at most; None: never, only `reload` does.
            clock: seconds that never go back.

        Raises:
            PolicyError: as `PolicyEngine.from_path`, and `policy.writable-by-others`, `policy.owner`: the first
                version must be good.
        """
        return cls(Path(path), schema, every, clock)

    @property
    def engine(self) -> PolicyEngine:
        """The policy in force. Ask it, and not this again, for what belongs to one decision."""
        return self._engine

    @property
    def problem(self) -> PolicyError | None:
        """Why the file as it was last read is not in force; None: it is."""
        return self._problem

    def decide(self, facts: Facts | Mapping[str, Any]) -> Decision:
        """What the policy in force says of these facts, as `PolicyEngine.decide`; never raises for the file."""
        if self._clock() >= self._due:
            self._look()
        return self._engine.decide(facts)

    def reload(self) -> bool:
        """Read the file now, as on a signal. Whether what it holds is in force; if not, `problem` says why."""
        with self._turn():
            self._read = None  # nobody knows yet whether it will stay so: `decide` is to look again
            self._follow(_status(self._path))
            return self._problem is None

    def _turn(self) -> threading.RLock:
        """The lock of who loads. A child of a fork has its own, for the thread that held it is not there.

        The same thread may take it twice: a signal's handler may reload while its thread does.
        """
        if self._process != os.getpid():
            self._loading, self._process = threading.RLock(), os.getpid()
        return self._loading

    def _look(self) -> None:
        """Read the file if it is another one, and has not changed since the last look."""
        turn = self._turn()
        if not turn.acquire(blocking=False):
            return  # another thread is at it
        try:
            found = _status(self._path)
            if found == self._seen and (found is None or found != self._read):
                self._read = found if self._follow(found) else None
            self._seen = found
            self._due = self._clock() + self._every
        finally:
            turn.release()

    def _follow(self, status: _Status) -> bool:
        """Take what the file holds, or keep what is in force and say why. Whether there is no need to try again."""
        content, settled = "", True
        try:
            raw = self._bytes(status)
            content = _digest(raw)
            self._problem = self._verdict(content, raw)
        except PolicyError as error:
            self._problem, settled = _alone(error), False
        if self._problem is not None:
            self._tell(content, self._problem)
        return settled

    def _verdict(self, content: str, raw: bytes) -> PolicyError | None:
        """Why this content can't be in force; None: from now on it is."""
        if content == self._last[0]:
            return self._last[1]
        try:
            self._swap(self._loaded(raw))
            verdict = None
        except PolicyError as error:
            verdict = _alone(error)
        except Exception as error:  # noqa: BLE001  # no file may take its host down; what is in force stays
            _LOG.error("the policy %s failed to load", self._path, exc_info=error)
            name = type(error).__name__
            return PolicyError("policy.error", f"the policy failed to load: {name}", where=str(self._path))
        self._last = content, verdict
        return verdict

    def _swap(self, engine: PolicyEngine) -> None:
        before = self._engine
        if engine.digest != before.digest:
            if engine.sequence <= before.sequence:
                raise PolicyError(
                    "policy.sequence",
                    f"policy {engine.name!r} has sequence {engine.sequence}, and {before.sequence} is in force",
                    where=str(self._path),
                    fix=f"raise metadata.sequence above {before.sequence}",
                )
            _LOG.info("policy %s: sequence %d is in force", engine.name, engine.sequence)
        self._engine = engine

    def _loaded(self, raw: bytes) -> PolicyEngine:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolicyError(
                "policy.encoding", "the file is not UTF-8", where=f"{self._path}:1:1"
            ) from error
        return PolicyEngine.from_yaml(text, self._schema, str(self._path))

    def _bytes(self, status: _Status) -> bytes:
        """What the file holds, if its status is still this once it has been read."""
        if status is not None and not stat.S_ISREG(status[0]):  # to open a pipe would wait for its writer
            raise PolicyError("policy.unreadable", "can't be read: not a file", where=str(self._path))
        try:
            raw = ownfile.read(self._path, self._path.name, most=POLICY_LIMITS.octets, where=str(self._path))
        except ConfigError as error:
            code = error.code.replace("config.", "policy.")
            raise PolicyError(code, error.message, where=str(self._path), fix=error.fix) from error
        if _status(self._path) != status:
            raise PolicyError(
                "policy.unreadable", "can't be read: it changed meanwhile", where=str(self._path)
            )
        return raw

    def _tell(self, content: str, problem: PolicyError) -> None:
        """To the log, once for each content, or for each way in which there is none."""
        known = f"{content} {problem}"
        if known not in self._told:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told.add(known)
            _LOG.error("policy %s: sequence %d stays: %s", self._engine.name, self._engine.sequence, problem)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _status(path: Path) -> _Status:
    try:
        one = os.stat(path)
        folders = [os.stat(each).st_mode for each in (path.parent, path.resolve().parent)]
    except OSError:
        return None
    return (
        one.st_mode,
        one.st_uid,
        one.st_dev,
        one.st_ino,
        one.st_size,
        one.st_mtime_ns,
        one.st_ctime_ns,
        *folders,
    )


def _alone(error: PolicyError) -> PolicyError:
    """The error without its traceback, which would keep all of a document that is not in force."""
    return PolicyError(error.code, error.message, where=error.where, fix=error.fix)
