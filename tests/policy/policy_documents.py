"""Documents of facts at random, for the properties of this room: whole ones, and ones that are odd in every way.

A seed makes the odd ones: hypothesis draws thousands of values too slowly for what is wanted of them here.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, StrEnum
from random import Random
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from policy_grammar import OTHER, TEAMS
from policy_writing import ACTION

from cigate.cel.times import Duration, Timestamp
from cigate.facts import Facts

Document = dict[str, Any]

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
EAST = timezone(timedelta(hours=5))

# --- drawn by hypothesis --------------------------------------------------------------------------------------


def some(**each: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """A group of which at most two members are unknown, so that most documents are nearly whole."""

    def some_left_out(found: Document, unknown: set[str]) -> Document:
        return {name: value for name, value in found.items() if name not in unknown}

    none: st.SearchStrategy[set[str]] = st.just(set())
    unknown = st.one_of(none, st.sets(st.sampled_from(sorted(each)), max_size=2))
    return st.builds(some_left_out, st.fixed_dictionaries(each), unknown)


count = st.sampled_from([0, 3, 7, 20, 40])
names = st.sampled_from(["alice", "bob", "carol"])
roles = st.lists(st.sampled_from(["sre", "lead"]), max_size=2)
times = st.sampled_from(["2026-11-24T07:45:00Z", "2026-11-24T07:00:00Z"])
approvals = st.lists(
    st.fixed_dictionaries(
        {"user": names, "roles": st.sampled_from([["sre"], ["lead"], []])}, optional={"at": times}
    ),
    max_size=3,
)
documents = some(
    now=st.just("2026-11-24T08:00:00Z"),
    agent=some(id=st.just("agent-1"), managed=st.booleans(), trusted=st.booleans(), capabilities=roles),
    user=some(id=names, team=st.sampled_from(["qa", "web"]), roles=roles),
    device=some(id=st.just("laptop-1"), managed=st.booleans(), posture=some(ok=st.booleans(), age=count)),
    attestation=some(level=st.integers(0, 3), age=st.sampled_from(["10m", "-5s"])),
    risk=some(score=count, as_of=times, factors=roles),
    cost=some(estimate=count, currency=st.just("EUR")),
    budget=some(remaining=count, as_of=times),
    history=some(runs=count, requests=count),
    runner=some(os=st.just("linux")),
    parameters=some(ref=st.sampled_from(["main", "dev"]), count=count, dry=st.booleans()),
    commit=st.just("ab12"),
    approvals=approvals,
).map(lambda found: {"action": ACTION, **found})


def paths(document: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every fact and every group of facts that is there."""
    for name, value in document.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from paths(value, f"{above}{name}.")


# --- made from a seed -----------------------------------------------------------------------------------------


def whole(random: Random) -> Document:
    """Facts that fit the schema, nearly all of them there, as a Gateway or a person would write them."""
    pick = random.choice
    when = pick((str, datetime))
    chosen: Document = {
        "now": _time(when, NOW),
        "action": pick((ACTION, ACTION, ACTION, OTHER, "unheard-of", "")),
        "commit": pick(("ab12", "main")),
        "agent": {
            "id": pick(("agent-1", "team-1", "team-3")),
            "managed": pick((True, False)),
            "trusted": pick((True, False)),
            "capabilities": pick(([], ["sre"], ["qa", "lead"])),
        },
        "user": {
            "id": pick(("alice", "bob", "qa")),
            "team": pick(("qa", "é", *TEAMS)),
            "roles": pick(([], ["sre"], ("lead", "sre"))),
        },
        "device": {
            "managed": pick((True, False)),
            "posture": {"ok": pick((True, False)), "age": pick((3, 7, 30))},
        },
        "attestation": {"level": pick((0, 3)), "age": pick((timedelta(minutes=10), "10m", "-5s"))},
        "risk": {
            "score": pick((0, 7, 30, 100)),
            "as_of": _time(when, NOW - timedelta(minutes=pick((1, 90)))),
        },
        "cost": {"estimate": pick((0, 7, 2**53 - 1)), "currency": "EUR"},
        "budget": {"remaining": pick((0, 100)), "as_of": _time(when, NOW)},
        "approvals": [_approval(random) for _ in range(pick((0, 0, 1, 3)))],
        "history": {"runs": pick((0, 3)), "requests": pick((0, 3))},
        "runner": {"os": pick(("linux", "qa"))},
        "parameters": {"ref": pick(("main", "qa")), "count": pick((3, 7)), "dry": pick((True, False))},
    }
    for path in random.sample(list(paths(chosen)), pick((0, 0, 0, 0, 0, 1, 1, 4))):
        _take(chosen, path)
    return chosen


def _time(kind: type, moment: datetime) -> Any:
    return moment if kind is datetime else moment.isoformat()


def _approval(random: Random) -> Document:
    return {
        "user": random.choice(("alice", "ALICE", "bob", "carol")),
        "roles": random.choice((["sre"], ("lead",), [])),
        "at": random.choice((NOW, NOW - timedelta(minutes=20), NOW - timedelta(hours=3))),
    }


class Sub(str):
    """A text of a class of its own."""


class Team(StrEnum):
    QA = "qa"


class Mixed(str, Enum):  # noqa: UP042  # its text is another than a StrEnum's
    QA = "qa"
    RUN = ACTION


class Number(int):
    """An integer of a class of its own."""


class Moment(datetime):
    """A timestamp of a class of its own."""


def _moment() -> datetime:
    return Moment(2026, 11, 24, 8, tzinfo=UTC)


TEXTS: tuple[Any, ...] = (
    "",
    "x",
    "qa",
    "ü",
    "\ud83d",
    "\udc00x",
    "a\n",
    Sub("qa"),
    Team.QA,
    Mixed.QA,
    Mixed.RUN,
    "1",
)
NUMBERS: tuple[Any, ...] = (
    *(True, 1, 0, -1, 4, 101, 2**53 - 1, 2**53, -(2**53), 10**30, 1.0, float("nan"), Number(3), None),
)
MOMENTS: tuple[Any, ...] = (
    NOW.replace(tzinfo=None),
    NOW.astimezone(EAST),
    NOW.replace(tzinfo=timezone.utc, fold=1),  # noqa: UP017
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    _moment(),
    Timestamp.at(NOW, 1),
    *("2026-11-24T08:00:00Z", "2026-11-24t08:00:00.5+01:00", "0001-01-01T00:00:00+05:00", "2026-11-24"),
    {"timestamp": "2026-11-24T08:00:00Z"},
)
SPANS: tuple[Any, ...] = (
    timedelta(minutes=10),
    timedelta(seconds=9_223_372_037),
    timedelta(seconds=99_999_999_999),
    timedelta.max,
    Duration.of(timedelta(minutes=1), 1),
    *("-10m", "7d", "--1s", "99999999999s", {"duration": "600s"}),
)
MAPS: tuple[Callable[[], Any], ...] = (
    dict,
    lambda: {"ok": True, "id": "qa"},
    lambda: {1: 2},
    lambda: {"\ud83d": 1},
    lambda: {Sub("ok"): True, "a.b": 1},
    lambda: defaultdict(lambda: True),
    lambda: defaultdict(lambda: "qa", id="qa"),
    lambda: OrderedDict(id="qa", ok=True),
    lambda: MappingProxyType({"id": "qa", "ok": True}),
    lambda: MappingProxyType(defaultdict(lambda: True)),
)
LISTS: tuple[Callable[[], Any], ...] = (
    list,
    tuple,
    lambda: ["qa"],
    lambda: ("sre", "lead"),
    lambda: [Sub("sre")],
    lambda: ["sre", 1],
    lambda: ["\ud83d"],
    lambda: {"sre"},
    lambda: [{"user": "bob", "roles": ["sre"], "at": NOW}],
    lambda: [MappingProxyType({"user": "bob", "roles": ("sre",), "at": NOW.astimezone(EAST)})],
    lambda: [{"user": "bob", "at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))}],
    lambda: [{"user": "bob", "at": NOW.isoformat(), "more": 1}],
    lambda: [{"user": 7}, "bob", None],
    lambda: [{"user": "bob", "roles": "sre", "at": NOW.replace(tzinfo=None)}],
)
STRANGERS: tuple[Any, ...] = (object(), b"qa", type, Ellipsis)


def odd_value(random: Random, usual: Any) -> Any:
    """Something that a fact may be where another is meant; often of about the usual kind."""
    kind: Any = random.choice((TEXTS, NUMBERS, MOMENTS, SPANS, MAPS, LISTS, STRANGERS))
    if random.random() < 0.6:
        alike = (
            (str, (*TEXTS, *MOMENTS)),
            (int, NUMBERS),
            (datetime, MOMENTS),
            (timedelta, SPANS),
            (dict, MAPS),
        )
        kind = next((values for each, values in alike if isinstance(usual, each)), kind)
    value = random.choice(kind)
    return value() if kind is MAPS or kind is LISTS else value


def odd(random: Random) -> Any:
    """A document with something odd about it, or of another kind of map, or no map at all."""
    found = whole(random)
    known = [*paths(found), "nobody", "user.nobody", "parameters.own", "history.more", *_WATCHED]
    facts = Facts.of(found)
    places = random.sample(known, random.choice((0, 1, 1, 2)))
    oddities = [(path, odd_value(random, facts.get(path))) for path in places]
    if random.random() < 0.3:
        for path, value in oddities:
            facts = facts.including(path, value)
        return facts
    for path, value in oddities:
        _put(found, path, value)
    return random.choice(_KINDS)(found)


def _same(found: Document) -> Any:
    return found


def _proxies(found: Document) -> Any:
    return MappingProxyType(
        {name: _proxies(value) if type(value) is dict else value for name, value in found.items()}
    )


def _one_proxy(found: Document) -> Any:
    user = found.get("user")
    return {**found, "user": MappingProxyType(user) if isinstance(user, dict) else user}


_WATCHED = ("now", "user.team", "parameters.ref", "parameters.dry", "device.posture.age")

_KINDS: tuple[Callable[[Document], Any], ...] = (
    *(_same,) * 9,
    _proxies,
    _one_proxy,
    OrderedDict,
    lambda found: defaultdict(lambda: "qa", found),
    lambda found: MappingProxyType(defaultdict(lambda: "qa", found)),
    lambda found: list(found.items()),
)


def _put(document: Any, path: str, value: Any) -> None:
    head, _, rest = path.partition(".")
    if not isinstance(document, dict):
        return
    if rest:
        _put(document.setdefault(head, {}), rest, value)
    else:
        document[head] = value


def _take(document: Any, path: str) -> None:
    head, _, rest = path.partition(".")
    if not rest:
        document.pop(head, None)
    elif head in document:
        _take(document[head], rest)
