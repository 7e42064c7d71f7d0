"""What follows an allow: start, observe, issue, release, follow, conclude; and the same after a crash.

Theory of operation. The gateway has committed a decision and an `Intent` before anything here runs. Each
effect begins under the shared `gate` lock, with a fresh read of the fence, so that a `halt` which has
returned is never overtaken. A run starts without a secret; only when the pipeline has shown that it is
the decided one is the lease issued, checked against its grant, and released to it, once. At the run's
observed end the lease is taken back and one commit records the outcome. An effect ends as done, refused
or unknown; unknown is never taken for refused, and keeps what it reserved.

Whatever fails on the way, nothing is raised to the caller: the lease is taken back, the run is stopped, and
the intent is concluded, once the run was seen to have ended. Where that can't be seen, the intent stays.

A process holds the lock `owner-<id>` for its life. `reconcile` touches only intents whose owner's lock
it can get (their process is dead) and its own that nobody follows any more; whatever they left is looked up
by the decision's id, taken back and recorded.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen

from cigate.controls import (
    FENCE,
    Fence,
    Stop,
    budget_keys_of,
    commit_budget,
    history_keys,
    read_fence,
    record_history,
    release_budget,
)
from cigate.cost import actual
from cigate.credentials import CredentialBroker, Grant, Lease, LeaseId, Profile, Profiled, Tag
from cigate.decision import DecisionId
from cigate.errors import (
    BackendError,
    BrokerUnavailable,
    PipelineUnavailable,
    PipelineUncertain,
    StoreUnavailable,
    StoreUncertain,
)
from cigate.intent import Intent, Owner
from cigate.journal import Journal, Step, read_row, scan_rows
from cigate.leases import Held, Leases, place, words
from cigate.ledger import Draft
from cigate.money import Money
from cigate.pipelines import Pipeline, Run, RunSpec, RunState, mismatch
from cigate.request import AgentId
from cigate.stores import Key, LockMode, Put, Rows, Store
from cigate.wire import canonical
from cigate.wire.times import parse_timestamp, seconds, timestamp

log = logging.getLogger("cigate")

GATE: Final = "gate"
GATE_TIMEOUT: Final = timedelta(seconds=10)
GRACE: Final = timedelta(seconds=10)
"""How long after its timeout a run may take to be observed as ended, before it is stopped from here."""
HEARTBEAT: Final = timedelta(milliseconds=500)
OUTPUT_KEPT: Final = timedelta(days=30)
_RETRIES: Final = (0.05, 0.2, 1.0)
"""Seconds to wait before an outcome is offered again that the store did not take, or a run stopped that goes on."""
_NOTE_KEPT: Final = 2000


@frozen
class Halt:
    """What a halt came to: whether everything that could start is drained, and else which decisions are starting."""

    drained: bool
    starters: tuple[DecisionId, ...] = ()


def wait_for_starters(store: Store, timeout: timedelta) -> Halt:
    """After a halt is durable: wait until no effect that had begun before it is still under way.

    It needs the store and nothing else, for a halt must not depend on a policy that loads.
    """
    try:
        with store.lock(GATE, LockMode.EXCLUSIVE, timeout=timeout):
            return Halt(drained=True)
    except StoreUnavailable:
        intents = (Intent.from_json(row) for row in scan_rows(store, "intent"))
        return Halt(drained=False, starters=tuple(intent.decision_id for intent in intents))


@frozen
class Conclusion:
    """How an intent ended: a stable code, the run if there was one, what was charged."""

    code: str
    run: Run | None
    cost: Money | None
    note: str = ""


class _Ended(Exception):
    """The intent ends here, before its run has ended by itself.

    Args:
        code: of the conclusion; empty: what is seen of the run gives it.
        result: `refused`: nothing was begun, so there is nothing to stop; empty: what is seen of the run gives it.
    """

    def __init__(
        self, code: str, note: str, *, result: str = "", run: Run | None = None, held: Held | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.note = note
        self.result = result
        self.run = run
        self.held = held


class Effects:
    """Carries out intents. Safe to use from many threads.

    Args:
        journal: where outcomes are recorded.
        pipelines, brokers: by the names that intents carry.
        clock: aware UTC now.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        pipelines: Mapping[str, Pipeline],
        brokers: Mapping[str, CredentialBroker],
        clock: Callable[[], datetime],
    ) -> None:
        self.pipelines = pipelines
        self.brokers = brokers
        self._journal = journal
        self._store = journal.store
        self._clock = clock
        self.leases = Leases(self._store, brokers, clock)
        self._active: set[DecisionId] = set()
        self._active_guard = threading.Condition()
        self.owner = Owner(
            lambda name: self._store.lock(name, LockMode.EXCLUSIVE, timeout=timedelta(seconds=1))
        )

    def begin(self, intent: Intent, spec: RunSpec) -> tuple[Run, Held | None] | Conclusion:
        """Start the run, see that it is the decided one, and hand it its credential. What fails is concluded."""
        try:
            return self._begin(intent, spec)
        except _Ended as ended:
            return self._end(intent, ended)
        except Exception as error:  # noqa: BLE001  # whatever a backend raises, what it left is ended
            log.error("decision %s: %s, at %s", intent.decision_id, words(error), place(error))
            return self.give_up(intent, None, self._any_lease(intent), words(error))
        except BaseException:
            self.abandon(intent.decision_id)  # an interrupt: reconcile ends what was begun
            raise

    def follow(self, intent: Intent, spec: RunSpec, held: Held | None) -> Conclusion:
        """Wait for the run's end, or end it: at its timeout, or when a stop names anything of it."""
        try:
            return self._follow(intent, spec, held)
        except Exception as error:  # noqa: BLE001  # whatever a backend raises, what it left is ended
            log.error("decision %s: %s, at %s", intent.decision_id, words(error), place(error))
            return self.give_up(intent, None, held, words(error))
        finally:
            self.abandon(intent.decision_id)

    def give_up(self, intent: Intent, run: Run | None, held: Held | None, why: str) -> Conclusion:
        """End an intent that can't be followed."""
        return self._end(intent, _Ended("", why, run=run, held=held))

    def claim(self, decision_id: DecisionId) -> None:
        """This process is about to answer for an intent: `reconcile` leaves it alone until it is abandoned."""
        with self._active_guard:
            self._active.add(decision_id)

    def abandon(self, decision_id: DecisionId) -> None:
        """Let `reconcile` see this intent again: nobody in this process follows it any more."""
        with self._active_guard:
            self._active.discard(decision_id)
            self._active_guard.notify_all()

    def close(self) -> None:
        """End the runs that this process follows, see their ends recorded, and let go of the owner's lock.

        Once the lock is gone, `reconcile` elsewhere takes what is left for a dead process's.
        """
        for intent in self._followed():
            try:
                self.pipelines[intent.pipeline].stop(intent.decision_id)
            except Exception:
                log.exception("decision %s could not be ended before this process closes", intent.decision_id)
                continue
            with self._active_guard:
                concluded = partial(self._is_abandoned, intent.decision_id)
                self._active_guard.wait_for(concluded, timeout=GRACE.total_seconds())
        self.owner.release()

    def _followed(self) -> list[Intent]:
        """The intents that this process answers for now; a forked child knows of its parent's, too."""
        with self._active_guard:
            active = frozenset(self._active)
        try:
            intents = list(self.intents()) if active else []
        except BackendError as error:
            log.error("which runs are to be ended before this process closes is not known: %s", error)
            return []
        return [each for each in intents if each.decision_id in active and self.owner.holds(each.owner)]

    def _is_abandoned(self, decision_id: DecisionId) -> bool:
        return decision_id not in self._active

    def reconcile(self) -> list[dict[str, Any]]:
        """Undo what dead processes left, retry what failed, and name what is still outstanding.

        Returns:
            One map for each lease or run that may still be alive: `kind`, `decision_id`, and what is known of it.
        """
        outstanding: list[dict[str, Any]] = []
        for intent in self.intents():
            with self._orphaned(intent) as orphan:
                if orphan:
                    outstanding.extend(self._recover(intent))
        outstanding.extend(self.leases.retry(self._record))
        return outstanding

    def intents(self) -> Iterator[Intent]:
        """Every intent that has no outcome yet, of any process."""
        for row in scan_rows(self._store, "intent"):
            yield Intent.from_json(row)

    def _begin(self, intent: Intent, spec: RunSpec) -> tuple[Run, Held | None]:
        pipeline = self.pipelines[intent.pipeline]
        with self._gate(intent, None, None):
            try:
                pipeline.start(spec)
            except PipelineUnavailable as error:
                raise _Ended("run.not-started", str(error), result="refused") from error
            except PipelineUncertain as error:
                log.warning("decision %s: %s", intent.decision_id, error)
        run = pipeline.observe(intent.decision_id)
        if run is None:
            raise _Ended("", "it may have been started, and can't be found")
        difference = mismatch(spec, run)
        if difference:
            log.critical("decision %s: %s", intent.decision_id, difference)
            raise _Ended("run.mismatch", difference, result="done", run=run)
        if not spec.awaits_credential or run.state.ended:
            return run, None
        lease = self._issue(intent, run)
        held = Held(lease.id, lease.expires)
        with self._gate(intent, run, held):
            try:
                pipeline.release(run, lease)
            except Exception as error:  # noqa: BLE001  # whatever a backend raises, the run ends here
                note = lease.secret.scrub(words(error).encode()).decode()
                raise _Ended("credential.not-released", note, result="done", run=run, held=held) from None
        return run, held

    def _issue(self, intent: Intent, run: Run) -> Lease:
        broker = self.brokers[intent.broker]
        profile = broker.profiles.get(intent.profile) if isinstance(broker, Profiled) else None
        ttl = min(intent.ttl, profile.ttl) if profile is not None else intent.ttl
        until = self._clock() + ttl
        grant = Grant(
            Tag(intent.decision_id),
            intent.profile,
            ttl,
            intent.action,
            intent.agent,
            intent.user,
            intent.audience,
        )
        with self._gate(intent, run, None):
            try:
                lease = broker.issue(grant, until=until)
                wider = _wider(lease, grant, until, profile)
            except BrokerUnavailable as error:
                raise _Ended("credential.refused", words(error), result="done", run=run) from None
            except Exception as error:  # noqa: BLE001  # any other error may have issued something
                held = self._any_lease(intent)
                raise _Ended("credential.refused", words(error), result="done", run=run, held=held) from None
        if wider:
            log.critical("broker %s gave more than was granted to %s: %s", intent.broker, grant.tag, wider)
            held = Held(lease.id, lease.expires)
            raise _Ended("credential.too-wide", wider, result="done", run=run, held=held)
        return lease

    def _follow(self, intent: Intent, spec: RunSpec, held: Held | None) -> Conclusion:
        pipeline = self.pipelines[intent.pipeline]
        deadline = time.monotonic() + spec.timeout.total_seconds() + GRACE.total_seconds()
        run: Run | None = None
        why = ""
        while not why:
            try:
                found = pipeline.observe(intent.decision_id, wait=HEARTBEAT)
            except Exception as error:  # noqa: BLE001  # asked again until the deadline
                log.error("decision %s can't be observed: %s", intent.decision_id, words(error))
                threading.Event().wait(HEARTBEAT.total_seconds())
            else:
                if found is None:
                    why = "the run can't be found any more"
                    break
                run = found
                if run.state.ended:
                    leases = self.leases.take_back(intent, held, self._clock())
                    return self._conclude(intent, _code_of(run), run, leases, result="done", note="")
            why = self._why_stop(intent) or ("timeout" if time.monotonic() > deadline else "")
        return self.give_up(intent, run, held, why)

    def _end(self, intent: Intent, ended: _Ended) -> Conclusion:
        """Take the lease back, stop the run, see that it has ended, and conclude; else leave the intent."""
        leases = self.leases.take_back(intent, ended.held, self._clock())
        run = ended.run
        if ended.result != "refused":
            try:
                run = self._stop(self.pipelines[intent.pipeline], intent) or run
            except Exception as error:  # noqa: BLE001  # it may still run: `reconcile` goes on from here
                note = f"{ended.note}; {words(error)}"
                log.critical("decision %s is left to reconcile: %s", intent.decision_id, note)
                self.abandon(intent.decision_id)
                return Conclusion("run.unknown", run, intent.reserved, note)
        seen = run is not None and run.state.ended
        code = ended.code or (_code_of(run) if run is not None and seen else "run.unknown")
        result = ended.result or ("done" if seen else "unknown")
        return self._conclude(intent, code, run, leases, result=result, note=ended.note)

    def _stop(self, pipeline: Pipeline, intent: Intent) -> Run | None:
        """Stop the run and see that it has ended, trying a few times. None: nothing is found under its decision.

        Raises:
            PipelineUncertain: `pipeline.still-runs`; whatever the pipeline raises.
        """
        for wait in (*_RETRIES, None):
            try:
                pipeline.stop(intent.decision_id)
                run = pipeline.observe(intent.decision_id)
                if run is None or run.state.ended:
                    return run
                raise PipelineUncertain("pipeline.still-runs", "it was stopped, and still runs")
            except Exception:  # whatever the pipeline raises, it is asked again
                if wait is None:
                    raise
            threading.Event().wait(wait)
        return None

    def _any_lease(self, intent: Intent) -> Held | None:
        """Whatever may have been issued for an intent by now, if nothing more is known of it."""
        return Held(LeaseId(""), self._clock() + intent.ttl) if intent.broker else None

    @contextmanager
    def _gate(self, intent: Intent, run: Run | None, held: Held | None) -> Iterator[None]:
        """Hold the gate for one effect, if nothing has closed it since the decision."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._store.lock(GATE, LockMode.SHARED, timeout=GATE_TIMEOUT))
                closed = self._why_closed(intent)
            except Exception as error:  # noqa: BLE001  # a gate in doubt is closed
                closed = words(error)
            if closed:
                raise _Ended(
                    "gate.closed", closed, result="refused" if run is None else "done", run=run, held=held
                )
            yield

    def _why_closed(self, intent: Intent) -> str:
        fence = read_fence(self._store.read([FENCE]))
        stop = _stop_for(fence, intent)
        if stop is not None:
            return f"{stop.kind} of {stop.scope}: {stop.reason}"
        if (fence.policy_digest, fence.config_digest) != (intent.policy_digest, intent.config_digest):
            return "policy or configuration changed after the decision"
        return ""

    def _why_stop(self, intent: Intent) -> str:
        try:
            stop = _stop_for(read_fence(self._store.read([FENCE])), intent)
        except BackendError as error:
            return f"the stops can't be read ({error.code}), which counts as a halt"
        return f"{stop.kind} of {stop.scope}: {stop.reason}" if stop is not None else ""

    def _conclude(
        self,
        intent: Intent,
        code: str,
        run: Run | None,
        leases: Sequence[tuple[Key, dict[str, Any]]],
        *,
        result: str,
        note: str,
    ) -> Conclusion:
        """Record how it ended, with the leases that are left, in one commit. A started run keeps its reservation."""
        now = self._clock()
        started = run is not None or result == "unknown"
        conclusion = Conclusion(code, run, _charged(intent, run) if started else None, note)
        draft = _outcome_draft(intent, conclusion, result, [row for _, row in leases])
        decision_row = Key("decision", intent.decision_id)

        def work(rows: Rows) -> Step[None]:
            if intent.row not in rows:
                return Step(None)  # concluded before: by an earlier try whose answer was lost
            puts: dict[Key, Put] = {intent.row: Put(None)}
            if intent.reserved is not None:
                settled = (
                    commit_budget(rows, intent.decision_id, conclusion.cost)
                    if started
                    else release_budget(rows, intent.decision_id)
                )
                puts.update(settled)
            if conclusion.code != "run.succeeded":
                puts.update(record_history(rows, AgentId(intent.agent), "failures", now))
            before = read_row(rows[decision_row]) if decision_row in rows else {}
            record = {**before, "state": "concluded", "outcome": {**draft.public, **_seen(conclusion)}}
            puts[decision_row] = Put(canonical.encode(record))
            puts.update(
                {key: Put(canonical.encode(row), expires=parse_timestamp(row["dies"])) for key, row in leases}
            )
            if run is not None:
                puts[Key("run", run.id)] = Put(canonical.encode({"decision_id": intent.decision_id}))
            if run is not None and run.output:
                stored = canonical.encode({"output": base64.b64encode(run.output).decode()})
                puts[Key("output", intent.decision_id)] = Put(stored, expires=now + OUTPUT_KEPT)
            return Step(None, puts, (draft,))

        keys = {intent.row, decision_row, Key("output", intent.decision_id), *(key for key, _ in leases)}
        keys |= history_keys(AgentId(intent.agent))
        if run is not None:
            keys.add(Key("run", run.id))
        if intent.reserved is not None:
            keys |= budget_keys_of(intent.decision_id, intent.budget)
        try:
            self._record(keys, work, now)
        except Exception as error:  # noqa: BLE001  # the run has ended, whatever keeps its end from being recorded
            log.critical(
                "decision %s ended as %s but could not be recorded: %s, at %s",
                intent.decision_id,
                code,
                words(error),
                place(error),
            )
            conclusion = evolve(conclusion, code="gateway.unrecorded", note=words(error))
        self.abandon(intent.decision_id)
        return conclusion

    def _record(self, keys: Collection[Key], work: Callable[[Rows], Step[None]], now: datetime) -> None:
        for wait in (*_RETRIES, None):
            try:
                self._journal.write(keys, work, now=now, strict_clock=False)
                return
            except (StoreUnavailable, StoreUncertain):
                if wait is None:
                    raise
                threading.Event().wait(wait)

    @contextmanager
    def _orphaned(self, intent: Intent) -> Iterator[bool]:
        """Whether nobody alive answers for this intent; while it is so, we hold its owner's lock."""
        if self.owner.holds(intent.owner):
            with self._active_guard:
                mine = intent.decision_id not in self._active
            yield mine
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    self._store.lock(f"owner-{intent.owner}", LockMode.EXCLUSIVE, timeout=timedelta(0))
                )
            except StoreUnavailable:
                yield False
                return
            yield True

    def _recover(self, intent: Intent) -> list[dict[str, Any]]:
        """Find what an orphaned intent left, end it, and record it as what it is: unknown, unless its end is seen."""
        leases = self.leases.take_back(intent, self._any_lease(intent), self._clock())
        pipeline = self.pipelines.get(intent.pipeline)
        run: Run | None = None
        why = ""
        try:
            run = pipeline.observe(intent.decision_id) if pipeline is not None else None
            if pipeline is not None and (run is None or not run.state.ended):
                run = self._stop(pipeline, intent) or run
        except Exception as error:  # noqa: BLE001  # whatever a backend raises, the run stays outstanding
            why = words(error)
        if not why:
            seen = run is not None and run.state.ended
            code = _code_of(run) if run is not None and seen else "run.unknown"
            note = f"reconciled: the process {intent.owner} that began it is gone"
            concluded = self._conclude(
                intent, code, run, leases, result="done" if seen else "unknown", note=note
            )
            if concluded.code != "gateway.unrecorded":
                return []
            why = concluded.note
        left = [{"kind": "lease", **row} for _, row in leases]
        return [{"kind": "run", "decision_id": intent.decision_id, "why": why}, *left]


def _charged(intent: Intent, run: Run | None) -> Money | None:
    """What a started run is charged: its reservation, or what it really cost where it outlived its timeout."""
    if intent.reserved is None or run is None or run.ended is None:
        return intent.reserved
    cost = actual(
        intent.price, run.ended - run.started - GRACE
    )  # being stopped takes a moment, which is ours
    return Money(max(cost, intent.reserved.minor), intent.reserved.currency)


def _stop_for(fence: Fence, intent: Intent) -> Stop | None:
    return fence.blocks(
        key=intent.key,
        agent=intent.agent,
        user=intent.user,
        device=intent.device,
        action=intent.action,
        pipeline=intent.pipeline,
    )


def _outcome_draft(
    intent: Intent, conclusion: Conclusion, result: str, leases: Sequence[Mapping[str, Any]]
) -> Draft:
    run, cost = conclusion.run, conclusion.cost
    public: dict[str, Any] = {
        "decision_id": intent.decision_id,
        "result": result,
        "code": conclusion.code,
        "cost": {"amount": cost.minor, "currency": cost.currency} if cost else None,
    }
    private: dict[str, Any] = {
        "agent": intent.agent,
        "user": intent.user,
        "action": intent.action,
        "note": conclusion.note[:_NOTE_KEPT],
        "leases": list(leases),
    }
    if run is not None:
        public |= {"state": run.state.value, "exit_code": run.exit_code}
        private["run"] = {
            "id": run.id,
            "commit": run.commit,
            "workflow": run.workflow,
            "parameters": dict(run.parameters),
            "started": timestamp(run.started),
            "ended": timestamp(run.ended) if run.ended else None,
            "note": run.note[:_NOTE_KEPT],
            "output": "sha256:" + hashlib.sha256(run.output).hexdigest(),
        }
    return Draft("outcome", public, private)


def _seen(conclusion: Conclusion) -> dict[str, Any]:
    """What operators read of an ending besides its entry's public part: why, which run, how long it took."""
    seen: dict[str, Any] = {"note": conclusion.note} if conclusion.note else {}
    run = conclusion.run
    if run is not None:
        seen |= {"run": run.id, "commit": run.commit}
        if run.ended is not None:
            seen["duration"] = seconds(run.ended - run.started)
    return seen


def _code_of(run: Run) -> str:
    if run.succeeded:
        return "run.succeeded"
    return "run.failed" if run.state is RunState.FINISHED else "run.stopped"


def _wider(lease: Lease, grant: Grant, until: datetime, profile: Profile | None) -> str:
    """How a lease goes beyond what was granted, in words; empty when it does not."""
    if lease.tag != grant.tag:
        return f"it is tagged {lease.tag}, not {grant.tag}"
    if lease.expires > until:
        return f"it lives until {timestamp(lease.expires)}, granted was {timestamp(until)}"
    if profile is not None and not set(lease.scope) <= set(profile.scope):
        return f"it opens {sorted(set(lease.scope) - set(profile.scope))} beyond its profile {grant.profile}"
    return ""
