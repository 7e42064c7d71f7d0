"""A credential broker that can lie, and the vendor behind it that knows the truth.

`LyingBroker()` is honest. With a `Lie` it breaks one promise of the contract, so that tests can see whether
somebody notices. `Vendor` is shared by all brokers that stand for processes on one account.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from attrs import define, evolve, field

from cigate.credentials import DiesAt, Grant, Lease, LeaseId, Profile, Revoked, Tag
from cigate.errors import BrokerUnavailable, BrokerUncertain
from cigate.secret import Secret

PROFILES: Mapping[str, Profile] = {"tests": Profile(("tests:read",), timedelta(minutes=10))}


class Lie(Enum):
    WIDER = auto()
    """The lease opens more than its profile."""
    LONGER = auto()
    """The lease outlives `until`."""
    OTHER_TAG = auto()
    """The lease comes back under somebody else's tag."""
    TWICE = auto()
    """One tag gets as many leases as are asked for."""
    ANY_PROFILE = auto()
    """A profile that does not exist is taken for the widest there is."""
    SECRET_AS_ID = auto()
    """The lease's id is its secret."""
    FORGETS = auto()
    """`outstanding` never finds anything."""
    ONE_FOR_ALL = auto()
    """`revoke` takes everybody's leases back."""
    REVOKED_IN_WORDS = auto()
    """`revoke` says it is done, and the lease goes on opening."""
    DIES_IN_WORDS = auto()
    """`revoke` says that the lease dies before it does."""
    ISSUED_THOUGH_UNAVAILABLE = auto()
    """A lease is issued, and then nothing was."""


@define
class Vendor:
    """What is really issued. `leases` are the live ones, `issued` counts all that ever were."""

    leases: dict[LeaseId, Lease] = field(factory=dict)
    issued: int = 0
    tags: set[Tag] = field(factory=set)
    lock: threading.Lock = field(factory=threading.Lock)

    def opens(self, lease: Lease) -> bool:
        return any(lease.secret is live.secret for live in self.leases.values())


class LyingBroker:
    """A broker over `vendor`.

    Args:
        lies: the promises that it breaks; none by default.
        uncertain: the next so many `issue` calls issue, and then fail with BrokerUncertain.
        stuck: the next so many `revoke` calls fail with BrokerUnavailable.
    """

    def __init__(
        self,
        vendor: Vendor | None = None,
        *,
        lies: Collection[Lie] = (),
        profiles: Mapping[str, Profile] = PROFILES,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        uncertain: int = 0,
        stuck: int = 0,
    ) -> None:
        self.vendor = vendor or Vendor()
        self.lies = frozenset(lies)
        self.profiles = profiles
        self.uncertain = uncertain
        self.stuck = stuck
        self._clock = clock

    def issue(self, grant: Grant, *, until: datetime) -> Lease:
        with self.vendor.lock:
            lease = self._lease(grant, until)
            self.vendor.tags.add(grant.tag)
            self.vendor.leases[lease.id] = lease
            self.vendor.issued += 1
            if self.uncertain:
                self.uncertain -= 1
                raise BrokerUncertain("broker.timeout", "the vendor did not answer")
        if Lie.ISSUED_THOUGH_UNAVAILABLE in self.lies:
            raise BrokerUnavailable("broker.unreachable", "the vendor could not be reached")
        return evolve(lease, tag=Tag("somebody-else")) if Lie.OTHER_TAG in self.lies else lease

    def _lease(self, grant: Grant, until: datetime) -> Lease:
        profile = self.profiles.get(grant.profile)
        if profile is None and Lie.ANY_PROFILE in self.lies:
            profile = Profile(("*",), timedelta(hours=1))
        if profile is None:
            raise BrokerUnavailable("broker.unknown-profile", "there is no such profile")
        if grant.tag in self.vendor.tags and Lie.TWICE not in self.lies:
            raise BrokerUnavailable("broker.tag-used", "a lease was issued for this tag before")
        now = self._clock()
        ttl = min(profile.ttl, grant.ttl, until - now)
        if ttl <= timedelta(0):
            raise BrokerUnavailable("broker.too-late", "no time is left")
        secret = secrets.token_urlsafe(32)
        return Lease(
            id=LeaseId(secret if Lie.SECRET_AS_ID in self.lies else f"lease-{self.vendor.issued}"),
            tag=grant.tag,
            secret=Secret(secret),
            scope=(*profile.scope, "admin") if Lie.WIDER in self.lies else profile.scope,
            expires=now + ttl + (timedelta(hours=12) if Lie.LONGER in self.lies else timedelta(0)),
        )

    def revoke(self, lease: LeaseId) -> Revoked | DiesAt:
        with self.vendor.lock:
            if self.stuck:
                self.stuck -= 1
                raise BrokerUnavailable("broker.unreachable", "the vendor could not be reached")
            if Lie.DIES_IN_WORDS in self.lies:
                return DiesAt(self._clock())
            if Lie.ONE_FOR_ALL in self.lies:
                self.vendor.leases.clear()
            if Lie.REVOKED_IN_WORDS not in self.lies:
                self.vendor.leases.pop(lease, None)
            return Revoked(self._clock())

    def outstanding(self, tag: Tag) -> Sequence[LeaseId]:
        with self.vendor.lock:
            if Lie.FORGETS in self.lies:
                return ()
            return tuple(lease.id for lease in self.vendor.leases.values() if lease.tag == tag)
