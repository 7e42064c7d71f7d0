"""The ledger at the command line: exported, checked against what was kept outside, proved, shown and replayed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli_desk import COMMIT, HELLO, Desk

from cigate import Gateway
from cigate.ledger import HEAD, Anchor, Draft, Entry, Head, append, genesis
from cigate.signing import NoteSigner, load_private_key
from cigate.stores import CREATED, Change, Rows
from cigate.stores.sqlite import SQLiteStore

DENIED = {**HELLO, "action": "run-test-suite", "agent_version": "1.0", "parameters": {"test_suite": "unit"}}


@pytest.fixture
def full(desk: Desk) -> Desk:
    """A desk whose ledger holds a run and a denial."""
    assert desk.submit().code == 0
    assert desk.submit(DENIED).code == 10
    return desk


def test_an_export_is_self_contained_and_ends_with_the_signed_checkpoint(full: Desk) -> None:
    lines = full.ok("ledger", "export").out.splitlines()
    assert len(lines) == len(full.kinds()) + 1
    entries = [json.loads(line) for line in lines]
    assert [entry["index"] for entry in entries[:-1]] == list(range(len(lines) - 1))
    assert full.ok("ledger", "checkpoint").out in entries[-1].values()


def test_a_verified_ledger_says_whether_anything_outside_vouches_for_it(full: Desk) -> None:
    said = full.ok("ledger", "verify")
    assert (said.json["ok"], said.json["anchored"], said.json["size"]) == (True, False, len(full.kinds()))
    assert "keep a checkpoint outside" in said.err
    (full.folder / "kept.txt").write_text(full.ok("ledger", "checkpoint").out)
    assert full.submit(DENIED).code == 10
    said = full.ok("ledger", "verify", "--checkpoint", "kept.txt")
    assert (said.json["ok"], said.json["anchored"]) == (True, True)
    assert said.err == ""


def test_an_export_is_verified_anywhere_with_the_public_key(full: Desk, tmp_path: Path) -> None:
    (tmp_path / "export.jsonl").write_text(full.ok("ledger", "export").out)
    (tmp_path / "kept.txt").write_text(full.ok("ledger", "checkpoint").out)
    (tmp_path / "ledger.pub").write_bytes((full.folder / "ledger.pub").read_bytes())
    size = len(full.kinds())
    assert full.ok("ledger", "verify", tmp_path / "export.jsonl").json["size"] == size
    full.folder = tmp_path / "nowhere"
    full.folder.mkdir()
    arguments = ("ledger", "verify", "../export.jsonl")
    bare = full.ok(*arguments)
    assert "no public key is at hand" in bare.err
    said = full.ok(*arguments, "--public-key", "../ledger.pub", "--checkpoint", "../kept.txt")
    assert (said.json["anchored"], said.json["size"]) == (True, size)


def test_an_export_of_another_key_is_refused(full: Desk, tmp_path: Path) -> None:
    (tmp_path / "export.jsonl").write_text(full.ok("ledger", "export").out)
    full.ok("keygen", "other.key", "--algorithm", "ed25519")
    said = full.cigate("ledger", "verify", tmp_path / "export.jsonl", "--public-key", "other.key.pub")
    assert said.code == 1
    assert said.json["ok"] is False


def drop(lines: list[str]) -> list[str]:
    return lines[:3] + lines[4:]


def swap(lines: list[str]) -> list[str]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def change(lines: list[str]) -> list[str]:
    return [*lines[:3], lines[3].replace("bob", "rob"), *lines[4:]]


def cut(lines: list[str]) -> list[str]:
    return lines[:-1]


@pytest.mark.parametrize(("tamper", "first_bad"), [(drop, 3), (swap, 3), (change, 3), (cut, None)])
def test_the_first_bad_entry_is_named(
    tamper: Callable[[list[str]], list[str]], first_bad: int | None, full: Desk, tmp_path: Path
) -> None:
    lines = full.ok("ledger", "export").out.splitlines(keepends=True)
    (tmp_path / "export.jsonl").write_text("".join(tamper(lines)))
    said = full.cigate("ledger", "verify", tmp_path / "export.jsonl")
    assert said.code == 1
    assert said.json["ok"] is False
    assert said.json.get("first_bad") == first_bad
    assert said.json["message"] in said.err


def test_a_checkpoint_of_another_history_does_not_vouch(full: Desk, tmp_path: Path) -> None:
    full.ok("init", tmp_path / "other")
    note = full.ok("ledger", "checkpoint", "--config", tmp_path / "other" / "gateway.yaml").out
    for text in (note, "not a checkpoint\n"):
        (tmp_path / "kept.txt").write_text(text)
        said = full.cigate("ledger", "verify", "--checkpoint", tmp_path / "kept.txt")
        assert (said.code, said.json["ok"], said.json["anchored"]) == (1, False, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "none.jsonl"),
        ("verify", "--checkpoint", "none.txt"),
        ("verify", "--checkpoint", ""),
        ("verify", "export.jsonl", "--public-key", ""),
        ("verify", ""),
        ("replay", "--policy", ""),
    ],
)
def test_what_can_not_be_read_is_bad_input(arguments: tuple[str, ...], full: Desk) -> None:
    (full.folder / "export.jsonl").write_text(full.ok("ledger", "export").out)
    said = full.cigate("ledger", *arguments)
    assert (said.code, said.out) == (2, "")
    assert "input.unreadable" in said.err
    assert arguments[-1] in said.err


def test_an_entry_is_shown_whole_or_all_in_a_line_each(full: Desk) -> None:
    lines = full.ok("ledger", "show").out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    (at,) = (int(line.split()[0]) for line in lines if "effect=deny" in line)
    entry = full.ok("ledger", "show", at).json
    assert (entry["kind"], entry["public"]["effect"]) == ("decision", "deny")
    assert entry["private"]["facts"]["agent"]["version"] == "1.0"


@pytest.mark.parametrize("verb", ["show", "prove"])
@pytest.mark.parametrize("index", ["-1", "10000"])
def test_an_entry_that_is_not_there_is_bad_input(verb: str, index: str, full: Desk) -> None:
    said = full.cigate("ledger", verb, index)
    assert (said.code, said.out) == (2, "")
    assert f"there is no entry {index}" in said.err
    assert f"numbered 0 to {len(full.kinds()) - 1}" in said.err


# Receipts


def receipt(desk: Desk, effect: str) -> Path:
    """The proof that the decision with this effect is in the ledger, as `prove` prints it."""
    lines = desk.ok("ledger", "show").out.splitlines()
    (at,) = (int(line.split()[0]) for line in lines if f"effect={effect}" in line)
    path = desk.folder / f"{effect}.json"
    path.write_text(desk.ok("ledger", "prove", at).out)
    return path


def test_a_receipt_is_checked_offline_with_the_public_key_alone(full: Desk, tmp_path: Path) -> None:
    proof = receipt(full, "allow").rename(tmp_path / "receipt.json")
    key = (full.folder / "ledger.pub").rename(tmp_path / "ledger.pub")
    full.folder = tmp_path / "nowhere"
    full.folder.mkdir()
    said = full.ok("ledger", "check-receipt", proof, "--public-key", key)
    assert said.json["ok"] is True
    assert (said.json["effect"], said.json["action"], said.json["commit"]) == ("allow", "hello", COMMIT)
    full.ok(
        *("ledger", "check-receipt", proof, "--public-key", key, "--expect", "allow"),
        *("--audience", "ci.example.org", "--commit", COMMIT, "--decision", said.json["decision_id"]),
        *("--max-age", "3600"),
    )


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--expect", "deny", "receipt.effect"),
        ("--expect", "alow", "receipt.effect"),
        ("--expect", "", "receipt.effect"),
        ("--audience", "ci.example.com", "receipt.audience"),
        ("--commit", "b" * 40, "receipt.commit"),
        ("--commit", f"sha1:{COMMIT}", "receipt.commit"),
        ("--decision", "dec-0", "receipt.decision"),
        ("--max-age", "-1", "receipt.age"),
    ],
)
def test_whatever_is_expected_and_is_not_so_fails_closed(
    option: str, value: str, code: str, full: Desk
) -> None:
    said = full.cigate(
        "ledger", "check-receipt", receipt(full, "allow"), "--public-key", "ledger.pub", option, value
    )
    assert said.code == 1
    assert (said.json["ok"], said.json["code"]) == (False, code)


@pytest.mark.parametrize("age", ["9" * 12, "-" + "9" * 12, "9" * 5000, "1e9", ""])
def test_an_absurd_age_is_bad_input(age: str, full: Desk) -> None:
    said = full.cigate("ledger", "check-receipt", "r.json", "--public-key", "ledger.pub", f"--max-age={age}")
    assert (said.code, said.out) == (2, "")
    assert "age in seconds" in said.err


def other_effect(document: dict[str, Any]) -> None:
    document["leaf"]["public"]["effect"] = "allow"


def other_index(document: dict[str, Any]) -> None:
    document["leaf"]["index"] += 1


def no_proof(document: dict[str, Any]) -> None:
    document["proof"] = []


def other_note(document: dict[str, Any]) -> None:
    document["checkpoint"] = document["checkpoint"].replace("ci.example.org", "ci.example.com")


@pytest.mark.parametrize("tamper", [other_effect, other_index, no_proof, other_note])
def test_a_receipt_that_was_changed_proves_nothing(
    tamper: Callable[[dict[str, Any]], None], full: Desk
) -> None:
    path = receipt(full, "deny")
    document = json.loads(path.read_text())
    tamper(document)
    path.write_text(json.dumps(document))
    said = full.cigate("ledger", "check-receipt", path, "--public-key", "ledger.pub")
    assert said.code == 1
    assert said.json["ok"] is False


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"leaf": 1}'])
def test_what_is_no_receipt_proves_nothing(text: str, full: Desk) -> None:
    (full.folder / "r.json").write_text(text)
    said = full.cigate("ledger", "check-receipt", "r.json", "--public-key", "ledger.pub")
    assert said.code == 1
    assert said.json["ok"] is False


def test_a_receipt_is_nothing_without_the_right_key(full: Desk) -> None:
    path = receipt(full, "allow")
    full.ok("keygen", "other.key", "--algorithm", "ed25519")
    for key in ("other.key.pub", "agent.key.pub", "policy.yaml"):
        assert full.cigate("ledger", "check-receipt", path, "--public-key", key).code == 1
    assert full.cigate("ledger", "check-receipt", path, "--public-key", "none.pub").code == 2


# Replay


def test_every_decision_is_what_policy_and_facts_give(full: Desk) -> None:
    assert full.ok("ledger", "replay").json == {"entries": len(full.kinds()), "differences": []}
    assert full.ok("ledger", "replay", "--policy", "policy.yaml").json["differences"] == []


def test_another_policy_is_tried_on_the_past_and_its_differences_are_exit_code_one(full: Desk) -> None:
    text = (full.folder / "policy.yaml").read_text()
    (full.folder / "stricter.yaml").write_text(
        text.replace("sequence: 1", "sequence: 2").replace("risk.score >= 80", "true")
    )
    said = full.cigate("ledger", "replay", "--policy", "stricter.yaml")
    assert said.code == 1
    (effect,) = (each for each in said.json["differences"] if each["field"] == "effect")
    assert (effect["recorded"], effect["replayed"]) == ("allow", "deny")
    assert effect["decision_id"].startswith("dec-")
    before = full.kinds()
    assert full.ok("health").json["policy"]["sequence"] == 1
    assert full.kinds() == before


def test_a_policy_that_does_not_load_is_bad_input_with_its_place(full: Desk) -> None:
    full.edit("policy.yaml", "agent.trusted", "agent.trusty")
    said = full.cigate("ledger", "replay", "--policy", "policy.yaml")
    assert (said.code, said.out) == (2, "")
    assert "policy.yaml:23:" in said.err
    assert full.cigate("ledger", "replay", "--policy", "none.yaml").code == 2


def forge(desk: Desk, edit: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Who may write the folder writes another history: one decision edited, all signed anew with the folder's key."""
    with Gateway.from_config(desk.folder / "gateway.yaml") as gateway:
        entries = list(gateway.ledger.entries())
        head = gateway.ledger.head()
    key = load_private_key(desk.folder / "ledger.key")
    signer = NoteSigner(head.origin, key)
    for name in ("state.db", "state.db-wal", "state.db-shm", "state.db.anchor"):
        (desk.folder / name).unlink(missing_ok=True)
    store = SQLiteStore.create(desk.folder / "state.db")

    def draft(entry: Entry) -> Draft:
        whole = {"public": dict(entry.public), "private": dict(entry.private)}
        if entry.kind == "decision":
            whole = dict(edit(whole))
        if entry.kind == "genesis":
            whole["public"] = {"audience": whole["public"]["audience"]}
        return Draft(entry.kind, whole["public"], whole["private"], entry.salt)

    def work(rows: Rows) -> Change[Head]:
        now, public = datetime.now(UTC), key.public_key()
        first, *others = [draft(entry) for entry in entries]
        made = genesis(rows, [first], epoch=head.epoch, public_key=public, now=now, signer=signer)
        begun = {row: put.value for row, put in made.puts.items() if put.value is not None}
        rest = append(begun, others, now=now, signer=signer)
        return Change({**made.puts, **rest.puts}, rest.head)

    new = store.transact({HEAD, CREATED}, work, now=datetime.now(UTC))
    Anchor(desk.folder / "state.db.anchor").create(new.size, new.root, new.epoch)
    store.close()


def as_it_was(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry


def denial_made_an_allow(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if entry["public"]["effect"] != "deny":
        return entry
    false = {"effect": "allow", "code": "policy.allowed"}
    return {
        "public": {**entry["public"], **false},
        "private": {**entry["private"], "decision": {**entry["private"]["decision"], **false}},
    }


def test_a_history_that_is_signed_anew_as_it_was_replays(full: Desk) -> None:
    forge(full, as_it_was)
    assert full.ok("ledger", "replay").json["differences"] == []


def test_an_entry_edited_to_a_false_effect_and_signed_again_verifies_but_does_not_replay(full: Desk) -> None:
    forge(full, denial_made_an_allow)
    assert full.ok("ledger", "verify").json["ok"] is True
    said = full.cigate("ledger", "replay")
    assert said.code == 1
    assert {
        (each["recorded"], each["replayed"]) for each in said.json["differences"] if each["field"] == "effect"
    } == {("allow", "deny")}


def test_and_a_checkpoint_that_was_kept_outside_tells_as_well(full: Desk) -> None:
    (full.folder / "kept.txt").write_text(full.ok("ledger", "checkpoint").out)
    forge(full, denial_made_an_allow)
    said = full.cigate("ledger", "verify", "--checkpoint", "kept.txt")
    assert (said.code, said.json["anchored"]) == (1, False)


def test_one_process_exports_and_another_verifies_byte_for_byte(full: Desk) -> None:
    cigate = [sys.executable, "-m", "cigate", "ledger"]
    exported = subprocess.run([*cigate, "export"], cwd=full.folder, capture_output=True, check=True)
    (full.folder / "export.jsonl").write_bytes(exported.stdout)
    done = subprocess.run(
        [*cigate, "verify", "export.jsonl"], cwd=full.folder, capture_output=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
