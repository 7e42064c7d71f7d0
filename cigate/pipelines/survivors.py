"""What a dead gateway left running, found by the decision that stands in its environment.

A job without a sandbox may outlive its gateway. In a sandbox it dies with it, but a bubblewrap that is killed
while it makes its namespaces leaves its other half waiting for ever (measured: once in some sixty kills there).
Nobody that lives knows their numbers, so they are looked for. What has thrown its environment away is not found.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from cigate.decision import DecisionId
from cigate.pipelines.environment import DECISION

_TO_DIE: Final = 10.0


def end_survivors(decision_id: DecisionId) -> bool:
    """Kill every process that names this decision, and wait until the kernel says that it is gone.

    Returns:
        False: one could not be killed in time.
    """
    deadline = time.monotonic() + _TO_DIE
    while found := list(_named(f"{DECISION}={decision_id}".encode())):
        # again, until none is found: one that dies may have started another
        for each in found:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(each, signal.SIGKILL)
        gone = [_ends(each, deadline) for each in found]
        for each in found:
            os.close(each)
        if not all(gone):
            return False
    return True


def _named(variable: bytes) -> Iterator[int]:
    """Descriptors of the processes, other than this one, that were given this variable."""
    for entry in os.listdir("/proc"):
        # a process may end between any two of these steps, and others are not ours to look at
        with suppress(OSError):
            if not entry.isdecimal() or int(entry) == os.getpid() or not _has(entry, variable):
                continue
            descriptor = os.pidfd_open(int(entry))
            if _has(entry, variable):  # still: the number was not given to another one meanwhile
                yield descriptor
            else:
                os.close(descriptor)


def _has(entry: str, variable: bytes) -> bool:
    with open(f"/proc/{entry}/environ", "rb") as file:
        return variable in file.read().split(b"\0")


def _ends(pidfd: int, deadline: float) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(max(0, int((deadline - time.monotonic()) * 1000))))
