"""The filter, run by an interpreter of the kernel's little machine: what it says to each call."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import PipelineUnavailable
from cigate.pipelines.seccomp import ALLOW, KILL, REFUSE, UNKNOWN, program
from cigate.pipelines.syscalls import MACHINES, NEWEST

NAMESPACES = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
JUDGED = ("clone", "clone3", "socket", "socketpair", "ioctl")
WORD = st.integers(0, 2**32 - 1)
machines = pytest.mark.parametrize("machine", MACHINES)


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the filter answers, by classic BPF's rules: forward jumps only, always a return."""
    data = struct.pack(
        "<II8x6Q", number, MACHINES[machine].audit if audit is None else audit, *(*arguments, *[0] * 6)[:6]
    )
    code = list(struct.iter_unpack("<HBBI", program(machine)))
    at, loaded = 0, 0
    while True:
        kind, yes, no, constant = code[at]
        at += 1
        match kind:
            case 0x20:
                (loaded,) = struct.unpack_from("<I", data, constant)
            case 0x15:
                at += yes if loaded == constant else no
            case 0x25:
                at += yes if loaded > constant else no
            case 0x35:
                at += yes if loaded >= constant else no
            case 0x45:
                at += yes if loaded & constant else no
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"an instruction that the filter must not need: {kind:#x}")


@machines
def test_every_number_is_allowed_refused_or_unknown_as_the_table_says(machine: str) -> None:
    known = MACHINES[machine]
    allowed = set(known.allowed.values())
    judged = {getattr(known, name) for name in JUDGED}
    for number in set(range(NEWEST + 200)) - judged:
        expected = UNKNOWN if number > NEWEST else ALLOW if number in allowed else REFUSE
        assert verdict(machine, number) == expected, number


@machines
@given(number=WORD)
def test_a_call_by_the_numbers_of_another_machine_kills(machine: str, number: int) -> None:
    for audit in {0x40000003, 0x40000028, 0, *(each.audit for each in MACHINES.values())}:
        if audit != MACHINES[machine].audit:
            assert verdict(machine, number, audit=audit) == KILL


@given(number=st.integers(0x40000000, 2**32 - 1))
def test_the_x32_numbers_of_an_x86_kill(number: int) -> None:
    assert verdict("x86_64", number) == KILL


@machines
@given(flags=WORD, high=WORD)
def test_clone_makes_threads_and_processes_but_no_namespace(machine: str, flags: int, high: int) -> None:
    asks = any(flags & each for each in NAMESPACES)
    assert verdict(machine, MACHINES[machine].clone, high << 32 | flags) == (REFUSE if asks else ALLOW)


@machines
def test_clone3_does_not_exist_so_that_every_libc_falls_back_to_clone(machine: str) -> None:
    assert verdict(machine, MACHINES[machine].clone3, 2**63) == UNKNOWN


@machines
@given(family=WORD)
def test_only_unix_sockets_are_made(machine: str, family: int) -> None:
    known = MACHINES[machine]
    for call in (known.socket, known.socketpair):
        assert verdict(machine, call, family) == (ALLOW if family == 1 else REFUSE)
        assert verdict(machine, call, 1) == ALLOW


@machines
@given(request=WORD)
def test_no_keystrokes_are_put_into_a_terminal(machine: str, request: int) -> None:
    call = MACHINES[machine].ioctl
    assert verdict(machine, call, 0, request) == (REFUSE if request in (0x5412, 0x541C) else ALLOW)
    assert verdict(machine, call, 0, 0x5412) == verdict(machine, call, 0, 0x541C) == REFUSE


@machines
def test_what_reaches_out_of_a_job_is_on_no_list(machine: str) -> None:
    dangerous = {
        *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "bpf", "perf_event_open"),
        *(
            "mount",
            "umount2",
            "move_mount",
            "open_tree",
            "fsopen",
            "pivot_root",
            "chroot",
            "setns",
            "unshare",
        ),
        *("keyctl", "add_key", "request_key", "init_module", "finit_module", "kexec_load", "reboot", "iopl"),
        *(
            "io_uring_setup",
            "userfaultfd",
            "open_by_handle_at",
            "name_to_handle_at",
            "personality",
            "modify_ldt",
        ),
        *("memfd_create", "memfd_secret", "shmget", "msgget", "settimeofday", "clock_settime", "sethostname"),
        *("quotactl", "acct", "swapon", "syslog", "fanotify_init", "clone", "clone3", "socket", "ioctl"),
    }
    assert dangerous.isdisjoint(MACHINES[machine].allowed)


def test_no_number_stands_for_two_calls() -> None:
    for known in MACHINES.values():
        numbers = [*known.allowed.values(), *(getattr(known, name) for name in JUDGED)]
        assert len(numbers) == len(set(numbers))


def test_a_machine_without_a_table_has_no_filter() -> None:
    with pytest.raises(PipelineUnavailable) as failure:
        program("vax")
    assert failure.value.code == "sandbox.unknown-machine"
    assert "x86_64" in failure.value.fix


@machines
def test_the_filter_fits_the_kernel(machine: str) -> None:
    assert 0 < len(program(machine)) // 8 <= 4096
