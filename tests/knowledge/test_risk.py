"""Risk is total, never falls when a fact gets worse, and counts what is not known as the worst."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import ConfigError, FactsError
from cigate.facts import Facts
from cigate.risk import Factor, Risk, RiskScorer, WeightedScorer

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)

FROM_GOOD_TO_WORST: Mapping[str, tuple[Any, ...]] = {
    "device.posture.compliant": (True, False, None),
    "device.posture.disk_encrypted": (True, False, None),
    "device.posture.edr_running": (True, False, None),
    "device.posture.os_patch_age_days": (0, 7, 8, 11, 20, 37, 38, 4000, None),
    "device.managed": (True, False, None),
    "agent.managed": (True, False, None),
    "agent.trusted": (True, False, None),
    "agent.approved_version": (True, False, None),
    "agent.version_source": ("key", "claimed", None),
    "attestation.level": (3, 2, 1, 0, None),
    "user.roles": (("developer",), ("developer", "admin"), (), None),
    "runner.blast_radius": ("none", "low", "medium", "high", "galactic", None),
    "history.denials": (0, 1, 2, 5, 6, 10**6, None),
    "history.failures": (0, 1, 9, 10, 11, 10**6, None),
}
"""Each fact that the scorer reads, from good to worst; None stands for absent."""


def facts(values: Mapping[str, Any]) -> Facts:
    found = Facts.of({"now": NOW})
    for path, value in values.items():
        if value is not None:
            found = found.including(path, value)
    return found


positions = st.fixed_dictionaries(
    {path: st.integers(0, len(values) - 1) for path, values in FROM_GOOD_TO_WORST.items()}
)


def at(places: Mapping[str, int]) -> Facts:
    return facts({path: FROM_GOOD_TO_WORST[path][place] for path, place in places.items()})


GOOD = {path: values[0] for path, values in FROM_GOOD_TO_WORST.items()}


def test_the_table_of_this_test_covers_every_signal() -> None:
    assert {signal.paths for signal in WeightedScorer().signals()} == {(path,) for path in FROM_GOOD_TO_WORST}


def test_nothing_against_it_scores_nothing() -> None:
    assert WeightedScorer().score(facts(GOOD)) == Risk(0, ())


def test_nothing_known_scores_everything() -> None:
    assert WeightedScorer().score(Facts(MappingProxyType({}))).score == 100


@pytest.mark.parametrize("path", FROM_GOOD_TO_WORST)
def test_a_missing_signal_scores_its_full_points(path: str) -> None:
    scorer = WeightedScorer()
    (signal,) = (signal for signal in scorer.signals() if signal.paths == (path,))
    risk = scorer.score(facts(GOOD).without(path))
    assert risk == Risk(signal.points, (Factor(signal.name, signal.points, None),))
    assert signal.points > 0


@given(positions, st.sampled_from(sorted(FROM_GOOD_TO_WORST)), st.integers(1, 9))
def test_a_fact_that_gets_worse_never_lowers_the_score(places: dict[str, int], path: str, worse: int) -> None:
    scorer = WeightedScorer()
    moved = {**places, path: min(places[path] + worse, len(FROM_GOOD_TO_WORST[path]) - 1)}
    assert scorer.score(at(moved)).score >= scorer.score(at(places)).score


@given(positions)
def test_the_factors_add_up_to_the_score_and_name_what_made_them(places: dict[str, int]) -> None:
    scorer, given_facts = WeightedScorer(), at(places)
    risk = scorer.score(given_facts)
    assert risk.score == min(100, sum(factor.points for factor in risk.factors))
    signals = {signal.name: signal for signal in scorer.signals()}
    for factor in risk.factors:
        assert 0 < factor.points <= signals[factor.name].points
        assert factor.value == given_facts.get(signals[factor.name].paths[0])


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.timedeltas()
    | st.datetimes(timezones=st.just(UTC))
    | st.sampled_from(["none", "high", "key", "admin"]),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(FROM_GOOD_TO_WORST)), anything))
def test_no_value_of_any_fact_makes_it_raise(values: dict[str, Any]) -> None:
    for document in (facts(values), facts({**GOOD, **values})):
        assert 0 <= WeightedScorer().score(document).score <= 100


@given(anything)
def test_a_document_of_any_shape_is_scored(document: Any) -> None:
    assert WeightedScorer().score(Facts(document)).score == 100


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("device.posture.compliant", 1),
        ("device.posture.compliant", "true"),
        ("device.posture.os_patch_age_days", -1),
        ("device.posture.os_patch_age_days", True),
        ("device.posture.os_patch_age_days", timedelta(days=1)),
        ("attestation.level", True),
        ("attestation.level", 4),
        ("user.roles", "developer"),
        ("user.roles", ("developer", 1)),
        ("runner.blast_radius", "NONE"),
        ("history.denials", -1),
        ("history.failures", False),
    ],
)
def test_a_value_that_means_nothing_counts_as_unknown(path: str, value: Any) -> None:
    scorer = WeightedScorer()
    assert scorer.score(facts({**GOOD, path: value})).score == scorer.score(facts(GOOD).without(path)).score


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("attestation.level", 2),
        ("runner.blast_radius", "low"),
        ("history.failures", 1),
        ("history.denials", 1),
    ],
)
def test_what_is_not_good_never_counts_as_nothing_however_small_its_weight(path: str, value: Any) -> None:
    scorer = WeightedScorer({signal.name: 1 for signal in WeightedScorer().signals()})
    assert scorer.score(facts({**GOOD, path: value})).score == 1


def test_risk_becomes_facts_by_name() -> None:
    risk = WeightedScorer().score(facts({**GOOD, "device.managed": False, "history.denials": 1}))
    assert risk.factors == (Factor("device.managed", 10, False), Factor("history.denials", 3, 1))
    assert risk.to_facts() == {"score": 13, "factors": ["device.managed", "history.denials"]}
    assert Facts.of({"risk": risk.to_facts()}).get("risk.score") == 13


@pytest.mark.parametrize("score", [-1, 101, True, 7.0, None])
def test_a_score_is_a_whole_number_up_to_a_hundred(score: Any) -> None:
    with pytest.raises(FactsError, match=r"risk\.score"):
        Risk(score)


def test_a_scorer_of_the_users_own_fits_the_protocol() -> None:
    scorer: RiskScorer = WeightedScorer()
    assert scorer.signals()


class TestConfiguration:
    def test_weights_and_roles_come_from_the_configuration(self) -> None:
        scorer = WeightedScorer.from_config(
            {"weights": {"device.managed": 40, "agent.trusted": 0}, "sensitive_roles": ["release-manager"]}
        )
        points = {signal.name: signal.points for signal in scorer.signals()}
        assert (points["device.managed"], points["agent.trusted"], points["agent.managed"]) == (40, 0, 10)
        assert scorer.score(facts({**GOOD, "device.managed": False, "agent.trusted": False})).score == 40
        assert scorer.score(facts({**GOOD, "user.roles": ("release-manager",)})).score == points["user.role"]
        assert scorer.score(facts({**GOOD, "user.roles": ("admin",)})).score == 0

    def test_an_empty_section_means_the_defaults(self) -> None:
        assert WeightedScorer.from_config({}).signals() == WeightedScorer().signals()

    @pytest.mark.parametrize(
        ("section", "code", "where", "words"),
        [
            (
                {"weights": {"device.managd": 1}},
                "config.unknown-signal",
                "/weights/device.managd",
                "device.managed?",
            ),
            ({"weight": {}}, "config.unknown-key", "/weight", "did you mean weights?"),
            ({"weights": {"device.managed": 101}}, "config.range", "/weights/device.managed", "101"),
            ({"weights": {"device.managed": -1}}, "config.range", "/weights/device.managed", "-1"),
            ({"weights": {"device.managed": True}}, "config.type", "/weights/device.managed", "whole number"),
            ({"weights": {"device.managed": 1.5}}, "config.type", "/weights/device.managed", "whole number"),
            ({"weights": ["device.managed"]}, "config.type", "/weights", "a map"),
            ({"sensitive_roles": "admin"}, "config.type", "/sensitive_roles", "a list"),
        ],
    )
    def test_a_mistake_is_named_with_its_place(
        self, section: dict[str, Any], code: str, where: str, words: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            WeightedScorer.from_config(section)
        assert (caught.value.code, caught.value.where) == (code, where)
        assert words in str(caught.value)
