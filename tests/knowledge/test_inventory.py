"""What the operator knows becomes facts; what nobody knows does not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import ConfigError
from cigate.facts import Facts
from cigate.inventory import (
    AgentRecord,
    DeviceRecord,
    Posture,
    StaticInventory,
    UserRecord,
    agent_facts,
    device_facts,
    user_facts,
)
from cigate.request import AgentId, DeviceId, UserId

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = timedelta(days=1)
AGENT, ALICE, LAPTOP = AgentId("agent-1234"), UserId("alice@example.com"), DeviceId("laptop-1")
HEALTHY = {"compliant": True, "disk_encrypted": True, "edr_running": True, "os_patch_age_days": 3}


def configured(
    agents: Mapping[str, Any] | None = None,
    users: Mapping[str, Any] | None = None,
    devices: Mapping[str, Any] | None = None,
) -> StaticInventory:
    return StaticInventory.from_config(agents or {}, users or {}, devices or {})


class TestFacts:
    def test_what_the_configuration_says_becomes_facts_of_the_schema(self) -> None:
        inventory = configured(
            {AGENT: {"versions": [">=2.0,<3"], "managed": True, "trusted": True, "capabilities": ["tests"]}},
            {ALICE: {"roles": ["developer"], "team": "qa"}},
            {LAPTOP: {"managed": True, "owner": ALICE, "posture": HEALTHY}},
        )
        document = {
            **agent_facts(inventory.agent(AGENT), AGENT, "2.0.1", "claimed"),
            **user_facts(inventory.user(ALICE), ALICE),
            **device_facts(inventory.device(LAPTOP), LAPTOP, NOW, DAY),
        }
        assert Facts.of(document).to_json() == {
            "agent": {
                "id": AGENT,
                "version": "2.0.1",
                "version_source": "claimed",
                "managed": True,
                "trusted": True,
                "approved_version": True,
                "capabilities": ["tests"],
            },
            "user": {"id": ALICE, "roles": ["developer"], "team": "qa"},
            "device": {"id": LAPTOP, "managed": True, "posture": {**HEALTHY, "source": "configuration"}},
        }
        record = inventory.device(LAPTOP)
        assert record is not None
        assert record.owner == ALICE

    def test_of_somebody_unknown_only_the_id_is_a_fact(self) -> None:
        nobody = configured()
        assert agent_facts(nobody.agent(AGENT), AGENT, "1", "claimed") == {
            "agent": {"id": AGENT, "version": "1", "version_source": "claimed"}
        }
        assert user_facts(nobody.user(ALICE), ALICE) == {"user": {"id": ALICE}}
        assert device_facts(nobody.device(LAPTOP), LAPTOP, NOW, DAY) == {"device": {"id": LAPTOP}}

    def test_what_a_record_does_not_say_is_absent_and_what_it_denies_is_not(self) -> None:
        inventory = configured({AGENT: {}, "agent-2": {"managed": False, "versions": [], "capabilities": []}})
        bare = agent_facts(inventory.agent(AGENT), AGENT, "1", "key")["agent"]
        assert bare == {"id": AGENT, "version": "1", "version_source": "key"}
        second = AgentId("agent-2")
        denied = agent_facts(inventory.agent(second), second, "1", "key")["agent"]
        assert (denied["managed"], denied["approved_version"], denied["capabilities"]) == (False, False, ())

    def test_a_record_of_somebody_else_says_nothing(self) -> None:
        other_agent = AgentRecord(AgentId("agent-2"), managed=True, trusted=True, versions=[">=0"])
        other_user = UserRecord(UserId("bob"), roles=("sre",), team="qa")
        other_device = DeviceRecord(
            DeviceId("laptop-2"), managed=True, posture=Posture(HEALTHY, DeviceId("laptop-1"))
        )
        assert agent_facts(other_agent, AGENT, "1", "key")["agent"].keys() == {
            "id",
            "version",
            "version_source",
        }
        assert user_facts(other_user, ALICE)["user"].keys() == {"id"}
        assert device_facts(other_device, LAPTOP, NOW, DAY)["device"].keys() == {"id"}


class TestVersions:
    @pytest.mark.parametrize(
        ("approved", "version", "yes"),
        [
            ([">=2.0,<3"], "2.0.1", True),
            ([">=2.0,<3"], "3.0", False),
            ([">=2.0,<3"], "1.9.9", False),
            ([">=2.0,<3"], "2.1rc1", False),
            ([">=2.0,<3"], "3.0.dev1", False),
            ([">=2.0rc1,<3"], "2.0rc2", True),
            (["1.4", ">=2.0"], "1.4", True),
            (["1.4", ">=2.0"], "1.5", False),
            (["2.0.1"], "2.0.1", True),
            (["2.0.1"], "v2.0.1.0", True),
            (["2.0.1"], "2.0.1+patched", False),
            (["2.0.1"], "2.0.1.post1", False),
            (["2.0.1"], "2.0.1rc1", False),
            (["2.0"], "2.0.1", False),
            (["~=2.1"], "2.9", True),
            (["~=2.1"], "3.0", False),
            (["2.*"], "2.5", None),
            (["==2.*"], "2.5", True),
            (["!=2.3"], "2.4", True),
            ([">=0"], "latest", False),
            ([">=0"], "", False),
            ([">=0"], "2.0 ; rm", False),
            ([">=0"], "\u0662.0", False),
            ([">=0"], "1" * 5000, False),
            ([], "2.0", False),
        ],
    )
    def test_a_version_is_approved_as_pep_440_says(
        self, approved: list[str], version: str, yes: bool | None
    ) -> None:
        if yes is None:
            with pytest.raises(ConfigError, match=r"/agents/agent-1234/versions/0: inventory\.version"):
                configured({AGENT: {"versions": approved}})
            return
        record = configured({AGENT: {"versions": approved}}).agent(AGENT)
        assert agent_facts(record, AGENT, version, "claimed")["agent"]["approved_version"] is yes

    @given(st.text(max_size=40))
    def test_no_version_text_raises(self, version: str) -> None:
        assert AgentRecord(AGENT, versions=["1.0"]).approves(version) in (True, False)


class TestPosture:
    @pytest.mark.parametrize(
        ("age", "known"),
        [
            (timedelta(0), True),
            (DAY, True),
            (DAY + timedelta(microseconds=1), False),
            (timedelta(days=3650), False),
            (timedelta(seconds=-60), True),
            (timedelta(seconds=-60, microseconds=-1), False),
            (timedelta(days=-1), False),
        ],
    )
    def test_posture_that_is_old_or_from_the_future_is_unknown_as_a_whole(
        self, age: timedelta, known: bool
    ) -> None:
        observed = Posture({"compliant": True, "edr_running": False}, LAPTOP, "mdm", NOW - age)
        device = device_facts(DeviceRecord(LAPTOP, managed=True, posture=observed), LAPTOP, NOW, DAY)[
            "device"
        ]
        assert device["managed"] is True
        assert ("posture" in device) is known
        if known:
            assert device["posture"] == {
                "compliant": True,
                "edr_running": False,
                "source": "mdm",
                "observed_at": NOW - age,
            }

    def test_posture_about_another_device_is_unknown_however_fresh(self) -> None:
        observed = Posture(HEALTHY, DeviceId("laptop-2"), "mdm", NOW)
        assert device_facts(DeviceRecord(LAPTOP, posture=observed), LAPTOP, NOW, DAY) == {
            "device": {"id": LAPTOP}
        }

    def test_only_the_operators_own_statement_needs_no_time(self) -> None:
        own, foreign = Posture(HEALTHY, LAPTOP), Posture(HEALTHY, LAPTOP, "mdm")
        assert "posture" in device_facts(DeviceRecord(LAPTOP, posture=own), LAPTOP, NOW, DAY)["device"]
        assert (
            "posture" not in device_facts(DeviceRecord(LAPTOP, posture=foreign), LAPTOP, NOW, DAY)["device"]
        )

    def test_an_observation_in_the_configuration_ages_as_well(self) -> None:
        said = {
            **HEALTHY,
            "source": "mdm",
            "observed_at": "2026-11-24T07:00:00Z",
            "vendor_score": 7,
            "ring": "beta",
        }
        record = configured(devices={LAPTOP: {"posture": said}}).device(LAPTOP)
        fresh = device_facts(record, LAPTOP, NOW, DAY)["device"]["posture"]
        assert fresh == {**said, "observed_at": NOW - timedelta(hours=1)}
        assert device_facts(record, LAPTOP, NOW + DAY, DAY) == {"device": {"id": LAPTOP}}


class TestMistakes:
    @pytest.mark.parametrize(
        ("sections", "code", "where", "words"),
        [
            (
                ({"a": {"manged": True}}, {}, {}),
                "config.unknown-key",
                "/agents/a/manged",
                "did you mean managed?",
            ),
            (({"a": {"managed": "yes"}}, {}, {}), "config.type", "/agents/a/managed", "true or false"),
            (({"a": {"trusted": 1}}, {}, {}), "config.type", "/agents/a/trusted", "true or false"),
            (({"a": {"versions": "2.0"}}, {}, {}), "config.type", "/agents/a/versions", "a list"),
            (
                ({"a": {"versions": ["1", 2.0]}}, {}, {}),
                "inventory.version",
                "/agents/a/versions/1",
                "in quotes",
            ),
            (({"a": {"versions": [""]}}, {}, {}), "inventory.version", "/agents/a/versions/0", "PEP 440"),
            (
                ({"a": {"versions": ["newest"]}}, {}, {}),
                "inventory.version",
                "/agents/a/versions/0",
                "PEP 440",
            ),
            (({"a": {"capabilities": "tests"}}, {}, {}), "config.type", "/agents/a/capabilities", "a list"),
            (({1: {}}, {}, {}), "config.type", "/agents", "names are strings"),
            (({"a/b": None}, {}, {}), "config.type", "/agents/a~1b", "a map"),
            (
                ({}, {"u": {"role": ["sre"]}}, {}),
                "config.unknown-key",
                "/users/u/role",
                "did you mean roles?",
            ),
            (({}, {"u": {"roles": ["sre", ""]}}, {}), "config.type", "/users/u/roles/1", "a text"),
            (({}, {"u": {"team": ["qa"]}}, {}), "config.type", "/users/u/team", "a text"),
            (
                ({}, {"alice": {}}, {"d": {"owner": "alcie"}}),
                "config.unknown-user",
                "/devices/d/owner",
                "alice?",
            ),
            (({}, {}, {"d": {"posture": ["ok"]}}), "config.type", "/devices/d/posture", "a map"),
            (({}, {}, {"d": {"posture": None}}), "config.type", "/devices/d/posture", "a map"),
            (
                ({}, {}, {"d": {"posture": {"compliant": "yes"}}}),
                "config.type",
                "/devices/d/posture/compliant",
                "true",
            ),
            (
                ({}, {}, {"d": {"posture": {"os_patch_age_days": -1}}}),
                "config.range",
                "/devices/d/posture/os_patch_age_days",
                "-1",
            ),
            (({}, {}, {"d": {"posture": {"x": 1.5}}}), "config.type", "/devices/d/posture/x", "float"),
            (({}, {}, {"d": {"posture": {"x": 2**53}}}), "config.range", "/devices/d/posture/x", "not from"),
            (({}, {}, {"d": {"posture": {"x": {}}}}), "config.type", "/devices/d/posture/x", "a scalar"),
            (
                ({}, {}, {"d": {"posture": {"source": "mdm"}}}),
                "config.missing",
                "/devices/d/posture/source",
                "mdm",
            ),
            (
                ({}, {}, {"d": {"posture": {"observed_at": "yesterday"}}}),
                "config.timestamp",
                "/devices/d/posture/observed_at",
                "RFC 3339",
            ),
        ],
    )
    def test_a_mistake_is_named_with_its_place(
        self, sections: tuple[dict[str, Any], ...], code: str, where: str, words: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            configured(*sections)
        assert (caught.value.code, caught.value.where) == (code, where)
        assert words in str(caught.value)

    def test_nobody_is_there_twice(self) -> None:
        with pytest.raises(ConfigError, match=r"inventory\.twice"):
            StaticInventory(users=[UserRecord(ALICE), UserRecord(ALICE, roles=("sre",))])
