"""YAML or JSON text to a `PolicyDocument`, strictly: a misspelt restriction would restrict nothing.

Every error is a `PolicyError` whose `where` is `NAME:LINE:COLUMN`, ready to be printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from cigate.cel.syntax import line_column
from cigate.decision import Effect, Obligations
from cigate.errors import ConfigError, PolicyError
from cigate.policy.document import BUCKET_KEYS, ISOLATIONS, PolicyDocument, Rule, Throttle, Variable
from cigate.ticket import Clause
from cigate.wire import canonical, settings, yamldoc
from cigate.wire.ijson import BIGGEST_INTEGER, Limits
from cigate.wire.names import did_you_mean
from cigate.wire.pointers import shown
from cigate.wire.settings import below

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

_RULE_KEYS: Final = (
    "name",
    "effect",
    "actions",
    "expression",
    "message",
    "messageExpression",
    "approval",
    "throttle",
    "obligations",
    "advice",
    "on_unknown",
)


@frozen
class Source:
    """The text of a policy and where everything stands in it."""

    text: str
    document: yamldoc.Document

    def error(self, code: str, message: str, pointer: str, *, fix: str = "") -> PolicyError:
        """The error about the value at a JSON pointer, or about its key where nobody knows that one."""
        place = self.document.place_of_key if code.endswith(".unknown-key") else self.document.place
        return PolicyError(code, message, where=place(pointer), fix=fix)

    def expression_error(
        self, code: str, message: str, pointer: str, expression: str, at: int, *, fix: str = ""
    ) -> PolicyError:
        """The error about a character offset in the expression that stands at a pointer.

        The place is exact where the document holds the expression's line as it is; where it is folded or escaped
        it is that of the whole value.
        """
        line, column = line_column(expression, at)
        written = expression.split("\n")[line - 1]
        top, left = self.document.position(pointer)
        rows = self.text.split("\n")
        head = rows[top - 1][left - 1 : left]
        if head == "|":
            top, left = top + line, rows[min(top + line, len(rows)) - 1].rfind(written) + 1
        elif head in ("'", '"'):
            left += 1
        if left and rows[top - 1].startswith(written, left - 1):
            return PolicyError(
                code, message, where=f"{self.document.name}:{top}:{left + column - 1}", fix=fix
            )
        return self.error(code, message, pointer, fix=fix)


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
        return _Reader(source, actions).document(), source
    except ConfigError as error:  # the shared readers speak of configuration
        code = error.code.replace("config.", "policy.")
        raise source.error(code, error.message, error.where, fix=error.fix) from None


class _Reader:
    """One document. Its methods are the schema, from the outside in; each takes a value and its pointer."""

    def __init__(self, source: Source, actions: Collection[str] | None) -> None:
        self._source = source
        self._actions = actions

    def document(self) -> PolicyDocument:
        value = self._source.document.value
        top = self._section(value, "", ("apiVersion", "kind", "metadata", "spec"))
        for key, wanted in (("apiVersion", "cigate/v1"), ("kind", "GatewayPolicy")):
            if top[key] != wanted:
                raise self._error("kind", f"{key} must be {wanted}", f"/{key}")
        metadata = self._section(top["metadata"], "/metadata", ("name", "sequence"))
        spec = self._section(top["spec"], "/spec", ("rules",), ("variables",))
        return PolicyDocument(
            name=self._matching(metadata["name"], "/metadata/name", _LABEL),
            sequence=settings.whole(
                metadata["sequence"], "/metadata/sequence", least=0, most=BIGGEST_INTEGER
            ),
            variables=self._named(
                spec.get("variables", []), "/spec/variables", MOST_VARIABLES, self._variable
            ),
            rules=self._named(spec["rules"], "/spec/rules", MOST_RULES, self._rule),
            digest=canonical.digest(value),
        )

    def _variable(self, value: object, where: str) -> Variable:
        found = self._section(value, where, ("name", "expression"))
        return Variable(
            self._matching(found["name"], below(where, "name"), _IDENTIFIER),
            self._expression(found["expression"], below(where, "expression")),
        )

    def _rule(self, value: object, where: str) -> Rule:
        found = self._section(value, where, ("name", "effect"), _RULE_KEYS[2:])
        name = self._matching(found["name"], below(where, "name"), _NAME)
        effect = self._effect(found["effect"], below(where, "effect"))
        if effect is Effect.ALLOW:
            for key in ("actions", "expression"):
                if key not in found:
                    raise self._missing(key, where, "an allow rule says what it opens: ")
        if effect is Effect.REQUIRE_APPROVAL and "approval" not in found:
            raise self._missing("approval", where, "a require_approval rule says how many people it wants: ")
        for key, owner in (("approval", Effect.REQUIRE_APPROVAL), ("throttle", Effect.THROTTLE)):
            if key in found and effect is not owner:
                raise self._error("misplaced", f"{key} belongs to a {owner} rule only", below(where, key))

        def part(key: str, reader: Callable[[Any, str], Any], absent: Any) -> Any:
            return reader(found[key], below(where, key)) if key in found else absent

        message = part("message", self._message, "")
        return Rule(
            name=name,
            effect=effect,
            actions=part("actions", self._rule_actions, None),
            expression=part("expression", self._expression, None),
            message=message,
            message_expression=part("messageExpression", self._expression, None),
            approval=part("approval", lambda value, at: self._approval(value, at, name, message), None),
            throttle=part("throttle", self._throttle, None),
            obligations=part("obligations", self._obligations, Obligations()),
            advice=part("advice", self._advice, {}),
            ignores_unknown=part("on_unknown", self._on_unknown, False),
        )

    def _effect(self, value: object, where: str) -> Effect:
        known = [effect.value for effect in Effect]
        if not isinstance(value, str) or value not in known:
            fix = did_you_mean(value, known) if isinstance(value, str) else f"one of {', '.join(known)}"
            raise self._error("type", f"{shown(str(value))} is not an effect", where, fix=fix)
        return Effect(value)

    def _rule_actions(self, value: object, where: str) -> tuple[str, ...] | None:
        names = settings.texts(value, where)
        if not names:
            raise self._error(
                "actions", "no action is listed, so the rule says nothing", where, fix='["*"] says all'
            )
        if "*" in names:
            if len(names) > 1:
                raise self._error("actions", '"*" says all: no name may stand beside it', where)
            return None
        for at, name in enumerate(names):
            self._matching(name, below(where, at), _NAME)
            if self._actions is not None and name not in self._actions:
                fix = did_you_mean(name, self._actions)
                raise self._error("unknown-action", f"there is no action {name}", below(where, at), fix=fix)
        self._distinct(names, where)
        return names

    def _expression(self, value: object, where: str) -> str:
        if isinstance(value, bool):  # `expression: true` is a bool to YAML
            return "true" if value else "false"
        return settings.text(value, where)

    def _message(self, value: object, where: str) -> str:
        text = settings.text(value, where)
        if len(text) > _LONGEST_MESSAGE:
            raise self._error("range", f"a message has at most {_LONGEST_MESSAGE} characters", where)
        return text

    def _approval(self, value: object, where: str, rule: str, message: str) -> Clause:
        found = self._section(value, where, ("count",), ("roles", "ttl"))
        return Clause(
            rule=rule,
            count=settings.whole(found["count"], below(where, "count"), least=1, most=_MOST_PEOPLE),
            roles=self._labels(found.get("roles", []), below(where, "roles")),
            ttl=settings.duration(found["ttl"], below(where, "ttl")) if "ttl" in found else _APPROVAL_TTL,
            message=message,
        )

    def _throttle(self, value: object, where: str) -> Throttle:
        found = self._section(value, where, ("limit", "per"), ("key",))
        at = below(where, "key")
        key = settings.texts(found.get("key", []), at)
        for place, path in enumerate(key):
            if path not in BUCKET_KEYS:
                fix = f"verified ones: {', '.join(BUCKET_KEYS)}"
                message = f"a bucket can't be named after {shown(path)}"
                raise self._error("range", message, below(at, place), fix=fix)
        self._distinct(key, at)
        return Throttle(
            limit=settings.whole(found["limit"], below(where, "limit"), least=1, most=BIGGEST_INTEGER),
            per=settings.duration(found["per"], below(where, "per")),
            key=key,
        )

    def _obligations(self, value: object, where: str) -> Obligations:
        found = self._section(value, where, (), ("ttl_max", "isolation"))
        isolation = found.get("isolation")
        if "isolation" in found and isolation not in ISOLATIONS:
            fix = f"one of {', '.join(ISOLATIONS)}"
            raise self._error(
                "range", f"no isolation is called {shown(str(isolation))}", below(where, "isolation"), fix=fix
            )
        ttl_max = settings.duration(found["ttl_max"], below(where, "ttl_max")) if "ttl_max" in found else None
        return Obligations(ttl_max=ttl_max, isolation=isolation)

    def _advice(self, value: object, where: str) -> Mapping[str, tuple[str, ...]]:
        found = self._section(value, where, (), ("notify",))
        return {name: self._labels(labels, below(where, name)) for name, labels in found.items()}

    def _on_unknown(self, value: object, where: str) -> bool:
        if value != "ignore":
            raise self._error("range", "on_unknown can only say ignore", where)
        return True

    def _named(
        self, value: object, where: str, most: int, reader: Callable[[object, str], Any]
    ) -> tuple[Any, ...]:
        """A list of things with a name, each name once."""
        if not isinstance(value, list):
            raise self._error("type", f"expected a list, found {type(value).__name__}", where)
        if len(value) > most:
            raise self._error("too-large", f"more than {most} of them", where)
        found = tuple(reader(item, below(where, at)) for at, item in enumerate(value))
        first: dict[str, int] = {}
        for at, item in enumerate(found):
            if item.name in first:
                before = self._source.document.position(f"{where}/{first[item.name]}/name")
                message = f"{item.name} is a name already, at {before[0]}:{before[1]}"
                raise self._error("duplicate-name", message, f"{where}/{at}/name")
            first[item.name] = at
        return found

    def _labels(self, value: object, where: str) -> tuple[str, ...]:
        names = settings.texts(value, where)
        for at, name in enumerate(names):
            self._matching(name, below(where, at), _LABEL)
        self._distinct(names, where)
        return names

    def _distinct(self, names: tuple[str, ...], where: str) -> None:
        for at, name in enumerate(names):
            if name in names[:at]:
                raise self._error("duplicate-name", f"{shown(name)} stands here twice", below(where, at))

    def _matching(self, value: object, where: str, grammar: re.Pattern[str]) -> str:
        text = settings.text(value, where)
        if grammar.fullmatch(text) is None:
            raise self._error(
                "name", f"{shown(text)!r} can't be a name here", where, fix=f"names match {grammar.pattern}"
            )
        return text

    def _section(
        self, value: object, where: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> Mapping[str, Any]:
        found = settings.section(value, where, known=(*needed, *optional))
        for key in needed:
            if key not in found:
                raise self._missing(key, where)
        return found

    def _missing(self, key: str, where: str, why: str = "") -> PolicyError:
        return self._error("missing-key", f"{why}{key} is missing", where)

    def _error(self, code: str, message: str, where: str, *, fix: str = "") -> PolicyError:
        return self._source.error(f"policy.{code}", message, where, fix=fix)
