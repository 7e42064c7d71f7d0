"""A process that is started but holds its command back until one line reaches it, and is watched to its end.

Theory. What is started is a shell with a fixed script. Its standard input brings the line, its standard
error is a channel to us: it takes on the limits, says `ready`, waits for the line (the credential, or
nothing), says `begun` and becomes the command, with both channels closed. So a secret is in no argument and
no file; a channel that closes early means that the command never began; and what the job prints can't be
mistaken for what the sandbox says. One thread watches each process: output, end, deadline and `kill` are
one poll.

A kill goes to the first process of the job's own namespace, because the kernel then ends every process in
it before that one is gone. Without a namespace it goes to the process group, which a daemon can leave.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen

from cigate.errors import PipelineUnavailable
from cigate.pipelines.environment import CREDENTIAL
from cigate.pipelines.limits import Limits
from cigate.pipelines.sandbox import why_not
from cigate.pipelines.spawner import SPAWNER

OUTPUT_KEPT: Final = 1024 * 1024
"""Bytes of a job's output that are kept, from its beginning."""
SLACK: Final = 128 * 1024
"""Bytes kept beyond that until the secret is scrubbed: no spelling of one is longer."""
LONGEST_SECRET: Final = 16 * 1024

NO_LINE: Final = 125
_SAID_KEPT: Final = 8192
_PIECE: Final = 64 * 1024
_TO_DIE: Final = 10.0
_TO_COME_UP: Final = 30.0
_TO_DRAIN: Final = 1.0


def script(limits: Limits, *, own_namespace: bool, credential: bool) -> str:
    """The shell script that holds a command (its arguments) back; `credential`: the line is one."""
    line = CREDENTIAL if credential else "CIGATE_GO"
    steps = (
        limits.shell(processes=own_namespace),
        "echo ready >&2",
        f"IFS= read -r {line} || exit {NO_LINE}",
        'command -v -- "$1" >/dev/null 2>&1 || { echo missing >&2; exit 127; }',
        f"export {CREDENTIAL}" if credential else "unset CIGATE_GO",
        "echo begun >&2",
        'exec "$@" </dev/null 2>&1',
    )
    return "\n".join(steps)


@frozen
class Ending:
    """How a process ended.

    Args:
        code: its exit status; None if it was killed, or if somebody else in this process took the status.
        begun: whether its command began.
        cause: why it was killed (`stopped`, `timeout after 600s`); empty: it was not.
        gone: whether the kernel has said that nothing of it runs any more.
        said: what the shell and the sandbox said of themselves.
        output: what the job printed, up to OUTPUT_KEPT + SLACK bytes. It may hold the secret.
        dropped: bytes of output beyond these.
    """

    code: int | None
    begun: bool
    cause: str
    gone: bool
    said: str
    output: bytes
    dropped: int


class HeldProcess:
    """One started process: `spawn`, `await_ready`, `watch`, `let_go`; `kill` at any time, from any thread."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket, output: int, said: int) -> None:
        self._process = process
        self._main = os.pidfd_open(process.pid)
        self._first: int | None = None
        self._line: socket.socket | None = line
        self._guard = threading.Lock()
        self._closed = False
        self._output = output
        self._said = said
        self._words = b""
        self._kept = bytearray()
        self._dropped = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._cause = ""

    @classmethod
    def spawn(
        cls,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: str,
        user: tuple[int, int] | None,
        inherited: Sequence[int] = (),
    ) -> HeldProcess:
        """Start it, on the spawner's thread, as `user` (uid and gid) where one is given.

        Raises:
            PipelineUnavailable: `pipeline.spawn`, nothing was started.
        """
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # a child inherits it, and then never learns of the end of its own children
            raise PipelineUnavailable(
                "pipeline.spawn", "this process ignores SIGCHLD", fix="let SIGCHLD be signal.SIG_DFL"
            )
        # a socket, not a pipe: writing to a dead reader must not raise SIGPIPE in the host
        line, line_end = socket.socketpair()
        (output, output_end), (said, said_end) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        identity: dict[str, object] = {}
        if user is not None:
            identity = {"user": user[0], "group": user[1], "extra_groups": []}

        def start() -> HeldProcess:
            process = subprocess.Popen(  # type: ignore[call-overload]  # identity is a dict of its own
                command,
                stdin=line_end,
                stdout=output_end,
                stderr=said_end,
                env=dict(environment),
                cwd=folder,
                umask=0o022,
                start_new_session=True,
                pass_fds=tuple(inherited),
                **identity,
            )
            return cls(process, line, output, said)

        try:
            return SPAWNER.run(start)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            line.close()
            os.close(output)
            os.close(said)
            raise PipelineUnavailable("pipeline.spawn", f"the job could not be started: {error}") from error
        finally:
            line_end.close()
            os.close(output_end)
            os.close(said_end)

    def await_ready(self, info: int | None) -> None:
        """Wait until it holds its command. `info` gives the id of the job's first process, as JSON.

        Raises:
            PipelineUnavailable: `sandbox.no-user-namespaces`, `sandbox.failed`, `pipeline.spawn`,
                `pipeline.stopped`: it is killed, and its command never began.
        """
        deadline = time.monotonic() + _TO_COME_UP
        poller = select.poll()
        for descriptor in (self._said, self._main, self._wake):
            poller.register(descriptor, select.POLLIN)
        while b"ready\n" not in self._words:
            ready = {descriptor for descriptor, _ in poller.poll(_milliseconds(deadline))}
            if self._said in ready and self._hear():
                continue
            self.abandon()
            words = self._words.decode("utf-8", "replace")
            if self._cause:
                raise PipelineUnavailable("pipeline.stopped", f"the job was {self._cause} while it started")
            if info is None:
                raise PipelineUnavailable("pipeline.spawn", f"the job's shell did not come up: {words}")
            raise why_not(words)
        if info is not None:
            first = int(json.loads(os.read(info, 4096))["child-pid"])
            self._first = os.pidfd_open(first)

    def watch(self, timeout: float, ended: Callable[[Ending], None]) -> None:
        """Watch it from a thread of its own for `timeout` seconds at most, and say once how it ended."""
        deadline = time.monotonic() + timeout

        def follow() -> None:
            ended(self._follow(deadline, timeout))

        threading.Thread(target=follow, name=f"cigate-job-{self._process.pid}", daemon=True).start()

    def let_go(self, line: Callable[[Callable[[bytes], None]], None]) -> bool:
        """Hand it its line; `line` is given the writer. Once. False: it was not there to take it."""
        with self._guard:
            channel, self._line = self._line, None
        if channel is None:
            return False
        with channel:
            channel.settimeout(_TO_DIE)
            try:
                line(lambda content: channel.sendall(content, socket.MSG_NOSIGNAL))
                channel.sendall(b"\n", socket.MSG_NOSIGNAL)
            except OSError:
                return False
        return True

    def kill(self, cause: str) -> None:
        """Have the watching thread end it and all that it started."""
        with self._guard:
            if not self._closed:
                self._cause = self._cause or cause
                os.eventfd_write(self._wake, 1)

    def abandon(self) -> None:
        """End it here, where nothing watches it yet."""
        self._end()
        self._drain()
        self._close()

    def _follow(self, deadline: float, timeout: float) -> Ending:
        poller = select.poll()
        for descriptor in (self._output, self._said, self._main, self._wake):
            poller.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(_milliseconds(deadline))}
            if self._output in ready and not self._keep():
                poller.unregister(self._output)
            if self._said in ready and not self._hear():
                poller.unregister(self._said)
            if self._main in ready or self._wake in ready:
                break
            if time.monotonic() >= deadline:
                self._cause = f"timeout after {timeout:g}s"
                break
        ended_by_itself = self._main in ready
        gone = self._end()
        code = _status(self._process)
        self._drain()
        self._close()
        words = self._words.decode("utf-8", "replace").splitlines()
        return Ending(
            code=code if ended_by_itself else None,
            begun="begun" in words,
            cause="" if ended_by_itself else self._cause,
            gone=gone,
            said="\n".join(word for word in words if word not in ("ready", "begun")),
            output=bytes(self._kept),
            dropped=self._dropped,
        )

    def _end(self) -> bool:
        """Kill whatever is left, and wait until the kernel says that it is gone."""
        for descriptor in (self._first, self._main):
            if descriptor is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        group: list[int] = []
        if self._first is None:
            # its status is not taken yet, so that its number still names its group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            group = _living_members(self._process.pid)
        gone = [_ends(each) for each in (self._first, self._main, *group) if each is not None]
        for each in group:
            os.close(each)
        return all(gone)

    def _drain(self) -> None:
        deadline = time.monotonic() + _TO_DRAIN
        for descriptor, read in ((self._output, self._keep), (self._said, self._hear)):
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            # a daemon that left its group still holds the pipe: nobody waits for it
            while poller.poll(0) and time.monotonic() < deadline and read():
                continue

    def _keep(self) -> bool:
        piece = os.read(self._output, _PIECE)
        room = OUTPUT_KEPT + SLACK - len(self._kept)
        self._kept += piece[:room]
        self._dropped += max(0, len(piece) - room)
        return piece != b""

    def _hear(self) -> bool:
        piece = os.read(self._said, _PIECE)
        self._words = (self._words + piece)[:_SAID_KEPT]
        return piece != b""

    def _close(self) -> None:
        with self._guard:
            self._closed = True
            if self._line is not None:
                self._line.close()
                self._line = None
        for descriptor in (self._first, self._main, self._output, self._said, self._wake):
            if descriptor is not None:
                os.close(descriptor)


def _milliseconds(deadline: float) -> int:
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)


def _living_members(group: int) -> list[int]:
    """Descriptors of the processes in a group that have not ended: a killed group starts no new ones."""
    found = []
    for entry in os.listdir("/proc"):
        # a process may end between any two of these steps
        with suppress(OSError):
            if entry.isdecimal():
                with open(f"/proc/{entry}/stat", "rb") as file:
                    state, _, of = file.read().rpartition(b")")[2].split()[:3]
                if int(of) == group and state not in (b"Z", b"X"):
                    found.append(os.pidfd_open(int(entry)))
    return found


def _ends(pidfd: int) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(int(_TO_DIE * 1000)))


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status as a shell says it. None, never 0, if the host reaped our child before us."""
    try:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        found = None
    if found is None:
        process.returncode = NO_LINE
        return None
    process.returncode = found.si_status if found.si_code == os.CLD_EXITED else 128 + found.si_status
    return process.returncode
