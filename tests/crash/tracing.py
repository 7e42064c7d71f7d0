"""What a process asked of the kernel, and how to end it at any one of these requests: strace, from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import frozen

WRITES = ("write", "pwrite64", "sendto", "ftruncate", "mkdir", "rename", "link", "unlink", "unlinkat")
SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs")
STARTS = ("clone", "clone3", "fork", "vfork", "execve", "connect")
LOCKS = ("flock", "fcntl")

_CALL = re.compile(r"(?P<thread>\d+) +(?:\S+ )?(?P<name>[a-z0-9_]+)\((?P<rest>.*)")
_INSTALL = "these tests trace what is synced and cut at each request to the kernel: apt-get install strace"
_ALLOW = (
    "strace is there but may not trace: sysctl kernel.yama.ptrace_scope=1 or less; "
    "in a container, --cap-add SYS_PTRACE"
)


@frozen
class Call:
    """One request to the kernel.

    Args:
        thread: who asked.
        name: which call.
        rest: its arguments and what came back, as strace writes them; descriptors with their paths.
        nth: the how manieth of its name in its thread, from 1.
    """

    thread: int
    name: str
    rest: str
    nth: int


def need_strace() -> None:
    """Fail the test, saying what to do, where nothing can be traced."""
    if shutil.which("strace") is None:
        pytest.fail(_INSTALL)
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.fail(f"{_ALLOW}\n{tried.stderr}")


def traced(command: Sequence[str], log: Path, names: Sequence[str]) -> list[str]:
    """The command line that runs `command` and writes its calls of these names to `log`.

    What it starts is traced until it becomes another program: jobs are not.
    """
    return ["strace", "-f", "-b", "execve", "-y", "-e", f"trace={','.join(names)}", "-o", str(log), *command]


def cut(command: Sequence[str], name: str, nth: int) -> list[str]:
    """The command line that runs `command` until it has asked for `name` the `nth` time, and kills it there."""
    trace, kill = f"trace={name}", f"inject={name}:signal=SIGKILL:when={nth}"
    return ["strace", "-f", "-b", "execve", "-e", trace, "-e", kill, "-o", "/dev/null", *command]


def calls(log: Path) -> list[Call]:
    """The calls in a log, in order. One that was interrupted by another thread's counts where it began."""
    found, counts = [], Counter[tuple[int, str]]()
    for line in log.read_text(errors="replace").splitlines():
        match = _CALL.fullmatch(line)
        if match is None:
            continue
        thread, name = int(match["thread"]), match["name"]
        counts[thread, name] += 1
        found.append(Call(thread, name, match["rest"], counts[thread, name]))
    return found
