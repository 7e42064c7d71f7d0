"""What every credential broker promises, as tests: for authors of brokers.

    class TestMyBroker(BrokerContract):
        profile, scope, ttl = "tests", ("tests:read",), timedelta(minutes=10)

        def broker(self): ...
        def reopened(self, broker): ...
        def opens(self, broker, lease): ...

pytest then runs each promise against your broker. Nothing here waits, so a real vendor can be behind it.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from cigate.credentials import CredentialBroker, DiesAt, Grant, Lease, LeaseId, Revoked, Tag
from cigate.errors import BrokerUnavailable, BrokerUncertain, CannotList

_THREADS = 16
_HOSTILE_WORDS = (
    "admin root *",
    'x","scope":"admin',
    "x\r\nscope: admin",
    "../../admin",
    "*",
    "%2a&scope=admin",
    "\u202enimda",
    "\x00",
    "a" * 10_000,
    "",
)
"""What an agent's, a user's or an action's name never is; a broker behind a mistake elsewhere still holds."""


class BrokerContract(ABC):
    """The promises of `CredentialBroker`. Subclass it as `Test…`, and fill in the five names below.

    `profile` is the name of a profile of your broker, `scope` and `ttl` are what it was configured with.
    """

    profile: str
    scope: tuple[str, ...]
    ttl: timedelta

    @abstractmethod
    def broker(self) -> CredentialBroker:
        """A broker that has issued nothing yet."""

    @abstractmethod
    def reopened(self, broker: CredentialBroker) -> CredentialBroker:
        """What another process, or this one after a crash, makes of the same configuration."""

    @abstractmethod
    def opens(self, broker: CredentialBroker, lease: Lease) -> bool:
        """Whether the lease's secret opens something now, as whoever is opened sees it."""

    def now(self) -> datetime:
        """The broker's time."""
        return datetime.now(UTC)

    def test_a_lease_opens_what_its_profile_says_and_no_more(self) -> None:
        broker, grant = self.broker(), self._grant()
        lease = self._issued(broker, grant)
        assert lease.tag == grant.tag
        assert set(lease.scope) <= set(self.scope)
        assert self.opens(broker, lease)

    def test_a_lease_dies_by_the_earliest_of_profile_grant_and_until(self) -> None:
        long, short = self.ttl + timedelta(hours=6), self.ttl / 2
        for ttl, left in ((long, long), (short, long), (long, short)):
            before = self.now()
            lease = self._issued(self.broker(), self._grant(ttl=ttl), until=before + left)
            assert before < lease.expires <= self.now() + min(self.ttl, ttl, left)
            assert lease.expires <= before + left

    def test_nothing_is_issued_when_no_time_is_left(self) -> None:
        for ttl, left in ((self.ttl, timedelta(0)), (self.ttl, -self.ttl), (timedelta(0), self.ttl)):
            assert self._refused(self.broker(), self._grant(ttl=ttl), until=self.now() + left)

    def test_an_unknown_profile_issues_nothing(self) -> None:
        for profile in ("", self.profile + "x", self.profile.upper() + "/", "../" + self.profile):
            assert self._refused(self.broker(), self._grant(profile=profile))

    def test_a_tag_gets_one_lease_at_most(self) -> None:
        broker, grant = self.broker(), self._grant()
        self._issued(broker, grant)
        for again in (grant, self._grant(tag=grant.tag, agent="agent-2", audience="another")):
            assert self._refused(broker, again)

    def test_a_tag_gets_one_lease_at_most_from_parallel_threads(self) -> None:
        broker, grant = self.broker(), self._grant()
        with ThreadPoolExecutor(_THREADS) as threads:
            refused = list(threads.map(lambda _: self._refused(broker, grant), range(_THREADS)))
        assert refused.count(False) == 1

    def test_after_a_crash_a_lease_is_found_by_its_tag(self) -> None:
        broker, grant = self.broker(), self._grant()
        lease = self._issued(broker, grant)
        found = _outstanding(self.reopened(broker), grant.tag)
        assert found is None or lease.id in found

    def test_who_says_revoked_means_it_and_who_says_when_it_dies_is_not_early(self) -> None:
        broker = self.broker()
        self._revoked_truly(broker, self._issued(broker, self._grant()))

    def test_after_a_crash_a_lease_can_be_taken_back(self) -> None:
        broker = self.broker()
        lease = self._issued(broker, self._grant())
        self._revoked_truly(self.reopened(broker), lease)

    def test_revoking_again_changes_nothing(self) -> None:
        broker = self.broker()
        lease = self._issued(broker, self._grant())
        first = broker.revoke(lease.id)
        assert type(broker.revoke(lease.id)) is type(first)
        self._revoked_truly(broker, lease)

    def test_taking_one_lease_back_leaves_the_others_alone(self) -> None:
        broker = self.broker()
        one, other = (self._issued(broker, self._grant()) for _ in range(2))
        assert one.id != other.id
        broker.revoke(one.id)
        assert self.opens(broker, other)
        found = _outstanding(broker, other.tag)
        assert found is None or list(found) == [other.id]

    def test_the_words_of_a_grant_never_widen_it(self) -> None:
        for word in _HOSTILE_WORDS:
            for name in ("agent", "user", "action", "audience"):
                broker, grant = self.broker(), self._grant(**{name: word})
                try:
                    lease = broker.issue(grant, until=self._until())
                except BrokerUnavailable:
                    continue
                assert set(lease.scope) <= set(self.scope)
                assert lease.tag == grant.tag
                assert lease.expires <= self._until()

    def test_the_secret_stands_in_no_other_field_of_its_lease(self) -> None:
        lease = self._issued(self.broker(), self._grant())
        shown = f"{lease!r} {lease}".encode()
        assert not lease.secret.reveal_to(lambda value: value in shown)

    def _grant(self, **other: object) -> Grant:
        tag = Tag(f"contract-{secrets.token_hex(8)}")
        given: dict[str, object] = {
            "tag": tag,
            "profile": self.profile,
            "ttl": self.ttl,
            "action": "run-test-suite",
            "agent": "agent-1",
            "user": "alice@example.com",
            "audience": tag,
        }
        return Grant(**{**given, **other})  # type: ignore[arg-type]  # tests name fields by their strings

    def _until(self) -> datetime:
        return self.now() + self.ttl

    def _issued(self, broker: CredentialBroker, grant: Grant, *, until: datetime | None = None) -> Lease:
        return broker.issue(grant, until=until or self._until())

    def _refused(self, broker: CredentialBroker, grant: Grant, *, until: datetime | None = None) -> bool:
        try:
            self._issued(broker, grant, until=until)
        except (BrokerUnavailable, BrokerUncertain):
            return True
        return False

    def _revoked_truly(self, broker: CredentialBroker, lease: Lease) -> None:
        answer = broker.revoke(lease.id)
        assert isinstance(answer, Revoked | DiesAt)
        found = _outstanding(broker, lease.tag)
        if isinstance(answer, Revoked):
            assert not self.opens(broker, lease)
            assert found is None or lease.id not in found
        else:
            assert answer.at >= lease.expires
            assert found is None or lease.id in found


def _outstanding(broker: CredentialBroker, tag: Tag) -> Sequence[LeaseId] | None:
    """What is outstanding under a tag; None if this broker can't list."""
    try:
        return broker.outstanding(tag)
    except CannotList:
        return None
