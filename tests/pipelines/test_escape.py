"""A hostile job in the real sandbox: everything it tries is refused or bounded.

On a machine without user namespaces these tests fail and say what is missing: a sandbox that can't be
tested is not there.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cigate.action import Source
from cigate.errors import PipelineUnavailable
from cigate.pipelines import Run, RunState
from cigate.pipelines.local import JOB_USER, LocalPipeline
from cigate.pipelines.sandbox import Bwrap, find_bwrap, stage
from cigate.testing.pipelines import CREDENTIAL, ended, lease_of
from tests.pipelines.pipeline_scene import Repository, spec

PYTHON = "/usr/bin/python3"
MIB = 1024 * 1024
NUMBERS = {
    "x86_64": {
        "ptrace": 101,
        "keyctl": 250,
        "mount": 165,
        "unshare": 272,
        "setns": 308,
        "clone": 56,
        "bpf": 321,
    },
    "aarch64": {
        "ptrace": 117,
        "keyctl": 219,
        "mount": 40,
        "unshare": 97,
        "setns": 268,
        "clone": 220,
        "bpf": 280,
    },
}[os.uname().machine]


MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@pytest.fixture(scope="module")
def pipeline() -> LocalPipeline:
    made = LocalPipeline()
    made.probe()
    return made


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder of the host that anybody may read, with a file in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "secret").write_text("of the host")
    yield folder
    shutil.rmtree(folder)


def shell(pipeline: LocalPipeline, script: str, **fields: object) -> Run:
    return ended(pipeline, spec("/bin/sh", "-c", script, **fields))


def python(pipeline: LocalPipeline, script: str, **fields: object) -> str:
    """What a Python program in the sandbox prints."""
    assert Path(PYTHON).exists(), f"these attacks are written for {PYTHON}: install it"
    run = ended(pipeline, spec(PYTHON, "-c", f"import os, socket, ctypes, errno\n{script}", **fields))
    assert run.exit_code == 0, run.output.decode()
    return run.output.decode().strip()


def call(name: str, *arguments: int) -> str:
    """Python for one raw system call, which prints the error's name or `done`."""
    words = ", ".join(map(str, (NUMBERS[name], *arguments)))
    return (
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"print('done' if libc.syscall({words}) >= 0 else errno.errorcode[ctypes.get_errno()])"
    )


def test_files_of_the_host_are_not_there(pipeline: LocalPipeline, outside: Path) -> None:
    places = [
        "/etc/shadow",
        "/etc/hostname",
        "/etc/ssl/private",
        "/root",
        "/home/*/.ssh",
        "/var/lib",
        "/var/log",
    ]
    places += [
        "/opt",
        "/srv",
        "/mnt",
        "/sys",
        "/boot",
        "/run/*.sock",
        "/run/systemd",
        str(outside),
        os.getcwd(),
    ]
    places += [str(Path.home()), "/proc/1/root/etc/shadow", "/proc/1/cwd/etc/shadow", "/dev/vda", "/dev/mem"]
    script = "; ".join(f"for each in {place}; do [ -e $each ] && echo $each; done" for place in places)
    run = shell(pipeline, f"{script}; ls -A /etc /home /run /var; exit 0")
    assert run.exit_code == 0
    seen = run.output.decode().split("/etc:\n")
    assert seen[0] == "", f"a job sees {seen[0]}"
    assert "shadow" not in seen[1]
    assert "hostname" not in seen[1]


def test_the_root_shows_what_was_put_there_and_nothing_else(pipeline: LocalPipeline) -> None:
    seen = set(shell(pipeline, "ls -A /").output.decode().split())
    assert seen >= {"dev", "etc", "home", "proc", "run", "tmp", "usr", "var"}
    assert seen <= {*("dev", "etc", "home", "proc", "run", "tmp", "usr", "var"), *MERGED}


def test_the_account_that_a_job_sees_is_made_up_and_it_has_no_group_of_the_host(
    pipeline: LocalPipeline,
) -> None:
    run = shell(pipeline, "id; cat /etc/passwd; uname -n")
    lines = run.output.decode().splitlines()
    assert lines[0] == "uid=1000(job) gid=1000(job) groups=1000(job)"
    assert [line.split(":")[0] for line in lines[1:3]] == ["job", "nobody"]
    assert lines[3:] == ["job"]


def test_a_socket_in_the_hosts_file_system_is_out_of_reach(pipeline: LocalPipeline, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(outside / "s"))
        (outside / "s").chmod(0o777)
        listener.listen()
        assert python(pipeline, connect(str(outside / "s"))) == "ENOENT"


def test_an_abstract_socket_of_the_host_is_out_of_reach(pipeline: LocalPipeline) -> None:
    name = f"\0cigate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        assert python(pipeline, connect(name)) == "ECONNREFUSED"


def connect(address: str) -> str:
    return (
        "try:\n    socket.socket(socket.AF_UNIX).connect("
        f"{address!r})\nexcept OSError as error:\n    print(errno.errorcode[error.errno])"
    )


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
def test_no_socket_but_a_unix_one_is_made(pipeline: LocalPipeline, family: str) -> None:
    script = (
        f"try:\n    socket.socket(socket.{family})\n    print('made')\n"
        "except OSError as error:\n    print(errno.errorcode[error.errno])"
    )
    assert python(pipeline, script) == "EPERM"


def test_the_only_network_device_is_its_own_loopback(pipeline: LocalPipeline) -> None:
    lines = shell(pipeline, "cat /proc/net/dev").output.decode().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]


def test_other_processes_are_neither_seen_nor_signalled(pipeline: LocalPipeline) -> None:
    run = shell(pipeline, f"echo /proc/[0-9]*; kill -0 {os.getpid()} && echo reached")
    seen = run.output.decode().split("\n")[0].split()
    assert len(seen) <= 3, seen
    assert b"reached" not in run.output


@pytest.mark.parametrize(
    "attempt",
    [
        call("ptrace", 0, 0, 0, 0),
        call("ptrace", 16, 1, 0, 0),
        call("keyctl", 0, -3, 0),
        call("mount", 0, 0, 0, 0, 0),
        call("unshare", 0x10000000),
        call("unshare", 0x00020000),
        call("setns", 0, 0),
        call("clone", 0x10000000 | 17, 0, 0, 0, 0),
        call("bpf", 0, 0, 0),
    ],
    ids=["traceme", "attach", "keyctl", "mount", "userns", "mountns", "setns", "clone-userns", "bpf"],
)
def test_a_call_that_reaches_out_is_refused(pipeline: LocalPipeline, attempt: str) -> None:
    assert python(pipeline, attempt) == "EPERM"


def test_no_privilege_is_held_and_none_can_be_gained(pipeline: LocalPipeline) -> None:
    status = dict(
        line.split(":\t", 1) for line in shell(pipeline, "cat /proc/self/status").output.decode().splitlines()
    )
    assert {status[f"Cap{kind}"].strip("0") for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {""}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    script = "for change in (os.setuid, os.setgid):\n    try:\n        change(0)\n        print('root')\n"
    assert python(pipeline, script + "    except OSError:\n        print('no')").split() == ["no", "no"]


def test_a_program_with_the_setuid_bit_gives_nobody_anything(pipeline: LocalPipeline) -> None:
    script = "cp /usr/bin/id /tmp/id && chmod u+s /tmp/id && /tmp/id -u; grep -c nosuid /proc/self/mountinfo"
    lines = shell(pipeline, script).output.decode().split()
    assert lines[0] == "1000"
    mounts = shell(pipeline, "grep -vc nosuid /proc/self/mountinfo").output.decode().split()
    assert mounts == ["0"]


def test_only_its_three_places_can_be_written(pipeline: LocalPipeline, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "app.git")
    commit = repository.with_files({"file": b"content"})
    places = [
        "/",
        "/usr",
        "/usr/bin",
        "/etc",
        "/etc/ssl/certs",
        "/src",
        "/dev",
        "/var",
        "/run",
        "/run/cigate",
    ]
    places += ["/home", "/proc", "/proc/sys/kernel", "/tmp", "/dev/shm", "/home/job", "/var/tmp"]
    script = "; ".join(f"(echo > {place}/x) 2>/dev/null && echo {place}" for place in places)
    script += "; (echo > /src/file) 2>/dev/null && echo changed; rm -f /src/file 2>/dev/null; cat /src/file"
    source = Source(str(repository.folder), ("main",))
    run = shell(pipeline, script, source=source, commit=commit)
    assert run.output.decode().split() == ["/tmp", "/dev/shm", "/home/job", "/var/tmp", "content"]


def test_a_link_in_the_commit_leads_nowhere_outside(
    pipeline: LocalPipeline, outside: Path, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "app.git")
    targets = [
        "/etc/shadow",
        f"{outside}/secret",
        f"../../../../..{outside}/secret",
        "/proc/1/root/etc/shadow",
    ]
    links = [("120000", repository.blob(target.encode()), f"link{n}") for n, target in enumerate(targets)]
    commit = repository.commit(repository.tree(*links), branch="main")
    source = Source(str(repository.folder), ("main",))
    run = shell(pipeline, "ls; cat link*; exit 0", source=source, commit=commit)
    lines = run.output.decode().splitlines()
    assert lines[:4] == ["link0", "link1", "link2", "link3"]
    assert sum("No such file" in line or "Permission denied" in line for line in lines[4:]) == 4
    assert len(lines) == 8


@pytest.mark.parametrize(("place", "share"), [("/tmp", 8), ("/home/job", 32 / 3), ("/dev/shm", 32)])
def test_a_file_system_in_memory_can_be_filled_but_not_beyond_its_size(
    pipeline: LocalPipeline, place: str, share: float
) -> None:
    script = f"for n in 1 2 3; do head -c {8 * MIB} /dev/zero > {place}/$n; done; cat {place}/* | wc -c"
    written = int(shell(pipeline, script, memory=64 * MIB).output.split()[-1])
    assert 0 < written <= 64 * MIB / share


def test_a_process_gets_no_more_memory_than_its_action_grants(pipeline: LocalPipeline) -> None:
    script = "try:\n    bytearray(200 << 20)\n    print('had')\nexcept MemoryError:\n    print('refused')"
    assert python(pipeline, script, memory=512 * MIB) == "refused"
    assert python(pipeline, script, memory=8192 * MIB) == "refused"
    assert python(pipeline, script.replace("200 <<", "100 <<"), memory=8192 * MIB) == "had"


def test_memory_that_no_limit_counts_can_not_be_had(pipeline: LocalPipeline) -> None:
    assert (
        python(pipeline, "try:\n    os.memfd_create('x')\nexcept OSError:\n    print('refused')") == "refused"
    )


def test_so_many_processes_and_no_more(pipeline: LocalPipeline) -> None:
    script = "n=0; while [ $n -lt 200 ]; do sleep 100 & n=$((n+1)); echo $n; done"
    run = shell(pipeline, script)
    assert run.exit_code not in (None, 0)
    started = [int(line) for line in run.output.decode().splitlines() if line.isdecimal()]
    assert 4 < max(started) < 64


def test_a_fork_bomb_ends_with_the_run_and_leaves_nothing(pipeline: LocalPipeline) -> None:
    before = time.monotonic()
    script = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 100"
    run = shell(pipeline, script, timeout=timedelta(seconds=1))
    # A shell that can't fork any more gives up by itself, if that comes first.
    ends = {
        (RunState.STOPPED, "limits: per-process; timeout after 1s"),
        (RunState.FINISHED, "limits: per-process"),
    }
    assert (run.state, run.note) in ends
    assert time.monotonic() - before < 8
    assert processes_named("bomb()") == []


def test_a_daemon_that_keeps_the_output_open_neither_holds_the_run_nor_outlives_it(
    pipeline: LocalPipeline,
) -> None:
    before = time.monotonic()
    run = shell(pipeline, "setsid sleep 98765 & setsid setsid sleep 98765 & echo parent")
    assert (run.state, run.exit_code, run.output) == (RunState.FINISHED, 0, b"parent\n")
    assert time.monotonic() - before < 5
    assert processes_named("98765") == []


def test_the_timeout_ends_everything_that_the_job_started(pipeline: LocalPipeline) -> None:
    script = "trap '' TERM INT HUP; (setsid sleep 98764) & sleep 98764"
    run = shell(pipeline, script, timeout=timedelta(milliseconds=200))
    assert run.state is RunState.STOPPED
    assert processes_named("98764") == []


def test_neither_credential_nor_parameters_are_on_any_command_line(pipeline: LocalPipeline) -> None:
    wanted = spec("/bin/sleep", "98763", awaits_credential=True, parameters={"p": "parameter-marker-5511"})
    pipeline.release(pipeline.start(wanted), lease_of(wanted.decision_id))
    (pid,) = wait_for_process("98763")
    lines = command_lines()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    pipeline.stop(wanted.decision_id)
    assert f"CIGATE_CREDENTIAL={CREDENTIAL}".encode() in environment
    assert b"CIGATE_PARAM_P=parameter-marker-5511" in environment
    for marker in (CREDENTIAL.encode(), b"parameter-marker-5511", wanted.decision_id.encode()):
        assert [line for line in lines.values() if marker in line] == []


def test_a_job_inherits_no_descriptor_of_ours(pipeline: LocalPipeline) -> None:
    with open(os.devnull) as ours:
        os.set_inheritable(ours.fileno(), True)
        run = shell(pipeline, "for each in /proc/self/fd/*; do readlink $each; done")
    targets = run.output.decode().split()
    assert targets[0] == "/dev/null"
    assert all(target.startswith("pipe:") for target in targets[1:3])
    assert [target for target in targets[3:] if not target.startswith("/proc/")] == []


def test_a_root_gateway_runs_jobs_as_nobody_that_exists(pipeline: LocalPipeline) -> None:
    wanted = spec("/bin/sleep", "98762")
    pipeline.start(wanted)
    (pid,) = wait_for_process("98762")
    owner = os.stat(f"/proc/{pid}").st_uid
    pipeline.stop(wanted.decision_id)
    assert owner == (JOB_USER if os.geteuid() == 0 else os.geteuid())
    assert owner != 0


def test_a_gateway_that_is_not_root_has_the_same_walls(outside: Path) -> None:
    """As root: once more in a child that has become nobody, whose bubblewrap is a copy that it can reach."""
    staged = outside / "bwrap"
    staged.mkdir()
    reachable = stage(find_bwrap(), staged)
    (outside / "scratch").mkdir(mode=0o777)
    (outside / "scratch").chmod(0o777)
    report, report_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(report)
        said = "crashed"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            said = attack_as_nobody(reachable, outside)
        except BaseException as error:
            said = repr(error)
        finally:
            os.write(report_end, said.encode()[:4000])
            os._exit(0)
    os.close(report_end)
    with os.fdopen(report, "rb") as reader:
        said = reader.read().decode()
    os.waitpid(child, 0)
    assert said == "held"


def attack_as_nobody(bwrap: Path, outside: Path) -> str:
    assert os.geteuid() != 0
    import cigate.pipelines.local as local

    local.find_bwrap = lambda: Bwrap(bwrap)
    pipeline = LocalPipeline(scratch=outside / "scratch")
    script = f"id -u; ls /etc/shadow {outside}; unshare -U true; cat /proc/net/dev; exit 7"
    wanted = spec("/bin/sh", "-c", script, awaits_credential=True)
    pipeline.release(pipeline.start(wanted), lease_of(wanted.decision_id))
    run = pipeline.observe(wanted.decision_id, wait=timedelta(seconds=30))
    assert run is not None
    output = run.output.decode()
    assert run.exit_code == 7, (run, output)
    assert output.startswith("1000\n")
    assert output.count("No such file") == 2, output
    assert "Operation not permitted" in output
    assert [line.split(":")[0].strip() for line in output.splitlines() if ":" in line and "0 " in line][
        -1
    ] == "lo"
    assert list((outside / "scratch").glob("*/*")) == []
    return "held"


def test_there_is_no_way_back_to_a_weaker_isolation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexec /bin/false\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setattr("cigate.pipelines.local.find_bwrap", lambda: Bwrap(broken))
    pipeline = LocalPipeline()
    wanted = spec("/bin/sh", "-c", f"touch {tmp_path}/ran")
    with pytest.raises(PipelineUnavailable):
        pipeline.start(wanted)
    assert pipeline.observe(wanted.decision_id) is None
    assert not (tmp_path / "ran").exists()


def command_lines() -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def processes_named(marker: str) -> list[int]:
    """Processes one of whose words contains the marker, but bubblewrap's own."""
    return [pid for pid, line in command_lines().items() if marker.encode() in line and b"bwrap" not in line]


def wait_for_process(marker: str) -> list[int]:
    """The one process that is called with exactly this word, once it is there."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [
            pid
            for pid, line in command_lines().items()
            if line.split(b"\0")[:-1] == [b"/bin/sleep", marker.encode()]
        ]
        if found:
            return found
        select.select([], [], [], 0.005)
    raise AssertionError(f"no process {marker} came up")
