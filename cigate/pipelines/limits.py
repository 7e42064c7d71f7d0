"""What one job may use, from the memory that its action grants.

Theory. Without a cgroup the kernel bounds processes, not jobs. So the number of processes is chosen such that
processes x address space + file systems in memory never exceeds the grant: a job that fills all of it at
once still stays within. An action that wants large processes, or many, grants more `memory`. As address space
is not memory, this is on the strict side. The run says `limits: per-process`.
"""

from __future__ import annotations

import os
import resource
from datetime import timedelta
from math import ceil
from typing import Final

from attrs import frozen

MIB: Final = 1024 * 1024
_USEFUL_PROCESS: Final = 192 * MIB
_LEAST_PROCESSES: Final = 8
_MOST_PROCESSES: Final = 512
_OPEN_FILES: Final = 1024
_ROOM_ON_OLD_KERNELS: Final = 4096
_UNITS: Final = {resource.RLIMIT_AS: 1024, resource.RLIMIT_FSIZE: 512}

NOTE: Final = "limits: per-process"


@frozen
class Limits:
    """Bounds of one job, in bytes unless it says otherwise.

    Args:
        address_space: of each process.
        processes: processes and threads together.
        file_size: of any one file.
        open_files: of each process.
        cpu: seconds of processor time of each process.
        tmp, home, shm: sizes of the file systems in memory that a job can write to.
    """

    address_space: int
    processes: int
    file_size: int
    open_files: int
    cpu: int
    tmp: int
    home: int
    shm: int

    @classmethod
    def within(cls, memory: int, timeout: timedelta) -> Limits:
        """The limits of a job with this much memory: a quarter for files, the rest for processes."""
        tmp, home, shm = memory // 8, memory * 3 // 32, memory // 32
        left = memory - tmp - home - shm
        processes = min(max(left // _USEFUL_PROCESS, _LEAST_PROCESSES), _MOST_PROCESSES)
        return cls(
            address_space=left // processes,
            processes=processes,
            file_size=max(tmp, home),
            open_files=_OPEN_FILES,
            cpu=ceil(timeout.total_seconds() * (os.cpu_count() or 1)) + 1,
            tmp=tmp,
            home=home,
            shm=shm,
        )

    def shell(self, *, processes: bool) -> str:
        """Commands that make a POSIX shell take on these limits, or leave with 126.

        Set from inside, because then the kernel counts a job's processes in its own user namespace, and no
        privilege is needed. `processes` is False where there is no such namespace: the count would be
        that of everything the same user runs.
        """
        wanted = [
            ("-c", 0, resource.RLIMIT_CORE),
            ("-v", self.address_space // 1024, resource.RLIMIT_AS),
            ("-f", self.file_size // 512, resource.RLIMIT_FSIZE),
            ("-n", self.open_files, resource.RLIMIT_NOFILE),
            ("-t", self.cpu, resource.RLIMIT_CPU),
        ]
        lines = [f"ulimit {letter} {_at_most(value, kind)} || exit 126" for letter, value, kind in wanted]
        if processes:
            most = _at_most(self.processes + _counted_outside(), resource.RLIMIT_NPROC)
            # dash and busybox say -p, bash says -u, and bash's -p refuses
            lines.append(f"ulimit -p {most} 2>/dev/null || ulimit -u {most} || exit 126")
        return "; ".join(lines)


def _at_most(value: int, kind: int) -> int:
    """The value, in the shell's units, or the hard limit that we run under: nobody may raise that."""
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard // _UNITS.get(kind, 1))


def _counted_outside() -> int:
    """Before Linux 5.14 the kernel counts all that a user runs: leave room for what runs already."""
    release = os.uname().release.split("-")[0].split(".")
    version = tuple(int(part) for part in release[:2] if part.isdecimal())
    return 0 if version >= (5, 14) else _ROOM_ON_OLD_KERNELS
