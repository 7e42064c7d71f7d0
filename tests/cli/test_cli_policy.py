"""policy check, decide, explain: what a policy's author works with, in the folder or anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_desk import HELLO, Desk

from cigate.cli.examples import POLICY_YAML

FACTS: Mapping[str, Any] = {
    "now": "2026-11-24T08:00:00Z",
    "action": "hello",
    "parameters": {"name": "Ada"},
    "agent": {"id": "agent-1234", "managed": True, "trusted": True, "approved_version": True},
    "cost": {"estimate": 0, "currency": "EUR"},
    "risk": {"score": 10},
}


def decide(desk: Desk, *arguments: object, verb: str = "decide", **changed: Any) -> Any:
    return desk.cigate("policy", verb, "-", *arguments, stdin=json.dumps({**FACTS, **changed}))


def test_a_policy_that_loads_says_what_it_is(desk: Desk) -> None:
    said = desk.ok("policy", "check", "policy.yaml")
    assert set(said.json) == {"name", "sequence", "digest", "rules"}
    assert (said.json["name"], said.json["sequence"], said.json["rules"]) == ("desktop-agents", 1, 6)
    assert said.json["digest"] == desk.ok("health").json["policy"]["digest"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("agent.trusted", "agent.trusty", "23:24: policy.unknown-field: "),
        ("agent.trusted", "agent.trusted &&", "policy.syntax: "),
        ("effect: throttle", "efect: throttle", "policy.unknown-key: "),
        ("actions: [hello]", "actions: [helo]", "13:17: policy.unknown-action: "),
        ("effect: throttle", "effect: alow", "policy."),
        ("sequence: 1", "sequence: one", "policy."),
        ("risk.score >= 80", "has(risk.score) && risk.score >= 80", "policy."),
        ("apiVersion: cigate/v1", "apiVersion: [", "policy."),
        ("    - name: quarantine", "    - name: at-most-ten-an-hour", "policy."),
    ],
)
def test_an_error_stands_at_file_line_and_column_and_is_exit_code_two(
    old: str, new: str, error: str, desk: Desk
) -> None:
    desk.edit("policy.yaml", old, new)
    said = desk.cigate("policy", "check", "policy.yaml")
    assert (said.code, said.out) == (2, "")
    place, _, rest = said.err.partition(": ")
    file, line, column = place.split(":")
    assert file == "policy.yaml"
    assert int(line) > 0
    assert int(column) > 0
    assert rest.startswith(error.partition(": ")[2] or error.rstrip(": ")) or f"{place}: {rest}".startswith(
        f"policy.yaml:{error}"
    )
    assert said.err.count("\n") == 1


def test_a_policy_outside_of_a_folder_is_checked_as_well(desk: Desk, tmp_path: Path) -> None:
    desk.folder = tmp_path / "anywhere"
    desk.folder.mkdir()
    (desk.folder / "p.yaml").write_text(POLICY_YAML.replace("[hello]", "[whatever]"))
    assert desk.ok("policy", "check", "p.yaml").json["rules"] == 6
    said = decide(desk, "--policy", "p.yaml")
    assert (said.code, said.json["code"]) == (10, "policy.no-allow-rule")
    bare = decide(desk)
    assert (bare.code, bare.out) == (2, "")
    assert "gateway.yaml" in bare.err


@pytest.mark.parametrize(
    "arguments",
    [("check", "policy.yaml"), ("decide", "-", "--policy", "policy.yaml"), ("explain", "-"), ("decide", "-")],
)
def test_a_folder_that_does_not_load_is_an_error_and_no_reason_to_check_less(
    arguments: tuple[str, ...], desk: Desk
) -> None:
    desk.edit("gateway.yaml", "    timeout: 1m", "    timout: 1m")
    said = desk.cigate("policy", *arguments, stdin=json.dumps(FACTS))
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("gateway.yaml:")
    assert "timeout" in said.err


def test_an_entry_that_is_no_decision_has_nothing_to_explain(desk: Desk) -> None:
    (desk.folder / "load.json").write_text(desk.ok("ledger", "show", desk.kinds().index("load")).out)
    for verb in ("explain", "decide"):
        said = desk.cigate("policy", verb, "load.json")
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("load.json: facts.not-a-decision: ")
        assert "load" in said.err


def test_a_decision_without_facts_names_its_file(desk: Desk) -> None:
    entry = {"index": 1, "kind": "decision", "public": {}, "private": {}}
    (desk.folder / "early.json").write_text(json.dumps(entry))
    said = desk.cigate("policy", "explain", "early.json")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("early.json: facts.missing: ")


def test_a_policy_with_an_empty_name_is_not_the_folders_own(desk: Desk) -> None:
    said = decide(desk, "--policy", "")
    assert (said.code, said.out) == (2, "")
    assert "input.unreadable" in said.err


@pytest.mark.parametrize(
    ("changed", "code", "effect"),
    [
        ({}, 0, "allow"),
        ({"agent": {"id": "a", "managed": False}}, 10, "deny"),
        ({"risk": {"score": 80}}, 10, "deny"),
        ({"action": "create-infra", "parameters": {"size": "small"}}, 11, "require_approval"),
        ({"action": "gone"}, 10, "deny"),
        ({"agent": {"id": "a", "managed": "yes"}}, 10, "deny"),
    ],
)
def test_decide_prints_the_decision_and_explain_the_reasons_with_the_same_exit_code(
    changed: dict[str, Any], code: int, effect: str, desk: Desk
) -> None:
    said = decide(desk, **changed)
    assert (said.code, said.json["effect"]) == (code, effect)
    assert set(said.json) >= {"effect", "code", "rules", "reasons", "wants", "takes", "policy_digest"}
    told = decide(desk, verb="explain", **changed)
    assert told.code == code
    assert told.out.startswith(f"{effect} ({said.json['code']})")


def test_explain_says_what_is_missing_for_a_yes(desk: Desk) -> None:
    told = decide(desk, verb="explain", agent={"id": "a", "managed": False})
    assert "agent.managed is false" in told.out
    assert "still missing:" in told.out


def test_another_policy_is_tried_without_being_loaded(desk: Desk) -> None:
    (desk.folder / "stricter.yaml").write_text(POLICY_YAML.replace("risk.score >= 80", "risk.score >= 5"))
    assert decide(desk).code == 0
    assert decide(desk, "--policy", "stricter.yaml").code == 10
    assert "load" not in desk.kinds()[2:]


def test_the_facts_of_a_recorded_decision_are_decided_again(desk: Desk) -> None:
    denied = desk.submit(
        {**HELLO, "agent_version": "1.0", "action": "run-test-suite", "parameters": {"test_suite": "unit"}}
    )
    (at,) = (
        int(line.split()[0])
        for line in desk.ok("ledger", "show").out.splitlines()
        if denied.json["decision_id"] in line
    )
    (desk.folder / "denied.json").write_text(desk.ok("ledger", "show", at).out)
    told = desk.cigate("policy", "explain", "denied.json")
    assert told.code == 10
    assert "agent.approved_version is false" in told.out


@pytest.mark.parametrize(
    ("text", "code"),
    [("{", "json.syntax"), ("[]", "facts.type"), ('{"action": 1, "action": 2}', "json.duplicate-key")],
)
def test_facts_that_are_no_document_are_bad_input(text: str, code: str, desk: Desk) -> None:
    (desk.folder / "facts.json").write_text(text)
    said = desk.cigate("policy", "decide", "facts.json")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("facts.json")
    assert code in said.err
    assert desk.cigate("policy", "decide", "none.json").code == 2


def test_a_second_opinion_agrees_with_the_example_policy_and_says_on_how_many_cases(desk: Desk) -> None:
    said = desk.ok("policy", "check", "policy.yaml", "--second-opinion").json["second_opinion"]
    assert said["engine"] == "cel-python"
    assert said["differences"] == 0
    assert said["expressions"] == 5
    assert said["cases"] > 40


def test_a_known_defect_of_the_second_engine_is_counted_by_name_and_is_no_difference(desk: Desk) -> None:
    desk.edit("policy.yaml", "risk.score >= 80", "string(agent.managed) == 'true'")
    said = desk.ok("policy", "check", "policy.yaml", "--second-opinion").json["second_opinion"]
    assert said["known_defects"] == {"lax-conversions": 1}


def test_a_difference_stands_at_its_place_and_is_exit_code_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cigate.cli import main
    from cigate.policy import second_opinion

    monkeypatch.setattr(second_opinion, "_other", lambda _: lambda facts: not facts.get("agent"))
    desk.edit("policy.yaml", "risk.score >= 80", "agent.managed && risk.score >= 80")
    monkeypatch.chdir(desk.folder)
    assert main(["policy", "check", "policy.yaml", "--second-opinion"]) == 1
    said = capsys.readouterr()
    place, _, rest = said.err.splitlines()[0].partition(": ")
    assert re.fullmatch(r"policy\.yaml:\d+:\d+", place)
    assert rest.startswith("policy.second-opinion: ")
    assert "by cel-python" in rest
    assert json.loads(said.out)["second_opinion"]["differences"] > 0
