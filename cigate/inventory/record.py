"""Records of agents, users and devices, the protocol of whoever holds them, and the facts that they state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Protocol

from attrs import field, frozen
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from cigate.errors import ConfigError
from cigate.facts import Value
from cigate.request import AgentId, DeviceId, UserId
from cigate.wire import settings

CONFIGURATION: Final = "configuration"
"""The source of a posture that the operator states in the configuration."""
AHEAD: Final = timedelta(seconds=60)
"""How far the clock of whoever observed a posture may be ahead of ours."""


def _versions(given: Iterable[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    versions = tuple(given)
    for at, version in enumerate(versions):
        version_test(version, settings.below("/versions", at))
    return versions


def _texts(given: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


def _frozen(given: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType(dict(given))


@frozen
class AgentRecord:
    """An agent that the operator knows. None: the operator does not say, so it is no fact.

    Args:
        id: the agent.
        versions: approved versions: PEP 440 specifier sets, of which one must hold; a bare version is exact.
        managed: it was installed and is kept by the organisation.
        trusted: it may do more than the others.
        capabilities: what it is for, in the operator's words.

    Raises:
        ConfigError: `inventory.version`, at `/versions/<index>`.
    """

    id: AgentId
    versions: tuple[str, ...] | None = field(default=None, converter=_versions)
    managed: bool | None = None
    trusted: bool | None = None
    capabilities: tuple[str, ...] | None = field(default=None, converter=_texts)

    def approves(self, version: str) -> bool | None:
        """Whether this version is approved; one that PEP 440 can't read is not. None: none are stated."""
        if self.versions is None:
            return None
        try:
            found = Version(version)
        except ValueError:  # InvalidVersion, or more digits than Python turns into a number
            return False
        return any(version_test(approved, "")(found) for approved in self.versions)


@frozen
class UserRecord:
    """A person that the operator knows. None: the operator does not say."""

    id: UserId
    roles: tuple[str, ...] | None = field(default=None, converter=_texts)
    team: str | None = None


@frozen
class Posture:
    """The health of one device, as somebody observed it.

    Args:
        values: scalars by name: `compliant`, `disk_encrypted`, `edr_running` booleans, `os_patch_age_days` a
            whole number, and whatever else the source reports.
        subject: the device that it is about, as the source says.
        source: who observed it; `configuration` is the operator's own statement.
        observed_at: when. Only the operator's own statement may do without.
    """

    values: Mapping[str, Value] = field(converter=_frozen)
    subject: DeviceId
    source: str = CONFIGURATION
    observed_at: datetime | None = None

    def holds_for(self, device: DeviceId, now: datetime, max_age: timedelta) -> bool:
        """Whether this says anything about the device at `now`: about it, neither old nor from the future."""
        if self.subject != device:
            return False
        if self.observed_at is None:
            return self.source == CONFIGURATION
        return now - max_age <= self.observed_at <= now + AHEAD


@frozen
class DeviceRecord:
    """A device that the operator knows. None: the operator does not say.

    Args:
        id: the device.
        managed: it is under the organisation's device management.
        owner: whose it is; the owner never approves what it asks for (threats C3).
        posture: its health.
    """

    id: DeviceId
    managed: bool | None = None
    owner: UserId | None = None
    posture: Posture | None = None


class Inventory(Protocol):
    """Where agents, users and devices are known. Safe to use from many threads.

    Raises:
        BackendError: it can't be asked now; then nothing is decided.
    """

    def agent(self, id: AgentId, /) -> AgentRecord | None: ...
    def user(self, id: UserId, /) -> UserRecord | None: ...
    def device(self, id: DeviceId, /) -> DeviceRecord | None: ...


def agent_facts(record: AgentRecord | None, id: AgentId, version: str, version_source: str) -> dict[str, Any]:
    """The `agent` group. `version_source` is `claimed`, `key` or `posture`: who says so."""
    known = record if record is not None and record.id == id else None
    return _group(
        "agent",
        id=id,
        version=version,
        version_source=version_source,
        managed=known.managed if known else None,
        trusted=known.trusted if known else None,
        approved_version=known.approves(version) if known else None,
        capabilities=known.capabilities if known else None,
    )


def user_facts(record: UserRecord | None, id: UserId) -> dict[str, Any]:
    """The `user` group."""
    known = record if record is not None and record.id == id else None
    return _group("user", id=id, roles=known.roles if known else None, team=known.team if known else None)


def device_facts(
    record: DeviceRecord | None, id: DeviceId, now: datetime, posture_max_age: timedelta
) -> dict[str, Any]:
    """The `device` group; posture with its `source` and `observed_at`, or no posture if it does not hold."""
    known = record if record is not None and record.id == id else None
    posture = known.posture if known else None
    return _group(
        "device",
        id=id,
        managed=known.managed if known else None,
        posture=_posture_facts(posture) if posture and posture.holds_for(id, now, posture_max_age) else None,
    )


def _posture_facts(posture: Posture) -> dict[str, Any]:
    observed = {"observed_at": posture.observed_at} if posture.observed_at is not None else {}
    return {**posture.values, "source": posture.source, **observed}


def _group(name: str, **facts: Any) -> dict[str, Any]:
    return {name: {fact: value for fact, value in facts.items() if value is not None}}


def version_test(approved: str, where: str) -> Callable[[Version], bool]:
    """The test that an entry of `versions` stands for.

    A bare version is compared as a version: PEP 440's `==2.0.1` also accepts `2.0.1+anything`. A pre-release
    is approved only where the entry itself names one.
    """
    if not isinstance(approved, str):
        raise ConfigError(
            "inventory.version", f"{approved!r} is not a text", where=where, fix='write it in quotes: "2.0"'
        )
    try:
        exact = Version(approved)
    except InvalidVersion:
        pass
    else:
        return lambda version: version == exact
    try:
        specifiers = SpecifierSet(approved)
    except InvalidSpecifier:
        specifiers = SpecifierSet()
    if not len(specifiers):
        raise ConfigError(
            "inventory.version",
            f"{approved!r} is neither a version nor a PEP 440 specifier",
            where=where,
            fix='write "2.0.1" or ">=2.0,<3"',
        )
    return lambda version: specifiers.contains(version, prereleases=specifiers.prereleases is True)
