"""One thing that an agent may ask for, as the operator's catalogue describes it.

Its parameters are refused, never repaired: what an action does not declare does not pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from attrs import field, fields_dict, frozen

from cigate.errors import ConfigError, RequestError
from cigate.parameter import Parameter as Parameter
from cigate.request import (
    ACTION_NAME,
    MOST_PARAMETERS,
    PARAMETER_NAME,
    ActionName,
    forbidden_character,
)
from cigate.wire import canonical, settings
from cigate.wire.ijson import BIGGEST_INTEGER
from cigate.wire.names import did_you_mean
from cigate.wire.pointers import place, shown
from cigate.wire.settings import below
from cigate.wire.times import seconds

LONGEST_TIMEOUT: Final = timedelta(days=1)
LEAST_MEMORY: Final = 1024 * 1024

_OUTPUTS: Final = ("none", "status", "full")
_MEMORY = re.compile(r"([1-9][0-9]{0,12})(Ki|Mi|Gi|Ti)?")
_UNITS: Final = {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@frozen
class Source:
    """A git repository, and the branches from which a commit must be reachable (`release/*` globs)."""

    git: str
    branches: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"git": self.git, "branches": list(self.branches)}


@frozen
class Price:
    """What a run costs, in minor units of the budget's currency."""

    per_run: int = 0
    per_minute: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"per_run": self.per_run, "per_minute": self.per_minute}


@frozen
class CredentialUse:
    """The credential that runs of an action get: a broker's profile and the longest it may live."""

    broker: str
    profile: str
    ttl: timedelta

    def to_json(self) -> dict[str, Any]:
        return {"broker": self.broker, "profile": self.profile, "ttl": seconds(self.ttl)}


def _frozen_map(given: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    return MappingProxyType(dict(given))


@frozen
class Action:
    """An entry of the catalogue: gateway.yaml's `actions:` section, checked.

    Args:
        name: what requests and policies call it.
        pipeline: where it runs.
        source: where the commit must come from; None: the pipeline needs no source.
        command: program and arguments, never a shell line.
        timeout: the longest a run may take.
        memory: bytes that a run's processes and files in memory may use together.
        cost: what it costs; None: nothing.
        credential: what its runs get; None: nothing.
        output: what the caller gets: `none`, `status` or `full`.
        accept_output_disclosure: the operator accepts `full` beside a credential.
        parameters: what a request may and must give.

    Raises:
        ConfigError: `action.name`, `action.timeout`, `action.ttl`, `action.memory`, `action.output`,
            `action.output-disclosure`, `action.parameter`; `where` is a JSON pointer inside the action.
    """

    name: ActionName
    pipeline: str = "local"
    source: Source | None = None
    command: tuple[str, ...] = ()
    timeout: timedelta = timedelta(minutes=10)
    memory: int = 4 * 1024**3
    cost: Price | None = None
    credential: CredentialUse | None = None
    output: str = "status"
    accept_output_disclosure: bool = False
    parameters: Mapping[str, Parameter] = field(factory=dict, converter=_frozen_map)

    def __attrs_post_init__(self) -> None:
        if ACTION_NAME.fullmatch(self.name) is None:
            raise ConfigError(
                "action.name", f"{shown(self.name)!r} is not an action name: a-z, digits, . _ -"
            )
        if not timedelta(0) < self.timeout <= LONGEST_TIMEOUT:
            raise ConfigError("action.timeout", "a timeout is above zero and at most a day", where="/timeout")
        if self.credential is not None and not timedelta(0) < self.credential.ttl <= LONGEST_TIMEOUT:
            raise ConfigError(
                "action.ttl", "a credential lives above zero and at most a day", where="/credential/ttl"
            )
        if not LEAST_MEMORY <= self.memory <= BIGGEST_INTEGER:
            raise ConfigError(
                "action.memory", "a run needs 1Mi at least, and fewer than 2^53 bytes", where="/memory"
            )
        if self.output not in _OUTPUTS:
            raise ConfigError("action.output", f"expected one of {', '.join(_OUTPUTS)}", where="/output")
        # threats E0: the agent chose the commit, so it chose the code that prints
        if self.output == "full" and self.credential is not None and not self.accept_output_disclosure:
            raise ConfigError(
                "action.output-disclosure",
                "full output beside a credential lets the commit's author print the credential",
                where="/output",
                fix="output: status, or accept_output_disclosure: true",
            )
        self._check_names()

    def _check_names(self) -> None:
        if len(self.parameters) > MOST_PARAMETERS:
            raise ConfigError(
                "action.parameter", f"more than {MOST_PARAMETERS} parameters", where="/parameters"
            )
        variables: dict[str, str] = {}
        for name in self.parameters:
            where = place(("parameters", name))
            if PARAMETER_NAME.fullmatch(name) is None:
                raise ConfigError("action.parameter", f"{shown(name)!r} is not a parameter name", where=where)
            # threats D3: two parameters must not end up in one CIGATE_PARAM_<NAME>
            twin = variables.setdefault(re.sub(r"[^A-Z0-9]", "_", name.upper()), name)
            if twin != name:
                raise ConfigError(
                    "action.parameter", f"{name} and {twin} name one variable of the job", where=where
                )

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, Any]) -> Action:
        """The action that one entry of `actions:` describes (design, section 5).

        Raises:
            ConfigError: `config.unknown-key`, `config.missing-key`, `config.type`, `config.range`,
                `action.source`, `action.command`, and what the classes refuse; `where` is a JSON pointer
                inside the section, such as `/parameters/shards/minimum`.
        """
        settings.section(section, "", known=[each for each in fields_dict(cls) if each != "name"])
        readers: Mapping[str, Callable[[Any, str], Any]] = {
            "pipeline": settings.text,
            "source": _source,
            "command": _command,
            "timeout": settings.duration,
            "memory": _memory,
            "cost": _price,
            "credential": _credential,
            "output": settings.text,
            "accept_output_disclosure": settings.boolean,
            "parameters": _parameters,
        }
        return cls(ActionName(name), **{key: readers[key](section[key], below("", key)) for key in section})

    def check(self, parameters: Mapping[str, bool | int | str]) -> Mapping[str, bool | int | str]:
        """The parameters, if this action takes exactly them. Nothing is added, converted or repaired.

        Raises:
            RequestError: `parameter.unknown`, `parameter.missing`, and what `Parameter.check` refuses;
                `where` is `/parameters/NAME`.
        """
        for name in parameters:
            if name not in self.parameters:
                raise RequestError(
                    "parameter.unknown",
                    f"{self.name} takes no parameter {shown(str(name))!r}",
                    where=place(("parameters", str(name))),
                    fix=did_you_mean(str(name), self.parameters),
                )
        kept: dict[str, bool | int | str] = {}
        for name, schema in self.parameters.items():
            where = place(("parameters", name))
            if name in parameters:
                kept[name] = schema.check(parameters[name], where)
            elif not schema.optional:
                raise RequestError(
                    "parameter.missing", f"{self.name} needs the parameter {name}", where=where
                )
        return MappingProxyType(kept)

    @property
    def workflow(self) -> str:
        """What a run executes, as `sha256:` and hex: name, command, pipeline and source."""
        source = None if self.source is None else self.source.to_json()
        return canonical.digest(
            {"name": self.name, "command": list(self.command), "pipeline": self.pipeline, "source": source}
        )

    def fact_types(self) -> Mapping[str, str]:
        """Each parameter's type as a policy sees it: `string`, `integer` or `boolean`."""
        return MappingProxyType({name: schema.type for name, schema in self.parameters.items()})

    def to_json(self) -> dict[str, Any]:
        """Every field, for the configuration's digest."""
        return {
            "name": self.name,
            "pipeline": self.pipeline,
            "source": None if self.source is None else self.source.to_json(),
            "command": list(self.command),
            "timeout": seconds(self.timeout),
            "memory": self.memory,
            "cost": None if self.cost is None else self.cost.to_json(),
            "credential": None if self.credential is None else self.credential.to_json(),
            "output": self.output,
            "accept_output_disclosure": self.accept_output_disclosure,
            "parameters": {name: schema.to_json() for name, schema in self.parameters.items()},
        }


def _source(value: object, where: str) -> Source:
    given = _all_of(value, where, "git", "branches")
    git = settings.text(given["git"], below(where, "git"))
    branches = settings.texts(given["branches"], below(where, "branches"))
    if not branches:
        raise ConfigError(
            "action.source", "a source without branches allows no commit", where=below(where, "branches")
        )
    for text, place_of_text in (
        (git, below(where, "git")),
        *((branch, below(below(where, "branches"), at)) for at, branch in enumerate(branches)),
    ):
        # git reads what begins with a dash as an option
        if text.startswith("-") or forbidden_character(text):
            message = f"{shown(text)!r} has a leading dash, or a control or format character"
            raise ConfigError("action.source", message, where=place_of_text)
    return Source(git, branches)


def _command(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        message = "expected a list: the program and its arguments"
        raise ConfigError(
            "action.command", message, where=where, fix="[/usr/bin/make, test]; no shell reads it"
        )
    settings.text(value[0], below(where, 0))
    for at, argument in enumerate(value):
        if not isinstance(argument, str) or "\0" in argument:
            message = "expected a string without NUL; put a number in quotes"
            raise ConfigError("action.command", message, where=below(where, at))
    return tuple(value)


def _memory(value: object, where: str) -> int:
    if type(value) is int:
        return value
    found = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigError("action.memory", "expected bytes, or text such as 256Mi", where=where)
    return int(found[1]) * _UNITS[found[2]]


def _price(value: object, where: str) -> Price:
    given = settings.section(value, where, known=fields_dict(Price))
    amounts = {
        name: settings.whole(amount, below(where, name), least=0, most=BIGGEST_INTEGER)
        for name, amount in given.items()
    }
    return Price(**amounts)


def _credential(value: object, where: str) -> CredentialUse:
    given = _all_of(value, where, "broker", "profile", "ttl")
    return CredentialUse(
        broker=settings.text(given["broker"], below(where, "broker")),
        profile=settings.text(given["profile"], below(where, "profile")),
        ttl=settings.duration(given["ttl"], below(where, "ttl")),
    )


def _parameters(value: object, where: str) -> dict[str, Parameter]:
    given = settings.section(value, where)
    return {name: Parameter.from_config(schema, below(where, name)) for name, schema in given.items()}


def _all_of(value: object, where: str, *keys: str) -> Mapping[str, Any]:
    """A section that has exactly these keys."""
    given = settings.section(value, where, known=keys)
    for key in keys:
        if key not in given:
            raise ConfigError("config.missing-key", f"the key {key} is missing", where=where)
    return given
