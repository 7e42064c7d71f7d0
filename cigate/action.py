"""One thing that an agent may ask for, as the operator's catalogue describes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

from attrs import field, frozen

from cigate.request import ActionName


@frozen
class Source:
    """A git repository, and the branches from which a commit must be reachable (`release/*` globs)."""

    git: str
    branches: tuple[str, ...]


@frozen
class Price:
    """What a run costs, in minor units of the budget's currency."""

    per_run: int = 0
    per_minute: int = 0


@frozen
class CredentialUse:
    """The credential that runs of an action get: a broker's profile and the longest it may live."""

    broker: str
    profile: str
    ttl: timedelta


@frozen
class Parameter:
    """What one parameter may be. A pattern is anchored: it always matches the whole value (RE2)."""

    type: str
    pattern: str | None = None
    max_length: int | None = None
    enum: tuple[bool | int | str, ...] | None = None
    minimum: int | None = None
    maximum: int | None = None
    optional: bool = False


@frozen
class Action:
    """An entry of the catalogue: gateway.yaml's `actions:` section, checked."""

    name: ActionName
    pipeline: str = "local"
    source: Source | None = None
    command: tuple[str, ...] = ()
    timeout: timedelta = timedelta(minutes=10)
    memory: int = 512 * 1024 * 1024
    cost: Price | None = None
    credential: CredentialUse | None = None
    output: str = "status"
    accept_output_disclosure: bool = False
    parameters: Mapping[str, Parameter] = field(factory=dict, converter=lambda given: MappingProxyType(dict(given)))
