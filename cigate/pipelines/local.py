"""Runs on this machine: each in a sandbox of its own, or, where an operator says so, without one.

Theory. `start` writes the commit out, starts a process that holds its command back, and returns; from then
on one thread watches it. The run is what this object remembers of it: runs die with this process, so what
it does not remember does not run. A decision's first `start` claims its id; whoever comes second waits for
the first and gets the same run.
"""

from __future__ import annotations

import os
import pwd
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from attrs import evolve

from cigate.decision import DecisionId
from cigate.errors import ConfigError, PipelineUnavailable, PipelineUncertain, RequestError
from cigate.lease import Lease
from cigate.pipelines.environment import DECISION, job_environment
from cigate.pipelines.held import LONGEST_SECRET, NO_LINE, OUTPUT_KEPT, SLACK, Ending, HeldProcess, script
from cigate.pipelines.limits import NOTE, Limits
from cigate.pipelines.pipeline import Run, RunSpec, RunState
from cigate.pipelines.sandbox import HOME, RECEIPT, VISIBLE, Descriptors, Room, find_bwrap, options, stage
from cigate.pipelines.scratch import Scratch
from cigate.pipelines.seccomp import program
from cigate.pipelines.source import GitSource
from cigate.pipelines.survivors import end_survivors
from cigate.secret import Secret
from cigate.wire import settings

Isolation = Literal["sandbox", "none"]

ISOLATIONS: Final[tuple[Isolation, ...]] = ("sandbox", "none")
JOB_USER: Final = 64773
"""Whom jobs of a root gateway run as: a number that no account database may give to anybody."""
REMEMBERED: Final = 1000
"""Ended runs that are kept to be asked about."""
_SHELL: Final = "/bin/sh"
_TO_STOP: Final = 60.0


def _now() -> datetime:
    return datetime.now(UTC)


class LocalPipeline:
    """Runs an action's command on this machine, with its commit read-only at `/src`.

    A job in the sandbox sees no file, socket, process or network of the host. Without it a job is an ordinary
    process of the same user that sees everything, and what it starts may outlive it and this process.

    Args:
        isolation: `sandbox`, or `none`.
        allow_unisolated_jobs: must be said aloud for `none`.
        run_as: uid of the user that jobs run as, where the gateway is root; None: a number of its own.
        scratch: folder below which commits are written out; None: the system's temporary folder.
        clock: the time.

    Raises:
        ConfigError: `pipeline.isolation`, `pipeline.unisolated`, `pipeline.run-as`.
    """

    def __init__(
        self,
        isolation: Isolation = "sandbox",
        *,
        allow_unisolated_jobs: bool = False,
        run_as: int | None = None,
        scratch: Path | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        if isolation not in ISOLATIONS:
            raise ConfigError(
                "pipeline.isolation", f"there is no isolation {isolation!r}", fix="say sandbox or none"
            )
        if isolation == "none" and not allow_unisolated_jobs:
            raise ConfigError(
                "pipeline.unisolated",
                "isolation: none lets a job read and change whatever this user can",
                fix="say allow_unisolated_jobs: true as well, or isolation: sandbox",
            )
        self._isolation = isolation
        self._user = _identity(isolation, run_as)
        self._below = scratch
        self._clock = clock
        self._fresh()
        _PIPELINES.add(self)

    @classmethod
    def from_config(
        cls, given: Mapping[str, Any], *, folder: Path, allow_unisolated_jobs: bool = False
    ) -> LocalPipeline:
        """The pipeline of a `pipelines:` section: `backend`, `isolation`, `run_as` (a user's name or number).

        Raises:
            ConfigError: `config.unknown-key`, `config.type`, `pipeline.folder-visible` (jobs would see the
                gateway's own folder), and what the constructor raises.
        """
        section = settings.section(given, "", known=("backend", "isolation", "run_as"))
        isolation = settings.text(section.get("isolation", "sandbox"), "/isolation")
        real = folder.resolve()
        if isolation == "sandbox" and any(real.is_relative_to(Path(each).resolve()) for each in VISIBLE):
            raise ConfigError(
                "pipeline.folder-visible",
                f"jobs would see the gateway's folder {real}",
                fix="keep it outside of /usr and /etc",
            )
        run_as = _user_number(section["run_as"]) if "run_as" in section else None
        return cls(isolation, allow_unisolated_jobs=allow_unisolated_jobs, run_as=run_as)  # type: ignore[arg-type]  # the constructor checks it

    @property
    def isolation(self) -> str:
        return self._isolation

    def probe(self) -> None:
        """Bring a sandbox up and down once, as a job would.

        Raises:
            PipelineUnavailable: `sandbox.no-bwrap`, `sandbox.no-user-namespaces`, `sandbox.failed`,
                `sandbox.unknown-machine`; each says what would put it right.
        """
        if self._isolation == "none":
            return
        room = Room(Limits.within(1024**3, timedelta(seconds=60)), {})
        held = self._sandboxed(room, script(room.limits, own_namespace=True, credential=False), ("true",))
        held.abandon()

    def start(self, spec: RunSpec) -> Run:
        """Write the commit out and start the run; without a credential to await, its command begins at once.

        Raises:
            PipelineUnavailable: nothing was started: `pipeline.isolation` (the decision asks for a sandbox),
                `pipeline.command`, `pipeline.parameter-collision`, `pipeline.parameter-value`,
                `pipeline.scratch`, `pipeline.spawn`, `pipeline.stopped`, `source.*`, `sandbox.*`.
        """
        while True:
            with self._changed:
                known = self._jobs.get(spec.decision_id)
                if known is None:
                    job = self._jobs[spec.decision_id] = _Job()
                    break
                while known.run is None and self._jobs.get(spec.decision_id) is known:
                    self._changed.wait()
                if known.run is not None:
                    return known.run
        try:
            self._start(job, spec)
        except BaseException:
            with self._changed:
                del self._jobs[spec.decision_id]
                self._changed.notify_all()
            raise
        with self._changed:
            assert job.run is not None
            return job.run

    def observe(self, decision_id: DecisionId, *, wait: timedelta = timedelta(0)) -> Run | None:
        """The run of this decision as it is now, or once it has ended, after `wait` at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended(decision_id), timeout=_bounded(wait))
            job = self._jobs.get(decision_id)
            return job.run if job is not None else None

    def release(self, run: Run, lease: Lease) -> None:
        """Give the lease's secret to the held job as `CIGATE_CREDENTIAL`, whereupon its command begins.

        Raises:
            PipelineUnavailable: `pipeline.not-waiting`, this run awaits no credential, or had one;
                `pipeline.credential-form`, it can't be an environment variable; `pipeline.gone`.
        """
        if lease.secret.reveal_to(_unfit):
            raise PipelineUnavailable(
                "pipeline.credential-form",
                f"the credential is longer than {LONGEST_SECRET} bytes, or has a line break or a zero byte",
            )
        with self._changed:
            job = self._jobs.get(run.decision_id)
            if (
                job is None
                or job.run is None
                or job.run.id != run.id
                or job.run.state is not RunState.WAITING
            ):
                raise PipelineUnavailable(
                    "pipeline.not-waiting", f"no run of {run.decision_id} awaits a credential"
                )
            # before it is handed over, so that what comes out is scrubbed whatever happens now
            job.secret = lease.secret
            job.run = evolve(job.run, state=RunState.RUNNING)
        assert job.held is not None
        if not job.held.let_go(lease.secret.reveal_to):
            raise PipelineUnavailable("pipeline.gone", f"the run of {run.decision_id} has ended")

    def stop(self, decision_id: DecisionId) -> None:
        """Kill everything that the run started, and remove what it was shown. Idempotent.

        Of a run that was started elsewhere, by a process that died, whatever is left is looked for and killed.

        Raises:
            PipelineUncertain: `pipeline.still-runs`, the kernel does not let go of it.
        """
        with self._changed:
            job = self._jobs.get(decision_id)
            if job is not None:
                job.unwanted = True
                if job.held is not None:
                    job.held.kill("stopped")
                over = self._changed.wait_for(lambda: self._ended(decision_id), timeout=_TO_STOP)
                gone = over and job.gone
        if job is None:
            gone = end_survivors(decision_id)
        if not gone:
            raise PipelineUncertain(
                "pipeline.still-runs", f"the run of {decision_id} could not be killed", fix="look at the host"
            )

    def _start(self, job: _Job, spec: RunSpec) -> None:
        if spec.isolation not in ISOLATIONS or (spec.isolation, self._isolation) == ("sandbox", "none"):
            raise PipelineUnavailable(
                "pipeline.isolation",
                f"isolation {spec.isolation} is wanted, this pipeline has {self._isolation}",
            )
        if not spec.action.command or any("\0" in word for word in spec.action.command):
            raise PipelineUnavailable(
                "pipeline.command", f"{spec.action.name} has no command that can be run"
            )
        with self._prepared(job) as folder:
            source = _write_source(spec, folder / "src")
            limits = Limits.within(spec.action.memory, spec.timeout)
            if self._isolation == "sandbox":
                environment = job_environment(spec, home=HOME, receipt=RECEIPT)
                room = Room(limits, environment, source, spec.receipt)
                text = script(limits, own_namespace=True, credential=spec.awaits_credential)
                held = self._sandboxed(room, text, spec.action.command, job)
            else:
                held = self._bare(spec, limits, folder, source, job)
            try:
                self._begin(job, spec, held)
            except BaseException:
                held.abandon()
                raise

    def _begin(self, job: _Job, spec: RunSpec, held: HeldProcess) -> None:
        with self._changed:
            if job.unwanted:
                raise PipelineUnavailable("pipeline.stopped", "the run was stopped while it started")
            run = Run(
                id=f"local-{spec.decision_id}",
                decision_id=spec.decision_id,
                state=RunState.WAITING if spec.awaits_credential else RunState.RUNNING,
                workflow=spec.action.workflow,
                commit=spec.commit,
                parameters=spec.parameters,
                started=self._clock(),
                note=NOTE,
            )
            held.watch(spec.timeout.total_seconds(), lambda ending: self._conclude(job, ending))
            job.run = run
            self._changed.notify_all()
        if not spec.awaits_credential:
            held.let_go(lambda write: write(b""))

    @contextmanager
    def _prepared(self, job: _Job) -> Iterator[Path]:
        """A folder for the job, gone again if it can't be started."""
        try:
            with self._changed:
                job.folder = self._scratch.folder()
        except OSError as error:
            raise PipelineUnavailable(
                "pipeline.scratch", f"there is no room for the job's files: {error}"
            ) from error
        try:
            yield job.folder
        except BaseException:
            Scratch.remove(job.folder)
            raise

    def _sandboxed(
        self, room: Room, text: str, command: tuple[str, ...], job: _Job | None = None
    ) -> HeldProcess:
        filtered = program()
        info, info_end = os.pipe2(os.O_CLOEXEC)
        try:
            with Descriptors() as descriptors:
                told = options(room, descriptors, seccomp=filtered, info=info_end)
                told_by = descriptors.holding("options", told)
                held = HeldProcess.spawn(
                    (str(self._bwrap()), "--args", str(told_by), "--", _SHELL, "-c", text, "sh", *command),
                    # whatever may be left of it is found by this; the job is given its own
                    environment={name: value for name, value in room.environment.items() if name == DECISION},
                    folder="/",
                    user=self._user,
                    inherited=(*descriptors.all, info_end),
                )
            self._hold(job, held)
            held.await_ready(info)
        finally:
            os.close(info)
            os.close(info_end)
        return held

    def _bare(
        self, spec: RunSpec, limits: Limits, folder: Path, source: Path | None, job: _Job
    ) -> HeldProcess:
        home, receipt = folder / "home", folder / "receipt.json"
        home.mkdir(0o700)
        if self._user is not None:
            os.chown(home, *self._user)
        receipt.write_bytes(spec.receipt)
        text = script(limits, own_namespace=False, credential=spec.awaits_credential)
        held = HeldProcess.spawn(
            (_SHELL, "-c", text, "sh", *spec.action.command),
            environment=job_environment(spec, home=str(home), receipt=str(receipt)),
            folder=str(source or home),
            user=self._user,
        )
        self._hold(job, held)
        held.await_ready(None)
        return held

    def _hold(self, job: _Job | None, held: HeldProcess) -> None:
        if job is None:
            return
        with self._changed:
            job.held = held
            if job.unwanted:
                held.kill("stopped")

    def _bwrap(self) -> Path:
        with self._changed:
            if self._staged is None or not self._staged.exists():
                found = find_bwrap()
                # a user that jobs run as can't enter root's folders
                self._staged = stage(found, self._scratch.folder()) if self._user is not None else found.path
            return self._staged

    def _conclude(self, job: _Job, ending: Ending) -> None:
        removed = job.folder is None or Scratch.remove(job.folder)
        with self._changed:
            assert job.run is not None
            state, said = _verdict(ending, job.run)
            output, dropped = _shown(ending, job.secret)
            notes = (
                job.run.note,
                said,
                f"output cut: {dropped} bytes dropped" if dropped else "",
                "" if removed else f"{job.folder} could not be removed",
            )
            job.run = evolve(
                job.run,
                state=state,
                ended=self._clock(),
                exit_code=ending.code if state is RunState.FINISHED else None,
                output=output,
                note="; ".join(note for note in notes if note),
            )
            job.gone = ending.gone
            job.secret = None
            job.held = None
            self._forget_old()
            self._changed.notify_all()

    def _ended(self, decision_id: DecisionId) -> bool:
        job = self._jobs.get(decision_id)
        return job is None or (job.run is not None and job.run.state.ended)

    def _forget_old(self) -> None:
        ended = [name for name, job in self._jobs.items() if job.run is not None and job.run.state.ended]
        for name in ended[: max(0, len(ended) - REMEMBERED)]:
            del self._jobs[name]

    _staged: Path | None

    def _fresh(self) -> None:
        """Nothing runs yet; in a forked child: what runs is the parent's."""
        self._changed = threading.Condition()
        self._jobs: dict[DecisionId, _Job] = {}
        self._scratch = Scratch(self._below, self._user[1] if self._user is not None else None)
        self._staged = None


class _Job:
    """What the pipeline keeps of one decision. `run` is None until it has been started."""

    __slots__ = ("folder", "gone", "held", "run", "secret", "unwanted")

    def __init__(self) -> None:
        self.run: Run | None = None
        self.held: HeldProcess | None = None
        self.secret: Secret | None = None
        self.folder: Path | None = None
        self.gone = True
        self.unwanted = False


_PIPELINES: Final[weakref.WeakSet[LocalPipeline]] = weakref.WeakSet()


def _after_fork() -> None:
    for pipeline in list(_PIPELINES):
        pipeline._fresh()


os.register_at_fork(after_in_child=_after_fork)


def _bounded(wait: timedelta) -> float:
    return min(max(0.0, wait.total_seconds()), threading.TIMEOUT_MAX)


def _identity(isolation: str, run_as: int | None) -> tuple[int, int] | None:
    """Whom jobs run as, uid and gid; None: as ourselves."""
    own = os.geteuid()
    if own != 0:
        if run_as not in (None, own):
            raise ConfigError(
                "pipeline.run-as", "only a gateway that root runs can run jobs as somebody else"
            )
        return None
    if run_as == 0:
        raise ConfigError("pipeline.run-as", "jobs never run as root", fix="name an unprivileged user")
    if run_as is None:
        return (JOB_USER, JOB_USER) if isolation == "sandbox" else None
    try:
        return (run_as, pwd.getpwuid(run_as).pw_gid)
    except KeyError:
        return (run_as, run_as)


def _user_number(value: object) -> int:
    if type(value) is int:
        return settings.whole(value, "/run_as", least=1, most=2**31)
    name = settings.text(value, "/run_as")
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError("pipeline.run-as", f"there is no user {name}", where="/run_as") from None


def _write_source(spec: RunSpec, folder: Path) -> Path | None:
    if spec.action.source is None:
        return None
    source = GitSource(spec.action.source.git, spec.action.source.branches)
    try:
        # again, although the gateway has asked: the branches may have moved since
        source.materialise(source.resolve(spec.commit), folder)
    except RequestError as error:
        raise PipelineUnavailable(error.code, error.message, where=error.where, fix=error.fix) from error
    return folder


def _unfit(secret: bytes) -> bool:
    return len(secret) > LONGEST_SECRET or any(octet in secret for octet in (b"\n", b"\0"))


def _verdict(ending: Ending, run: Run) -> tuple[RunState, str]:
    if not ending.gone:
        return RunState.STOPPED, f"{ending.cause or 'ended'}, but something of it could not be killed"
    if ending.cause:
        return RunState.STOPPED, ending.cause
    if ending.begun:
        lost = ending.code is None
        return (RunState.STOPPED, "its exit status was lost") if lost else (RunState.FINISHED, "")
    if "missing" in ending.said.splitlines():
        return RunState.STOPPED, "its command was not found"
    if ending.code == NO_LINE:
        return (
            RunState.STOPPED,
            "no credential was released" if run.state is RunState.WAITING else "never let go",
        )
    return RunState.STOPPED, f"its command could not be started: {ending.said[:500]}"


def _shown(ending: Ending, secret: Secret | None) -> tuple[bytes, int]:
    """The output, scrubbed and cut, and how many bytes are missing from it."""
    output = secret.scrub(ending.output) if secret is not None else ending.output
    if ending.dropped:
        # a secret that was cut in two stands, unrecognised, in what was read last
        output = output[:-SLACK]
    kept = output[:OUTPUT_KEPT]
    return kept, ending.dropped + max(0, len(ending.output) - OUTPUT_KEPT)
