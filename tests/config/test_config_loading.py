"""What a gateway.yaml that is in order gives: the same values however it is laid out, and a digest over all of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cigate import Gateway
from cigate.cli import main
from cigate.cli.examples import GATEWAY_YAML, POLICY_YAML
from cigate.config import SECTIONS, Configuration, read_configuration
from cigate.inventory import device_facts
from cigate.request import DeviceId
from cigate.signing import load_private_key, write_key_pair
from cigate.wire import yamldoc

FULL = (
    GATEWAY_YAML
    + """\
ledger: {key: {secret: {file: signs.key}}}
risk: {weights: {user.role: 5}, sensitive_roles: [sre]}
posture_max_age: 12h
allow_unisolated_jobs: false
"""
)


def configuration(folder: Path, text: str = FULL, **others: str) -> Configuration:
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, content in {"gateway.yaml": text, "policy.yaml": POLICY_YAML, **others}.items():
        (folder / name).write_text(content, encoding="utf-8")
        (folder / name).chmod(0o600)
    return read_configuration(folder / "gateway.yaml")


def section_of(text: str, name: str) -> str:
    """The lines of one section, as they stand in the text."""
    lines = text.splitlines(keepends=True)
    (first,) = (at for at, line in enumerate(lines) if line.startswith(f"{name}:"))
    after = (at for at, line in enumerate(lines) if at > first and line[0] not in " \n")
    return "".join(lines[first : next(after, len(lines))])


def in_a_file(text: str, name: str) -> tuple[str, str]:
    """The text with one section in a file of its own, and that file's text."""
    section = section_of(text, name)
    body = section.partition(":")[2]
    return text.replace(section, f"{name}: {{file: {name}.yaml}}\n"), body


MAPS = [
    name for name in SECTIONS if name not in ("audience", "store", "posture_max_age", "allow_unisolated_jobs")
]


def test_every_section_of_the_design_is_known_and_the_example_loads(tmp_path):
    found = configuration(tmp_path)
    assert set(found.sections) == set(SECTIONS)
    loaded = found.load()
    assert loaded.audience == "ci.example.org"
    assert loaded.posture_max_age == timedelta(hours=12)
    assert found.store == "sqlite:state.db"
    assert found.ledger_key() == tmp_path / "signs.key"


@pytest.mark.parametrize("name", [name for name in MAPS if name != "policy"])
def test_a_section_in_a_file_of_its_own_says_the_same(name, tmp_path):
    inline = configuration(tmp_path / "inline")
    text, section = in_a_file(FULL, name)
    apart = configuration(tmp_path / "apart", text, **{f"{name}.yaml": section})
    assert apart.sections == inline.sections
    assert apart.digest() == inline.digest()
    assert apart.load().policy.digest == inline.load().policy.digest


def test_a_policy_says_the_same_inline(tmp_path):
    apart = configuration(tmp_path / "apart").load()
    inline = "policy:\n" + "".join(f"  {line}\n" for line in POLICY_YAML.splitlines())
    text = FULL.replace("policy: {file: policy.yaml}\n", inline)
    within = configuration(tmp_path / "inline", text).load()
    assert (within.policy.digest, within.digest) == (apart.policy.digest, apart.digest)


CHANGES = {
    "audience": ("ci.example.org", "ci2.example.org"),
    "store": ("sqlite:state.db", "sqlite:other.db"),
    "ledger": ("signs.key", "seals.key"),
    "agents": ('">=2.0,<3"', '">=2.0,<4"'),
    "users": ("roles: [developer]", "roles: [sre]"),
    "devices": ("os_patch_age_days: 3", "os_patch_age_days: 4"),
    "budgets": ("limit: 100000", "limit: 100001"),
    "actions": ("timeout: 1m", "timeout: 2m"),
    "brokers": ("scope: [tests]", "scope: [tests, builds]"),
    "pipelines": ("isolation: sandbox}", "isolation: none}"),
    "risk": ("user.role: 5", "user.role: 6"),
    "posture_max_age": ("12h", "13h"),
    "allow_unisolated_jobs": ("allow_unisolated_jobs: false", "allow_unisolated_jobs: true"),
}


def test_the_digest_changes_with_every_section_but_the_policy_which_has_its_own(tmp_path):
    assert {*CHANGES, "policy"} == set(SECTIONS)
    digests = {configuration(tmp_path).digest()}
    for name, (old, new) in CHANGES.items():
        assert FULL.count(old) == 1 or name == "actions", name
        digests.add(configuration(tmp_path, FULL.replace(old, new, 1)).digest())
    assert len(digests) == 1 + len(CHANGES)
    other = POLICY_YAML.replace("risk.score >= 80", "risk.score >= 70")
    before = configuration(tmp_path).load()
    after = configuration(tmp_path, **{"policy.yaml": other}).load()
    assert after.digest == before.digest
    assert after.policy.digest != before.policy.digest


def test_comments_order_and_layout_change_no_digest(tmp_path):
    bare = "\n".join(line.partition("  #")[0] for line in FULL.splitlines() if not line.startswith("#"))
    sections = [section_of(FULL, name) for name in SECTIONS]
    turned = "".join(text if text.endswith("\n") else f"{text}\n" for text in reversed(sections))
    as_json = yamldoc.parse(FULL, "full").value
    digests = {
        configuration(tmp_path, text).digest() for text in (FULL, bare + "\n", turned, json.dumps(as_json))
    }
    assert len(digests) == 1


def test_a_source_is_found_from_the_folder_of_the_configuration(tmp_path):
    def git(path: str) -> str:
        text = FULL.replace("    # source: {git: /srv/repos/app.git", f"    source: {{git: {path}")
        source = configuration(tmp_path / "gw", text).actions()["run-test-suite"].source
        assert source is not None
        return source.git

    assert git("app.git") == str(tmp_path / "gw" / "app.git")
    assert git("/srv/repos/app.git") == "/srv/repos/app.git"


NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("observed", "known"), [("2026-11-23T20:00:01Z", True), ("2026-11-23T19:59:59Z", False)]
)
def test_posture_from_a_provider_is_known_until_it_is_too_old(observed, known, tmp_path):
    text = FULL.replace("os_patch_age_days: 3}", f"source: mdm, observed_at: {observed}}}")
    loaded = configuration(tmp_path, text).load()
    device = loaded.inventory.device(DeviceId("laptop-1"))
    facts = device_facts(device, DeviceId("laptop-1"), NOW, loaded.posture_max_age)["device"]
    assert ("posture" in facts and "compliant" in facts["posture"]) is known
    assert facts["managed"] is True


def test_a_broker_gets_its_key_from_a_file_of_any_name_or_from_the_environment(tmp_path, monkeypatch):
    def public(key: str) -> bytes:
        text = FULL.replace("backend: local\n    profiles", f"backend: local\n    key: {key}\n    profiles")
        found = configuration(tmp_path, text)
        assert found.make_broker_keys() == []
        return found.brokers(live=lambda _: True, clock=lambda: NOW)["local"].public_pem()

    configuration(tmp_path)
    write_key_pair(tmp_path / "mine.key", algorithm="ed25519")
    own = load_private_key(tmp_path / "mine.key").public_key()
    wanted = own.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv("BROKER_KEY", (tmp_path / "mine.key").read_text())
    assert public("{secret: {file: mine.key}}") == wanted
    assert public("{secret: {env: BROKER_KEY}}") == wanted


def test_a_secret_is_in_the_digest_by_its_name_only(tmp_path, monkeypatch):
    text = FULL.replace(
        "backend: local\n    profiles", "backend: local\n    key: {secret: {env: BROKER_KEY}}\n    profiles"
    )
    digests = set()
    for value in ("one", "two"):
        monkeypatch.setenv("BROKER_KEY", value)
        digests.add(configuration(tmp_path, text).digest())
    assert len(digests) == 1


def test_reading_a_configuration_makes_nothing(tmp_path):
    found = configuration(tmp_path)
    before = sorted(tmp_path.iterdir())
    found.load()
    found.pipelines()
    assert sorted(tmp_path.iterdir()) == before


def test_a_changed_section_is_in_force_with_the_next_verb_and_in_the_ledger(tmp_path, capsys):
    folder = tmp_path / "gw"
    assert main(["init", str(folder)]) == 0
    file = folder / "gateway.yaml"
    file.write_text(file.read_text().replace("limit: 100000", "limit: 50000"))
    with Gateway.from_config(file) as gateway:
        loads = [entry.public["config_digest"] for entry in gateway.ledger.entries() if entry.kind == "load"]
        assert len(loads) == 2
        assert loads[-1] == read_configuration(file).digest() == gateway.health()["config_digest"]
    with Gateway.from_config(file) as gateway:
        assert [entry.kind for entry in gateway.ledger.entries()].count("load") == 2
    capsys.readouterr()
