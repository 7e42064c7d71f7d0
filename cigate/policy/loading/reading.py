"""YAML or JSON text to a `PolicyDocument`, strictly: a misspelt restriction would restrict nothing.

Every error is a `PolicyError` whose `where` is `NAME:LINE:COLUMN`, ready to be printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

from attrs import frozen

from cigate.decision import Effect, Obligations
from cigate.errors import ConfigError, PolicyError
from cigate.policy.document import (
    BUCKET_KEYS,
    ISOLATIONS,
    NO_ADVICE,
    NO_OBLIGATIONS,
    PolicyDocument,
    Rule,
    Throttle,
    Variable,
)
from cigate.policy.loading.source import Source
from cigate.ticket import Clause
from cigate.wire import canonical, settings, yamldoc
from cigate.wire.ijson import BIGGEST_INTEGER, Limits
from cigate.wire.names import did_you_mean
from cigate.wire.pointers import shown
from cigate.wire.settings import below

__all__ = ["MOST_RULES", "MOST_VARIABLES", "POLICY_LIMITS", "Source", "read"]

MOST_RULES: Final = 20_000
MOST_VARIABLES: Final = 200
POLICY_LIMITS: Final = Limits(octets=16 * 2**20, depth=32, items=2_000_000)
"""How much a policy may be: twenty thousand rules are some 6 MB."""

_MOST_PEOPLE: Final = 1000
_LONGEST_MESSAGE: Final = 500
_APPROVAL_TTL: Final = timedelta(minutes=30)

# Names reach tickets, buckets and terminals: nothing in them may look like something else (threats A14).
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]{0,99}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


@frozen(eq=False, repr=False)
class _Keys:
    """The keys of a map: those that it must have, and all that it may have."""

    needed: tuple[str, ...]
    known: tuple[str, ...]
    every: frozenset[str]

    @classmethod
    def of(cls, needed: str, optional: str = "") -> _Keys:
        known = (*needed.split(), *optional.split())
        return cls(tuple(needed.split()), known, frozenset(known))


_TOP: Final = _Keys.of("apiVersion kind metadata spec")
_METADATA: Final = _Keys.of("name sequence")
_SPEC: Final = _Keys.of("rules", "variables")
_VARIABLE: Final = _Keys.of("name expression")
_RULE: Final = _Keys.of(
    "name effect",
    "actions expression message messageExpression approval throttle obligations advice on_unknown",
)
_APPROVAL: Final = _Keys.of("count", "roles ttl")
_THROTTLE: Final = _Keys.of("limit per", "key")
_OBLIGATIONS: Final = _Keys.of("", "ttl_max isolation")
_ADVICE: Final = _Keys.of("", "notify")

_EFFECTS: Final = {effect.value: effect for effect in Effect}
_OWNED: Final = (("approval", Effect.REQUIRE_APPROVAL), ("throttle", Effect.THROTTLE))
"""Clauses that belong to one effect."""

_T = TypeVar("_T", bound=Hashable)


def read(text: str, name: str, *, actions: Collection[str] | None) -> tuple[PolicyDocument, Source]:
    """Read a policy; `actions` are the names that exist (None: unchecked).

    Raises:
        PolicyError: `policy.` and: what `wire.yamldoc` says of its form (`yaml-syntax`, `duplicate-key` …),
            `type`, `range`, `duration`, `unknown-key`, `missing-key`, `kind`, `name`, `duplicate-name`,
            `actions`, `unknown-action`, `misplaced`, `too-large`.
    """
    try:
        document = yamldoc.parse(text, name, limits=POLICY_LIMITS)
    except yamldoc.YAMLError as error:
        code = error.code.replace("yaml.", "policy.")
        where = f"{name}:{error.where or '1:1'}"
        raise PolicyError(code, error.message, where=where, fix=error.fix) from error
    source = Source(text, document)
    try:
        return _Reader(document, actions).document(), source
    except (PolicyError, ConfigError) as error:  # `settings` speaks of configuration
        code = error.code.replace("config.", "policy.")
        raise source.error(code, error.message, error.where, fix=error.fix) from None


class _Reader:
    """One document. Its methods are the schema, from the outside in.

    Pointers are those within the rule or variable that is being read; `_named` puts the rest before them, when
    there is an error. What many rules say alike is kept once: `_shared`, and the rest by what was written.
    """

    def __init__(self, document: yamldoc.Document, actions: Collection[str] | None) -> None:
        self._document = document
        self._actions = actions
        self._shared: dict[Hashable, Any] = {}
        self._durations: dict[str, timedelta] = {}
        self._action_lists: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._label_lists: dict[tuple[str, ...], tuple[str, ...]] = {}

    def document(self) -> PolicyDocument:
        value = self._document.value
        top = self._section(value, "", _TOP)
        for key, wanted in (("apiVersion", "cigate/v1"), ("kind", "GatewayPolicy")):
            if top[key] != wanted:
                raise _wrong("kind", f"{key} must be {wanted}", f"/{key}")
        metadata = self._section(top["metadata"], "/metadata", _METADATA)
        spec = self._section(top["spec"], "/spec", _SPEC)
        return PolicyDocument(
            name=_matching(metadata["name"], "/metadata/name", _LABEL),
            sequence=settings.whole(
                metadata["sequence"], "/metadata/sequence", least=0, most=BIGGEST_INTEGER
            ),
            variables=self._named(
                spec.get("variables", []), "/spec/variables", MOST_VARIABLES, self._variable
            ),
            rules=self._named(spec["rules"], "/spec/rules", MOST_RULES, self._rule),
            digest=canonical.digest(value),
        )

    def _variable(self, value: object) -> Variable:
        found = self._section(value, "", _VARIABLE)
        return Variable(
            _matching(found["name"], "/name", _IDENTIFIER),
            _expression(found["expression"], "/expression"),
        )

    def _rule(self, value: object) -> Rule:
        found = self._section(value, "", _RULE)
        name = _matching(found["name"], "/name", _NAME)
        effect = _effect(found["effect"])
        if effect is Effect.ALLOW:
            for key in ("actions", "expression"):
                if key not in found:
                    raise _missing(key, "", "an allow rule says what it opens: ")
        if effect is Effect.REQUIRE_APPROVAL and "approval" not in found:
            raise _missing("approval", "", "a require_approval rule says how many people it wants: ")
        for key, owner in _OWNED:
            if key in found and effect is not owner:
                raise _wrong("misplaced", f"{key} belongs to a {owner} rule only", f"/{key}")

        def part(key: str, reader: Callable[[Any, str], Any], absent: Any) -> Any:
            return reader(found[key], f"/{key}") if key in found else absent

        message = part("message", _message, "")
        return Rule(
            name,
            effect,
            actions=part("actions", self._rule_actions, None),
            expression=part("expression", _expression, None),
            message=message,
            message_expression=part("messageExpression", _expression, None),
            approval=self._approval(found["approval"], name, message) if "approval" in found else None,
            throttle=part("throttle", self._throttle, None),
            obligations=part("obligations", self._obligations, NO_OBLIGATIONS),
            advice=part("advice", self._advice, NO_ADVICE),
            ignores_unknown=part("on_unknown", _on_unknown, False),
        )

    def _rule_actions(self, value: object, where: str) -> tuple[str, ...] | None:
        names = settings.texts(value, where)
        if names in self._action_lists:
            return self._action_lists[names]
        if not names:
            raise _wrong(
                "actions", "no action is listed, so the rule says nothing", where, fix='["*"] says all'
            )
        if "*" in names:
            if len(names) > 1:
                raise _wrong("actions", '"*" says all: no name may stand beside it', where)
            return None
        for at, name in enumerate(names):
            _matching(name, below(where, at), _NAME)
            if self._actions is not None and name not in self._actions:
                fix = did_you_mean(name, self._actions)
                raise _wrong("unknown-action", f"there is no action {name}", below(where, at), fix=fix)
        _distinct(names, where)
        return self._action_lists.setdefault(names, tuple(map(self._once, names)))

    def _approval(self, value: object, rule: str, message: str) -> Clause:
        found = self._section(value, "/approval", _APPROVAL)
        return Clause(
            rule=rule,
            count=settings.whole(found["count"], "/approval/count", least=1, most=_MOST_PEOPLE),
            roles=self._labels(found.get("roles", []), "/approval/roles"),
            ttl=self._duration(found["ttl"], "/approval/ttl") if "ttl" in found else _APPROVAL_TTL,
            message=message,
        )

    def _throttle(self, value: object, where: str) -> Throttle:
        found = self._section(value, where, _THROTTLE)
        key = settings.texts(found.get("key", []), "/throttle/key")
        for at, path in enumerate(key):
            if path not in BUCKET_KEYS:
                fix = f"verified ones: {', '.join(BUCKET_KEYS)}"
                message = f"a bucket can't be named after {shown(path)}"
                raise _wrong("range", message, below("/throttle/key", at), fix=fix)
        _distinct(key, "/throttle/key")
        limit = settings.whole(found["limit"], "/throttle/limit", least=1, most=BIGGEST_INTEGER)
        per = self._duration(found["per"], "/throttle/per")
        return self._once(Throttle(limit, per, self._once(key)))

    def _obligations(self, value: object, where: str) -> Obligations:
        found = self._section(value, where, _OBLIGATIONS)
        isolation = found.get("isolation")
        if "isolation" in found and isolation not in ISOLATIONS:
            fix = f"one of {', '.join(ISOLATIONS)}"
            raise _wrong(
                "range",
                f"no isolation is called {shown(str(isolation))}",
                "/obligations/isolation",
                fix=fix,
            )
        ttl_max = self._duration(found["ttl_max"], "/obligations/ttl_max") if "ttl_max" in found else None
        return self._once(Obligations(ttl_max=ttl_max, isolation=isolation))

    def _advice(self, value: object, where: str) -> Mapping[str, tuple[str, ...]]:
        found = self._section(value, where, _ADVICE)
        advice = {name: self._labels(labels, f"/advice/{name}") for name, labels in found.items()}
        shared: Mapping[str, tuple[str, ...]] = self._shared.setdefault(
            frozenset(advice.items()), MappingProxyType(advice)
        )
        return shared

    def _named(
        self, value: object, where: str, most: int, reader: Callable[[object], Any]
    ) -> tuple[Any, ...]:
        """A list of things with a name, each name once."""
        if not isinstance(value, list):
            raise _wrong("type", f"expected a list, found {type(value).__name__}", where)
        if len(value) > most:
            raise _wrong("too-large", f"more than {most} of them", where)
        found: list[Any] = []
        try:
            found.extend(map(reader, value))
        except (PolicyError, ConfigError) as error:
            within = f"{where}/{len(found)}{error.where}"
            raise type(error)(error.code, error.message, where=within, fix=error.fix) from None
        first: dict[str, int] = {}
        for at, item in enumerate(found):
            if item.name in first:
                before = self._document.position(f"{where}/{first[item.name]}/name")
                message = f"{item.name} is a name already, at {before[0]}:{before[1]}"
                raise _wrong("duplicate-name", message, f"{where}/{at}/name")
            first[item.name] = at
        return tuple(found)

    def _labels(self, value: object, where: str) -> tuple[str, ...]:
        names = settings.texts(value, where)
        if names in self._label_lists:
            return self._label_lists[names]
        for at, name in enumerate(names):
            _matching(name, below(where, at), _LABEL)
        _distinct(names, where)
        return self._label_lists.setdefault(names, tuple(map(self._once, names)))

    def _duration(self, value: object, where: str) -> timedelta:
        if isinstance(value, str) and value in self._durations:
            return self._durations[value]
        found = settings.duration(value, where)
        return self._durations.setdefault(str(value), found)

    def _section(self, value: object, where: str, keys: _Keys) -> Mapping[str, Any]:
        if isinstance(value, dict) and value.keys() <= keys.every:
            found: Mapping[str, Any] = value
        else:
            found = settings.section(value, where, known=keys.known)
        for key in keys.needed:
            if key not in found:
                raise _missing(key, where)
        return found

    def _once(self, value: _T) -> _T:
        """The first value that was equal to this one; values of one type in all that they are compared by."""
        first: _T = self._shared.setdefault((type(value), value), value)
        return first


def _effect(value: object) -> Effect:
    found = _EFFECTS.get(value) if isinstance(value, str) else None
    if found is None:
        fix = did_you_mean(value, _EFFECTS) if isinstance(value, str) else f"one of {', '.join(_EFFECTS)}"
        raise _wrong("type", f"{shown(str(value))} is not an effect", "/effect", fix=fix)
    return found


def _expression(value: object, where: str) -> str:
    if isinstance(value, bool):  # `expression: true` is a bool to YAML
        return "true" if value else "false"
    return settings.text(value, where)


def _message(value: object, where: str) -> str:
    text = settings.text(value, where)
    if len(text) > _LONGEST_MESSAGE:
        raise _wrong("range", f"a message has at most {_LONGEST_MESSAGE} characters", where)
    return text


def _on_unknown(value: object, where: str) -> bool:
    if value != "ignore":
        raise _wrong("range", "on_unknown can only say ignore", where)
    return True


def _distinct(names: tuple[str, ...], where: str) -> None:
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            raise _wrong("duplicate-name", f"{shown(name)} stands here twice", below(where, at))
        seen.add(name)


def _matching(value: object, where: str, grammar: re.Pattern[str]) -> str:
    text = settings.text(value, where)
    if grammar.fullmatch(text) is None:
        raise _wrong(
            "name", f"{shown(text)!r} can't be a name here", where, fix=f"names match {grammar.pattern}"
        )
    return text


def _missing(key: str, where: str, why: str = "") -> PolicyError:
    return _wrong("missing-key", f"{why}{key} is missing", where)


def _wrong(code: str, message: str, where: str, *, fix: str = "") -> PolicyError:
    return PolicyError(f"policy.{code}", message, where=where, fix=fix)
