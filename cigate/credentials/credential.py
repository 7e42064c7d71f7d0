"""Grants, and the protocol that turns one into a lease and takes it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from attrs import frozen

from cigate.lease import Lease, LeaseId, Tag


@frozen
class Profile:
    """What an operator lets a broker issue: named in the configuration, chosen by the action, never by a request.

    Args:
        scope: what the credential may open, in the broker's words.
        ttl: the longest it may live.
    """

    scope: tuple[str, ...]
    ttl: timedelta


@frozen
class Grant:
    """The least credential for one decided run.

    Args:
        tag: the decision's id: at most one lease is ever issued for it.
        profile: the profile's name in the broker's configuration.
        ttl: the longest it may live: the least of profile, action, obligation and run.
        action: the action it is for.
        agent: the agent that asked (identity for the broker's own records).
        user: the user it asked for.
        audience: who the credential is for; a run's own decision id unless the profile says otherwise.
    """

    tag: Tag
    profile: str
    ttl: timedelta
    action: str
    agent: str
    user: str
    audience: str


@frozen
class Revoked:
    """The lease opens nothing any more."""

    at: datetime


@frozen
class DiesAt:
    """The lease can't be taken back: it opens things until this moment."""

    at: datetime


class CredentialBroker(Protocol):
    """Turns a grant into a short-lived credential, and takes it back.

    Implementations are safe to call from many threads. `issue` is called at most once per `Grant.tag`;
    after a crash, `outstanding` must still find what was issued under it.
    """

    def issue(self, grant: Grant, *, until: datetime) -> Lease:
        """A credential no wider than `grant` that dies by `until`.

        Raises:
            BrokerUnavailable: nothing was issued (safe to retry).
            BrokerUncertain: something may have been issued; it can be found by `grant.tag`.
        """

    def revoke(self, lease: LeaseId) -> Revoked | DiesAt:
        """Take a lease back, or say when it dies. Idempotent.

        Raises:
            BrokerUnavailable: nothing changed, try again.
        """

    def outstanding(self, tag: Tag) -> Sequence[LeaseId]:
        """The leases under this tag that may still open something.

        Raises:
            BrokerUnavailable: it could not be asked.
            CannotList: this broker can't search; the lease counts as outstanding until it expires.
        """


@runtime_checkable
class Profiled(Protocol):
    """A broker that shows its profiles, so that the gateway can check a lease's scope against what was configured."""

    @property
    def profiles(self) -> Mapping[str, Profile]: ...
