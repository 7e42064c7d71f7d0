"""Small words of the wire: pointers, nearest names, times and durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.wire.names import did_you_mean, nearest
from cigate.wire.pointers import place, pointer, shown
from cigate.wire.times import parse_duration, parse_timestamp, seconds, timestamp


@pytest.mark.parametrize(
    ("steps", "expected"),
    # RFC 6901, section 5
    [
        ([], ""),
        (["foo"], "/foo"),
        (["foo", 0], "/foo/0"),
        ([""], "/"),
        (["a/b"], "/a~1b"),
        (["m~n"], "/m~0n"),
        (["~1"], "/~01"),
    ],
)
def test_pointers_are_written_as_rfc_6901_has_them(steps: list[str | int], expected: str) -> None:
    assert pointer(steps) == expected


@given(st.lists(st.text() | st.integers(0, 9)))
def test_a_place_is_short_and_on_one_line(steps: list[str | int]) -> None:
    assert place(steps).isprintable()
    assert len(place(steps)) <= 257 * 10


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[2Jb",
        "\u202eabc",
        "a\r\nb",
        "\u2028",
        "\ud800",
        "\ufeff",
        "\x9b1m",
        "\u200b",
        "\u00ad",
        "\U000e0041",
        "\u00a0",
    ],
)
def test_what_is_shown_prints(text: str) -> None:
    assert shown(text).isprintable()
    shown(text).encode()


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("agent-id", ["agent_id", "action"], "agent_id"),
        ("Agent_ID", ["agent_id", "action"], "agent_id"),
        ("agentid", ["agent_id", "user_id"], "agent_id"),
        ("timeuot", ["timeout", "ttl"], "timeout"),
        ("zzz", ["timeout", "ttl"], None),
        ("a" * 100_000, ["aaaa"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_known_name_is_found(name: str, known: list[str], meant: str | None) -> None:
    assert nearest(name, known) == meant


def test_an_error_about_a_name_shows_the_way_out() -> None:
    assert did_you_mean("ttt", ["ttl", "timeout"]) == "did you mean ttl?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "none is known here"


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(hours=1.5)),
        ("90s", timedelta(seconds=90)),
        ("0.5s", timedelta(milliseconds=500)),
        ("7d", timedelta(days=7)),
        ("1d2h3m4.000005s", timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)),
        ("0s", timedelta(0)),
    ],
)
def test_durations_are_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    ["", "10", "m", "10 m", "-1m", "1m1h", "1.5m", "1e3s", "10m\n", "１m", "1_0m", "PT1M", "1" * 20 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=999_999)))
def test_a_duration_written_in_seconds_is_read_back(duration: timedelta) -> None:
    assert parse_duration(seconds(duration)) == duration


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
        min_value=datetime(2, 1, 1),  # noqa: DTZ001  # hypothesis wants it naive
    )
)
def test_a_timestamp_is_read_back_in_utc(moment: datetime) -> None:
    assert parse_timestamp(timestamp(moment)) == moment
    assert parse_timestamp(timestamp(moment)).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24T08:00:00",
        "2026-11-24 08:00:00Z",
        "2026-11-24T08:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-24T24:00:01Z",
        "2026-11-24T08:00:60Z",
        "2026-11-24T08:00:00+99:00",
        "2026-11-24T08:00:00.1234567Z",
        "2026-11-24T08:00:00Z\n",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "２026-11-24T08:00:00Z",
    ],
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)
