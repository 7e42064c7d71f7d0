"""A SQLite store is opened as it was left, or refused with a reason; it is never made, remade or mended."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cigate.errors import StoreUnavailable, StoreUncertain
from cigate.stores import CREATED, Change, Key, Put
from cigate.stores.sqlite import SQLiteStore
from cigate.testing.stores import NOW, A, B, count_up, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def closed(path: Path) -> Path:
    """A store with a few hundred rows that was closed."""
    store = SQLiteStore.create(path)
    write(store, {Key("row", f"{n:04}"): Put(bytes(200)) for n in range(500)})
    store.close()
    return path


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        act()
    return refused.value.code


def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    first = SQLiteStore.create(path)
    write(first, {A: Put(b"1")})
    first.close()
    second = SQLiteStore(path)
    assert dict(second.read([A])) == {A: b"1"}
    second.close()


def test_two_stores_on_one_file_see_each_others_rows(path: Path) -> None:
    first, second = SQLiteStore.create(path), SQLiteStore(path)
    assert [store.transact([A], count_up, now=NOW) for store in (first, second, first, second)] == [
        1,
        2,
        3,
        4,
    ]


def test_only_a_new_store_says_that_it_was_created(path: Path) -> None:
    store = SQLiteStore.create(path)
    assert CREATED in store.read([CREATED])
    store.transact([CREATED], lambda _: Change({CREATED: Put(None)}), now=NOW)
    assert CREATED not in SQLiteStore(path).read([CREATED])


def test_only_its_owner_can_read_a_new_store_its_log_and_its_backup(path: Path, tmp_path: Path) -> None:
    store = SQLiteStore.create(path)
    write(store, {A: Put(b"1")})
    store.backup(tmp_path / "backup.db")
    for name in ("state.db", "state.db-wal", "state.db-shm", "backup.db"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def test_create_refuses_a_file_that_is_there_and_leaves_it_alone(path: Path) -> None:
    path.write_bytes(b"")
    assert refusal(lambda: SQLiteStore.create(path)) == "store.exists"
    assert path.read_bytes() == b""


@pytest.mark.parametrize("left_over", ["-wal", "-journal"])
def test_create_refuses_what_a_lost_store_left_behind(path: Path, left_over: str) -> None:
    Path(f"{path}{left_over}").write_bytes(b"rows of another store")
    assert refusal(lambda: SQLiteStore.create(path)) == "store.exists"
    assert not path.exists()


def test_a_missing_file_is_refused_and_not_made(path: Path) -> None:
    assert refusal(lambda: SQLiteStore(path)) == "store.missing"
    assert list(path.parent.iterdir()) == []


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _noise(path: Path) -> None:
    path.write_bytes(os.urandom(64) * 128)


def _text(path: Path) -> None:
    path.write_text("this is no database\n" * 500)


def _header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _last_page_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def _half(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _root_page_zeroed(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'rows'").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


def _another_programs(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE rows (family, id, value, expires)")
    connection.close()


def _later_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()


def _no_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE rows")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_empty, "store.corrupt"),
        (_noise, "store.corrupt"),
        (_text, "store.corrupt"),
        (_header_only, "store.corrupt"),
        (_last_page_cut, "store.corrupt"),
        (_half, "store.corrupt"),
        (_folder, "store.corrupt"),
        (_root_page_zeroed, "store.corrupt"),
        (_another_programs, "store.foreign"),
        (_later_version, "store.foreign"),
        (_no_table, "store.failed"),
    ],
)
def test_a_file_that_is_not_whole_state_of_ours_is_refused_and_left_alone(
    closed: Path, damage: Callable[[Path], None], code: str
) -> None:
    damage(closed)
    before = closed.read_bytes() if closed.is_file() else None
    assert refusal(lambda: SQLiteStore(closed)) == code
    assert (closed.read_bytes() if closed.is_file() else None) == before


def test_rows_on_a_damaged_page_are_refused_not_missing(closed: Path) -> None:
    raw = bytearray(closed.read_bytes())
    at = len(raw) // 4096 // 2 * 4096
    raw[at : at + 4096] = bytes(4096)
    closed.write_bytes(raw)
    store = SQLiteStore(closed)
    keys = [Key("row", f"{n:04}") for n in range(500)]
    answers = [_answer(store, key) for key in keys]
    assert "store.corrupt" in answers
    assert set(answers) == {"store.corrupt", "there"}, "a row that can't be read must not look absent"
    assert refusal(lambda: store.scan("row")) == "store.corrupt"
    store.close()


def _answer(store: SQLiteStore, key: Key) -> str:
    try:
        return "there" if key in store.read([key]) else "absent"
    except StoreUnavailable as refused:
        return refused.code


def test_a_file_that_this_process_may_not_write_is_refused(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anything
    assert refusal(lambda: SQLiteStore(closed)) == "store.read-only"


def test_a_write_that_sqlite_refuses_as_read_only_changes_nothing(path: Path) -> None:
    store = SQLiteStore.create(path)
    for connection in store.connections():
        assert isinstance(connection, sqlite3.Connection)
        connection.execute("PRAGMA query_only = ON")
    assert refusal(lambda: store.transact([A], count_up, now=NOW)) == "store.read-only"
    assert store.transact([A], count_up, now=NOW) == 1, "the next one has a connection of its own"


def test_a_full_disk_is_refused_and_nothing_happened(path: Path) -> None:
    store = SQLiteStore.create(path)
    write(store, {A: Put(b"7")})
    for connection in store.connections():
        assert isinstance(connection, sqlite3.Connection)
        connection.execute("PRAGMA max_page_count = 5")
    assert refusal(lambda: write(store, {A: Put(b"8"), B: Put(bytes(100_000))})) == "store.full"
    assert dict(store.read([A, B])) == {A: b"7"}


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_store_whose_file_went_away_under_it_acknowledges_nothing_more(path: Path, suffix: str) -> None:
    store = SQLiteStore.create(path)
    write(store, {A: Put(b"1")})
    Path(f"{path}{suffix}").unlink()
    for act in (
        lambda: store.transact([A], count_up, now=NOW),
        lambda: store.read([A]),
        lambda: store.scan("row"),
    ):
        assert refusal(act) == "store.replaced"


def test_a_store_whose_file_was_replaced_under_it_acknowledges_nothing_more(
    path: Path, tmp_path: Path
) -> None:
    store = SQLiteStore.create(path)
    write(store, {A: Put(b"1")})
    SQLiteStore.create(tmp_path / "other.db").close()
    shutil.move(tmp_path / "other.db", path)
    assert refusal(lambda: store.transact([A], count_up, now=NOW)) == "store.replaced"


def test_a_store_does_not_go_on_with_a_file_that_took_its_place_between_two_operations(
    path: Path, tmp_path: Path
) -> None:
    store = SQLiteStore.create(path)
    store.disconnect()  # as before a fork
    SQLiteStore.create(tmp_path / "other.db").close()
    shutil.move(tmp_path / "other.db", path)
    assert refusal(lambda: store.read([A])) == "store.replaced"


def test_a_writer_that_waits_too_long_is_told_that_the_store_is_busy(path: Path) -> None:
    first = SQLiteStore.create(path)
    second = SQLiteStore(path, timeout=timedelta(milliseconds=20))

    def held(rows: object) -> Change[str]:
        return Change({}, refusal(lambda: second.transact([A], count_up, now=NOW)))

    assert first.transact([A], held, now=NOW) == "store.busy"
    assert second.transact([A], count_up, now=NOW) == 1


def test_a_closed_store_refuses(path: Path) -> None:
    store = SQLiteStore.create(path)
    store.close()
    assert refusal(lambda: store.read([A])) == "store.closed"
    assert refusal(lambda: store.transact([A], count_up, now=NOW)) == "store.closed"


def test_a_name_that_looks_like_a_uri_is_a_name(tmp_path: Path) -> None:
    odd = tmp_path / "state?mode=memory&x=%20#.db"
    store = SQLiteStore.create(odd)
    write(store, {A: Put(b"1")})
    store.close()
    assert dict(SQLiteStore(odd).read([A])) == {A: b"1"}


def test_expired_rows_are_swept_by_later_writes(path: Path) -> None:
    store = SQLiteStore.create(path)
    end = NOW + timedelta(minutes=1)
    write(store, {Key("nonce", str(n)): Put(b"", end) for n in range(50)})
    left = [len(store.scan("nonce"))]
    for _ in range(3):
        store.transact([A], count_up, now=end)
        left.append(len(store.scan("nonce")))
    assert left == [50, 30, 10, 0]


def test_a_backup_holds_what_was_committed_and_opens_as_a_store(path: Path, tmp_path: Path) -> None:
    store = SQLiteStore.create(path)
    write(store, {A: Put(b"1")})  # in the write-ahead log only: copying the file alone would lose it
    store.backup(tmp_path / "backup.db")
    write(store, {A: Put(b"2")})
    assert sorted(found.name for found in tmp_path.glob("*backup*")) == ["backup.db"]
    copy = SQLiteStore(tmp_path / "backup.db")
    assert dict(copy.read([A])) == {A: b"1"}
    assert copy.transact([A], count_up, now=NOW) == 2


def test_a_backup_never_replaces_a_file(path: Path, tmp_path: Path) -> None:
    store = SQLiteStore.create(path)
    (tmp_path / "precious").write_bytes(b"precious")
    assert refusal(lambda: store.backup(tmp_path / "precious")) == "store.exists"
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert refusal(lambda: store.backup(tmp_path / "no folder" / "backup.db")) == "store.failed"


@pytest.mark.parametrize(
    ("sqlite_code", "code", "kind"),
    [
        (sqlite3.SQLITE_IOERR, "store.uncertain", StoreUncertain),
        (sqlite3.SQLITE_BUSY, "store.uncertain", StoreUncertain),
        (sqlite3.SQLITE_FULL, "store.full", StoreUnavailable),
    ],
)
def test_a_commit_that_fails_is_uncertain_unless_it_can_not_have_happened(
    path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_code: int, code: str, kind: type[Exception]
) -> None:
    store = SQLiteStore.create(path)
    (connection,) = store.connections()

    def execute(self: sqlite3.Connection, statement: str, values: object = ()) -> sqlite3.Cursor:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("the disk said no")
            error.sqlite_errorcode = sqlite_code
            raise error
        return sqlite3.Connection.execute(self, statement, values)  # type: ignore[arg-type]  # handed through

    with monkeypatch.context() as patched:
        patched.setattr(type(connection), "execute", execute, raising=False)
        with pytest.raises(kind) as failed:
            store.transact([A], count_up, now=NOW)
    assert isinstance(failed.value, StoreUnavailable | StoreUncertain)
    assert failed.value.code == code
    assert store.transact([A], count_up, now=NOW) == 1, "what was not committed is rolled back"
