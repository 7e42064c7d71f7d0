"""init, keygen, enrol, revoke, backup, adopt, and how every verb finds its folder or says why it can't."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from importlib.metadata import version
from pathlib import Path

import pytest
from cli_desk import HELLO, Desk
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from cigate.config import read_configuration


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_a_commented_folder_that_loads(desk: Desk, tmp_path: Path) -> None:
    said = desk.ok("init", tmp_path / "new")
    folder = tmp_path / "new"
    made = {"gateway.yaml", "policy.yaml", "state.db", "state.db.anchor", "ledger.key", "ledger.pub"}
    assert made <= {path.name for path in folder.iterdir()}
    assert said.out == ""
    assert all(name in said.err for name in ("gateway.yaml", "policy.yaml", "ledger.pub", "state.db"))
    assert mode(folder) == 0o700
    for name in ("gateway.yaml", "policy.yaml", "state.db", "ledger.key", "broker-local.key"):
        assert mode(folder / name) == 0o600, name
    assert isinstance(load_pem_public_key((folder / "ledger.pub").read_bytes()), Ed25519PublicKey)
    for name in ("gateway.yaml", "policy.yaml"):
        comments = [line for line in (folder / name).read_text().splitlines() if "#" in line]
        assert len(comments) >= 3
    assert read_configuration(folder / "gateway.yaml").load().audience == "ci.example.org"
    assert desk.ok("health", "--config", folder / "gateway.yaml").json["ok"] is True


@pytest.mark.parametrize("there", ["gateway.yaml", "policy.yaml", "state.db", "ledger.key", "ledger.pub"])
def test_init_overwrites_nothing_and_leaves_nothing_half_made(there: str, desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "used"
    folder.mkdir()
    (folder / there).write_text("mine")
    said = desk.cigate("init", folder)
    assert said.code == 2
    assert "init.exists" in said.err
    assert there in said.err
    assert {path.name: path.read_text() for path in folder.iterdir()} == {there: "mine"}


def test_init_config_makes_the_state_once(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "byhand"
    folder.mkdir(mode=0o700)
    for name in ("gateway.yaml", "policy.yaml"):
        shutil.copy(desk.folder / name, folder / name)
    config = folder / "gateway.yaml"
    desk.ok("init", "--config", config)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = desk.cigate("init", "--config", config)
    assert again.code == 2
    assert "init.exists" in again.err
    assert "state.db" in again.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("isolation: sandbox", "isolation: jail"),
        ("backend: local\n    profiles", "backend: loacl\n    profiles"),
        ("{scope: [tests], ttl: 10m}", "{scope: [], ttl: 10m}"),
        (
            "backend: local\n    profiles",
            "backend: local\n    key: {secret: {env: CIGATE_NOT_SET}}\n    profiles",
        ),
        ("sqlite:state.db", "sqlit:state.db"),
        ("agent.managed\n", "agent.mnaged\n"),
    ],
)
def test_a_mistake_can_be_put_right_and_init_run_again(
    old: str, new: str, desk: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "byhand"
    folder.mkdir(mode=0o700)
    right = {name: (desk.folder / name).read_text() for name in ("gateway.yaml", "policy.yaml")}
    assert any(old in text for text in right.values())
    for name, text in right.items():
        (folder / name).write_text(text.replace(old, new, 1))
    said = desk.cigate("init", "--config", folder / "gateway.yaml")
    assert said.code == 2
    assert not (folder / "state.db").exists()
    for name, text in right.items():
        (folder / name).write_text(text)
    desk.ok("init", "--config", folder / "gateway.yaml")


def env_key(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str = "ed25519") -> Path:
    """A folder by hand, whose ledger's key is in a variable and in no file of it."""
    folder = tmp_path / "byhand"
    folder.mkdir(mode=0o700)
    for name in ("gateway.yaml", "policy.yaml"):
        shutil.copy(desk.folder / name, folder / name)
    config = folder / "gateway.yaml"
    config.write_text(config.read_text() + "ledger: {key: {secret: {env: CIGATE_LEDGER_KEY}}}\n")
    desk.ok("keygen", tmp_path / "outside.key", "--algorithm", algorithm)
    monkeypatch.setenv("CIGATE_LEDGER_KEY", (tmp_path / "outside.key").read_text())
    return config


def test_the_ledgers_key_may_be_in_the_environment(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = env_key(desk, tmp_path, monkeypatch)
    desk.ok("init", "--config", config)
    assert not list(config.parent.glob("ledger.key"))
    assert (config.parent / "ledger.pub").read_bytes() == (tmp_path / "outside.key.pub").read_bytes()
    assert desk.ok("health", "--config", config).json["ok"] is True
    desk.ok("halt", "looking", "--config", config)
    desk.ok("adopt", "restored", "--config", config)
    monkeypatch.delenv("CIGATE_LEDGER_KEY")
    assert desk.ok("ledger", "verify", "--config", config).json["ok"] is True
    unset = desk.cigate("health", "--config", config)
    assert unset.code == 2
    assert "CIGATE_LEDGER_KEY" in unset.err


@pytest.mark.parametrize(
    ("algorithm", "value", "code"),
    [
        ("ed25519", None, "secret.missing"),
        ("ed25519", "c2VjcmV0", "key.malformed"),
        ("ecdsa-p256-sha256", "", "ledger.key"),
    ],
)
def test_a_ledger_key_that_is_not_in_the_environment_is_not_made(
    algorithm: str, value: str | None, code: str, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = env_key(desk, tmp_path, monkeypatch, algorithm)
    if value is None:
        monkeypatch.delenv("CIGATE_LEDGER_KEY")
    elif value:
        monkeypatch.setenv("CIGATE_LEDGER_KEY", value)
    said = desk.cigate("init", "--config", config)
    assert said.code == 2
    assert f"gateway.yaml:{len(config.read_text().splitlines())}:" in said.err
    assert code in said.err
    assert "c2VjcmV0" not in said.err
    assert code != "secret.missing" or "init makes keys in files only" in said.err
    assert {path.name for path in config.parent.iterdir()} == {"gateway.yaml", "policy.yaml"}


def test_the_version_is_that_of_the_distribution(desk: Desk) -> None:
    assert desk.ok("--version").out == f"cigate {version('cigate-sdk')}\n"


def test_init_without_anything_says_what_it_wants(desk: Desk, tmp_path: Path) -> None:
    said = desk.cigate("init", "--config", tmp_path / "none.yaml")
    assert said.code == 2
    assert "init.nothing" in said.err
    assert "cigate init DIR" in said.err


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        (None, EllipticCurvePublicKey),
        ("ecdsa-p256-sha256", EllipticCurvePublicKey),
        ("ed25519", Ed25519PublicKey),
    ],
)
def test_keygen_makes_a_private_key_for_its_owner_and_a_public_one(
    algorithm: str | None, kind: type, desk: Desk
) -> None:
    desk.ok("keygen", "new.key", *(("--algorithm", algorithm) if algorithm else ()))
    assert mode(desk.folder / "new.key") == 0o600
    assert (desk.folder / "new.key").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert isinstance(load_pem_public_key((desk.folder / "new.key.pub").read_bytes()), kind)


def test_keygen_overwrites_neither_half(desk: Desk) -> None:
    before = (desk.folder / "agent.key").read_bytes()
    assert desk.cigate("keygen", "agent.key").code == 2
    (desk.folder / "agent.key.pub").unlink()
    assert desk.cigate("keygen", "agent.key").code == 2
    assert (desk.folder / "agent.key").read_bytes() == before


OWNER = ("--agent", "agent-1234", "--user", "alice@example.com")


@pytest.mark.parametrize(
    ("use", "owner"),
    [("request", OWNER), ("approval", ("--user", "bob@example.com")), ("policy", ()), ("operator", ())],
)
def test_a_key_is_enrolled_for_one_use_and_the_ledger_says_so(
    use: str, owner: tuple[str, ...], desk: Desk
) -> None:
    desk.ok("keygen", "new.key")
    said = desk.ok("enrol", "new.key.pub", "--id", "new", "--use", use, *owner)
    assert set(said.json) == {"id", "use", "thumbprint"}
    assert (said.json["id"], said.json["use"]) == ("new", use)
    last = desk.ok("ledger", "show", len(desk.kinds()) - 1).json
    assert (last["kind"], last["public"]["key"], last["public"]["use"]) == ("enrol", "new", use)


def test_a_public_key_is_enrolled_once_ever(desk: Desk) -> None:
    desk.ok("keygen", "new.key")
    desk.ok("enrol", "new.key.pub", "--id", "new", "--use", "request", *OWNER)
    for id in ("new", "other"):
        said = desk.cigate("enrol", "new.key.pub", "--id", id, "--use", "request", *OWNER)
        assert said.code == 2
        assert "key.enrolled-already" in said.err
    desk.ok("keygen", "second.key")
    assert desk.cigate("enrol", "second.key.pub", "--id", "new", "--use", "request", *OWNER).code == 2
    desk.ok("revoke", "new")
    assert desk.cigate("enrol", "new.key.pub", "--id", "newer", "--use", "request", *OWNER).code == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("agent.key.pub", "--id", "x", "--use", "request"), "key.owner"),
        (("bob.key.pub", "--id", "x", "--use", "approval"), "key.owner"),
        (("agent.key", "--id", "x", "--use", "request", *OWNER), "key.private"),
        (("nowhere.pub", "--id", "x", "--use", "request", *OWNER), "input.unreadable"),
        (("policy.yaml", "--id", "x", "--use", "request", *OWNER), "key."),
        (("agent.key.pub", "--id", "a b", "--use", "request", *OWNER), "key.id"),
        (("agent.key.pub", "--id", "x", "--use", "request", *OWNER, "--valid-from", "today"), "key.validity"),
    ],
)
def test_what_can_not_be_enrolled_says_why(arguments: tuple[str, ...], code: str, desk: Desk) -> None:
    before = desk.kinds()
    said = desk.cigate("enrol", *arguments)
    assert said.code == 2
    assert code in said.err
    assert desk.kinds() == before


@pytest.mark.parametrize(
    ("option", "moment", "accepted"),
    [
        ("--valid-from", "2020-01-01T00:00:00Z", True),
        ("--valid-from", "2999-01-01T00:00:00Z", False),
        ("--valid-until", "2999-01-01T00:00:00Z", True),
        ("--valid-until", "2020-01-01T00:00:00Z", False),
    ],
)
def test_a_key_signs_within_its_validity_only(option: str, moment: str, accepted: bool, desk: Desk) -> None:
    desk.ok("keygen", "new.key")
    desk.ok("enrol", "new.key.pub", "--id", "new", "--use", "request", *OWNER, option, moment)
    said = desk.cigate("submit", "-", stdin=desk.signed(HELLO, "new.key", action="gone"))
    assert said.json["code"] == ("action.unknown" if accepted else "attestation.refused")


def test_a_revoked_key_signs_nothing_any_more_and_revoking_is_for_good(desk: Desk) -> None:
    signed = desk.signed()
    assert "revoked agent-laptop-1" in desk.ok("revoke", "agent-laptop-1", "the laptop is gone").err
    assert desk.cigate("submit", "-", stdin=signed).json["code"] == "attestation.refused"
    desk.ok("resume", "all is well")
    assert desk.cigate("submit", "-", stdin=signed).json["code"] == "attestation.refused"
    assert desk.kinds().count("revoke") == 1


def test_revoking_a_key_that_is_not_there_is_no_success(desk: Desk) -> None:
    said = desk.cigate("revoke", "agent-laptop-l")
    assert said.code == 2
    assert "did you mean agent-laptop-1?" in said.err
    assert "revoke" not in desk.kinds()


def test_an_agent_user_or_device_can_be_revoked_even_before_it_is_known(desk: Desk) -> None:
    assert "note: no agent agent-9 is configured" in desk.ok("revoke", "agent:agent-9").err
    assert "note" not in desk.ok("revoke", "device:laptop-1").err
    assert desk.submit().json["code"] == "stop.revoke"


# Where the folder is


def test_config_stands_before_or_after_the_verb(desk: Desk, tmp_path: Path) -> None:
    moved = desk.folder.rename(tmp_path / "elsewhere")
    desk.folder.mkdir()
    config = moved / "gateway.yaml"
    wanted = desk.ok("--config", config, "health").json
    assert desk.ok("health", "--config", config).json == wanted
    assert desk.ok("ledger", "verify", "--config", config).json["ok"] is True
    assert desk.ok("--config", config, "ledger", "checkpoint").out.startswith("cigate/ci.example.org/")


VERBS = [
    ("health",),
    ("reconcile",),
    ("status", "dec-0"),
    ("halt", "why"),
    ("resume", "why"),
    ("revoke", "agent-laptop-1"),
    ("backup", "copy.db"),
    ("adopt", "why"),
    ("submit", "policy.yaml"),
    ("ledger", "show"),
    ("ledger", "verify"),
    ("ledger", "export"),
    ("ledger", "checkpoint"),
    ("ledger", "prove", "0"),
    ("ledger", "replay"),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_outside_of_a_folder_every_verb_says_where_to_go(
    verb: tuple[str, ...], desk: Desk, tmp_path: Path
) -> None:
    desk.folder = tmp_path / "empty"
    desk.folder.mkdir()
    (desk.folder / "policy.yaml").write_text("x")
    said = desk.cigate(*verb)
    assert said.code == 2
    assert said.out == ""
    assert "gateway.yaml" in said.err
    assert "--config FILE" in said.err
    assert [path.name for path in desk.folder.iterdir()] == ["policy.yaml"]


def gone(folder: Path) -> None:
    (folder / "state.db").unlink()


def empty(folder: Path) -> None:
    (folder / "state.db").write_bytes(b"")


def noise(folder: Path) -> None:
    (folder / "state.db").write_bytes(b"\x01" * 16384)


def no_anchor(folder: Path) -> None:
    (folder / "state.db.anchor").unlink()


def no_ledger(folder: Path) -> None:
    with sqlite3.connect(folder / "state.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            database.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb[0] != "adopt"], ids=" ".join)
@pytest.mark.parametrize("damage", [gone, empty, noise, no_anchor, no_ledger])
def test_state_that_is_not_what_it_was_is_refused_by_every_verb_and_never_remade(
    damage: object, verb: tuple[str, ...], desk: Desk
) -> None:
    assert callable(damage)
    damage(desk.folder)
    before = (desk.folder / "state.db").read_bytes() if damage is not gone else None
    if verb == ("backup", "copy.db") and damage in (no_anchor, no_ledger):
        return  # a copy of what is there may be made; adopt looks at it
    said = desk.cigate(*verb)
    assert said.code == 3
    assert said.out == ""
    assert said.err.startswith("cigate: ")
    assert "Traceback" not in said.err
    after = (desk.folder / "state.db").read_bytes() if (desk.folder / "state.db").exists() else None
    assert (after is None) == (before is None)


def test_without_its_private_key_the_ledger_can_be_read_but_nothing_decided(desk: Desk) -> None:
    signed = desk.signed()
    (desk.folder / "ledger.key").unlink()
    said = desk.cigate("submit", "-", stdin=signed)
    assert said.code == 2
    assert "ledger.key" in said.err


def test_without_its_public_key_the_ledger_says_how_to_make_it_again(desk: Desk) -> None:
    (desk.folder / "ledger.pub").unlink()
    said = desk.cigate("ledger", "verify")
    assert said.code == 2
    assert "ledger.pub" in said.err
    assert "openssl pkey -in ledger.key -pubout" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("ledger",),
        ("ledger", "prove"),
        ("ledger", "prove", "one"),
        ("keygen",),
        ("enrol", "agent.key.pub", "--id", "x"),
        ("enrol", "agent.key.pub", "--id", "x", "--use", "everything"),
        ("enrol", "agent.key.pub", "--id", "x", "--use", "request", "--encoding", "asn1"),
        ("submit",),
        ("sign", "request.json"),
        ("halt",),
        ("halt", "--agent", "a", "--action", "b", "why"),
        ("policy", "check"),
        ("health", "--verbose"),
    ],
    ids=" ".join,
)
def test_arguments_that_make_no_sense_are_bad_input(arguments: tuple[str, ...], desk: Desk) -> None:
    said = desk.cigate(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("usage: cigate")


# Backup and adoption


def test_a_backup_is_refused_until_it_is_adopted_and_then_a_new_life_begins(desk: Desk) -> None:
    ticket = desk.held()
    old = desk.signed()
    assert "cigate adopt REASON" in desk.ok("backup", "copy.db").err
    desk.ok("halt", "the disk died")
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (desk.folder / name).unlink(missing_ok=True)
    shutil.move(desk.folder / "copy.db", desk.folder / "state.db")
    refused = desk.cigate("health")
    assert refused.code == 3
    assert "ledger.rolled-back" in refused.err
    assert desk.cigate("adopt", " ").code == 2
    said = desk.ok("adopt", "restored copy.db")
    assert set(said.json) == {"epoch", "origin", "size", "outstanding"}
    assert said.json["origin"] == f"cigate/ci.example.org/{said.json['epoch']}"
    assert said.json["outstanding"] == []
    assert desk.ok("status", ticket).json["state"] == "void"
    assert desk.cigate("submit", "-", stdin=old).json["code"] == "attestation.time"
    assert desk.submit().code == 0
    assert desk.ok("ledger", "verify").json["ok"] is True
    assert "adopt" in desk.kinds()


def test_a_backup_overwrites_nothing(desk: Desk) -> None:
    (desk.folder / "copy.db").write_text("mine")
    said = desk.cigate("backup", "copy.db")
    assert said.code == 2
    assert "backup.exists" in said.err
    assert (desk.folder / "copy.db").read_text() == "mine"


def test_a_whole_folder_at_rest_may_be_copied_and_used(desk: Desk, tmp_path: Path) -> None:
    shutil.copytree(desk.folder, tmp_path / "copy")
    copy = tmp_path / "copy" / "gateway.yaml"
    assert desk.ok("ledger", "verify", "--config", copy).json["ok"] is True
    assert desk.cigate("submit", "-", "--config", copy, stdin=desk.signed()).code == 0
