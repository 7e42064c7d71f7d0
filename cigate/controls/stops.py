"""The fence: one row with all that must be unchanged when an effect begins (threats G7).

It holds the stops (halts, which `resume` lifts, and revocations, which nothing lifts), and which policy and
configuration are in force. Its generation rises with each change, so "unchanged" is one comparison. It is
never cached. A fence that is missing or can't be read stops everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self, TypeAlias

from attrs import evolve, field, frozen

from cigate.controls.records import record, recorded
from cigate.errors import ConfigError, StoreUnavailable
from cigate.stores import Key, Put, Rows
from cigate.wire.times import parse_timestamp, timestamp

FENCE: Final = Key("fence", "current")
"""The row."""

ScopeKind: TypeAlias = Literal["gateway", "key", "agent", "user", "device", "action", "pipeline"]
StopKind: TypeAlias = Literal["halt", "revoke"]

_SCOPES: Final[tuple[ScopeKind, ...]] = ("gateway", "key", "agent", "user", "device", "action", "pipeline")
_STOPS: Final[tuple[StopKind, ...]] = ("halt", "revoke")
_BLANK: Final = re.compile(r"\s*")


def _known(_: object, __: object, kind: ScopeKind) -> None:
    if kind not in _SCOPES:
        raise _no_scope(kind)


def _named(scope: Scope, _: object, id: str) -> None:
    if bool(id) == (scope.kind == "gateway"):
        raise _no_scope(f"{scope.kind}:{id}")


def _no_scope(text: object) -> ConfigError:
    known = ", ".join(_SCOPES[1:])
    return ConfigError("halt.scope", f"{text!r} is no scope", fix=f"write KIND:ID, KIND one of {known}")


@frozen
class Scope:
    """What a stop is about: the whole gateway, or one key, agent, user, device, action or pipeline.

    Raises:
        ConfigError: `halt.scope`, an unknown kind, no id, or an id of the gateway.
    """

    kind: ScopeKind = field(validator=_known)
    id: str = field(default="", validator=_named)

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """`agent:agent-1`; None, or `gateway`, is the whole gateway.

        Raises:
            ConfigError: `halt.scope`.
        """
        if text is not None and not isinstance(text, str):
            raise _no_scope(text)
        kind, _, id = (text if text is not None else "gateway").partition(":")
        return cls(kind, id)  # type: ignore[arg-type]  # the validator knows the kinds

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


@frozen
class Stop:
    """One halt or revocation."""

    kind: StopKind
    scope: Scope
    reason: str
    at: datetime

    def to_json(self) -> dict[str, Any]:
        """As the fence's row keeps it and `health` shows it."""
        return {"kind": self.kind, "scope": str(self.scope), "reason": self.reason, "at": timestamp(self.at)}


@frozen
class Fence:
    """What is in force.

    Args:
        generation: rises with every change.
        epoch: rises when restored state is adopted; what was issued in an earlier one is refused.
        policy_name, policy_sequence, policy_digest: the policy in force; no digest: none was loaded yet.
        config_digest: over every loaded section of the configuration.
        stops: in the order in which they were set.
    """

    generation: int
    epoch: int
    policy_name: str
    policy_sequence: int
    policy_digest: str
    config_digest: str
    stops: tuple[Stop, ...] = ()

    @classmethod
    def first(cls) -> Self:
        """The fence of new state: nothing is loaded, nothing is stopped."""
        return cls(0, 1, "", 0, "", "")

    def blocks(
        self,
        *,
        key: str | None = None,
        agent: str | None = None,
        user: str | None = None,
        device: str | None = None,
        action: str | None = None,
        pipeline: str | None = None,
    ) -> Stop | None:
        """The first stop that is about any of these, or about the gateway; None lets them through."""
        named = {
            "key": key,
            "agent": agent,
            "user": user,
            "device": device,
            "action": action,
            "pipeline": pipeline,
        }
        for stop in self.stops:
            if stop.scope.kind == "gateway" or named[stop.scope.kind] == stop.scope.id:
                return stop
        return None

    def revocation_of_key(self, id: str) -> Stop | None:
        """The revocation of a key, if it was revoked; halts don't count."""
        return self._revocation(Scope("key", id))

    def revocation_of_user(self, id: str) -> Stop | None:
        """The revocation of a user, if they were revoked; halts don't count."""
        return self._revocation(Scope("user", id)) if id else None

    def next_epoch(self) -> Self:
        """The fence of restored state that is adopted: the same, in a new epoch."""
        return evolve(self, epoch=self.epoch + 1, generation=self.generation + 1)

    def _revocation(self, scope: Scope) -> Stop | None:
        return next((stop for stop in self.stops if stop.kind == "revoke" and stop.scope == scope), None)

    def to_json(self) -> dict[str, Any]:
        """The canonical fields; `from_json` reads them back."""
        return {
            "generation": self.generation,
            "epoch": self.epoch,
            "policy_name": self.policy_name,
            "policy_sequence": self.policy_sequence,
            "policy_digest": self.policy_digest,
            "config_digest": self.config_digest,
            "stops": [stop.to_json() for stop in self.stops],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read `to_json` back.

        Raises:
            StoreUnavailable: `fence.unreadable`; a fence in doubt stops everything.
        """
        try:
            fence = cls(**{**document, "stops": tuple(_stop(stop) for stop in document["stops"])})
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise _unreadable(repr(error)) from error
        numbers = (fence.generation, fence.epoch, fence.policy_sequence)
        texts = (fence.policy_name, fence.policy_digest, fence.config_digest)
        if not all(type(number) is int for number in numbers) or not all(
            isinstance(text, str) for text in texts
        ):
            raise _unreadable("a field has the wrong type")
        return fence


def read_fence(rows: Rows) -> Fence:
    """The fence in force.

    Raises:
        StoreUnavailable: `fence.missing`, `fence.unreadable`.
    """
    if FENCE not in rows:
        raise StoreUnavailable(
            "fence.missing", "the state holds no fence", fix="restore a backup and `adopt` it"
        )
    try:
        document = recorded(rows, FENCE)
    except StoreUnavailable as error:
        raise _unreadable(error.message) from error
    return Fence.from_json(document or {})


def fence_put(fence: Fence) -> Put:
    """The write that puts a fence in force, under `FENCE`."""
    return record(fence.to_json())


def halted(fence: Fence, scope: Scope, reason: str, now: datetime) -> Fence:
    """The fence with this scope halted.

    Raises:
        ConfigError: `halt.reason`, it is empty.
    """
    return _stopped(fence, Stop("halt", scope, reason, now))


def revoked(fence: Fence, scope: Scope, reason: str, now: datetime) -> Fence:
    """The fence with this scope revoked, for good.

    Raises:
        ConfigError: `halt.reason`, it is empty.
    """
    return _stopped(fence, Stop("revoke", scope, reason, now))


def resumed(fence: Fence, scope: Scope | None = None) -> Fence:
    """The fence with this scope's halt lifted, or (None) all halts; revocations stay."""
    stops = tuple(
        stop for stop in fence.stops if stop.kind == "revoke" or (scope is not None and stop.scope != scope)
    )
    return fence if stops == fence.stops else evolve(fence, stops=stops, generation=fence.generation + 1)


def loaded(
    fence: Fence, *, policy_name: str, policy_sequence: int, policy_digest: str, config_digest: str
) -> Fence:
    """The fence with this policy and configuration in force; the same one if they are already.

    Raises:
        ConfigError: `policy.sequence`, another policy whose sequence is not higher.
    """
    if fence.policy_digest and policy_digest == fence.policy_digest:
        policy_name, policy_sequence = fence.policy_name, fence.policy_sequence
    elif fence.policy_digest and policy_sequence <= fence.policy_sequence:
        raise ConfigError(
            "policy.sequence",
            f"policy {policy_name!r} has sequence {policy_sequence}, and {fence.policy_sequence} is in force",
            fix=f"raise metadata.sequence above {fence.policy_sequence}",
        )
    after = evolve(
        fence,
        policy_name=policy_name,
        policy_sequence=policy_sequence,
        policy_digest=policy_digest,
        config_digest=config_digest,
    )
    return fence if after == fence else evolve(after, generation=fence.generation + 1)


def _stopped(fence: Fence, stop: Stop) -> Fence:
    if _BLANK.fullmatch(stop.reason):
        raise ConfigError("halt.reason", f"no reason is given to {stop.kind} {stop.scope}", fix="say why")
    others = tuple(old for old in fence.stops if (old.kind, old.scope) != (stop.kind, stop.scope))
    return evolve(fence, stops=(*others, stop), generation=fence.generation + 1)


def _stop(document: Mapping[str, Any]) -> Stop:
    for known in _STOPS:
        if document["kind"] == known:
            scope = Scope.parse(document["scope"] if isinstance(document["scope"], str) else "")
            return Stop(known, scope, str(document["reason"]), parse_timestamp(document["at"]))
    raise ValueError(f"{document['kind']!r} is no kind of stop")


def _unreadable(why: str) -> StoreUnavailable:
    return StoreUnavailable("fence.unreadable", f"the fence can't be read, so everything is stopped: {why}")
