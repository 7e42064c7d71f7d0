"""What holds among processes: rows survive any kill, locks do not, and a fork carries nothing over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from cigate.errors import StoreUnavailable
from cigate.stores import Change, Key, LockMode, Put, Rows
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore
from cigate.testing.stores import NOW, A, count_up, free, until, write

SOON = timedelta(seconds=20)
PREAMBLE = """
import sys
from datetime import timedelta
from cigate.stores import Change, Key, LockMode, Put
from cigate.stores.sqlite import SQLiteStore
from cigate.testing.stores import A, NOW, count_up, free
store = SQLiteStore(sys.argv[1])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SQLiteStore.create(tmp_path / "state.db").close()
    return tmp_path / "state.db"


@contextmanager
def process(path: Path, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process of its own that has opened the store."""
    program = [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), str(path), *arguments]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def said(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def in_child(act: Callable[[], object]) -> str:
    """What the act gives in a forked child, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = str(act())
        except StoreUnavailable as refused:
            answer = refused.code
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        found = answers.read()
    os.waitpid(child, 0)
    return found


def test_transactions_of_many_processes_behave_as_one_after_the_other(path: Path) -> None:
    code = "for _ in range(50): store.transact([A], count_up, now=NOW)"
    with ExitStack() as started:
        running = [started.enter_context(process(path, code)) for _ in range(4)]
        assert [each.wait() for each in running] == [0] * 4
    assert dict(SQLiteStore(path).read([A])) == {A: b"200"}


def test_no_acknowledged_row_is_lost_to_kill_9_and_no_transaction_is_torn(path: Path) -> None:
    code = """
    n = 0
    while True:
        n += 1
        puts = {Key("left", str(n)): Put(b""), Key("right", str(n)): Put(b"")}
        store.transact([], lambda _: Change(puts), now=NOW)
        print(n, flush=True)
    """
    acknowledged = 0
    with process(path, code) as running:
        while acknowledged < 40:
            acknowledged = int(said(running))
        os.kill(running.pid, signal.SIGKILL)
        assert running.stdout is not None
        acknowledged = int((running.stdout.read().split() or [str(acknowledged)])[-1])
    store = SQLiteStore(path)
    left = {key.id for key, _ in store.scan("left")}
    assert left >= {str(n) for n in range(1, acknowledged + 1)}
    assert left == {key.id for key, _ in store.scan("right")}


def test_a_transaction_killed_in_the_middle_leaves_nothing_and_blocks_nobody(path: Path) -> None:
    code = """
    def work(rows):
        print("inside", flush=True)
        sys.stdin.readline()
        return Change({A: Put(b"never")})
    store.transact([A], work, now=NOW)
    """
    with process(path, code) as running:
        assert said(running) == "inside"
        running.kill()
        running.wait()
        assert SQLiteStore(path).transact([A], count_up, now=NOW) == 1


@pytest.mark.parametrize("mode", list(LockMode))
def test_a_lock_dies_with_its_process(path: Path, mode: LockMode) -> None:
    code = """
    with store.lock("owner/1", LockMode(sys.argv[2]), timeout=timedelta(0)):
        print("held", flush=True)
        sys.stdin.readline()
    """
    store = SQLiteStore(path)
    with process(path, code, mode.value) as running:
        assert said(running) == "held"
        assert not free(store, LockMode.EXCLUSIVE, name="owner/1")
        assert free(store, LockMode.SHARED, name="owner/1") == (mode is LockMode.SHARED)
        running.kill()
        running.wait()
        assert free(store, LockMode.EXCLUSIVE, name="owner/1")


def test_a_waiting_exclusive_holds_back_the_shared_of_other_processes(path: Path) -> None:
    code = """
    with store.lock("gate", LockMode.EXCLUSIVE, timeout=timedelta(seconds=20)):
        print("held", flush=True)
    """
    store = SQLiteStore(path)
    with store.lock("gate", LockMode.SHARED, timeout=SOON), process(path, code) as running:
        until(lambda: not free(store, LockMode.SHARED))
        assert not free(store, LockMode.EXCLUSIVE)
        running.kill()
        running.wait()
        assert free(store, LockMode.SHARED), "who waited and died holds nobody back"


def test_locks_that_are_used_once_leave_no_files(path: Path) -> None:
    store = SQLiteStore(path)
    for n in range(5):
        with store.lock(f"owner/{n}", LockMode.EXCLUSIVE, timeout=SOON):
            pass
    assert list(Path(f"{path}.locks").iterdir()) == []


def test_an_exclusive_lock_is_held_by_one_even_while_its_file_comes_and_goes(path: Path) -> None:
    code = """
    for _ in range(60):
        with store.lock("one", LockMode.EXCLUSIVE, timeout=timedelta(seconds=20)):
            rows = store.read([A])
            value = int(rows.get(A, b"0")) + 1
            store.transact([], lambda _: Change({Key("visit", str(value)): Put(b"")}), now=NOW)
            store.transact([A], lambda _: Change({A: Put(str(value).encode())}), now=NOW)
    """
    with ExitStack() as started:
        running = [started.enter_context(process(path, code)) for _ in range(3)]
        assert [each.wait() for each in running] == [0] * 3
    assert dict(SQLiteStore(path).read([A])) == {A: b"180"}


def test_a_store_that_was_opened_before_a_fork_works_on_both_sides(path: Path) -> None:
    store = SQLiteStore(path)
    write(store, {A: Put(b"1")})
    assert in_child(lambda: store.transact([A], count_up, now=NOW)) == "2"
    assert store.transact([A], count_up, now=NOW) == 3
    assert in_child(lambda: store.transact([A], count_up, now=NOW)) == "4"
    assert store.transact([A], count_up, now=NOW) == 5


def test_no_connection_is_open_while_a_process_forks(path: Path) -> None:
    store = SQLiteStore(path)
    write(store, {A: Put(b"1")})
    assert in_child(lambda: len(store.connections())) == "0"


def test_rows_of_a_child_survive_its_parents_close(path: Path) -> None:
    store = SQLiteStore(path)
    write(store, {A: Put(b"1")})
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        store.transact([A], count_up, now=NOW)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        store.transact([A], count_up, now=NOW)
        os._exit(0)
    os.read(ready[0], 1)
    store.close()  # the parent's last close must not take the log away from the child
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    assert dict(SQLiteStore(path).read([A])) == {A: b"3"}


def test_a_fork_waits_for_the_transactions_of_other_threads(path: Path) -> None:
    store = SQLiteStore(path)
    done = threading.Event()

    def keep_writing() -> None:
        while not done.is_set():
            store.transact([A], count_up, now=NOW)

    writers = [threading.Thread(target=keep_writing) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        answers = [
            in_child(lambda: store.transact([Key("row", "child")], _count_child, now=NOW)) for _ in range(10)
        ]
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert answers == [str(n) for n in range(1, 11)]


def _count_child(rows: Rows) -> Change[int]:
    key = Key("row", "child")
    value = int(rows.get(key, b"0")) + 1
    return Change({key: Put(str(value).encode())}, value)


def test_a_child_forked_inside_a_transaction_can_neither_finish_it_nor_start_another(path: Path) -> None:
    store = SQLiteStore(path)
    answers: list[str] = []

    def forks(rows: Rows) -> Change[None]:
        pid = os.getpid()
        answers.append(in_child(lambda: SQLiteStore(path).read([A])))
        reader, writer = os.pipe()
        child = os.fork()
        if child:
            os.close(writer)
            with os.fdopen(reader) as found:
                answers.append(found.read())
            os.waitpid(child, 0)
            return Change({A: Put(b"the parent's")})
        children.append((pid, writer))
        return Change({A: Put(b"the child's")})

    children: list[tuple[int, int]] = []
    try:
        store.transact([A], forks, now=NOW)
    except StoreUnavailable as refused:
        if not children:
            raise
        os.write(children[0][1], refused.code.encode())
        os._exit(0)
    assert answers == ["store.forked", "store.forked"]
    assert dict(store.read([A])) == {A: b"the parent's"}


def test_a_lock_that_is_held_over_a_fork_stays_the_parents_alone(path: Path) -> None:
    store = SQLiteStore(path)
    with store.lock("owner/1", LockMode.EXCLUSIVE, timeout=SOON):
        assert in_child(lambda: free(store, LockMode.SHARED, name="owner/1")) == "False"
        assert not free(store, LockMode.SHARED, name="owner/1"), "the child's end did not let go of it"
    assert free(store, LockMode.EXCLUSIVE, name="owner/1")


def test_a_child_that_leaves_its_parents_lock_block_lets_go_of_nothing(path: Path) -> None:
    store = SQLiteStore(path)
    held = store.lock("owner/1", LockMode.EXCLUSIVE, timeout=SOON)
    held.__enter__()
    assert in_child(lambda: held.__exit__(None, None, None)) == "False"
    assert not free(store, LockMode.SHARED, name="owner/1")
    held.__exit__(None, None, None)
    assert free(store, LockMode.EXCLUSIVE, name="owner/1")


def test_a_child_does_not_keep_its_parents_lock_alive(path: Path) -> None:
    store = SQLiteStore(path)
    stay = os.pipe()
    held = store.lock("owner/1", LockMode.EXCLUSIVE, timeout=SOON)
    held.__enter__()
    child = os.fork()
    if child == 0:
        os.close(stay[1])
        os.read(stay[0], 1)
        os._exit(0)
    try:
        held.__exit__(None, None, None)
        assert free(store, LockMode.EXCLUSIVE, name="owner/1")
    finally:
        os.close(stay[1])
        os.waitpid(child, 0)


def test_a_lock_dies_with_its_process_though_a_child_of_it_lives_on(path: Path) -> None:
    code = """
    import os
    with store.lock("owner/1", LockMode.EXCLUSIVE, timeout=timedelta(0)):
        child = os.fork()
        if child:
            print(child, flush=True)
        sys.stdin.readline()
    """
    store = SQLiteStore(path)
    with process(path, code) as running:
        child = int(said(running))
        try:
            until(lambda: not any(".locks/" in name for name in open_files(child)))
            assert not free(store, LockMode.SHARED, name="owner/1")
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
            assert free(store, LockMode.EXCLUSIVE, name="owner/1")
        finally:
            os.kill(child, signal.SIGKILL)


def open_files(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def test_a_store_in_memory_refuses_in_a_forked_child() -> None:
    store = MemoryStore()
    write(store, {A: Put(b"1")})
    assert in_child(lambda: store.read([A])) == "store.forked"
    assert in_child(lambda: store.transact([A], count_up, now=NOW)) == "store.forked"
    assert in_child(lambda: store.lock("gate", LockMode.SHARED, timeout=SOON).__enter__()) == "store.forked"
    assert store.transact([A], count_up, now=NOW) == 2
