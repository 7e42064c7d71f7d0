"""The broker without a vendor: short-lived, action-scoped tokens that this process signs itself.

A token is a compact JWT that says for which decision it was issued (`aud`), what it opens (`scope`), and
until when. Its lease id is a pure function of the tag, so what was issued is found again without any state.

Theory of operation. A signed token can't be unsigned. What can be taken back is the answer to "does it still
open something?": a service that asks `introspect` is told no once the lease was revoked here, or once `live`
says that the decision's run is over, which every process on the same store sees. So with `live`, `revoke`
says `Revoked`; without it, it says when the token dies. A service that only checks signatures with
`public_pem()` accepts a token until it expires; keep the profile's ttl short for those.

Nothing here waits for a lock: each step is one atomic step of a dict, so a fork at any moment is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cigate.credentials.credential import DiesAt, Grant, Profile, Revoked
from cigate.credentials.jws import TokenKey, private_key
from cigate.errors import AttestationError, BrokerUnavailable, CigateError, ConfigError
from cigate.lease import Lease, LeaseId, Tag
from cigate.secret import Secret
from cigate.signing import Algorithm, write_key_pair
from cigate.signing.signer import PrivateKey
from cigate.wire import settings
from cigate.wire.pointers import shown

_PREFIX: Final = "local:"
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749 section 3.3: a scope is a list of such words with spaces between them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_REMEMBERED: Final = timedelta(days=1)
"""How long a tag is remembered after its lease died. By then no caller has it in hand any more."""
_SWEPT_FROM: Final = 4096


def _now() -> datetime:
    return datetime.now(UTC)


class LocalBroker:
    """Issues tokens that it signs with its own key. Safe to use from many threads, and after a fork.

    Args:
        key: Ed25519 or ECDSA P-256; or its PKCS #8 PEM, as a `Secret` or in a file (`Path`).
        profiles: what it may issue, by name.
        name: the tokens' `iss`.
        clock: the time now, aware.
        live: whether the run of a decision still goes on; the gateway gives it. It must answer the same in
            every process, and raise a `CigateError` when it does not know.

    Raises:
        ConfigError: `broker.name`, `broker.scope`, `broker.ttl`, and what reading the key raises (`key.*`).
    """

    def __init__(
        self,
        key: PrivateKey | Secret | Path,
        profiles: Mapping[str, Profile],
        *,
        name: str = "local",
        clock: Callable[[], datetime] = _now,
        live: Callable[[Tag], bool] | None = None,
    ) -> None:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                "broker.name", f"{shown(name)!r} is no name for a broker", fix="letters, digits, ._-"
            )
        for profile_name, profile in profiles.items():
            _check_profile(profile, settings.below("/profiles", profile_name))
        self._key = TokenKey(private_key(key))
        self._profiles = MappingProxyType(dict(profiles))
        self._longest = max((given.ttl for given in profiles.values()), default=timedelta(0))
        self._name = name
        self._clock = clock
        self._live = live
        self._dies: dict[Tag, datetime] = {}
        self._revoked: dict[Tag, datetime] = {}
        self._sweep_at = _SWEPT_FROM

    @classmethod
    def generate(cls, profiles: Mapping[str, Profile], **options: Any) -> LocalBroker:
        """A broker with a fresh Ed25519 key that is in no file: for tests and notebooks."""
        return cls(Ed25519PrivateKey.generate(), profiles, **options)

    @classmethod
    def from_config(
        cls,
        name: str,
        section: Mapping[str, Any],
        *,
        folder: Path,
        live: Callable[[Tag], bool] | None,
        clock: Callable[[], datetime],
    ) -> LocalBroker:
        """Read `brokers: {NAME: {backend: local, profiles: {P: {scope: [..], ttl: 10m}}, key: {secret: …}}}`.

        The key is `broker-NAME.key` in the folder unless `key` says otherwise. Only its owner may read it.

        Raises:
            ConfigError: `config.*`, `broker.*`, `key.*`, `secret.*`; `where` points into the section.
        """
        found = settings.section(section, "", known=("backend", "profiles", "key"))
        named = settings.section(found.get("profiles"), "/profiles")
        profiles = {
            profile: _profile(settings.below("/profiles", profile), given) for profile, given in named.items()
        }
        return cls(_key_of(found, name, folder), profiles, name=name, clock=clock, live=live)

    @staticmethod
    def create_key(path: Path) -> None:
        """Make a broker's key: an Ed25519 key that only its owner may read, and `PATH.pub` for who verifies.

        Raises:
            ConfigError: `key.file`, there is one already or it can't be made.
        """
        write_key_pair(path, algorithm=Algorithm.ED25519)

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """What it may issue."""
        return self._profiles

    def public_pem(self) -> bytes:
        """The public key (SPKI, PEM) with which others verify the tokens' signatures."""
        return self._key.public_pem()

    def issue(self, grant: Grant, *, until: datetime) -> Lease:
        """A token for `grant.audience` with the profile's scope; it dies at the earliest of all bounds.

        Raises:
            BrokerUnavailable: `broker.unknown-profile`, `broker.too-late`, `broker.tag-used`, `broker.grant`.
        """
        profile = self._profiles.get(grant.profile)
        if profile is None:
            raise BrokerUnavailable(
                "broker.unknown-profile", f"broker {self._name} has no profile {shown(grant.profile)}"
            )
        now = self._clock()
        begins = _whole_seconds(now)
        ends = _whole_seconds(now + min(profile.ttl, grant.ttl, until - now))
        if ends <= begins:
            raise BrokerUnavailable("broker.too-late", f"nothing of the time for {shown(grant.tag)} is left")
        self._sweep(now)
        expires = _EPOCH + ends * _SECOND
        lease = _lease_id(grant.tag)
        claims = {
            "iss": self._name,
            "sub": grant.agent,
            "client_id": grant.agent,
            "user": grant.user,
            "aud": grant.audience,
            "action": grant.action,
            "scope": " ".join(profile.scope),
            "iat": begins,
            "nbf": begins,
            "exp": ends,
            "jti": lease,
        }
        try:
            secret = Secret(self._key.write(claims))
        except CigateError as error:
            raise BrokerUnavailable("broker.grant", "the grant can't be written into a token") from error
        if self._dies.setdefault(grant.tag, expires) is not expires:
            raise BrokerUnavailable("broker.tag-used", f"a lease was issued for {shown(grant.tag)} before")
        return Lease(lease, grant.tag, secret, profile.scope, expires)

    def revoke(self, lease: LeaseId) -> Revoked | DiesAt:
        """Refuse the token from now on in `introspect`; without `live`, say when it dies.

        Of a lease that another process issued, that is when the longest profile's, issued now, would be dead.

        Raises:
            BrokerUnavailable: `broker.unknown-lease`, it is not one of this kind of broker.
        """
        tag = _tag(lease)
        now = self._clock()
        dies = self._dies.setdefault(tag, now + self._longest)
        revoked = self._revoked.setdefault(tag, now)
        return DiesAt(dies) if self._live is None else Revoked(revoked)

    def outstanding(self, tag: Tag) -> Sequence[LeaseId]:
        """The lease under this tag, unless it is known to open nothing.

        Whether one was issued is not looked up, so before the run is over the answer may name one too many.

        Raises:
            BrokerUnavailable: `broker.liveness`, `live` could not say.
        """
        if tag in self._dies and self._dies[tag] <= self._clock():
            return ()
        if self._live is None:
            return (_lease_id(tag),)
        if tag in self._revoked:
            return ()
        try:
            over = self._live(tag) is False
        except CigateError as error:
            raise BrokerUnavailable(
                "broker.liveness", f"whether {shown(tag)} still runs is not known"
            ) from error
        return () if over else (_lease_id(tag),)

    def introspect(self, token: str, *, audience: str) -> Mapping[str, Any]:
        """The claims of a token that opens something now, for whoever is to be opened to.

        Args:
            token: as it was presented.
            audience: the decision that the caller expects; no other token will do.

        Raises:
            AttestationError: `token.malformed`, `token.header`, `token.signature`, `token.claims`,
                `token.issuer`, `token.audience`, `token.not-yet`, `token.expired`, `token.revoked`,
                `token.concluded` (its run is over), `token.liveness` (whether it is could not be asked).
        """
        claims = self._key.read(token)
        begins, ends, lease = claims.get("nbf"), claims.get("exp"), claims.get("jti")
        if type(begins) is not int or type(ends) is not int:
            raise AttestationError("token.claims", "nbf or exp is missing")
        if not isinstance(lease, str) or not lease.startswith(_PREFIX):
            raise AttestationError("token.claims", "its jti names no lease of ours")
        if claims.get("iss") != self._name:
            raise AttestationError("token.issuer", "another broker issued it")
        if "aud" not in claims or claims["aud"] != audience:
            raise AttestationError("token.audience", "it is for somebody else")
        now = self._clock()
        if now < _EPOCH + begins * _SECOND:
            raise AttestationError("token.not-yet", "it is not valid yet")
        if now >= _EPOCH + ends * _SECOND:
            raise AttestationError("token.expired", "it has expired")
        self._refuse_if_over(_tag(LeaseId(lease)))
        return MappingProxyType(dict(claims))

    def _refuse_if_over(self, tag: Tag) -> None:
        if tag in self._revoked:
            raise AttestationError("token.revoked", "it was revoked")
        if self._live is None:
            return
        try:
            live = self._live(tag)
        except CigateError as error:
            raise AttestationError("token.liveness", "whether its run still goes on is not known") from error
        if live is not True:
            raise AttestationError("token.concluded", "its run is over")

    def _sweep(self, now: datetime) -> None:
        """Forget the long dead, now and then. A copy is looked through: other threads go on meanwhile."""
        if len(self._dies) < self._sweep_at:
            return
        for tag, dies in self._dies.copy().items():
            if dies + _REMEMBERED < now:
                self._dies.pop(tag, None)
                self._revoked.pop(tag, None)
        self._sweep_at = max(_SWEPT_FROM, 2 * len(self._dies))


def _whole_seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _SECOND


def _lease_id(tag: Tag) -> LeaseId:
    return LeaseId(_PREFIX + tag)


def _tag(lease: LeaseId) -> Tag:
    if not lease.startswith(_PREFIX):
        raise BrokerUnavailable("broker.unknown-lease", f"{shown(lease)} was not issued by a local broker")
    return Tag(lease.removeprefix(_PREFIX))


def _key_of(section: Mapping[str, Any], name: str, folder: Path) -> PrivateKey:
    if "key" not in section:
        return _placed("/key", lambda: private_key(folder / f"broker-{name}.key"))
    key = settings.section(section["key"], "/key", known=("secret",))
    source = settings.section(key.get("secret"), "/key/secret", known=("env", "file"))
    if len(source) != 1:
        raise ConfigError(
            "config.secret", "a secret has one source", where="/key/secret", fix="{secret: {file: PATH}}"
        )
    ((kind, given),) = source.items()
    where = f"/key/secret/{kind}"
    named = settings.text(given, where)
    if kind == "env":
        return _placed(where, lambda: private_key(Secret.from_env(named)))
    return _placed(where, lambda: private_key(folder / named))


def _placed(where: str, read: Callable[[], PrivateKey]) -> PrivateKey:
    try:
        return read()
    except ConfigError as error:
        raise ConfigError(error.code, error.message, where=where, fix=error.fix) from None


def _profile(where: str, value: object) -> Profile:
    given = settings.section(value, where, known=("scope", "ttl"))
    profile = Profile(
        scope=settings.texts(given.get("scope"), f"{where}/scope"),
        ttl=settings.duration(given.get("ttl"), f"{where}/ttl"),
    )
    _check_profile(profile, where)
    return profile


def _check_profile(profile: Profile, where: str) -> None:
    for at, word in enumerate(profile.scope):
        if _SCOPE.fullmatch(word) is None:
            raise ConfigError(
                "broker.scope",
                f"{shown(word)!r} is not one word of a scope (RFC 6749 section 3.3)",
                where=f"{where}/scope/{at}",
                fix="list each word by itself",
            )
    if not profile.scope:
        raise ConfigError("broker.scope", "a profile without a scope opens nothing", where=f"{where}/scope")
    if profile.ttl < _SECOND:
        raise ConfigError("broker.ttl", "tokens count whole seconds", where=f"{where}/ttl", fix="at least 1s")
