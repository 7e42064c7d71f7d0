"""A seccomp filter for a sandboxed job, assembled as classic BPF: whatever is not listed is refused.

Theory. The program reads `struct seccomp_data` (number, architecture, arguments) and returns a verdict.
It is pinned to one architecture: another one's numbers mean other calls, so a call by them kills. Allowed
numbers are merged into sorted ranges, each four instructions with short jumps, so that no offset can grow
past the eight bits which a jump has. A refused call gets EPERM; `clone3` gets ENOSYS, because its flags lie
in memory that a filter can't read and every libc then falls back to `clone`, whose flags it can.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from cigate.errors import PipelineUnavailable
from cigate.pipelines.syscalls import MACHINES, NEWEST, Machine

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_GREATER: Final = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENT: Final = 16
"""Where the first argument begins; each has eight bytes, of which both machines keep the low half first."""

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
REFUSE: Final = 0x00050000 | errno.EPERM
UNKNOWN: Final = 0x00050000 | errno.ENOSYS

_X32: Final = 0x40000000
_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_AF_UNIX: Final = 1
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""


def program(machine: str | None = None) -> bytes:
    """The filter for a machine (`x86_64`, `aarch64`; None: this one), as an array of `struct sock_filter`.

    Raises:
        PipelineUnavailable: `sandbox.unknown-machine`, there is no table for it.
    """
    name = machine or os.uname().machine
    known = MACHINES.get(name)
    if known is None:
        raise PipelineUnavailable(
            "sandbox.unknown-machine",
            f"there is no table of system calls for {name}",
            fix=f"run the gateway on one of {', '.join(MACHINES)}",
        )
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in _assemble(known))


def _assemble(machine: Machine) -> Iterator[Instruction]:
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    yield (_EQUAL, 1, 0, machine.audit)
    yield (_RETURN, 0, 0, KILL)
    yield (_LOAD, 0, 0, _NUMBER)
    if machine.x32:
        yield from _when(_AT_LEAST, _X32, KILL)
    yield from _when(_GREATER, NEWEST, UNKNOWN)
    yield from _when(_EQUAL, machine.clone3, UNKNOWN)
    yield from _judged(machine.clone, 0, [(_ANY_BIT, _NAMESPACES, REFUSE)], otherwise=ALLOW)
    for call in (machine.socket, machine.socketpair):
        yield from _judged(call, 0, [(_EQUAL, _AF_UNIX, ALLOW)], otherwise=REFUSE)
    keystrokes = [(_EQUAL, _TIOCSTI, REFUSE), (_EQUAL, _TIOCLINUX, REFUSE)]
    yield from _judged(machine.ioctl, 1, keystrokes, otherwise=ALLOW)
    for low, high in _ranges(machine.allowed.values()):
        yield (_GREATER, 3, 0, high)
        yield (_AT_LEAST, 0, 1, low)
        yield (_RETURN, 0, 0, ALLOW)
        yield (_RETURN, 0, 0, REFUSE)
    yield (_RETURN, 0, 0, REFUSE)


def _when(test: int, constant: int, verdict: int) -> Iterator[Instruction]:
    yield (test, 0, 1, constant)
    yield (_RETURN, 0, 0, verdict)


def _judged(
    call: int, argument: int, tests: Iterable[tuple[int, int, int]], *, otherwise: int
) -> Iterator[Instruction]:
    """Verdicts on one call by the low half of one argument; any other call goes on with its number loaded."""
    body = [(_LOAD, 0, 0, _ARGUMENT + 8 * argument)]
    for test, constant, verdict in tests:
        body += _when(test, constant, verdict)
    body.append((_RETURN, 0, 0, otherwise))
    yield (_EQUAL, 0, len(body), call)
    yield from body


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
