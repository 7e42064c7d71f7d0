"""Facts: one frozen document that fits a schema, and that the ledger gives back unchanged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import FactsError
from cigate.facts import BIGGEST_INTEGER, LONGEST_DURATION, Facts, FactType, Schema

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"agent": {"managed": 1}}, "facts.type", "/agent/managed"),
    ({"agent": {"managed": "true"}}, "facts.type", "/agent/managed"),
    ({"agent": {"managed": None}}, "facts.type", "/agent/managed"),
    ({"agent": "agent-1"}, "facts.type", "/agent"),
    ({"agent": {"capabilities": "tests"}}, "facts.type", "/agent/capabilities"),
    ({"agent": {"capabilities": [1]}}, "facts.type", "/agent/capabilities"),
    ({"agent": {"id": "\ud800"}}, "facts.type", "/agent/id"),
    ({"agent": {"capabilities": ["\udfff"]}}, "facts.type", "/agent/capabilities/0"),
    ({"risk": {"score": True}}, "facts.type", "/risk/score"),
    ({"risk": {"score": 1.0}}, "facts.type", "/risk/score"),
    ({"risk": {"score": "1"}}, "facts.type", "/risk/score"),
    ({"risk": {"score": BIGGEST_INTEGER + 1}}, "facts.range", "/risk/score"),
    ({"risk": {"score": -1}}, "facts.range", "/risk/score"),
    ({"risk": {"score": 101}}, "facts.range", "/risk/score"),
    ({"attestation": {"level": -1}}, "facts.range", "/attestation/level"),
    ({"attestation": {"level": 4}}, "facts.range", "/attestation/level"),
    ({"cost": {"estimate": -1}}, "facts.range", "/cost/estimate"),
    ({"budget": {"remaining": -1}}, "facts.range", "/budget/remaining"),
    ({"history": {"requests": -1}}, "facts.range", "/history/requests"),
    ({"history": {"denials": -1}}, "facts.range", "/history/denials"),
    ({"history": {"failures": -1}}, "facts.range", "/history/failures"),
    ({"now": "yesterday"}, "facts.type", "/now"),
    ({"now": 0}, "facts.type", "/now"),
    ({"now": datetime(2026, 11, 24)}, "facts.type", "/now"),  # noqa: DTZ001
    ({"now": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "facts.range", "/now"),
    ({"now": {"duration": "1s"}}, "facts.type", "/now"),
    ({"attestation": {"age": "soon"}}, "facts.type", "/attestation/age"),
    ({"attestation": {"age": "--1s"}}, "facts.type", "/attestation/age"),
    ({"attestation": {"age": 60}}, "facts.type", "/attestation/age"),
    ({"attestation": {"age": LONGEST_DURATION * 2}}, "facts.range", "/attestation/age"),
    ({"device": {"posture": {"x": 1.5}}}, "facts.type", "/device/posture/x"),
    ({"device": {"posture": {"x": None}}}, "facts.type", "/device/posture/x"),
    ({"device": {"posture": {"x": []}}}, "facts.type", "/device/posture/x"),
    ({"device": {"posture": {"x": {"y": 1}}}}, "facts.type", "/device/posture/x"),
    ({"device": {"posture": {"x": {"timestamp": "now"}}}}, "facts.type", "/device/posture/x"),
    ({"device": {"posture": {1: 1}}}, "facts.type", "/device/posture"),
    ({"device": {"posture": []}}, "facts.type", "/device/posture"),
    ({"approvals": [{"roles": ["sre"]}]}, "facts.type", "/approvals/0"),
    ({"approvals": [{"user": "a"}, {"user": 1}]}, "facts.type", "/approvals/1/user"),
    ({"approvals": {"user": "a"}}, "facts.type", "/approvals"),
]


@pytest.mark.parametrize(("document", "code", "where"), WRONG)
def test_a_fact_of_the_wrong_type_is_refused_at_its_place(document: Any, code: str, where: str) -> None:
    with pytest.raises(FactsError) as refused:
        Facts.of(document)
    assert (refused.value.code, refused.value.where) == (code, where)


def test_numbers_below_zero_are_numbers_where_nothing_says_otherwise() -> None:
    facts = Facts.of({"device": {"posture": {"drift": -1}}, "history": {"trend": -3}, "risk": {"score": 0}})
    assert (facts.get("device.posture.drift"), facts.get("history.trend")) == (-1, -3)
    bounded = Schema({"n": FactType.INT}, bounds={"n": (-2, 2)})
    assert Facts.of({"n": -2}, bounded).get("n") == -2
    with pytest.raises(FactsError, match="3 is not from -2 to 2"):
        Facts.of({"n": 3}, bounded)


def test_times_and_durations_may_be_written_as_text() -> None:
    facts = Facts.of({"now": "2026-11-24T13:00:00+01:00", "attestation": {"age": "1m30s"}})
    assert facts.now == NOON
    assert facts.get("attestation.age") == timedelta(seconds=90)


def test_text_in_an_open_map_stays_text_even_if_it_looks_like_a_time() -> None:
    facts = Facts.of({"parameters": {"since": "2026-11-24T12:00:00Z", "for": "10m"}})
    assert facts.get("parameters") == {"since": "2026-11-24T12:00:00Z", "for": "10m"}


def test_a_time_in_an_open_map_is_a_time_again_after_the_ledger() -> None:
    facts = Facts.of({"history": {"as_of": NOON}, "device": {"posture": {"uptime": timedelta(hours=1)}}})
    read_back = Facts.of(json.loads(json.dumps(facts.to_json())))
    assert read_back.get("history.as_of") == NOON
    assert read_back.get("device.posture.uptime") == timedelta(hours=1)


def test_what_the_schema_does_not_name_is_dropped() -> None:
    assert Facts.of({"agent": {"id": "a", "root": True}, "secret": 1}).document == {"agent": {"id": "a"}}


def test_what_is_not_known_is_none_and_never_a_default() -> None:
    facts = Facts.of({"agent": {"id": "a"}})
    assert [facts.get(path) for path in ("agent.managed", "risk.score", "agent.id.x", "now")] == [None] * 4
    assert facts.now is None


def test_facts_are_frozen_all_the_way_down() -> None:
    given: dict[str, Any] = {"agent": {"capabilities": ["tests"]}, "device": {"posture": {"ok": True}}}
    facts = Facts.of(given)
    given["device"]["posture"]["ok"] = False
    assert facts.get("device.posture.ok") is True
    assert isinstance(facts.get("device.posture"), MappingProxyType)
    assert facts.get("agent.capabilities") == ("tests",)


def test_one_fact_can_be_added_or_forgotten_and_the_rest_stays() -> None:
    facts = Facts.of({"agent": {"id": "a", "managed": True}})
    assert facts.including("risk.score", 7).get("risk.score") == 7
    assert facts.including("agent.managed", False).document == {"agent": {"id": "a", "managed": False}}
    assert facts.including("approvals", [{"user": "a"}]).get("approvals") == ({"user": "a"},)
    assert facts.without("agent.managed").document == {"agent": {"id": "a"}}
    assert facts.without("agent").document == {}
    assert facts.without("risk.score") == facts
    assert facts.get("agent.managed") is True


def test_a_schema_knows_types_and_groups() -> None:
    schema = Schema.default()
    assert schema.type_of("agent.managed") is FactType.BOOL
    assert schema.type_of("agent") is None
    assert schema.type_of("agent.root") is None
    assert {"agent", "user", "device", "risk", "budget"} <= schema.groups()
    assert Schema({"a.b.c": FactType.INT, "d": FactType.INT}).groups() == {"a", "a.b"}


def test_a_schema_with_actions_keeps_the_facts_and_types_the_parameters() -> None:
    schema = Schema.default().with_actions({"run": {"shards": FactType.INT}})
    assert schema.parameters is not None
    assert schema.parameters["run"]["shards"] is FactType.INT
    assert schema.fields == Schema.default().fields
    assert schema.groups() == Schema.default().groups()


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_times = st.datetimes(timezones=st.just(UTC))
_durations = st.timedeltas(-LONGEST_DURATION, LONGEST_DURATION)
_integers = st.integers(-BIGGEST_INTEGER, BIGGEST_INTEGER)
_by_type: dict[FactType, st.SearchStrategy[Any]] = {
    FactType.BOOL: st.booleans(),
    FactType.INT: _integers,
    FactType.STRING: _texts,
    FactType.TIMESTAMP: _times,
    FactType.DURATION: _durations,
    FactType.STRINGS: st.lists(_texts, max_size=3),
    FactType.SCALARS: st.dictionaries(
        _texts, st.booleans() | _integers | _texts | _times | _durations, max_size=3
    ),
    FactType.APPROVALS: st.lists(
        st.fixed_dictionaries({"user": _texts}, optional={"roles": st.lists(_texts), "at": _times}),
        max_size=2,
    ),
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    fields = Schema.default().fields
    document: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=6)):
        *groups, name = path.split(".")
        inside = document
        for group in groups:
            inside = inside.setdefault(group, {})
        bounds = Schema.default().bounds.get(path)
        inside[name] = draw(_by_type[fields[path]] if bounds is None else st.integers(*bounds))
    return document


@given(documents())
def test_the_ledger_gives_back_the_same_facts(document: dict[str, Any]) -> None:
    facts = Facts.of(document)
    assert Facts.of(json.loads(json.dumps(facts.to_json()))) == facts


@given(documents())
def test_facts_are_facts_of_themselves(document: dict[str, Any]) -> None:
    facts = Facts.of(document)
    assert Facts.of(facts.document) == facts
