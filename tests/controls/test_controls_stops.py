"""The fence stops what it names, at once and until it is lifted; in doubt it stops everything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.controls import (
    FENCE,
    Fence,
    Scope,
    fence_put,
    halted,
    loaded,
    read_fence,
    resumed,
    revoked,
)
from cigate.errors import ConfigError, StoreUnavailable

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
KINDS = ("key", "agent", "user", "device", "action", "pipeline")
ASKED = {kind: f"{kind}-1" for kind in KINDS}
FIRST = Fence.first()


def stopped(fence: Fence, **others: Any) -> str:
    stop = fence.blocks(**{**ASKED, **others})
    return f"{stop.kind} {stop.scope}" if stop is not None else ""


def load(fence: Fence, sequence: int, digest: str, config: str = "sha256:c") -> Fence:
    return loaded(
        fence, policy_name="p", policy_sequence=sequence, policy_digest=digest, config_digest=config
    )


def test_a_new_fence_lets_everything_through() -> None:
    assert stopped(FIRST) == ""
    assert (FIRST.generation, FIRST.epoch) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [halted, revoked])
def test_a_stop_is_about_what_it_names_and_nothing_else(stop: Any, kind: str) -> None:
    fence = stop(FIRST, Scope.parse(f"{kind}:{kind}-1"), "an incident", NOW)
    word = "halt" if stop is halted else "revoke"
    assert stopped(fence) == f"{word} {kind}:{kind}-1"
    for other in (f"{kind}-2", f"{kind}-1 ", f"{kind}-1".upper(), "", None):
        assert stopped(fence, **{kind: other}) == ""


@pytest.mark.parametrize("scope", [None, "gateway"])
def test_a_halt_of_the_gateway_is_about_everything(scope: str | None) -> None:
    fence = halted(FIRST, Scope.parse(scope), "an incident", NOW)
    assert stopped(fence) == "halt gateway"
    assert fence.blocks() is not None


@pytest.mark.parametrize("reason", ["", " ", "\n\t"])
def test_a_stop_needs_a_reason(reason: str) -> None:
    for stop in (halted, revoked):
        with pytest.raises(ConfigError) as refused:
            stop(FIRST, Scope.parse(None), reason, NOW)
        assert refused.value.code == "halt.reason"


@pytest.mark.parametrize("text", ["", ":", "agent", "agent:", "gateway:x", "Agent:x", "team:x", ":x"])
def test_a_scope_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Scope.parse(text)
    assert refused.value.code == "halt.scope"


@pytest.mark.parametrize("given", [7, b"agent:a", ["agent:a"], Scope("agent", "a"), False])
def test_a_scope_that_is_no_text_is_refused_as_one(given: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        Scope.parse(given)
    assert refused.value.code == "halt.scope"


def test_an_id_may_hold_a_colon() -> None:
    scope = Scope.parse("key:urn:key:1")
    assert scope == Scope("key", "urn:key:1")
    assert Scope.parse(str(scope)) == scope


def test_resume_lifts_the_named_halt_or_all_of_them_and_never_a_revocation() -> None:
    fence = revoked(FIRST, Scope("key", "key-1"), "lost", NOW)
    for scope in (Scope("gateway"), Scope("agent", "agent-1")):
        fence = halted(fence, scope, "an incident", NOW)
    one = resumed(fence, Scope("agent", "agent-1"))
    assert [str(stop.scope) for stop in one.stops] == ["key:key-1", "gateway"]
    assert stopped(resumed(fence)) == "revoke key:key-1"
    assert stopped(resumed(fence, Scope("key", "key-1")), key=None) == "halt gateway"
    assert resumed(fence, Scope("key", "key-1")).stops == fence.stops


def test_a_halt_and_a_revocation_of_one_scope_are_apart() -> None:
    agent = Scope("agent", "agent-1")
    fence = halted(revoked(FIRST, agent, "lost", NOW), agent, "an incident", NOW)
    assert [stop.kind for stop in resumed(fence).stops] == ["revoke"]


def test_a_second_halt_of_one_scope_replaces_the_reason() -> None:
    agent = Scope("agent", "agent-1")
    fence = halted(halted(FIRST, agent, "first", NOW), agent, "second", NOW)
    assert [stop.reason for stop in fence.stops] == ["second"]
    assert fence.generation == 2


def test_revocations_are_found_by_key_and_by_user_and_halts_are_not() -> None:
    fence = revoked(FIRST, Scope("key", "key-1"), "lost", NOW)
    fence = revoked(fence, Scope("user", "alice"), "left", NOW)
    fence = halted(fence, Scope("key", "key-2"), "an incident", NOW)
    found = [fence.revocation_of_key(id) for id in ("key-1", "key-2", "alice")]
    assert [stop.reason if stop else None for stop in found] == ["lost", None, None]
    assert [fence.revocation_of_user(id) is not None for id in ("alice", "key-1", "")] == [True, False, False]


@pytest.mark.parametrize(
    ("sequence", "digest", "accepted"),
    [
        (8, "sha256:b", True),
        (7, "sha256:a", True),
        (7, "sha256:b", False),
        (6, "sha256:b", False),
        (0, "sha256:b", False),
    ],
)
def test_another_policy_needs_a_higher_sequence(sequence: int, digest: str, accepted: bool) -> None:
    fence = load(FIRST, 7, "sha256:a")
    if accepted:
        assert load(fence, sequence, digest).policy_digest == digest
        return
    with pytest.raises(ConfigError, match=r"raise metadata\.sequence above 7") as refused:
        load(fence, sequence, digest)
    assert refused.value.code == "policy.sequence"


def test_the_first_policy_may_have_any_sequence() -> None:
    assert load(FIRST, 0, "sha256:a").policy_digest == "sha256:a"


def test_loading_what_is_in_force_changes_nothing_and_another_configuration_does() -> None:
    fence = load(FIRST, 7, "sha256:a")
    assert load(fence, 7, "sha256:a") is fence
    again = load(fence, 7, "sha256:a", "sha256:d")
    assert (again.config_digest, again.generation) == ("sha256:d", fence.generation + 1)


def test_a_new_epoch_keeps_the_stops() -> None:
    fence = halted(FIRST, Scope("gateway"), "an incident", NOW)
    adopted = fence.next_epoch()
    assert (adopted.epoch, adopted.generation, adopted.stops) == (2, 2, fence.stops)


changes = st.sampled_from(
    [
        lambda fence: halted(fence, Scope("agent", "agent-1"), "why", NOW),
        lambda fence: halted(fence, Scope("gateway"), 'why: "ü"\n', NOW),
        lambda fence: revoked(fence, Scope("key", "a:b"), "why", NOW),
        lambda fence: resumed(fence),
        lambda fence: resumed(fence, Scope("agent", "agent-1")),
        lambda fence: load(fence, fence.policy_sequence + 1, f"sha256:{fence.generation}"),
        lambda fence: load(
            fence, fence.policy_sequence, fence.policy_digest, f"sha256:{fence.generation % 3}"
        ),
        lambda fence: fence.next_epoch(),
    ]
)


@given(st.lists(changes, max_size=12))
def test_the_generation_rises_with_each_change_and_only_then_and_the_row_keeps_all_of_it(
    chosen: list[Any],
) -> None:
    fence = FIRST
    for change in chosen:
        after = change(fence)
        assert after.generation == fence.generation + (after is not fence)
        fence = after
        kept = fence_put(fence).value
        assert kept is not None
        assert read_fence({FENCE: kept}) == fence


def test_a_fence_that_is_missing_stops_everything() -> None:
    with pytest.raises(StoreUnavailable) as refused:
        read_fence({})
    assert refused.value.code == "fence.missing"


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in FIRST.to_json().items() if key != name}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        *(_without(name) for name in FIRST.to_json()),
        {**FIRST.to_json(), "generation": "0"},
        {**FIRST.to_json(), "epoch": True},
        {**FIRST.to_json(), "policy_digest": None},
        {**FIRST.to_json(), "more": 1},
        {**FIRST.to_json(), "stops": None},
        {**FIRST.to_json(), "stops": [{}]},
        {**FIRST.to_json(), "stops": ["halt"]},
        {
            **FIRST.to_json(),
            "stops": [{"kind": "pause", "scope": "gateway", "reason": "r", "at": "2026-11-24T08:00:00Z"}],
        },
        {
            **FIRST.to_json(),
            "stops": [{"kind": "halt", "scope": "nobody", "reason": "r", "at": "2026-11-24T08:00:00Z"}],
        },
        {
            **FIRST.to_json(),
            "stops": [{"kind": "halt", "scope": 7, "reason": "r", "at": "2026-11-24T08:00:00Z"}],
        },
        {
            **FIRST.to_json(),
            "stops": [{"kind": "halt", "scope": "gateway", "reason": "r", "at": "yesterday"}],
        },
        {**FIRST.to_json(), "stops": [{"kind": "halt", "scope": "gateway", "reason": "r", "at": 7}]},
    ],
)
def test_a_fence_that_can_not_be_read_stops_everything(document: Any) -> None:
    import json

    with pytest.raises(StoreUnavailable) as refused:
        read_fence({FENCE: json.dumps(document).encode()})
    assert refused.value.code == "fence.unreadable"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff"])
def test_a_fence_that_is_no_json_stops_everything(raw: bytes) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        read_fence({FENCE: raw})
    assert refused.value.code == "fence.unreadable"
