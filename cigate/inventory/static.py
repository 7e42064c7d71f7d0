"""An inventory that is written down once: what gateway.yaml says of agents, users and devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar

from cigate.errors import ConfigError
from cigate.facts import BIGGEST_INTEGER
from cigate.inventory.record import (
    CONFIGURATION,
    AgentRecord,
    DeviceRecord,
    Posture,
    UserRecord,
    version_test,
)
from cigate.request import AgentId, DeviceId, UserId
from cigate.wire import settings
from cigate.wire.times import parse_timestamp

_Record = TypeVar("_Record", AgentRecord, UserRecord, DeviceRecord)


class StaticInventory:
    """An inventory that is written down once.

    Raises:
        ConfigError: `inventory.twice`, two records have one id.
    """

    def __init__(
        self,
        agents: Iterable[AgentRecord] = (),
        users: Iterable[UserRecord] = (),
        devices: Iterable[DeviceRecord] = (),
    ) -> None:
        self._agents = _by_id(agents)
        self._users = _by_id(users)
        self._devices = _by_id(devices)

    @classmethod
    def from_config(
        cls, agents: Mapping[str, Any], users: Mapping[str, Any], devices: Mapping[str, Any]
    ) -> StaticInventory:
        """Read the three sections of gateway.yaml.

        Raises:
            ConfigError: `config.*` and `inventory.*`; `where` begins with `/agents`, `/users` or `/devices`.
        """
        people = settings.section(users, "/users")
        return cls(
            agents=[_agent(id, given) for id, given in settings.section(agents, "/agents").items()],
            users=[_user(id, given) for id, given in people.items()],
            devices=[
                _device(id, given, people) for id, given in settings.section(devices, "/devices").items()
            ],
        )

    def agent(self, id: AgentId, /) -> AgentRecord | None:
        return self._agents.get(id)

    def user(self, id: UserId, /) -> UserRecord | None:
        return self._users.get(id)

    def device(self, id: DeviceId, /) -> DeviceRecord | None:
        return self._devices.get(id)


def _by_id(records: Iterable[_Record]) -> Mapping[str, _Record]:
    found: dict[str, _Record] = {}
    for record in records:
        if record.id in found:
            raise ConfigError("inventory.twice", f"there are two records of {record.id}")
        found[record.id] = record
    return MappingProxyType(found)


_T = TypeVar("_T")


def _optional(
    given: Mapping[str, Any], name: str, where: str, read: Callable[[object, str], _T]
) -> _T | None:
    return read(given[name], settings.below(where, name)) if name in given else None


def _agent(id: str, value: object) -> AgentRecord:
    where = settings.below("/agents", id)
    given = settings.section(value, where, known=("versions", "managed", "trusted", "capabilities"))
    versions = _optional(given, "versions", where, _sequence)
    for at, version in enumerate(versions or ()):
        version_test(version, f"{where}/versions/{at}")
    return AgentRecord(
        AgentId(id),
        versions=versions,
        managed=_optional(given, "managed", where, settings.boolean),
        trusted=_optional(given, "trusted", where, settings.boolean),
        capabilities=_optional(given, "capabilities", where, settings.texts),
    )


def _sequence(value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError("config.type", f"expected a list, found {type(value).__name__}", where=where)
    return tuple(value)


def _user(id: str, value: object) -> UserRecord:
    where = settings.below("/users", id)
    given = settings.section(value, where, known=("roles", "team"))
    return UserRecord(
        UserId(id),
        roles=_optional(given, "roles", where, settings.texts),
        team=_optional(given, "team", where, settings.text),
    )


def _device(id: str, value: object, people: Mapping[str, Any]) -> DeviceRecord:
    where = settings.below("/devices", id)
    given = settings.section(value, where, known=("managed", "owner", "posture"))
    owner = _optional(given, "owner", where, settings.text)
    if owner is not None and owner not in people:
        # An owner under a second spelling could approve what their own device asks for (threats C3).
        raise settings.unknown_name("user", owner, people, f"{where}/owner")
    posture = given.get("posture")
    return DeviceRecord(
        DeviceId(id),
        managed=_optional(given, "managed", where, settings.boolean),
        owner=UserId(owner) if owner is not None else None,
        posture=_posture(DeviceId(id), posture, f"{where}/posture") if "posture" in given else None,
    )


_POSTURE_TYPES: Final[Mapping[str, type]] = {
    "compliant": bool,
    "disk_encrypted": bool,
    "edr_running": bool,
    "os_patch_age_days": int,
}


def _posture(device: DeviceId, value: object, where: str) -> Posture:
    given = dict(settings.section(value, where))
    source = _optional(given, "source", where, settings.text)
    observed_at = _optional(given, "observed_at", where, _moment)
    if source not in (None, CONFIGURATION) and observed_at is None:
        raise ConfigError(
            "config.missing",
            f"posture from {source} does not say when it was observed",
            where=f"{where}/source",
            fix="add observed_at, or leave source out to state it yourself",
        )
    values = {name: item for name, item in given.items() if name not in ("source", "observed_at")}
    for name, item in values.items():
        _scalar(name, item, settings.below(where, name))
    return Posture(values, device, source or CONFIGURATION, observed_at)


def _scalar(name: str, value: object, where: str) -> None:
    wanted = _POSTURE_TYPES.get(name)
    if wanted is bool:
        settings.boolean(value, where)
    elif wanted is int:
        settings.whole(value, where, least=0, most=BIGGEST_INTEGER)
    elif type(value) is int:
        settings.whole(value, where, least=-BIGGEST_INTEGER, most=BIGGEST_INTEGER)
    elif not isinstance(value, bool | str):
        raise ConfigError(
            "config.type",
            f"expected a scalar, found {type(value).__name__}",
            where=where,
        )


def _moment(value: object, where: str) -> datetime:
    try:
        return parse_timestamp(settings.text(value, where))
    except ValueError as error:
        raise ConfigError("config.timestamp", str(error), where=where, fix="2026-11-24T08:00:00Z") from error
