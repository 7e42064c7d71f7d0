"""What is special about jobs on this machine: how they begin, end, and what they leave."""

from __future__ import annotations

import hashlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from cigate.action import Source
from cigate.errors import ConfigError, PipelineUnavailable
from cigate.pipelines import RunState, mismatch
from cigate.pipelines.held import OUTPUT_KEPT
from cigate.pipelines.local import LocalPipeline
from cigate.pipelines.source import GitSource
from cigate.testing.pipelines import CREDENTIAL, ended, lease_of
from tests.pipelines.pipeline_scene import Repository, spec

ROOT = Path(__file__).parents[2]
AN_INSTANT = timedelta(milliseconds=20)


@pytest.fixture
def pipeline() -> LocalPipeline:
    return LocalPipeline()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that the user of jobs can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def in_another_process(script: str) -> subprocess.Popen[bytes]:
    """A gateway of its own: a script with a `pipeline` and the scene's names."""
    head = (
        "import os, signal, sys, threading, time\n"
        "from datetime import timedelta\n"
        "from cigate.pipelines.local import LocalPipeline\n"
        "from cigate.testing.pipelines import ended\n"
        "from tests.pipelines.pipeline_scene import spec\n"
        "pipeline = LocalPipeline()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))},
    )


def process_called(*words: str) -> int | None:
    wanted = [word.encode() for word in words]
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cmdline").read_bytes().split(b"\0")[:-1] == wanted:
                return int(entry.name)
        except OSError:
            continue
    return None


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"isolation": "none"}, "pipeline.unisolated"),
        ({"isolation": "vm"}, "pipeline.isolation"),
        ({"isolation": False}, "config.type"),
        ({"isolaton": "none"}, "config.unknown-key"),
        ({"scratch": "/tmp"}, "config.unknown-key"),
        ({"run_as": "no-such-user-here"}, "pipeline.run-as"),
        ({"run_as": 0}, "config.range"),
        ({"run_as": True}, "config.type"),
        ({"run_as": "root"}, "pipeline.run-as"),
    ],
)
def test_a_section_that_is_wrong_does_not_load(
    given: Mapping[str, object], code: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refusal:
        LocalPipeline.from_config(given, folder=tmp_path)
    assert refusal.value.code == code


def test_a_misspelled_key_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        LocalPipeline.from_config({"isolaton": "none"}, folder=tmp_path)
    assert refusal.value.where == "/isolaton"
    assert "isolation" in refusal.value.fix


def test_the_default_is_the_sandbox_and_none_needs_two_words(tmp_path: Path) -> None:
    assert LocalPipeline.from_config({"backend": "local"}, folder=tmp_path).isolation == "sandbox"
    bare = LocalPipeline.from_config({"isolation": "none"}, folder=tmp_path, allow_unisolated_jobs=True)
    assert bare.isolation == "none"
    allowed = LocalPipeline.from_config({}, folder=tmp_path, allow_unisolated_jobs=True)
    assert allowed.isolation == "sandbox"


@pytest.mark.parametrize(
    "folder", ["/usr/local/cigate", "/usr", "/bin/x", "/etc/ssl/certs", "/usr/../usr/lib/x"]
)
def test_a_gateway_whose_folder_jobs_would_see_does_not_load(folder: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        LocalPipeline.from_config({}, folder=Path(folder))
    assert refusal.value.code == "pipeline.folder-visible"


def test_a_job_is_shown_its_commit_its_receipt_and_its_parameters(
    pipeline: LocalPipeline, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "app.git")
    old = repository.with_files({"build": b"old"})
    repository.commit(repository.tree(("100644", repository.blob(b"new"), "build")), old, branch="main")
    wanted = spec(
        "/bin/sh",
        "-c",
        'pwd; cat build; cat "$CIGATE_RECEIPT"; env | grep ^CIGATE_ | sort',
        source=Source(str(repository.folder), ("main",)),
        commit=old,
    )
    run = ended(pipeline, wanted)
    assert mismatch(wanted, run) == ""
    assert run.output.decode().splitlines() == [
        "/src",
        'old{"decision": "allow"}CIGATE_COMMIT=sha1:' + old,
        f"CIGATE_DECISION_ID={wanted.decision_id}",
        "CIGATE_PARAM_FAST=true",
        "CIGATE_PARAM_SHARDS=2",
        "CIGATE_PARAM_TEST_SUITE=integration-qa",
        "CIGATE_RECEIPT=/run/cigate/receipt.json",
    ]


def test_a_branch_that_moved_since_the_decision_starts_nothing(scratch: Path, tmp_path: Path) -> None:
    pipeline = LocalPipeline(scratch=scratch)
    repository = Repository(tmp_path / "app.git")
    decided = repository.with_files({"a": b"1"})
    wanted = spec("/bin/true", source=Source(str(repository.folder), ("main",)), commit=decided)
    assert GitSource(repository.folder, ("main",)).resolve(decided) == decided
    repository.with_files({"a": b"2"})
    with pytest.raises(PipelineUnavailable) as failure:
        pipeline.start(wanted)
    assert failure.value.code == "source.unreachable"
    assert pipeline.observe(wanted.decision_id) is None
    assert list(scratch.glob("*/*")) == []


@pytest.mark.parametrize(
    ("command", "state", "code", "note"),
    [
        (("no-such-program",), RunState.STOPPED, None, "its command was not found"),
        (("/usr",), RunState.FINISHED, 126, ""),
        (("/bin/sh", "-c", "exit 127"), RunState.FINISHED, 127, ""),
        (("/bin/sh", "-c", "exit 125"), RunState.FINISHED, 125, ""),
        (("/bin/sh", "-c", "kill -9 $$"), RunState.FINISHED, 137, ""),
        (("/bin/sh", "-c", "echo missing >&2; echo begun >&2; exit 4"), RunState.FINISHED, 4, ""),
    ],
)
def test_how_a_job_ended_is_told_from_why_it_could_not_begin(
    pipeline: LocalPipeline, command: tuple[str, ...], state: RunState, code: int | None, note: str
) -> None:
    run = ended(pipeline, spec(*command))
    assert (run.state, run.exit_code) == (state, code)
    assert run.note == "; ".join(part for part in ("limits: per-process", note) if part)


@pytest.mark.parametrize("command", [(), ("a\0b",), ("/bin/sh", "\0")])
def test_a_command_that_can_not_be_run_starts_nothing(
    pipeline: LocalPipeline, command: tuple[str, ...]
) -> None:
    with pytest.raises(PipelineUnavailable) as failure:
        pipeline.start(spec(*command))
    assert failure.value.code == "pipeline.command"


def test_parameters_that_share_a_variable_start_nothing(pipeline: LocalPipeline) -> None:
    wanted = spec("/bin/true", parameters={"a-b": 1, "a_b": 2})
    with pytest.raises(PipelineUnavailable) as failure:
        pipeline.start(wanted)
    assert failure.value.code == "pipeline.parameter-collision"
    assert pipeline.observe(wanted.decision_id) is None


def test_what_could_not_start_may_be_started_again(
    pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = spec("/bin/true")
    with monkeypatch.context() as broken:
        broken.setattr("cigate.pipelines.local._SHELL", "/no/such/shell")
        with pytest.raises(PipelineUnavailable):
            pipeline.start(wanted)
    assert ended(pipeline, wanted).succeeded


@pytest.mark.parametrize("secret", ["two\nlines", "zero\0byte", "x" * (16 * 1024 + 1)])
def test_a_credential_that_no_variable_can_hold_is_not_released(pipeline: LocalPipeline, secret: str) -> None:
    wanted = spec("/bin/sh", "-c", "exit 0", awaits_credential=True)
    started = pipeline.start(wanted)
    with pytest.raises(PipelineUnavailable) as failure:
        pipeline.release(started, lease_of(wanted.decision_id, secret))
    waiting = pipeline.observe(wanted.decision_id)
    pipeline.stop(wanted.decision_id)
    assert failure.value.code == "pipeline.credential-form"
    assert secret not in str(failure.value)
    assert waiting is not None
    assert waiting.state is RunState.WAITING


@pytest.mark.parametrize("secret", [" leading and $(trailing) `x` \\ ", "ä€\x81", "-n", "x" * 16 * 1024])
def test_a_credential_arrives_as_it_is(pipeline: LocalPipeline, secret: str) -> None:
    wanted = spec("/bin/sh", "-c", 'printf %s "$CIGATE_CREDENTIAL" | sha256sum', awaits_credential=True)
    pipeline.release(pipeline.start(wanted), lease_of(wanted.decision_id, secret))
    run = pipeline.observe(wanted.decision_id, wait=timedelta(seconds=30))
    assert run is not None
    assert run.output.split()[0].decode() == hashlib.sha256(secret.encode()).hexdigest()


def test_output_is_kept_from_its_beginning_and_what_is_missing_is_counted(pipeline: LocalPipeline) -> None:
    run = ended(pipeline, spec("/bin/sh", "-c", "echo first; head -c 3000000 /dev/zero; echo last >&2"))
    assert run.exit_code == 0
    assert len(run.output) == OUTPUT_KEPT
    assert run.output.startswith(b"first\n")
    assert f"output cut: {3_000_011 - OUTPUT_KEPT} bytes dropped" in run.note


@pytest.mark.parametrize("before", [OUTPUT_KEPT - 10, OUTPUT_KEPT + 128 * 1024 - 10])
def test_a_secret_that_the_cut_goes_through_shows_no_part_of_itself(
    pipeline: LocalPipeline, before: int
) -> None:
    script = f'head -c {before} /dev/zero; printf %s "$CIGATE_CREDENTIAL"; head -c 500000 /dev/zero'
    wanted = spec("/bin/sh", "-c", script, awaits_credential=True)
    pipeline.release(pipeline.start(wanted), lease_of(wanted.decision_id))
    run = pipeline.observe(wanted.decision_id, wait=timedelta(seconds=30))
    assert run is not None
    assert run.state is RunState.FINISHED
    assert CREDENTIAL[:8].encode() not in run.output


def test_a_run_that_is_stopped_while_it_starts_never_begins(
    pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        inside.set()
        go_on.wait(30)

    monkeypatch.setattr("cigate.pipelines.local._write_source", slow)
    wanted = spec("/bin/true")
    errors: list[PipelineUnavailable] = []

    def start() -> None:
        try:
            pipeline.start(wanted)
        except PipelineUnavailable as error:
            errors.append(error)

    starter = threading.Thread(target=start)
    stopper = threading.Thread(target=lambda: pipeline.stop(wanted.decision_id))
    starter.start()
    assert inside.wait(30)
    stopper.start()
    while not pipeline._jobs[wanted.decision_id].unwanted:
        select.select([], [], [], 0.001)
    go_on.set()
    starter.join(30)
    stopper.join(30)
    assert [error.code for error in errors] == ["pipeline.stopped"]
    assert pipeline.observe(wanted.decision_id) is None


def test_a_run_leaves_nothing_on_the_disk_and_nothing_open(scratch: Path, tmp_path: Path) -> None:
    pipeline = LocalPipeline(scratch=scratch)
    repository = Repository(tmp_path / "app.git")
    commit = repository.with_files({"a": b"1"})
    source = Source(str(repository.folder), ("main",))
    ended(pipeline, spec("/bin/true", source=source, commit=commit))
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    folders = sorted(scratch.glob("*/*"))
    for _ in range(5):
        ended(pipeline, spec("/bin/true", source=source, commit=commit))
        held = spec("/bin/true", source=source, commit=commit, awaits_credential=True)
        pipeline.start(held)
        pipeline.stop(held.decision_id)
    assert sorted(scratch.glob("*/*")) == folders
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        select.select([], [], [], 0.001)
    assert threading.active_count() <= threads


def test_folders_of_dead_processes_are_removed_and_those_of_living_ones_are_not(scratch: Path) -> None:
    dead, young = scratch / "cigate-jobs-dead", scratch / "cigate-jobs-young"
    for folder in (dead, young):
        (folder / "tree").mkdir(parents=True)
        (folder / "tree" / "file").write_text("x")
    living = LocalPipeline(scratch=scratch)
    ended(living, spec("/bin/true"))
    (mine,) = set(scratch.iterdir()) - {dead, young}
    for folder in (dead, mine):
        os.utime(folder, (1, 1))
    ended(LocalPipeline(scratch=scratch), spec("/bin/true"))
    assert not dead.exists()
    assert young.exists()
    assert mine.exists()


def test_only_so_many_ended_runs_are_remembered(
    pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cigate.pipelines.local.REMEMBERED", 2)
    specs = [spec("/bin/true") for _ in range(4)]
    for each in specs:
        ended(pipeline, each)
    assert [pipeline.observe(each.decision_id) is not None for each in specs] == [False, False, True, True]


def test_a_job_outlives_the_thread_that_started_it(pipeline: LocalPipeline) -> None:
    wanted = spec("/bin/sh", "-c", "sleep 0.2; exit 5")
    starter = threading.Thread(target=lambda: pipeline.start(wanted))
    starter.start()
    starter.join()
    run = pipeline.observe(wanted.decision_id, wait=timedelta(seconds=30))
    assert run is not None
    assert run.exit_code == 5


def test_a_job_dies_with_its_gateway() -> None:
    gateway = in_another_process(
        "pipeline.start(spec('/bin/sleep', '87654'))\nprint('started', flush=True)\nsignal.pause()\n"
    )
    with gateway:
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == b"started\n"
        deadline = time.monotonic() + 10
        while (job := process_called("/bin/sleep", "87654")) is None and time.monotonic() < deadline:
            select.select([], [], [], 0.005)
        assert job is not None
        watched = os.pidfd_open(job)
        gateway.kill()
    poller = select.poll()
    poller.register(watched, select.POLLIN)
    gone = poller.poll(10_000)
    os.close(watched)
    assert gone


def test_a_held_job_never_begins_after_its_gateway_died(scratch: Path) -> None:
    gateway = in_another_process(
        "pipeline.start(spec('/bin/sleep', '87653', awaits_credential=True))\n"
        "print('held', flush=True)\nsignal.pause()\n"
    )
    with gateway:
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == b"held\n"
        assert process_called("/bin/sleep", "87653") is None
        gateway.send_signal(signal.SIGKILL)
    assert process_called("/bin/sleep", "87653") is None


def test_a_pipeline_that_was_built_before_a_fork_runs_jobs_after_it() -> None:
    gateway = in_another_process(
        "first = spec('/bin/sleep', '1000')\n"
        "pipeline.start(first)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert pipeline.observe(first.decision_id) is None\n"
        "    os._exit(ended(pipeline, spec('/bin/sh', '-c', 'exit 6')).exit_code)\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "still = pipeline.observe(first.decision_id).state.value\n"
        "pipeline.stop(first.decision_id)\n"
        "print(status, still, flush=True)\n"
    )
    assert gateway.communicate(timeout=30)[0] == b"6 running\n"


def test_an_exit_status_that_the_host_took_from_us_is_never_a_success(
    pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_: object) -> None:
        raise ChildProcessError

    monkeypatch.setattr("cigate.pipelines.held.os.waitid", taken)
    run = ended(pipeline, spec("/bin/true"))
    assert (run.state, run.exit_code) == (RunState.STOPPED, None)
    assert "its exit status was lost" in run.note


def test_a_host_that_ignores_its_children_starts_nothing() -> None:
    gateway = in_another_process(
        "from cigate.errors import PipelineUnavailable\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "try:\n    pipeline.start(spec('/bin/true'))\n"
        "except PipelineUnavailable as error:\n    print(error.code, error.fix, flush=True)\n"
    )
    assert gateway.communicate(timeout=30)[0].startswith(b"pipeline.spawn let SIGCHLD")


def test_a_broken_pipe_does_not_kill_a_host_that_dies_of_them() -> None:
    gateway = in_another_process(
        "from cigate.errors import PipelineUnavailable\n"
        "from cigate.testing.pipelines import lease_of\n"
        "from cigate.pipelines.held import HeldProcess\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "wanted = spec('/bin/true', awaits_credential=True)\n"
        "run = pipeline.start(wanted)\n"
        "held = pipeline._jobs[wanted.decision_id].held\n"
        "signal.pidfd_send_signal(held._first, signal.SIGKILL)\n"
        "pipeline.observe(wanted.decision_id, wait=timedelta(seconds=30))\n"
        "try:\n    pipeline.release(run, lease_of(wanted.decision_id))\n"
        "except PipelineUnavailable as error:\n    print(error.code, flush=True)\n"
    )
    assert gateway.communicate(timeout=30)[0] == b"pipeline.not-waiting\n"


def test_without_a_sandbox_a_jobs_group_ends_with_it_and_its_files_are_private(scratch: Path) -> None:
    pipeline = LocalPipeline("none", allow_unisolated_jobs=True, scratch=scratch)
    script = 'sleep 87652 & cat "$CIGATE_RECEIPT"; stat -c %a "$HOME" "$HOME/.."; env | cut -d= -f1 | sort'
    run = ended(pipeline, spec("/bin/sh", "-c", script, isolation="none", parameters={}))
    assert process_called("sleep", "87652") is None
    lines = run.output.decode().splitlines()
    assert lines[0] == '{"decision": "allow"}700'
    assert lines[1] == "700"
    assert set(lines[2:]) == {
        "CIGATE_COMMIT",
        "CIGATE_DECISION_ID",
        "CIGATE_RECEIPT",
        "HOME",
        "LANG",
        "PATH",
        "PWD",
    }
    assert list(scratch.glob("*/*")) == []


def test_a_daemon_of_an_unisolated_job_does_not_hold_its_run(scratch: Path) -> None:
    pipeline = LocalPipeline("none", allow_unisolated_jobs=True, scratch=scratch)
    before = time.monotonic()
    run = ended(pipeline, spec("/bin/sh", "-c", "setsid sleep 3 & echo parent", isolation="none"))
    assert (run.exit_code, run.output) == (0, b"parent\n")
    assert time.monotonic() - before < 2
