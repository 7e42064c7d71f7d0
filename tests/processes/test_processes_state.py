"""State that is not what it was is refused, with a way out; a backup of a live gateway is the way back."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from cigate.ledger import Anchor
from cigate.ledger.anchor import Mark
from tests.processes.gateway_folder import COST, SERVE, Answer, Folder, decisions, until

HERE = Path(__file__).parent
SUBMIT, LOAD = HERE / "driver_submit.py", HERE / "driver_load.py"
NOBODY = 65534


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _noise(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 30_000)


def _without(family: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("DELETE FROM rows WHERE family = ?", (family,))
        connection.commit()
        connection.close()

    return damage


def _anchor(content: bytes) -> Callable[[Path], int]:
    return lambda path: Path(f"{path}.anchor").write_bytes(content)


DAMAGE: Mapping[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (Path.unlink, "store.missing"),
    "empty": (lambda path: path.write_bytes(b""), "store.corrupt"),
    "half of it": (_cut, "store.corrupt"),
    "its first page only": (lambda path: os.truncate(path, 4096), "store.corrupt"),
    "noise after its first page": (_noise, "store.corrupt"),
    "some other file": (lambda path: path.write_bytes(b"state " * 1000), "store.corrupt"),
    "without its ledger's head": (_without("ledger"), "ledger.missing"),
    "without its fence": (_without("fence"), "fence.missing"),
    "without its epoch": (_without("epoch"), "ledger.corrupt"),
    "without an anchor": (lambda path: Path(f"{path}.anchor").unlink(), "anchor.missing"),
    "with an empty anchor": (_anchor(b""), "anchor.corrupt"),
    "with a garbled anchor": (_anchor(b"7" * 320), "anchor.corrupt"),
}
VERBS = (
    ("submit", "SIGNED"),
    ("status", "dec-0"),
    ("halt", "an exercise"),
    ("resume", "an exercise"),
    ("reconcile",),
    ("health",),
)


def _refused(folder: Folder, code: str) -> None:
    """Every verb refuses to work, says why, and says what to do."""
    signed = folder.signed_file("free")
    for verb in VERBS:
        answer = folder.cigate(*(signed if word == "SIGNED" else word for word in verb))
        assert (answer.code, answer.out) == (3, ""), (verb, answer)
        assert answer.err.startswith(f"cigate: {code}: "), (verb, answer)
        assert answer.err.rstrip().endswith(")"), f"a way out stands at the end: {answer.err}"


@pytest.mark.parametrize("name", DAMAGE)
def test_state_that_is_damaged_is_refused_with_3_and_a_way_out_and_never_remade(
    folder: Folder, name: str
) -> None:
    assert folder.cigate("submit", folder.signed_file("free")).code == 0
    damage, code = DAMAGE[name]
    damage(folder.path / "state.db")
    left = _bytes(folder)
    _refused(folder, code)
    assert _bytes(folder) == left, "what is left is evidence: nobody touches it"
    assert len(folder.ran()) == 1


def _bytes(folder: Folder) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.path.glob("state.db*") if path.is_file()}
    return {name: content for name, content in found.items() if content and not name.endswith("-shm")}


@pytest.fixture
def read_only() -> Iterator[Folder]:
    """A folder whose state may be read only, and a process that no longer is root, if it was."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o711)
    made = Folder.make(place / "gateway")
    made.cigate("submit", made.signed_file("free"))
    if os.geteuid() == 0:
        for path in (made.path, *made.path.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield made
    shutil.rmtree(place)


def _as_nobody(act: Callable[[], Answer]) -> Answer:
    """What it gives in a child that is not root: root may write whatever is read-only.

    The environment that these tests run in may be closed to others, so its backends are found before.
    """
    found = {group: entry_points(group=group) for group in ("cigate.pipelines", "cigate.brokers")}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            importlib.metadata.entry_points = lambda *, group: found[group]  # type: ignore[assignment]
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            answer = act()
            os.write(writer, json.dumps([answer.code, answer.out, answer.err]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        said = answers.read()
    os.waitpid(child, 0)
    return Answer(*json.loads(said))


@pytest.mark.parametrize("name", ["state.db", "."])
def test_state_that_may_not_be_written_is_refused_with_3(read_only: Folder, name: str) -> None:
    path = read_only.path / name
    signed = read_only.signed_file("free")
    os.chmod(signed, 0o644)
    assert _as_nobody(lambda: read_only.cigate("submit", signed)).code == 0
    path.chmod(0o500 if path.is_dir() else 0o400)
    answer = _as_nobody(lambda: read_only.cigate("submit", signed))
    path.chmod(0o700)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("cigate: store.read-only: ")
    assert answer.err.rstrip().endswith(")")


@pytest.mark.parametrize("verb", [("health",), ("ledger", "verify")], ids=" ".join)
def test_whoever_opens_while_another_commits_is_not_taken_for_rolled_back(
    folder: Folder, verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The anchor may move on at any moment: here it does just before it is read."""
    with folder.gateway() as busy:
        look = Anchor.read

        def meanwhile(anchor: Anchor) -> Mark:
            monkeypatch.setattr(Anchor, "read", look)
            assert busy.submit(folder.signed("free")).allowed
            return look(anchor)

        monkeypatch.setattr(Anchor, "read", meanwhile)
        assert folder.cigate(*verb).code == 0
    assert len(folder.ran()) == 1


def test_an_older_copy_put_back_is_refused(folder: Folder) -> None:
    older = (folder.path / "state.db").read_bytes()
    assert folder.cigate("submit", folder.signed_file("free")).code == 0
    (folder.path / "state.db").write_bytes(older)
    _refused(folder, "ledger.rolled-back")
    assert folder.cigate("ledger", "verify").code == 3


def test_a_copy_of_the_database_without_its_log_is_refused(folder: Folder, tmp_path: Path) -> None:
    """It looks whole to SQLite, and lacks what was acknowledged last."""
    with folder.gateway() as running:
        assert running.submit(folder.signed("free")).allowed
        copied = Folder(tmp_path / "copied", folder.mark, folder.runs)
        shutil.copytree(folder.path, copied.path, ignore=shutil.ignore_patterns("*-wal", "*-shm", "*.locks"))
    _refused(copied, "ledger.rolled-back")


def test_a_log_that_was_cleaned_away_after_a_crash_is_missed(folder: Folder) -> None:
    with folder.driver(SERVE) as running:
        assert "run.succeeded" in running.ask(f"submit {folder.signed_file('free')}")
        running.process.send_signal(signal.SIGKILL)
    (folder.path / "state.db-wal").unlink()
    (folder.path / "state.db-shm").unlink()
    _refused(folder, "ledger.rolled-back")


def test_state_that_is_replaced_under_a_running_gateway_stops_it(folder: Folder) -> None:
    older = (folder.path / "state.db").read_bytes()
    with folder.gateway() as running:
        assert running.submit(folder.signed("free")).allowed
        (folder.path / "state.db").rename(folder.path / "moved")
        (folder.path / "state.db").write_bytes(older)
        outcome = running.submit(folder.signed("free"))
        assert (outcome.code, outcome.exit_code) == ("gateway.store.replaced", 3)
        (folder.path / "state.db").unlink()
        (folder.path / "moved").rename(folder.path / "state.db")
        assert running.submit(folder.signed("free")).code == "gateway.store.replaced", "for good"
    assert len(folder.ran()) == 1


@pytest.mark.parametrize("anchor", ["kept", "lost"])
def test_a_backup_under_load_is_restored_and_adopted(folder: Folder, tmp_path: Path, anchor: str) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_text(folder.cigate("ledger", "checkpoint").out)
    ticket = folder.cigate("submit", folder.signed_file("held")).json["ticket"]
    with folder.gateway() as opened:
        asked = opened.status(ticket)
    approval, before = tmp_path / "approval", tmp_path / "before"
    approval.write_bytes(folder.signer("bob").approve(asked.ticket))  # type: ignore[union-attr]  # a ticket
    before.write_bytes(folder.signed("free"))
    with ExitStack() as started:
        running = started.enter_context(folder.driver(SUBMIT, "submit", "1", folder.signed_file("long")))
        assert running.hear() == "ready"
        running.say("go")
        until(lambda: decisions(folder.entries(), "intent"), "the long run has begun")
        loads = [started.enter_context(folder.driver(LOAD, str(tmp_path / "effects"))) for _ in range(2)]
        assert {load.hear() for load in loads} == {"loaded"}
        assert folder.cigate("backup", str(tmp_path / "backup")).code == 0
        assert folder.cigate("submit", folder.signed_file("free")).code == 0, "what the backup lacks"
        for driver in (running, *loads):  # and then the machine is lost
            driver.process.send_signal(signal.SIGKILL)
    until(lambda: not folder.jobs(), "nothing of it is left")
    later = tmp_path / "later"
    later.write_text(folder.cigate("ledger", "checkpoint").out)

    for left in folder.path.glob("state.db*"):
        if left.is_file() and (anchor == "lost" or left.suffix != ".anchor"):
            left.unlink()
    shutil.copy(tmp_path / "backup", folder.path / "state.db")
    _refused(folder, {"kept": "ledger.rolled-back", "lost": "anchor.missing"}[anchor])
    assert folder.cigate("adopt", "  ").code == 2, "an adoption says why"

    adopted = folder.cigate("adopt", "the disk of the old machine is gone")
    assert adopted.code == 0, adopted
    assert adopted.json["outstanding"] == []
    entries = folder.entries()
    epochs = [entry.public["epoch"] for entry in entries if entry.kind in ("genesis", "adopt")]
    assert len(set(epochs)) == 2
    assert epochs[-1] == adopted.json["epoch"]
    assert set(decisions(entries, "intent")) == set(decisions(entries, "outcome")), "leases are reconciled"

    assert folder.cigate("submit", str(before)).json["code"] == "attestation.time", "signed before it"
    held = folder.cigate("status", ticket).json
    assert held["state"] == "void"
    with folder.gateway() as opened:
        old = opened.approve(approval.read_bytes())
        new = opened.approve(folder.signer("bob").approve(asked.ticket))  # type: ignore[union-attr]
        assert (old.code, new.code) == ("attestation.time", "approval.void")
        assert opened.submit(folder.signed("counted")).code == "run.succeeded"
    assert folder.spent() == (2 * COST, 0), "the long run is unknown, and keeps its money"

    verified = folder.cigate("ledger", "verify", "--checkpoint", str(checkpoint))
    assert (verified.code, verified.json["anchored"]) == (0, True)
    assert folder.cigate("ledger", "replay").code == 0
    now = tmp_path / "now"
    now.write_text(folder.cigate("ledger", "checkpoint").out)
    assert adopted.json["epoch"] in now.read_text()
    assert folder.cigate("ledger", "verify", "--checkpoint", str(now)).code == 0
    lost = folder.cigate("ledger", "verify", "--checkpoint", str(later))
    assert (lost.code, lost.json["ok"]) == (1, False), "what the backup lacks shows to who kept a checkpoint"
