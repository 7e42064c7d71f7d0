"""Facts for tests: an override that a rule could not read is a mistake of the test."""

from __future__ import annotations

import pytest

from cigate.errors import FactsError
from cigate.testing import facts


@pytest.mark.parametrize(
    ("path", "where", "meant"),
    [
        ("agnt__managed", "/agnt/managed", "agent.managed"),
        ("agent__manged", "/agent/manged", "agent.managed"),
        ("device__postur", "/device/postur", "device.posture"),
        ("risk_score", "/risk_score", "risk.score"),
        ("approval", "/approval", "approvals"),
    ],
)
def test_an_override_of_no_fact_is_refused_with_the_nearest_one(path: str, where: str, meant: str) -> None:
    for value in (True, None):
        with pytest.raises(FactsError) as refused:
            facts(**{path: value})
        assert (refused.value.code, refused.value.where) == ("facts.unknown", where)
        assert refused.value.fix == f"did you mean {meant}?"


def test_facts_groups_and_members_of_open_maps_can_be_overridden() -> None:
    found = facts(agent__managed=False, risk={"score": 3}, device__posture__anything=1, purpose="a release")
    values = [
        found.get(path) for path in ("agent.managed", "risk.score", "device.posture.anything", "purpose")
    ]
    assert values == [False, 3, 1, "a release"]
    assert facts(agent=None).get("agent.id") is None
