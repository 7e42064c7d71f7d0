"""halt, resume, reconcile, health: what operators do when something is wrong, and what they are told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cli_desk import HELLO, INFRA, TESTS, Desk

from cigate.cli import operate
from cigate.config import read_configuration
from cigate.effects import GATE
from cigate.stores import Change, Key, LockMode, Put, Rows, open_store


def test_a_halt_stops_everything_until_it_is_lifted(desk: Desk) -> None:
    said = desk.ok("halt", "fire drill")
    assert (said.out, said.err) == ("", "halted: nothing more starts\n")
    for request in (HELLO, TESTS, INFRA):
        denied = desk.submit(request)
        assert (denied.code, denied.json["code"]) == (10, "stop.halt")
    reasons = desk.ok("status", denied.json["decision_id"]).json["reasons"]
    assert "fire drill" in reasons[0]["message"]
    said = desk.ok("resume", "the drill is over")
    assert (said.out, said.err) == ("", "resumed: gateway\n")
    assert desk.submit().code == 0
    assert [kind for kind in desk.kinds() if kind in ("halt", "resume")] == ["halt", "resume"]


@pytest.mark.parametrize(
    ("option", "name", "stopped", "free"),
    [
        ("--agent", "agent-1234", HELLO, None),
        ("--action", "hello", HELLO, {**TESTS, "agent_version": "1.0"}),
        ("--pipeline", "local", HELLO, None),
    ],
)
def test_a_scope_stops_what_it_names_only(
    option: str, name: str, stopped: dict[str, object], free: dict[str, object] | None, desk: Desk
) -> None:
    scope = f"{option.removeprefix('--')}:{name}"
    assert scope in desk.ok("halt", option, name, "odd").err
    assert desk.submit(stopped).json["code"] == "stop.halt"
    if free is not None:
        assert desk.submit(free).json["code"] == "policy.no-allow-rule"
    assert desk.ok("resume", option, name, "even").err == f"resumed: {scope}\n"
    assert desk.submit(stopped).code == 0


def test_resume_lifts_one_scope_or_all_and_says_what_is_still_in_force(desk: Desk) -> None:
    desk.ok("halt", "--action", "hello", "one")
    desk.ok("halt", "--agent", "agent-1234", "two")
    desk.ok("halt", "three")
    said = desk.ok("resume", "--action", "hello", "fine")
    assert said.err.splitlines()[0] == "resumed: action:hello"
    assert "still in force: halt of agent:agent-1234: two" in said.err
    assert "still in force: halt of gateway: three" in said.err
    assert set(desk.ok("resume", "all fine").err.strip().removeprefix("resumed: ").split(", ")) == {
        "agent:agent-1234",
        "gateway",
    }
    assert (
        desk.ok("resume", "--agent", "agent-1234", "again").err == "nothing was halted at agent:agent-1234\n"
    )
    assert desk.ok("resume", "again").err == "nothing was halted\n"


@pytest.mark.parametrize("verb", ["halt", "resume"])
@pytest.mark.parametrize("reason", ["", "  ", "\t"])
def test_a_stop_needs_a_reason(verb: str, reason: str, desk: Desk) -> None:
    said = desk.cigate(verb, reason)
    assert (said.code, said.out) == (2, "")
    assert "halt.reason" in said.err
    assert "halt" not in desk.kinds()


@pytest.mark.parametrize(
    ("option", "name", "way_out"),
    [("--action", "helo", "did you mean hello?"), ("--pipeline", "locl", "did you mean local?")],
)
def test_a_halt_of_what_is_not_there_stops_nothing_and_is_no_success(
    option: str, name: str, way_out: str, desk: Desk
) -> None:
    said = desk.cigate("halt", option, name, "why")
    assert (said.code, said.out) == (2, "")
    assert way_out in said.err
    assert "halt" not in desk.kinds()


def test_an_agent_can_be_halted_before_it_is_known_and_that_is_noted(desk: Desk) -> None:
    said = desk.ok("halt", "--agent", "agent-1235", "it comes on Monday")
    assert "did you mean agent-1234?" in said.err
    assert desk.submit().code == 0


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("policy.yaml", "agent.managed", "agent.mnaged"),
        ("policy.yaml", "sequence: 1", "sequence: 0"),
        ("gateway.yaml", "command: [/bin/sh", "command: /bin/sh #"),
        ("gateway.yaml", "profile: tests-read-only", "profile: nothing"),
    ],
)
def test_a_halt_does_not_wait_for_a_policy_that_loads(file: str, old: str, new: str, desk: Desk) -> None:
    good = (desk.folder / file).read_text()
    desk.edit(file, old, new)
    assert desk.cigate("health").code == 2
    desk.ok("halt", "the policy is wrong")
    (desk.folder / file).write_text(good)
    assert desk.submit().json["code"] == "stop.halt"


def test_a_halt_that_a_starter_outlasts_names_it_and_is_exit_code_three(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "DRAIN", timedelta(milliseconds=50))
    found = read_configuration(desk.folder / "gateway.yaml")
    store = open_store(found.store, folder=found.folder)
    with store.lock(GATE, LockMode.SHARED, timeout=timedelta(seconds=5)):
        said = desk.cigate("halt", "now")
    store.close()
    assert said.code == 3
    assert "have not drained" in said.err
    assert desk.submit().json["code"] == "stop.halt"
    desk.ok("halt", "now")


def leave_a_lease(desk: Desk, dies: datetime) -> None:
    """What a dead process may leave: a lease of a broker that nobody has any more."""
    row = {
        "lease": "lease-1",
        "broker": "gone",
        "decision_id": "dec-1",
        "dies": dies.isoformat().replace("+00:00", "Z"),
        "why": "it could not be asked",
        "since": "2026-01-01T00:00:00Z",
    }
    key = Key("lease", "dec-1.lease-1")

    def work(_: Rows) -> Change[None]:
        return Change({key: Put(json.dumps(row, sort_keys=True, separators=(",", ":")).encode())}, None)

    found = read_configuration(desk.folder / "gateway.yaml")
    store = open_store(found.store, folder=found.folder)
    store.transact({key}, work, now=datetime.now(UTC))
    store.close()


def test_reconcile_and_health_list_what_is_outstanding_and_are_exit_code_zero_only_without(
    desk: Desk,
) -> None:
    assert desk.ok("reconcile").json == {"outstanding": []}
    assert desk.ok("health").json["outstanding"] == []
    leave_a_lease(desk, datetime.now(UTC) + timedelta(hours=1))
    for verb in ("reconcile", "health"):
        said = desk.cigate(verb)
        assert said.code == 1
        (left,) = said.json["outstanding"]
        assert (left["kind"], left["lease"], left["broker"]) == ("lease", "lease-1", "gone")


def test_reconcile_watch_goes_on_until_nothing_is_outstanding(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "_WATCH_SECONDS", 0.05)
    leave_a_lease(desk, datetime.now(UTC) + timedelta(seconds=2))
    said = desk.ok("reconcile", "--watch")
    assert said.json == {"outstanding": []}
    assert "1 outstanding" in said.err
    assert desk.ok("health").json["outstanding"] == []


def test_health_tells_how_the_gateway_stands(desk: Desk) -> None:
    found = desk.ok("health").json
    assert found["ok"] is True
    assert found["audience"] == "ci.example.org"
    assert (found["policy"]["name"], found["policy"]["sequence"]) == ("desktop-agents", 1)
    assert found["config_digest"] == read_configuration(desk.folder / "gateway.yaml").digest()
    assert found["ledger"]["size"] == len(desk.kinds())
    assert (found["running"], found["stops"]) == ([], [])
    desk.ok("halt", "--agent", "agent-1234", "odd")
    stopped = desk.ok("health").json
    assert stopped["ok"] is False
    assert [(stop["kind"], stop["scope"], stop["reason"]) for stop in stopped["stops"]] == [
        ("halt", "agent:agent-1234", "odd")
    ]


def test_a_policy_is_in_force_only_with_a_higher_sequence(desk: Desk) -> None:
    desk.edit("policy.yaml", "risk.score >= 80", "risk.score >= 70")
    said = desk.cigate("health")
    assert (said.code, said.out) == (2, "")
    assert "policy.sequence" in said.err
    assert "sequence" in said.err
    desk.edit("policy.yaml", "sequence: 1", "sequence: 2")
    assert desk.ok("health").json["policy"]["sequence"] == 2
