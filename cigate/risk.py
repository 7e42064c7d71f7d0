"""Risk: facts go in, a score from 0 to 100 comes out, with the factors that made it.

What must always hold: scoring is pure and total, so it never raises and can be replayed; what is not known
scores as if it were the worst; and no fact that gets worse ever lowers the score. A scorer sees the facts
without `risk`.

`WeightedScorer` adds up signals. Each reads one fact and grades it in tenths, from 0 (good) to 10 (worst, or
unknown); its weight says how many points the worst is worth. The sum stops at 100.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from attrs import field, frozen

from cigate.errors import FactsError
from cigate.facts import Facts, Value
from cigate.wire import settings

MOST: Final = 100
_WORST: Final = 10
_PATCHED_LATELY: Final = 7
_PATCH_AGE_STEP: Final = 3
"""Days: current up to seven, then a tenth more for each three begun, at its worst after 37."""
SENSITIVE_ROLES: Final = ("admin", "administrator", "owner", "root", "superuser")


@frozen
class Signal:
    """One thing that a scorer looks at.

    Args:
        name: as configuration and factors name it.
        paths: the facts that it reads.
        points: the most that it can add, 0 to 100: what a missing fact adds.
    """

    name: str
    paths: tuple[str, ...]
    points: int


@frozen
class Factor:
    """What one signal added to a score, and the value that made it (None: the fact was not known)."""

    name: str
    points: int
    value: Value | None


def _in_range(_: object, __: object, score: Any) -> None:
    if type(score) is not int or not 0 <= score <= MOST:
        raise FactsError(
            "risk.score", f"{score!r} is not a whole number from 0 to {MOST}", where="/risk/score"
        )


@frozen
class Risk:
    """A score from 0 (nothing speaks against it) to 100, and what made it, in the order of the signals.

    Raises:
        FactsError: `risk.score`, out of range.
    """

    score: int = field(validator=_in_range)
    factors: tuple[Factor, ...] = ()

    def to_facts(self) -> dict[str, Any]:
        """The `risk` group of the facts, without `as_of`."""
        return {"score": self.score, "factors": [factor.name for factor in self.factors]}


class RiskScorer(Protocol):
    """Grades a request from 0 to 100. Pure and total; a missing signal scores its full points."""

    def signals(self) -> Sequence[Signal]:
        """What it looks at, and how much each can add."""

    def score(self, facts: Facts) -> Risk:
        """The score for these facts, which come without `risk`. Never raises."""


class WeightedScorer:
    """The sum of weighted signals, at most 100.

    Args:
        weights: points by signal name, 0 to 100, for the ones that differ from the default; 0 turns one off.
        sensitive_roles: who holds one of these scores `user.role` in full, as does who holds no role at all.

    Raises:
        ConfigError: `config.unknown-signal`, `config.type`, `config.range`, at `/weights/<name>`.
    """

    def __init__(
        self, weights: Mapping[str, int] | None = None, *, sensitive_roles: Collection[str] = SENSITIVE_ROLES
    ) -> None:
        given = dict(weights or {})
        for name, points in given.items():
            where = settings.below("/weights", name)
            if name not in _READINGS:
                raise settings.unknown_name("signal", name, _READINGS, where)
            settings.whole(points, where, least=0, most=MOST)
        self._sensitive = frozenset(sensitive_roles)
        self._signals = tuple(
            Signal(name, (reading.path,), given.get(name, reading.points))
            for name, reading in _READINGS.items()
        )

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> WeightedScorer:
        """Read gateway.yaml's `risk:`: `weights: {SIGNAL: POINTS}`, `sensitive_roles: [ROLE]`, both optional.

        Raises:
            ConfigError: as the class; `where` points into the section.
        """
        found = settings.section(section, "", known=("weights", "sensitive_roles"))
        weights = settings.section(found.get("weights", {}), "/weights")
        roles = settings.texts(found.get("sensitive_roles", SENSITIVE_ROLES), "/sensitive_roles")
        return cls(weights, sensitive_roles=roles)

    def signals(self) -> tuple[Signal, ...]:
        return self._signals

    def score(self, facts: Facts) -> Risk:
        factors = []
        for signal in self._signals:
            value = facts.get(signal.paths[0])
            points = _share(signal.points, _READINGS[signal.name].grade(value, self._sensitive))
            if points:
                factors.append(Factor(signal.name, points, value))
        return Risk(min(MOST, sum(factor.points for factor in factors)), tuple(factors))


def _share(points: int, grade: int) -> int:
    """`grade` tenths of the points, rounded up: what is not good never counts as nothing."""
    return -(-points * grade // _WORST)


Grade = Callable[["Value | None", frozenset[str]], int]


@frozen
class _Reading:
    """How a signal reads its fact: where it stands, its default points, and its grade from 0 to 10."""

    path: str
    points: int
    grade: Grade


def _should_be_true(value: Value | None, _: frozenset[str]) -> int:
    return 0 if value is True else _WORST


def _patch_age(value: Value | None, _: frozenset[str]) -> int:
    # An age below zero is a patch from the future: a wrong clock or a lie, so not known.
    if type(value) is not int or value < 0:
        return _WORST
    return min(_WORST, max(0, -(-(value - _PATCHED_LATELY) // _PATCH_AGE_STEP)))


def _version_source(value: Value | None, _: frozenset[str]) -> int:
    return 0 if value in ("key", "posture") else _WORST


def _level(value: Value | None, _: frozenset[str]) -> int:
    return {3: 0, 2: 3, 1: 7}.get(value, _WORST) if type(value) is int else _WORST


def _role(value: Value | None, sensitive: frozenset[str]) -> int:
    if not isinstance(value, tuple) or not value or not all(isinstance(role, str) for role in value):
        return _WORST
    return _WORST if sensitive.intersection(value) else 0


def _blast_radius(value: Value | None, _: frozenset[str]) -> int:
    return {"none": 0, "low": 3, "medium": 7}.get(value, _WORST) if isinstance(value, str) else _WORST


def _count(step: int) -> Grade:
    """A tenth more for every `step` tenths of one occurrence: `_count(2)` is at its worst with five."""

    def grade(value: Value | None, _: frozenset[str]) -> int:
        if type(value) is not int or value < 0:
            return _WORST
        return min(_WORST, value * step)

    return grade


_READINGS: Final[Mapping[str, _Reading]] = {
    "device.compliant": _Reading("device.posture.compliant", 15, _should_be_true),
    "device.disk_encrypted": _Reading("device.posture.disk_encrypted", 10, _should_be_true),
    "device.edr_running": _Reading("device.posture.edr_running", 10, _should_be_true),
    "device.patch_age": _Reading("device.posture.os_patch_age_days", 10, _patch_age),
    "device.managed": _Reading("device.managed", 10, _should_be_true),
    "agent.managed": _Reading("agent.managed", 10, _should_be_true),
    "agent.trusted": _Reading("agent.trusted", 5, _should_be_true),
    "agent.version": _Reading("agent.approved_version", 10, _should_be_true),
    "agent.version_source": _Reading("agent.version_source", 5, _version_source),
    "attestation.level": _Reading("attestation.level", 10, _level),
    "user.role": _Reading("user.roles", 10, _role),
    "runner.blast_radius": _Reading("runner.blast_radius", 15, _blast_radius),
    "history.denials": _Reading("history.denials", 15, _count(2)),
    "history.failures": _Reading("history.failures", 10, _count(1)),
}
