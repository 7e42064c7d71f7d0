"""The contract is kept by the brokers that are ours, and notices each lie of one that is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cigate.credentials import CredentialBroker, Lease, Profile, Tag
from cigate.credentials.local import LocalBroker
from cigate.errors import AttestationError
from cigate.testing.brokers import BrokerContract
from tests.simulators.lying_broker import Lie, LyingBroker


class TestHonestSimulator(BrokerContract):
    profile, scope, ttl = "tests", ("tests:read",), timedelta(minutes=10)
    lies: frozenset[Lie] = frozenset()

    def broker(self) -> CredentialBroker:
        return LyingBroker(lies=self.lies)

    def reopened(self, broker: CredentialBroker) -> CredentialBroker:
        assert isinstance(broker, LyingBroker)
        return LyingBroker(broker.vendor, lies=self.lies)

    def opens(self, broker: CredentialBroker, lease: Lease) -> bool:
        assert isinstance(broker, LyingBroker)
        return broker.vendor.opens(lease)


class TestLocalBrokerInAGateway(BrokerContract):
    """With `live`, as the gateway builds it: a run goes on until its decision is concluded."""

    profile, scope, ttl = "tests", ("tests:read", "results:write"), timedelta(minutes=10)

    def broker(self) -> CredentialBroker:
        self._key = Ed25519PrivateKey.generate()
        self._concluded: set[Tag] = set()
        return self._opened()

    def reopened(self, broker: CredentialBroker) -> CredentialBroker:
        return self._opened()

    def _opened(self) -> LocalBroker:
        profiles = {self.profile: Profile(self.scope, self.ttl)}
        return LocalBroker(self._key, profiles, live=lambda tag: tag not in self._concluded)

    def opens(self, broker: CredentialBroker, lease: Lease) -> bool:
        assert isinstance(broker, LocalBroker)
        try:
            lease.secret.reveal_to(lambda token: broker.introspect(token.decode(), audience=lease.tag))
        except AttestationError:
            return False
        return True


class TestLocalBrokerByItself(TestLocalBrokerInAGateway):
    """Without `live`, with a P-256 key: it can't take back, and says when a token dies."""

    def broker(self) -> CredentialBroker:
        self._key = generate_private_key(SECP256R1())
        return self._opened()

    def _opened(self) -> LocalBroker:
        return LocalBroker(self._key, {self.profile: Profile(self.scope, self.ttl)})


_PROMISES = sorted(name for name in dir(BrokerContract) if name.startswith("test_"))


@pytest.mark.parametrize("lie", list(Lie), ids=lambda lie: lie.name.lower())
def test_no_lie_passes_the_contract(lie: Lie) -> None:
    suspect = TestHonestSimulator()
    suspect.lies = frozenset({lie})
    assert any(_breaks(suspect, promise) for promise in _PROMISES)


def _breaks(suspect: BrokerContract, promise: str) -> bool:
    try:
        getattr(suspect, promise)()
    except Exception:
        return True
    return False
