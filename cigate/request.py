"""The request of an agent, well-formed and within bounds: what intake hands on.

Bytes are read once, strictly (RFC 7493), and a value is never repaired. Every `Request` that exists fits the
grammar, however it was made. The outer fields of an unverified request are compared with the signed ones
(`first_difference`) and used for nothing else (design, rule 5).
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NewType

from attrs import Attribute, field, frozen

from cigate.errors import RequestError
from cigate.wire import canonical, ijson
from cigate.wire.ijson import BIGGEST_INTEGER, Json, JSONError
from cigate.wire.names import did_you_mean
from cigate.wire.pointers import place, shown

AgentId = NewType("AgentId", str)
UserId = NewType("UserId", str)
DeviceId = NewType("DeviceId", str)
ActionName = NewType("ActionName", str)
Commit = NewType("Commit", str)

LONGEST_PURPOSE: Final = 500
LONGEST_VALUE: Final = 4096
MOST_PARAMETERS: Final = 64

# threats A14: what names somebody or something is ASCII, so that no two spellings look alike
ACTION_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PARAMETER_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}")
_VERSION = re.compile(r"[!-~]{1,64}")
_COMMIT = re.compile(r"(?:sha1:)?[0-9a-f]{40}|(?:sha256:)?[0-9a-f]{64}")
_JTI = re.compile(r"[A-Za-z0-9._~-]{8,128}")

_FORBIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_SIGNED_FIELDS: Final = ("agent_id", "agent_version", "user_id", "action", "commit", "parameters", "purpose")
_CLAIMS: Final = ("aud", "iat", "exp", "jti")
_OPTIONAL: Final = frozenset({"purpose", "attestation"})


def forbidden_character(text: str) -> str | None:
    """The first control, format, surrogate, line- or paragraph-separator character of a text, as `U+200B`."""
    if text.isascii() and text.isprintable():
        return None
    found = next((each for each in text if unicodedata.category(each) in _FORBIDDEN), None)
    return None if found is None else f"U+{ord(found):04X}"


def _refuse(code: str, message: str, *steps: str | int, fix: str = "") -> RequestError:
    return RequestError(f"request.{code}", message, where=place(steps), fix=fix)


def _text(value: object, *steps: str | int) -> str:
    if type(value) is not str:
        raise _refuse("wrong-type", f"expected a string, found {_kind(value)}", *steps)
    return value


def _kind(value: object) -> str:
    kinds = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", type(None): "null"}
    kinds |= {list: "an array", dict: "an object"}
    return kinds.get(type(value), type(value).__name__)


def _fits(pattern: re.Pattern[str], wanted: str) -> Callable[[Any, Attribute[Any], Any], None]:
    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        text = _text(value, attribute.name)
        if pattern.fullmatch(text) is None:
            raise _refuse("malformed", f"{shown(text)!r} is not {wanted}", attribute.name)

    return check


def _check_parameters(_: object, __: object, given: Mapping[object, object]) -> None:
    if len(given) > MOST_PARAMETERS:
        raise _refuse("too-many", f"{len(given)} parameters are more than {MOST_PARAMETERS}", "parameters")
    for name, value in given.items():
        if type(name) is not str or PARAMETER_NAME.fullmatch(name) is None:
            message = f"{shown(str(name))!r} is not a parameter name such as test_suite"
            raise _refuse("malformed", message, "parameters", str(name))
        match value:
            case bool():
                continue
            case int() if type(value) is int:
                if abs(value) > BIGGEST_INTEGER:
                    raise _refuse("number", "an integer must be within ±(2^53-1)", "parameters", name)
            case str() if type(value) is str:
                if len(value) > LONGEST_VALUE:
                    raise _refuse("too-long", f"more than {LONGEST_VALUE} characters", "parameters", name)
                if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
                    raise _refuse("surrogate", "half of a surrogate pair", "parameters", name)
            case _:
                message = f"expected a string, an integer or a boolean, found {_kind(value)}"
                raise _refuse("wrong-type", message, "parameters", name)


def _check_purpose(_: object, __: object, value: Any) -> None:
    if value is None:
        return
    text = _text(value, "purpose")
    if len(text) > LONGEST_PURPOSE:
        raise _refuse("too-long", f"{len(text)} characters are more than {LONGEST_PURPOSE}", "purpose")
    found = forbidden_character(text)
    if found is not None:
        raise _refuse("character", f"the character {found} may not stand here", "purpose")


def _parameters(given: object) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping):
        raise _refuse("wrong-type", f"expected an object, found {_kind(given)}", "parameters")
    return MappingProxyType(dict(given))


@frozen
class Request:
    """One request, as the agent wrote it, well-formed.

    Args:
        agent_id, agent_version, user_id, action, commit, parameters, purpose: what a signature covers.
        attestation: the DSSE envelope's bytes, decoded from the outer base64; None: it is not signed yet.

    Raises:
        RequestError: `request.wrong-type`, `request.malformed`, `request.too-long`, `request.too-many`,
            `request.number`, `request.surrogate`, `request.character`, with the field's JSON pointer.
    """

    agent_id: AgentId = field(validator=_fits(_AGENT_ID, "an agent id: ASCII letters, digits, . _ : -"))
    agent_version: str = field(
        validator=_fits(_VERSION, "a version: 1 to 64 printable ASCII characters, no space")
    )
    user_id: UserId = field(validator=_fits(_USER_ID, "a user id: ASCII letters, digits, . _ : @ + -"))
    action: ActionName = field(validator=_fits(ACTION_NAME, "an action name: a-z, digits, . _ -"))
    commit: Commit = field(
        validator=_fits(_COMMIT, "a git object id: 40 or 64 lower-case hex, or sha1:/sha256: and hex")
    )
    parameters: Mapping[str, bool | int | str] = field(converter=_parameters, validator=_check_parameters)
    purpose: str | None = field(default=None, validator=_check_purpose)
    attestation: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, raw: bytes) -> Request:
        """Read one request, strictly: design section 6; at most 64 KiB of I-JSON.

        Raises:
            RequestError: JSON's own refusals (`request.duplicate-key`, `request.too-large`, `request.syntax`
                and the like), `request.unknown-field`, `request.missing-field`, `request.attestation` (not
                canonical padded base64), and what the class refuses.
        """
        document = _object(raw)
        _names(document, (*_SIGNED_FIELDS, "attestation"))
        envelope = _base64(document["attestation"]) if "attestation" in document else None
        return _request(document, envelope)

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Request:
        """The same check for a dict that is about to be signed, so it has no `attestation` yet.

        Raises:
            RequestError: as `parse`; `request.attestation` if there is one.
        """
        if not isinstance(mapping, Mapping):
            raise _refuse("wrong-type", f"expected an object, found {_kind(mapping)}")
        if "attestation" in mapping:
            raise _refuse(
                "attestation", "a request that is about to be signed has no attestation", "attestation"
            )
        _names(mapping, _SIGNED_FIELDS)
        return _request(mapping, None)

    @classmethod
    def from_signed(cls, payload: bytes) -> tuple[Request, Signed]:
        """The request inside a verified payload, and the claims that were signed with it.

        Raises:
            RequestError: as `parse`, for the same fields, `aud`, `iat`, `exp`, `jti`, and no `attestation`.
        """
        document = _object(payload)
        _names(document, (*_SIGNED_FIELDS, *_CLAIMS))
        claims = Signed(**{name: document[name] for name in _CLAIMS})  # type: ignore[arg-type]  # its validators check
        return _request(document, None), claims

    def fields(self) -> dict[str, Any]:
        """Every field that a signature covers, as JSON; an absent purpose is absent."""
        return {
            "agent_id": self.agent_id,
            "agent_version": self.agent_version,
            "user_id": self.user_id,
            "action": self.action,
            "commit": self.commit,
            "parameters": dict(self.parameters),
            **({"purpose": self.purpose} if self.purpose is not None else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """The request as it travels; `parse` reads its JSON back."""
        if self.attestation is None:
            return self.fields()
        return {**self.fields(), "attestation": base64.b64encode(self.attestation).decode("ascii")}

    @property
    def commit_hex(self) -> str:
        """The git object id: the commit without a `sha1:` or `sha256:` prefix."""
        return self.commit.rpartition(":")[2]

    @property
    def digest(self) -> str:
        """`sha256:` and hex over the canonical JSON of `fields()`."""
        return canonical.digest(self.fields())

    def compare(self, signed: Request) -> str | None:
        """The JSON pointer of the first field in which the signed request differs; None if it is the same."""
        return first_difference(self, signed)


def _instant(_: object, attribute: Attribute[Any], value: object) -> None:
    if type(value) is not int:
        raise _refuse("wrong-type", f"expected whole seconds, found {_kind(value)}", attribute.name)
    if not 0 <= value <= BIGGEST_INTEGER:
        raise _refuse("number", "expected seconds since 1970, not negative", attribute.name)


def _audience(_: object, attribute: Attribute[Any], value: object) -> None:
    _text(value, attribute.name)


@frozen
class Signed:
    """What was signed with a request and is no part of it.

    Args:
        aud: the gateway that it is for, compared exactly.
        iat, exp: issued at and expires, seconds since 1970.
        jti: makes the signature single-use, with the key.

    Raises:
        RequestError: `request.wrong-type`, `request.number`, `request.malformed`.
    """

    aud: str = field(validator=_audience)
    iat: int = field(validator=_instant)
    exp: int = field(validator=_instant)
    jti: str = field(validator=_fits(_JTI, "8 to 128 of ASCII letters, digits, . _ ~ -"))


def first_difference(outer: Request | Json, signed: Request | Json) -> str | None:
    """The JSON pointer of the first place where two requests, or two JSON values, differ; None if nowhere.

    Types count (1, 1.0, true and "1" all differ) and nothing is normalised. Names are visited in their order
    in `outer`, then those that only `signed` has.
    """
    left: Any = outer.fields() if isinstance(outer, Request) else outer
    right: Any = signed.fields() if isinstance(signed, Request) else signed
    steps = _difference(left, right, ())
    return None if steps is None else place(steps)


def _difference(left: Any, right: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in (*left, *(name for name in right if name not in left)):
            if name not in left or name not in right:
                return (*path, name)
            found = _difference(left[name], right[name], (*path, name))
            if found is not None:
                return found
        return None
    if isinstance(left, list) and isinstance(right, list):
        for at, (one, other) in enumerate(zip(left, right, strict=False)):
            found = _difference(one, other, (*path, at))
            if found is not None:
                return found
        return None if len(left) == len(right) else (*path, min(len(left), len(right)))
    return None if type(left) is type(right) and left == right else path


def _object(raw: bytes) -> dict[str, Json]:
    try:
        document = ijson.parse(raw)
    except JSONError as error:
        code = error.code.replace("json.", "request.", 1)
        raise RequestError(code, error.message, where=error.where, fix=error.fix) from None
    if not isinstance(document, dict):
        raise _refuse("wrong-type", f"expected an object, found {_kind(document)}")
    return document


def _names(document: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for name in document:
        if name not in known:
            message = f"{shown(str(name))!r} is not a field of a request"
            raise _refuse("unknown-field", message, str(name), fix=did_you_mean(str(name), known))
    for name in known:
        if name not in document and name not in _OPTIONAL:
            raise _refuse("missing-field", f"the field {name} is missing", name)


def _request(document: Mapping[str, Any], attestation: bytes | None) -> Request:
    if "purpose" in document and document["purpose"] is None:
        raise _refuse("wrong-type", "expected a string, found null", "purpose", fix="leave it out")
    given = {name: document[name] for name in _SIGNED_FIELDS if name in document}
    return Request(**given, attestation=attestation)


def _base64(value: object) -> bytes:
    text = _text(value, "attestation")
    try:
        decoded = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        decoded = b""
    # the one spelling of these bytes (RFC 4648, 3.5): else a replay could be spelt anew
    if not decoded or base64.b64encode(decoded).decode("ascii") != text:
        raise _refuse(
            "attestation", "expected standard base64 with its padding, canonical, not empty", "attestation"
        )
    return decoded
