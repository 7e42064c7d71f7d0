"""Things that go wrong, at the seams between the gateway and its parts, when a test says so.

`Faults` is the plan; `FaultyStore`, `FaultyPipeline` and `FaultyBroker` stand before honest (or lying) parts
and consult it at each call. A fault can come before the thing is done, after it was done all the same, or
change what comes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field

from cigate.credentials import DiesAt, Grant, Lease, LeaseId, Profile, Revoked, Tag
from cigate.credentials.credential import CredentialBroker, Profiled
from cigate.decision import DecisionId
from cigate.pipelines import Pipeline, Run, RunSpec
from cigate.stores import Change, Key, LockMode, Rows, Store

T = TypeVar("T")
_PATIENCE = 20.0


@define
class Fault:
    """One thing that goes wrong.

    Args:
        at: the call, such as `broker.issue`.
        about: only calls about this: the family of a row, or the name of a lock.
        raises: what is raised; None: nothing.
        gives: makes what comes back out of what would have.
        done: the thing is done all the same before `raises`.
        instead: `gives` is given None, and nothing is done.
        before: happens first, at this very moment of the request.
        after: the call first waits for this, so that the fault comes when something else goes on.
        first: from which matching call on.
        times: for how many.
    """

    at: str
    about: str = ""
    raises: Callable[[], BaseException] | None = None
    gives: Callable[[Any], Any] | None = None
    done: bool = False
    instead: bool = False
    before: Callable[[], object] | None = None
    after: threading.Event | None = None
    first: int = 1
    times: int = 1_000_000_000
    _seen: int = field(default=0, init=False)

    def strikes(self, at: str, about: Collection[str]) -> bool:
        """Whether it strikes this call, which it counts."""
        if at != self.at or (self.about and self.about not in about):
            return False
        self._seen += 1
        return self.first <= self._seen < self.first + self.times


@define
class Faults:
    """What is planned to go wrong, and what was called."""

    planned: list[Fault] = field(factory=list)
    calls: list[str] = field(factory=list)
    put_back: list[Callable[[], object]] = field(factory=list)
    _guard: threading.Lock = field(factory=threading.Lock, repr=False)

    def plan(self, at: str, **how: Any) -> None:
        """Plan a `Fault`."""
        self.planned.append(Fault(at, **how))

    def lift(self) -> None:
        """Nothing goes wrong any more, and what was taken away comes back."""
        self.planned.clear()
        while self.put_back:
            self.put_back.pop()()

    def around(self, at: str, do: Callable[[], T], about: Collection[str] = ()) -> T:
        """Do it, as far as no fault is in the way."""
        with self._guard:
            self.calls.append(at)
            fault = next((each for each in self.planned if each.strikes(at, about)), None)
        if fault is None:
            return do()
        if fault.after is not None and not fault.after.wait(_PATIENCE):
            raise AssertionError(f"{at} waits for what does not come")
        if fault.before is not None:
            fault.before()
        if fault.raises is None:
            result = None if fault.instead else do()
            return fault.gives(result) if fault.gives is not None else result  # type: ignore[return-value]
        if fault.done:
            do()
        raise fault.raises()


class FaultyStore:
    """A store that fails as planned. `about` is a row's family or a lock's name; a read of nothing but the fence,
    as before each effect, is also about `fence only`. `commits` counts the transactions that wrote."""

    def __init__(self, inner: Store, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.commits = 0

    @property
    def path(self) -> Path | None:
        return getattr(self.inner, "path", None)

    def close(self) -> None:
        self.inner.close()  # type: ignore[attr-defined]  # both of our stores can

    def read(self, keys: Collection[Key]) -> Rows:
        return self.faults.around("store.read", lambda: self.inner.read(keys), _families(keys))

    def transact(self, keys: Collection[Key], work: Callable[[Rows], Change[T]], *, now: datetime) -> T:
        wrote: list[bool] = []

        def counted(rows: Rows) -> Change[T]:
            change = work(rows)
            wrote.append(bool(change.puts))
            return change

        def do() -> T:
            result = self.inner.transact(keys, counted, now=now)
            self.commits += wrote[-1]
            return result

        return self.faults.around("store.transact", do, _families(keys))

    def scan(self, family: str, *, after: str = "", limit: int = 1000) -> Sequence[tuple[Key, bytes]]:
        return self.faults.around(
            "store.scan", lambda: self.inner.scan(family, after=after, limit=limit), {family}
        )

    @contextmanager
    def lock(self, name: str, mode: LockMode, *, timeout: timedelta) -> Iterator[None]:
        about = {name, name.partition("-")[0]}
        with self.faults.around("store.lock", lambda: self.inner.lock(name, mode, timeout=timeout), about):
            yield


class FaultyPipeline:
    """A pipeline that fails as planned."""

    def __init__(self, inner: Pipeline, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults

    @property
    def isolation(self) -> str:
        return self.inner.isolation

    def start(self, spec: RunSpec) -> Run:
        return self.faults.around("pipeline.start", lambda: self.inner.start(spec))

    def observe(self, decision_id: DecisionId, *, wait: timedelta = timedelta(0)) -> Run | None:
        return self.faults.around("pipeline.observe", lambda: self.inner.observe(decision_id, wait=wait))

    def release(self, run: Run, lease: Lease) -> None:
        self.faults.around("pipeline.release", lambda: self.inner.release(run, lease))

    def stop(self, decision_id: DecisionId) -> None:
        self.faults.around("pipeline.stop", lambda: self.inner.stop(decision_id))


class FaultyBroker:
    """A broker that fails as planned."""

    def __init__(self, inner: CredentialBroker, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return self.inner.profiles if isinstance(self.inner, Profiled) else {}

    def issue(self, grant: Grant, *, until: datetime) -> Lease:
        return self.faults.around("broker.issue", lambda: self.inner.issue(grant, until=until))

    def revoke(self, lease: LeaseId) -> Revoked | DiesAt:
        return self.faults.around("broker.revoke", lambda: self.inner.revoke(lease))

    def outstanding(self, tag: Tag) -> Sequence[LeaseId]:
        return self.faults.around("broker.outstanding", lambda: self.inner.outstanding(tag))


def _families(keys: Collection[Key]) -> frozenset[str]:
    found = {key.family for key in keys}
    return frozenset(found | {"fence only"} if found == {"fence"} else found)
