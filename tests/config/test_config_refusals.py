"""What a gateway.yaml may not say: every mistake is refused at its line and column, with the way out."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cigate.cli.examples import GATEWAY_YAML, POLICY_YAML
from cigate.config import Configuration, read_configuration
from cigate.errors import CigateError, ConfigError, PolicyError

Refused = Callable[[str], CigateError]


def everything(file: Path) -> Configuration:
    """Load all that a gateway loads, without making any state."""
    found = read_configuration(file)
    found.make_broker_keys()
    found.load()
    found.pipelines()
    found.brokers(live=lambda _: True, clock=lambda: datetime.now(UTC))
    assert found.store
    assert found.ledger_key()
    return found


def write(folder: Path, text: str, **others: str) -> Path:
    for name, content in {"gateway.yaml": text, "policy.yaml": POLICY_YAML, **others}.items():
        (folder / name).write_text(content, encoding="utf-8")
        (folder / name).chmod(0o600)
    return folder / "gateway.yaml"


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    def refuse(text: str) -> CigateError:
        with pytest.raises(CigateError) as caught:
            everything(write(tmp_path, text))
        return caught.value

    return refuse


def edited(old: str, new: str) -> str:
    assert GATEWAY_YAML.count(old) >= 1, f"the example has no {old!r}"
    return GATEWAY_YAML.replace(old, new, 1)


def place_of(text: str, at: str) -> str:
    """Line and column, from 1, of the only `at` in the text."""
    assert text.count(at) == 1, f"{text.count(at)} of {at!r}"
    before = text[: text.index(at)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


ALICE = "alice@example.com: {roles: [developer], team: qa}"
BROKER = "backend: local\n    profiles"
PIPELINE = "{backend: local, isolation: sandbox}"
NAME = '{type: string, pattern: "[A-Za-z]{1,40}"}'
SOURCE = '    # source: {git: /srv/repos/app.git, branches: [main, "release/*"]}   # the commit, read-only at /src\n'

# What is replaced, by what, the code, a word of the way out, and the text that the error points at.
MISSPELLED = {
    "a section": ("budgets:\n", "budgest:\n", "config.unknown-key", "budgets", "budgest"),
    "of an agent": ("trusted: true", "trustd: true", "config.unknown-key", "trusted", "trustd"),
    "of a user": (ALICE, ALICE.replace("roles", "rolls"), "config.unknown-key", "roles", "rolls"),
    "of a device": ("    posture: {", "    postur: {", "config.unknown-key", "posture", "postur:"),
    "an owner": (
        "    posture: {",
        "    owner: alic\n    posture: {",
        "config.unknown-user",
        "alice@",
        "alic\n",
    ),
    "of a budget": ("period: month", "perod: month", "config.unknown-key", "period", "perod"),
    "a period": ("period: month", "period: monht", "config.unknown-period", "month", "monht"),
    "a broker's backend": (
        BROKER,
        "backend: loacl\n    profiles",
        "config.unknown-backend",
        "local",
        "loacl",
    ),
    "of a broker": (BROKER, "backend: local\n    tll: 3\n    profiles", "config.unknown-key", "known", "tll"),
    "of a profile": (
        "{scope: [tests], ttl",
        "{scpe: [tests], ttl",
        "config.unknown-key",
        "scope",
        "scpe",
    ),
    "of a pipeline": (
        PIPELINE,
        "{backend: local, isolatoin: x}",
        "config.unknown-key",
        "isolation",
        "isolatoin",
    ),
    "a pipeline's backend": (PIPELINE, "{backend: docker}", "config.unknown-backend", "local", "docker"),
    "of an action": ("    timeout: 1m", "    timout: 1m", "config.unknown-key", "timeout", "timout"),
    "an action's pipeline": (
        "    timeout: 1m",
        "    pipeline: locl",
        "config.unknown-pipeline",
        "local",
        "locl",
    ),
    "an action's broker": ("{broker: local", "{broker: vault", "config.unknown-broker", "local", "vault"),
    "an action's profile": (
        "profile: tests-read-only",
        "profile: test-read-only",
        "config.unknown-profile",
        "tests-read-only",
        "test-read-only",
    ),
    "of a cost": ("per_minute: 8", "per_minut: 8", "config.unknown-key", "per_minute", "per_minut:"),
    "of a credential": (", ttl: 10m}    ", "", "", "", None),
    "of a parameter": (NAME, NAME.replace("pattern", "patern"), "config.unknown-key", "pattern", "patern"),
    "of a source": (
        SOURCE,
        "    source: {git: a.git, branch: [main]}\n",
        "config.unknown-key",
        "branches",
        "branch:",
    ),
}
del MISSPELLED["of a credential"]


@pytest.mark.parametrize("name", MISSPELLED)
def test_a_misspelled_name_is_refused_where_it_stands_with_the_nearest_known_one(
    name: str, refused: Refused
) -> None:
    old, new, code, way_out, at = MISSPELLED[name]
    text = edited(old, new)
    error = refused(text)
    assert error.code == code
    assert way_out in error.fix
    assert error.where.startswith("gateway.yaml:")
    if at is not None:
        assert error.where == f"gateway.yaml:{place_of(text, at)}"


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("risk", "risk: {wieghts: {}}\n"),
        ("ledger", "ledger: {kay: {secret: {file: l.key}}}\n"),
        ("a signal", "risk: {weights: {agent.versoin: 3}}\n"),
        ("a secret's source", "ledger: {key: {secret: {evn: KEY}}}\n"),
    ],
)
def test_and_so_it_is_in_the_sections_that_the_example_leaves_out(
    name: str, added: str, refused: Refused
) -> None:
    error = refused(GATEWAY_YAML + added)
    assert error.code in ("config.unknown-key", "config.unknown-signal"), name
    assert error.where.startswith(f"gateway.yaml:{GATEWAY_YAML.count(chr(10)) + 1}:")
    assert error.fix


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GATEWAY_YAML + "budgets: {}\n", "budgets"),
        (edited("  agent-1234:\n", "  agent-1234: {}\n  agent-1234:\n"), "agent-1234"),
        (edited("managed: true\n    trusted", "managed: false\n    managed: true\n    trusted"), "managed"),
        (edited("{scope: [tests], ttl", "{ttl: 1m, scope: [tests], ttl"), "ttl"),
        (edited("  hello:\n", "  hello: {}\n  hello:\n"), "hello"),
    ],
)
def test_a_doubled_key_is_refused_wherever_it_stands(text: str, key: str, refused: Refused) -> None:
    error = refused(text)
    assert error.code == "yaml.duplicate-key"
    assert repr(key) in error.message
    assert error.where.count(":") == 2


# What YAML 1.1 loaders turn into something else stays the text that was written, and is refused where a text is wrong.
SURPRISES = {
    "yes": edited("managed: true\n    trusted", "managed: yes\n    trusted"),
    "no": edited("trusted: true", "trusted: no"),
    "on": edited("managed: true\n    posture", "managed: on\n    posture"),
    "sixties": edited("timeout: 1m", "timeout: 1:30"),
    "sixties for money": edited("limit: 100000", "limit: 1:30"),
    "octal": edited("limit: 100000", "limit: 0100"),
    "underscores": edited("limit: 100000", "limit: 100_000"),
    "a bare number for a duration": edited("timeout: 1m", "timeout: 60"),
    "a fraction for money": edited("per_run: 20", "per_run: 0.2"),
    "a bare number for a version": edited('[">=2.0,<3"]', "[2.0]"),
    "allow_unisolated_jobs": GATEWAY_YAML + "allow_unisolated_jobs: yes\n",
    "accept_output_disclosure": edited(
        "output: status  ", "output: full\n    accept_output_disclosure: yes "
    ),
}


@pytest.mark.parametrize("name", SURPRISES)
def test_nothing_is_read_as_what_it_does_not_look_like(name: str, refused: Refused) -> None:
    error = refused(SURPRISES[name])
    assert error.code in ("config.type", "config.duration", "inventory.version"), str(error)
    assert error.where.startswith("gateway.yaml:")


def test_yes_and_no_are_texts_where_a_text_belongs(tmp_path: Path) -> None:
    text = edited("enum: [small, large]", "enum: [yes, no]").replace(
        "audience: ci.example.org", "audience: no"
    )
    found = everything(write(tmp_path, text))
    assert found.audience == "no"
    assert found.actions()["create-infra"].parameters["size"].enum == ("yes", "no")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "yaml.documents"),
        ("- audience\n", "config.type"),
        ("audience\n", "config.type"),
        (GATEWAY_YAML + "risk: &a {}\n", "yaml.alias"),
        (GATEWAY_YAML + "risk: {<<: {}}\n", "yaml.alias"),
        (GATEWAY_YAML + "risk: !!python/object:os.system {}\n", "yaml.tag"),
        (GATEWAY_YAML + "---\naudience: b\n", "yaml.documents"),
        (GATEWAY_YAML + "risk:\n\tweights: {}\n", "yaml.syntax"),
        ("\ufeff" + GATEWAY_YAML, "yaml.encoding"),
        (edited("  agent-1234:\n", "  1234:\n"), "yaml.key"),
    ],
)
def test_what_has_more_than_one_reading_is_no_configuration(text: str, code: str, refused: Refused) -> None:
    error = refused(text)
    assert error.code == code
    assert error.where.startswith("gateway.yaml:")


WRONG = {
    "users as a text": (edited(ALICE, "alice@example.com: developer"), "config.type", "developer"),
    "a user of nothing": (edited(ALICE, "alice@example.com:"), "config.type", None),
    "a team that is a number": (edited("team: qa}", "team: 7}"), "config.type", "7}\n"),
    "capabilities as a text": (
        edited("[tests]\n\n# The people", "tests\n\n# The people"),
        "config.type",
        None,
    ),
    "posture as a fraction": (edited("days: 3", "days: 3.5"), "config.type", "3.5"),
    "posture as a list": (edited("days: 3}", "days: 3, serials: [1]}"), "config.type", "[1]"),
    "a negative budget": (edited("limit: 100000", "limit: -1"), "config.range", "-1,"),
    "a budget without a limit": (edited("limit: 100000, ", ""), "config.missing-key", "{currency"),
    "no currency": (edited("EUR", "euro"), "money.currency", "euro"),
    "a command as a line": (
        edited("command: [/bin/sh, -c, 'echo \"hello, $CIGATE_PARAM_NAME\"']", "command: make it"),
        "action.command",
        "make it",
    ),
    "a broken pattern": (edited("[A-Za-z]{1,40}", "[A-Z"), "action.pattern", None),
    "a string of anything": (edited(NAME, "{type: string}"), "action.parameter", None),
    "bounds that cross": (edited("minimum: 1,", "minimum: 9,"), "action.range", "9, maximum"),
    "two days of work": (edited("timeout: 10m", "timeout: 2d"), "action.timeout", "2d"),
    "an output that does not exist": (
        edited("output: status  ", "output: stauts  "),
        "action.output",
        "stauts",
    ),
    "a credential without an end": (
        edited("profile: tests-read-only, ttl: 10m}", "profile: p}"),
        "config.missing-key",
        None,
    ),
    "an isolation that does not exist": (
        edited("isolation: sandbox", "isolation: jail"),
        "pipeline.isolation",
        None,
    ),
    "no branches": (edited(SOURCE, "    source: {git: a.git, branches: []}\n"), "action.source", "[]}"),
    "a source elsewhere": (
        edited(SOURCE, "    source: {git: 'https://example.org/a.git', branches: [main]}\n"),
        "action.source",
        "'https",
    ),
    "an audience that is a number": (edited("ci.example.org", "7"), "config.type", "7\n\n# State"),
    "an empty audience": (edited("ci.example.org", '""'), "config.type", '""'),
    "no store of that name": (edited("sqlite:state.db", "sqlit:state.db"), "store.scheme", "sqlit:"),
    "a store without a scheme": (edited("sqlite:state.db", "state.db"), "store.uri", "state.db"),
    "a policy that is a name": (edited("{file: policy.yaml}", "policy.yaml"), "config.type", "policy.yaml\n"),
    "a policy that is not there": (edited("policy.yaml}", "polcy.yaml}"), "config.unreadable", "polcy.yaml"),
    "a posture that never ages": (GATEWAY_YAML + "posture_max_age: 0s\n", "config.duration", "0s\n"),
    "a risk weight out of bounds": (
        GATEWAY_YAML + "risk: {weights: {user.role: 300}}\n",
        "config.range",
        "300",
    ),
    "a ledger key in the open": (GATEWAY_YAML + "ledger: {key: abc}\n", "config.type", "abc}"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_where_it_stands(name: str, refused: Refused) -> None:
    text, code, at = WRONG[name]
    error = refused(text)
    assert error.code == code, str(error)
    assert error.where.startswith("gateway.yaml:")
    if at is not None:
        assert error.where == f"gateway.yaml:{place_of(text, at)}"


@pytest.mark.parametrize(
    ("line", "way_out"),
    [("audience: ci.example.org", "audience: ci"), ("policy: {file: policy.yaml}", "policy: {file")],
)
def test_what_has_no_default_must_be_there(line: str, way_out: str, refused: Refused) -> None:
    error = refused(edited(line, ""))
    assert error.code == "config.missing"
    assert error.fix.startswith(way_out)


def test_full_output_beside_a_credential_needs_that_its_disclosure_is_accepted(
    refused: Refused, tmp_path: Path
) -> None:
    text = edited("output: status  ", "output: full  ")
    error = refused(text)
    assert error.code == "action.output-disclosure"
    assert error.where == f"gateway.yaml:{place_of(text, 'full                    # the caller gets exit')}"
    accepted = text.replace("output: full  ", "accept_output_disclosure: true\n    output: full  ")
    assert everything(write(tmp_path, accepted)).actions()["run-test-suite"].output == "full"


def test_jobs_outside_a_sandbox_must_be_allowed_by_name(refused: Refused, tmp_path: Path) -> None:
    text = edited("isolation: sandbox", "isolation: none")
    error = refused(text)
    assert error.code == "pipeline.unisolated"
    assert "allow_unisolated_jobs: true" in error.fix
    found = everything(write(tmp_path, text + "allow_unisolated_jobs: true\n"))
    assert found.pipelines()["local"].isolation == "none"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
@pytest.mark.parametrize("name", ["gateway.yaml", "policy.yaml", "users.yaml"])
def test_a_file_that_others_may_write_is_refused(name: str, mode: int, tmp_path: Path) -> None:
    bob = "bob@example.com: {roles: [sre], team: platform}"
    text = edited(f"users:\n  {ALICE}\n  {bob}\n", "users: {file: users.yaml}\n")
    file = write(tmp_path, text, **{"users.yaml": f"{ALICE}\n"})
    everything(file)
    (tmp_path / name).chmod(mode)
    with pytest.raises(ConfigError) as caught:
        read_configuration(file)
    assert caught.value.code == "config.writable-by-others"
    assert name in caught.value.fix
    assert "chmod go-w" in caught.value.fix


@pytest.mark.parametrize("name", ["gateway.yaml", "policy.yaml"])
def test_a_file_of_another_user_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, GATEWAY_YAML)
    real = os.fstat

    def another(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        same = os.path.samestat(found, os.stat(tmp_path / name))
        return os.stat_result((*found[:4], 4711, *found[5:])) if same else found

    monkeypatch.setattr(os, "fstat", another)
    with pytest.raises(ConfigError) as caught:
        read_configuration(file)
    assert caught.value.code == "config.owner"
    assert name in caught.value.message
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(
        os, "fstat", lambda descriptor: os.stat_result((*real(descriptor)[:4], 4711, 0, 1, 0, 0, 0))
    )
    read_configuration(file)


def test_a_file_of_root_is_anybodys_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, GATEWAY_YAML)
    real = os.fstat
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(
        os, "fstat", lambda descriptor: os.stat_result((*real(descriptor)[:4], 0, 0, 1, 0, 0, 0))
    )
    read_configuration(file)


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o703, True), (0o1777, False), (0o770, False)])
def test_a_folder_in_which_others_may_replace_the_file_is_refused(
    mode: int, refused: bool, tmp_path: Path
) -> None:
    file = write(tmp_path, GATEWAY_YAML)
    tmp_path.chmod(mode)
    if not refused:
        read_configuration(file)
        return
    with pytest.raises(ConfigError) as caught:
        read_configuration(file)
    assert caught.value.code == "config.writable-by-others"
    assert f"chmod o-w {tmp_path}" in caught.value.fix


def test_an_error_in_an_inline_policy_stands_at_its_own_line(refused: Refused) -> None:
    policy = POLICY_YAML.replace("agent.trusted", "agent.trusty")
    inline = "policy:\n" + "".join(f"  {line}\n" for line in policy.splitlines())
    text = edited("policy: {file: policy.yaml}\n", inline)
    error = refused(text)
    assert isinstance(error, PolicyError)
    assert error.code == "policy.unknown-field"
    assert error.where == f"gateway.yaml:{place_of(text, '.trusty')}"


def test_an_error_in_a_policy_on_one_line_is_placed_as_well(refused: Refused) -> None:
    rule = "{name: r, effect: allow, actions: ['*'], expression: agent.trusty}"
    text = edited(
        "{file: policy.yaml}",
        "{apiVersion: cigate/v1, kind: GatewayPolicy, metadata: {name: a, sequence: 1}, "
        f"spec: {{rules: [{rule}]}}}}",
    )
    assert refused(text).where == f"gateway.yaml:{place_of(text, '.trusty')}"


def test_a_policy_that_names_an_action_that_is_not_there_does_not_load(tmp_path: Path) -> None:
    wrong = POLICY_YAML.replace("actions: [hello]", "actions: [helo]")
    with pytest.raises(PolicyError) as caught:
        everything(write(tmp_path, GATEWAY_YAML, **{"policy.yaml": wrong}))
    assert caught.value.code == "policy.unknown-action"
    assert "hello" in caught.value.fix
    assert caught.value.where == f"policy.yaml:{place_of(wrong, 'helo]')}"


@pytest.mark.parametrize(
    ("key", "code", "at"),
    [
        ("{secret: {env: CIGATE_TEST_NOT_SET}}", "secret.missing", "CIGATE_TEST_NOT_SET"),
        ("{secret: {file: nowhere.key}}", "key.file", "nowhere.key"),
        ("{secret: {}}", "config.secret", "{}}"),
        ("{secret: {env: A, file: b}}", "config.secret", "{env"),
        ("{secret: MC4CAQAwBQYDK2VwBCIEIHh4}", "config.type", "MC4"),
        ("{secret: {evn: A}}", "config.unknown-key", "evn"),
        ("MC4CAQAwBQYDK2VwBCIEIHh4", "config.type", "MC4"),
    ],
)
def test_a_secret_is_named_never_written_and_never_shown(
    key: str, code: str, at: str, refused: Refused
) -> None:
    text = edited(BROKER, f"backend: local\n    key: {key}\n    profiles")
    error = refused(text)
    assert error.code == code
    assert error.where == f"gateway.yaml:{place_of(text, at)}"
    assert "MC4CAQ" not in f"{error!s}{error!r}"
