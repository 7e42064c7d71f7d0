"""Replay: every decision is decided again, and a false one is reported even if it was signed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import NOW

from cigate.decision import (
    Decision,
    Effect,
    Quorum,
    Reason,
    Reservation,
    Take,
    Taken,
    Token,
    denied,
)
from cigate.errors import LedgerError, PolicyError
from cigate.facts import Facts
from cigate.ledger import Difference, Draft, Entry, replay, taken_from_json

POLICY = "sha256:" + "0a" * 32
TOKEN = Token("at-most-ten", ("agent-1",), 10, timedelta(hours=1), "ten an hour, please")


def decide(policy_digest: str, facts: Facts) -> Decision:
    """A policy: managed agents may, if a token can be had."""
    if policy_digest != POLICY:
        raise PolicyError("policy.unknown", f"there is no policy {policy_digest}")
    if facts.get("agent.managed") is True:
        return Decision(
            Effect.ALLOW, "policy.allowed", POLICY, rules=("managed", "at-most-ten"), takes=(TOKEN,)
        )
    return Decision(Effect.DENY, "policy.no-allow", POLICY)


def settle(decision: Decision, taken: Taken) -> Decision:
    if decision.effect is not Effect.ALLOW or taken.refused is None:
        return decision.changed("taken")
    return decision.changed(
        "not taken",
        effect=Effect.THROTTLE,
        code=taken.code,
        reasons=(Reason(taken.code, taken.message),),
        retry_after=taken.retry_after,
    )


ALL = Taken()
NONE = Taken(TOKEN, "throttle.empty", "no token is left", timedelta(seconds=90))


def entry(
    decision: Decision, facts: Facts | None, taken: Taken | None = None, public: Any = (), **private: Any
) -> Entry:
    final = decision.to_json()
    shown = {name: final[name] for name in ("effect", "code", "rules", "policy_digest")}
    draft = Draft(
        "decision",
        {"decision_id": "d-1", **shown, **dict(public)},
        {
            "decision": final,
            **({"facts": facts.to_json()} if facts is not None else {}),
            **({"taken": taken.to_json()} if taken is not None else {}),
            **private,
        },
    )
    return Entry.of(draft, index=7, now=NOW, previous=bytes(32))


def facts_of(managed: bool) -> Facts:
    return Facts.of(
        {"now": NOW, "agent": {"id": "agent-1", "managed": managed}, "attestation": {"age": "30s"}}
    )


def decided(managed: bool, taken: Taken | None) -> Decision:
    answer = decide(POLICY, facts_of(managed))
    return settle(answer, taken) if taken is not None else answer


def fields(*entries: Entry) -> list[str]:
    return [difference.field for difference in replay(entries, decide, settle)]


@pytest.mark.parametrize(("managed", "taken"), [(True, ALL), (True, NONE), (False, None), (False, ALL)])
def test_a_true_record_replays_without_a_difference(managed: bool, taken: Taken | None) -> None:
    assert replay([entry(decided(managed, taken), facts_of(managed), taken)], decide, settle) == ()


def test_a_record_survives_the_ledger_and_replays() -> None:
    kept = Entry.read(entry(decided(True, NONE), facts_of(True), NONE).row())
    assert replay([kept], decide, settle) == ()


def test_a_deny_turned_into_an_allow_is_reported_even_if_all_of_the_record_says_so() -> None:
    false = settle(decide(POLICY, facts_of(True)), ALL)
    (effect, *_) = [
        difference
        for difference in replay([entry(false, facts_of(False))], decide, settle)
        if difference.field == "effect"
    ]
    assert effect == Difference(7, "d-1", "effect", "allow", "deny")
    assert effect.to_json()["recorded"] == "allow"


def test_a_false_public_effect_is_reported() -> None:
    assert "public.effect" in fields(entry(decided(False, None), facts_of(False), public={"effect": "allow"}))
    assert "public.rules" in fields(entry(decided(False, None), facts_of(False), public={"rules": ["x"]}))


def test_an_allow_that_took_nothing_is_reported() -> None:
    assert "takes" in fields(entry(decided(True, ALL), facts_of(True)))


def test_an_empty_bucket_turned_into_an_allow_is_reported() -> None:
    assert "effect" in fields(entry(decided(True, ALL), facts_of(True), NONE))


def test_what_stopped_a_request_before_the_policy_ran_replays() -> None:
    stopped = denied("stop.halted", "the gateway is halted")
    halted = {"code": "stop.halted", "message": "the gateway is halted"}
    assert replay([entry(stopped, None, overridden=halted)], decide, settle) == ()


def test_what_was_refused_after_the_policy_is_held_against_the_policys_own_answer() -> None:
    answer = decide(POLICY, facts_of(True))
    refused = answer.refused("clock.behind", "the clock went back")
    override = {"code": "clock.behind", "message": "the clock went back"}
    true = entry(refused, facts_of(True), overridden=override, policy_decision=answer.to_json())
    assert replay([true], decide, settle) == ()
    lie = entry(refused, facts_of(False), overridden=override, policy_decision=answer.to_json())
    assert "effect" in fields(lie)
    assert fields(entry(refused, facts_of(True), overridden=override, policy_decision="none")) == [
        "policy_decision"
    ]


@pytest.mark.parametrize("override", [{"code": "policy.allowed", "message": ""}, {}, True, "stop.halted"])
def test_an_override_can_hide_no_allow(override: Any) -> None:
    assert "effect" in fields(entry(decided(True, ALL), None, overridden=override))


def test_an_override_of_another_code_is_reported() -> None:
    stopped = denied("stop.halted", "the gateway is halted")
    assert fields(entry(stopped, None, overridden={"code": "clock.behind", "message": ""})) == ["code"]


def test_a_record_that_lacks_what_replay_needs_is_reported_and_not_passed_over() -> None:
    assert fields(entry(decided(False, None), None)) == ["facts"]
    bare = Entry.of(Draft("decision"), index=3, now=NOW, previous=bytes(32))
    assert fields(bare) == ["decision"]
    for broken in ({"facts": []}, {"facts": {"now": 1}}, {"taken": []}, {"taken": {}}):
        whole = entry(decided(False, None), facts_of(False))
        assert fields(evolve(whole, private={**whole.private, **broken})) == ["policy"]


def test_a_policy_that_is_not_there_is_reported() -> None:
    elsewhere = decided(False, None).changed("", policy_digest="sha256:" + "ff" * 32)
    (difference,) = replay([entry(elsewhere, facts_of(False))], decide, settle)
    assert (difference.field, "policy.unknown" in str(difference.replayed)) == ("policy", True)


def test_entries_that_are_no_decision_are_passed_over() -> None:
    assert replay([Entry.of(Draft("halt"), index=1, now=NOW, previous=bytes(32))], decide, settle) == ()


names = st.text(min_size=1, max_size=8)
durations = st.integers(0, 10**12).map(lambda micro: timedelta(microseconds=micro))
takes: st.SearchStrategy[Take] = (
    st.builds(Token, names, st.lists(names, max_size=3).map(tuple), st.integers(1, 99), durations)
    | st.builds(Quorum, names, st.integers(1, 9), st.lists(names).map(tuple), st.lists(names).map(tuple))
    | st.builds(Reservation, st.integers(0, 10**9), names)
)


@settings(deadline=None)
@given(st.builds(Taken, takes, names, names, st.none() | durations) | st.just(Taken()))
def test_what_was_taken_is_read_back_as_it_was(taken: Taken) -> None:
    assert taken_from_json(taken.to_json()) == taken


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"all": 1},
        {"all": "true"},
        {"all": False},
        {"all": False, "refused": {"kind": "gold"}, "code": "", "message": ""},
        {"all": False, "refused": None, "code": "", "message": ""},
        {**NONE.to_json(), "retry_after": "soon"},
    ],
)
def test_what_was_taken_is_never_guessed(document: Any) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.taken"):
        taken_from_json(document)
