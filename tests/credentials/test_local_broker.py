"""The local broker's tokens: what is in them, who accepts them, and until when."""

from __future__ import annotations

import base64
import gc
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws, jwt

from cigate.credentials import DiesAt, Grant, Lease, LeaseId, Profile, Revoked, Tag
from cigate.credentials.jws import TokenKey
from cigate.credentials.local import LocalBroker
from cigate.errors import AttestationError, BrokerUnavailable, CigateError, ConfigError, StoreUnavailable
from cigate.secret import Secret

NOW = datetime(2026, 11, 24, 8, 0, 0, 500_000, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
PROFILES = {
    "tests": Profile(("tests:read", "results:write"), TEN_MINUTES),
    "long": Profile(("a",), timedelta(hours=2)),
}
KEYS = {"EdDSA": Ed25519PrivateKey.generate(), "ES256": generate_private_key(SECP256R1())}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def grant(tag: str = "decision-1", **other: Any) -> Grant:
    given = {
        "profile": "tests",
        "ttl": TEN_MINUTES,
        "action": "run-test-suite",
        "agent": "agent-1",
        "user": "alice",
    }
    return Grant(tag=Tag(tag), **{**given, "audience": tag, **other})


def token_of(lease: Lease) -> str:
    return lease.secret.reveal_to(bytes.decode)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(CigateError) as caught:
        call()
    return caught.value.code


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KEYS)
def broker(request: pytest.FixtureRequest, clock: Clock) -> LocalBroker:
    return LocalBroker(KEYS[request.param], PROFILES, clock=clock)


class TestTokens:
    @pytest.mark.parametrize("algorithm", KEYS)
    def test_another_implementation_reads_the_token_with_the_public_key(
        self, algorithm: str, clock: Clock
    ) -> None:
        broker = LocalBroker(KEYS[algorithm], PROFILES, clock=clock)
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        public = jwk.import_key(broker.public_pem(), "EC" if algorithm == "ES256" else "OKP")
        read = jwt.decode(token_of(lease), public, algorithms=[algorithm])
        assert read.header == {"alg": algorithm, "typ": "at+jwt", "kid": public.thumbprint()}
        assert read.claims == {
            "iss": "local",
            "sub": "agent-1",
            "client_id": "agent-1",
            "user": "alice",
            "aud": "decision-1",
            "action": "run-test-suite",
            "scope": "tests:read results:write",
            "iat": 1795507200,
            "nbf": 1795507200,
            "exp": 1795507800,
            "jti": lease.id,
        }
        assert read.claims == dict(broker.introspect(token_of(lease), audience="decision-1"))

    @pytest.mark.parametrize("algorithm", KEYS)
    def test_a_token_written_by_another_implementation_is_not_ours_unless_its_bytes_are(
        self, algorithm: str
    ) -> None:
        pem = KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key = TokenKey(KEYS[algorithm])
        header = {"alg": algorithm, "kid": key.thumbprint, "typ": "at+jwt"}
        private = jwk.import_key(pem, "EC" if algorithm == "ES256" else "OKP")
        same = jws.serialize_compact(header, b'{"a":1}', private, algorithms=[algorithm])
        assert key.read(same) == {"a": 1}
        for other in ({**header, "typ": "JWT"}, {**header, "kid": "x"}, dict(reversed(header.items()))):
            signed = jws.serialize_compact(other, b'{"a":1}', private, algorithms=[algorithm])
            assert refusal(lambda signed=signed: key.read(signed)) == "token.header"

    def test_the_header_chooses_nothing(self, broker: LocalBroker, clock: Clock) -> None:
        _, payload, signature = token_of(broker.issue(grant(), until=NOW + TEN_MINUTES)).split(".")
        for algorithm in ("none", "HS256", "ES256", "EdDSA", "Ed25519", "RS256", "ES384"):
            header = base64.urlsafe_b64encode(
                json.dumps({"alg": algorithm, "typ": "at+jwt"}).encode()
            ).rstrip(b"=")
            forged = f"{header.decode()}.{payload}.{signature}"
            assert (
                refusal(lambda forged=forged: broker.introspect(forged, audience="decision-1"))
                == "token.header"
            )

    def test_a_token_of_another_key_is_refused(self, broker: LocalBroker, clock: Clock) -> None:
        for key in (Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())):
            token = token_of(LocalBroker(key, PROFILES, clock=clock).issue(grant(), until=NOW + TEN_MINUTES))
            assert refusal(lambda t=token: broker.introspect(t, audience="decision-1")) == "token.header"

    def test_any_changed_character_is_refused(self, broker: LocalBroker) -> None:
        token = token_of(broker.issue(grant(), until=NOW + TEN_MINUTES))
        for at, character in enumerate(token):
            changed = token[:at] + ("A" if character != "A" else "B") + token[at + 1 :]
            with pytest.raises(AttestationError):
                broker.introspect(changed, audience="decision-1")

    def test_a_second_spelling_of_a_token_is_refused(self, broker: LocalBroker) -> None:
        token = token_of(broker.issue(grant(), until=NOW + TEN_MINUTES))
        header, payload, signature = token.split(".")
        spellings = [
            token + "=",
            token + "==",
            f" {token}",
            f"{token}\n",
            f"{header}.{payload}.{signature}.",
            f"{token}.e30",
        ]
        spellings += [
            f"{header}.{payload}",
            f"..{signature}",
            f"{header}..{signature}",
            "",
            token.replace("_", "/") + "/",
        ]
        # 64 bytes leave four bits of the last character unused: set, they decode to the same signature
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        spellings.append(token[:-1] + alphabet[alphabet.index(token[-1]) + 1])
        for spelling in spellings:
            assert (
                refusal(lambda s=spelling: broker.introspect(s, audience="decision-1")) == "token.malformed"
            ), spelling

    @given(
        st.one_of(
            st.text(),
            st.binary(),
            st.none(),
            st.from_regex(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}"),
        )
    )
    def test_whatever_is_presented_only_our_error_comes_out(self, presented: Any) -> None:
        broker = LocalBroker(KEYS["ES256"], PROFILES)
        with pytest.raises(AttestationError):
            broker.introspect(presented, audience="decision-1")

    def test_a_huge_token_is_refused_unread(self, broker: LocalBroker) -> None:
        assert refusal(lambda: broker.introspect("a." * 10_000_000, audience="d")) == "token.malformed"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"iss": "other"}, "token.issuer"),
            ({"aud": "decision-2"}, "token.audience"),
            ({"aud": ["decision-1"]}, "token.audience"),
            ({"exp": "1795507800"}, "token.claims"),
            ({"exp": True}, "token.claims"),
            ({"nbf": None}, "token.claims"),
            ({"jti": "lease-1"}, "token.claims"),
            ({"jti": 1}, "token.claims"),
        ],
    )
    def test_a_signed_token_with_other_claims_is_refused(
        self, change: dict[str, Any], code: str, clock: Clock
    ) -> None:
        broker = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock)
        claims = dict(
            broker.introspect(token_of(broker.issue(grant(), until=NOW + TEN_MINUTES)), audience="decision-1")
        )
        signed = TokenKey(KEYS["EdDSA"]).write({**claims, **change})
        assert refusal(lambda: broker.introspect(signed, audience="decision-1")) == code

    @pytest.mark.parametrize("payload", [b"[]", b'"a"', b"{", b'{"a":1,"a":2}', b"\xff"])
    @pytest.mark.parametrize("algorithm", KEYS)
    def test_signed_bytes_that_are_no_claims_are_refused(self, algorithm: str, payload: bytes) -> None:
        key = TokenKey(KEYS[algorithm])
        pem = KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        private = jwk.import_key(pem, "EC" if algorithm == "ES256" else "OKP")
        header = {"alg": algorithm, "kid": key.thumbprint, "typ": "at+jwt"}
        signed = jws.serialize_compact(header, payload, private, algorithms=[algorithm])
        assert refusal(lambda: key.read(signed)) == "token.claims"

    def test_a_grant_that_no_token_can_hold_issues_nothing_and_keeps_its_tag(
        self, broker: LocalBroker
    ) -> None:
        assert refusal(lambda: broker.issue(grant(user="\ud800"), until=NOW + TEN_MINUTES)) == "broker.grant"
        assert broker.issue(grant(), until=NOW + TEN_MINUTES).tag == "decision-1"

    @pytest.mark.parametrize(
        "audience", ["", "decision", "decision-1/", "decision-1 ", "DECISION-1", "decision-10", None]
    )
    def test_a_token_is_for_exactly_one_audience(self, audience: Any, broker: LocalBroker) -> None:
        token = token_of(broker.issue(grant(), until=NOW + TEN_MINUTES))
        assert refusal(lambda: broker.introspect(token, audience=audience)) == "token.audience"

    def test_claims_that_are_missing_match_nothing(self, clock: Clock) -> None:
        broker = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock)
        claims = dict(
            broker.introspect(token_of(broker.issue(grant(), until=NOW + TEN_MINUTES)), audience="decision-1")
        )
        for missing in ("iss", "aud", "exp", "nbf", "jti"):
            signed = TokenKey(KEYS["EdDSA"]).write(
                {name: value for name, value in claims.items() if name != missing}
            )
            for audience in ("decision-1", "", None):
                with pytest.raises(AttestationError):
                    broker.introspect(signed, audience=audience)  # type: ignore[arg-type]  # on purpose


class TestTime:
    @given(
        profile=st.integers(1, 10**5),
        ttl=st.timedeltas(timedelta(-1), timedelta(days=2)),
        left=st.timedeltas(timedelta(-1), timedelta(days=2)),
        begun=st.timedeltas(timedelta(0), timedelta(seconds=2)),
    )
    def test_a_token_outlives_none_of_its_bounds(
        self, profile: int, ttl: timedelta, left: timedelta, begun: timedelta
    ) -> None:
        now = NOW + begun
        broker = LocalBroker(
            KEYS["EdDSA"], {"tests": Profile(("a",), timedelta(seconds=profile))}, clock=lambda: now
        )
        bound = min(timedelta(seconds=profile), ttl, left)
        try:
            lease = broker.issue(grant(ttl=ttl), until=now + left)
        except BrokerUnavailable:
            assert bound < timedelta(seconds=1)
        else:
            assert now + bound - timedelta(seconds=1) < lease.expires <= now + bound
            assert (
                broker.introspect(token_of(lease), audience="decision-1")["exp"] == lease.expires.timestamp()
            )

    def test_a_token_is_good_from_its_second_until_just_before_it_expires(
        self, broker: LocalBroker, clock: Clock
    ) -> None:
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        begins = NOW.replace(microsecond=0)
        moments = {
            begins - timedelta(microseconds=1): "token.not-yet",
            begins: "",
            lease.expires - timedelta(microseconds=1): "",
            lease.expires: "token.expired",
            lease.expires + timedelta(days=365): "token.expired",
        }
        for clock.now, code in moments.items():
            if code:
                assert refusal(lambda: broker.introspect(token_of(lease), audience="decision-1")) == code
            else:
                assert broker.introspect(token_of(lease), audience="decision-1")["jti"] == lease.id

    def test_what_has_expired_is_outstanding_no_more(self, broker: LocalBroker, clock: Clock) -> None:
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        assert broker.outstanding(lease.tag) == (lease.id,)
        clock.now = lease.expires
        assert broker.outstanding(lease.tag) == ()


class TestTakingBack:
    def test_a_lease_is_named_after_its_tag_so_that_any_process_finds_it(self, clock: Clock) -> None:
        lease = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock).issue(grant(), until=NOW + TEN_MINUTES)
        assert lease.id == "local:decision-1"
        assert LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock).outstanding(lease.tag) == (lease.id,)

    def test_a_concluded_decision_opens_nothing_in_any_process(self, clock: Clock) -> None:
        running = {"decision-1"}
        one, other = (
            LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock, live=lambda tag: tag in running)
            for _ in range(2)
        )
        lease = one.issue(grant(), until=NOW + TEN_MINUTES)
        assert other.introspect(token_of(lease), audience="decision-1")["jti"] == lease.id
        assert other.outstanding(lease.tag) == (lease.id,)
        running.clear()
        for broker in (one, other):
            assert (
                refusal(lambda b=broker: b.introspect(token_of(lease), audience="decision-1"))
                == "token.concluded"
            )
            assert broker.outstanding(lease.tag) == ()

    def test_a_revoked_token_is_refused_although_its_run_goes_on(self, clock: Clock) -> None:
        broker = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock, live=lambda tag: True)
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        assert broker.revoke(lease.id) == Revoked(NOW)
        clock.now += timedelta(minutes=1)
        assert broker.revoke(lease.id) == Revoked(NOW)
        assert refusal(lambda: broker.introspect(token_of(lease), audience="decision-1")) == "token.revoked"
        assert broker.outstanding(lease.tag) == ()

    def test_without_live_it_says_when_the_token_dies_and_refuses_it_all_the_same(
        self, broker: LocalBroker
    ) -> None:
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        assert broker.revoke(lease.id) == DiesAt(lease.expires)
        assert broker.outstanding(lease.tag) == (lease.id,)
        assert refusal(lambda: broker.introspect(token_of(lease), audience="decision-1")) == "token.revoked"

    def test_of_a_lease_that_it_never_saw_it_names_the_latest_death_and_keeps_to_it(
        self, broker: LocalBroker, clock: Clock
    ) -> None:
        latest = DiesAt(NOW + timedelta(hours=2))
        assert broker.revoke(LeaseId("local:elsewhere")) == latest
        clock.now += timedelta(hours=1)
        assert broker.revoke(LeaseId("local:elsewhere")) == latest
        assert broker.outstanding(Tag("elsewhere")) == ("local:elsewhere",)
        clock.now += timedelta(hours=1)
        assert broker.outstanding(Tag("elsewhere")) == ()

    def test_nothing_is_issued_under_a_tag_that_was_taken_back(self, broker: LocalBroker) -> None:
        broker.revoke(LeaseId("local:decision-1"))
        assert refusal(lambda: broker.issue(grant(), until=NOW + TEN_MINUTES)) == "broker.tag-used"

    def test_a_lease_of_another_broker_is_not_ours_to_revoke(self, broker: LocalBroker) -> None:
        assert refusal(lambda: broker.revoke(LeaseId("vault:1"))) == "broker.unknown-lease"

    def test_when_nobody_knows_whether_the_run_goes_on_the_token_opens_nothing_and_stays_outstanding(
        self, clock: Clock
    ) -> None:
        def live(tag: Tag) -> bool:
            raise StoreUnavailable("store.locked", "the store did not answer")

        broker = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock, live=live)
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        assert refusal(lambda: broker.introspect(token_of(lease), audience="decision-1")) == "token.liveness"
        assert refusal(lambda: broker.outstanding(lease.tag)) == "broker.liveness"

    @pytest.mark.parametrize("answer", [None, 1, "yes"])
    def test_only_a_true_yes_keeps_a_token_open_and_only_a_true_no_clears_it(
        self, answer: Any, clock: Clock
    ) -> None:
        broker = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock, live=lambda tag: answer)
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        assert refusal(lambda: broker.introspect(token_of(lease), audience="decision-1")) == "token.concluded"
        assert broker.outstanding(lease.tag) == (lease.id,)

    def test_the_long_dead_are_forgotten(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cigate.credentials.local._SWEPT_FROM", 8)
        broker = LocalBroker(KEYS["EdDSA"], PROFILES, clock=clock)
        for at in range(100):
            broker.revoke(broker.issue(grant(f"decision-{at}"), until=clock.now + TEN_MINUTES).id)
            clock.now += timedelta(hours=12)
        assert len(broker._dies) <= 8
        assert broker._revoked.keys() <= broker._dies.keys()
        assert (
            refusal(lambda: broker.issue(grant("decision-99"), until=clock.now + TEN_MINUTES))
            == "broker.tag-used"
        )


class TestProcesses:
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_child_forked_while_threads_issue_works_on(self) -> None:
        broker = LocalBroker.generate(PROFILES)
        stop = threading.Event()
        issued = 0

        def issue() -> None:
            nonlocal issued
            while not stop.is_set():
                broker.issue(grant(f"parent-{issued}"), until=datetime.now(UTC) + TEN_MINUTES)
                issued += 1

        thread = threading.Thread(target=issue)
        thread.start()
        try:
            for attempt in range(5):
                child = os.fork()
                if child == 0:
                    signal.alarm(20)  # a child that hangs must fail this test, not hang it
                    code = 1
                    try:
                        lease = broker.issue(grant(f"child-{attempt}"), until=datetime.now(UTC) + TEN_MINUTES)
                        claims = broker.introspect(token_of(lease), audience=lease.tag)
                        code = 0 if claims["jti"] == lease.id else 1
                    finally:
                        os._exit(code)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            stop.set()
            thread.join()
        assert issued > 0


class TestSecrecy:
    def test_no_refusal_carries_a_token_in_its_words_or_in_the_locals_of_its_frames(
        self, broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[str] = []
        write = TokenKey.write

        def recorded(self: TokenKey, claims: Any) -> str:
            made.append(write(self, claims))
            return made[-1]

        monkeypatch.setattr(TokenKey, "write", recorded)
        broker.issue(grant(), until=NOW + TEN_MINUTES)
        made.clear()
        with pytest.raises(BrokerUnavailable) as caught:
            broker.issue(grant(), until=NOW + TEN_MINUTES)
        (unissued,) = made
        below_this_test = caught.tb.tb_next
        shown = "".join(
            traceback.StackSummary.extract(traceback.walk_tb(below_this_test), capture_locals=True).format()
        )
        assert "claims = " in shown
        assert unissued not in f"{shown}{caught.value!r}{caught.value.__dict__}"

    def test_a_broker_shows_no_key(self) -> None:
        key = Ed25519PrivateKey.generate()
        broker = LocalBroker(key, PROFILES)
        shown = f"{broker!r}{vars(broker)!r}".encode()
        assert key.private_bytes_raw() not in shown
        assert not any(
            key.private_bytes_raw() in each for each in gc.get_referents(broker) if isinstance(each, bytes)
        )

    def test_a_key_that_can_not_be_read_is_not_quoted(self) -> None:
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        broken = pem.replace(b"MC4CAQ", b"MC4CAA")
        assert broken != pem
        with pytest.raises(ConfigError) as caught:
            LocalBroker(Secret(broken), PROFILES)
        assert caught.value.code == "key.malformed"
        assert not caught.value.__cause__
        below_this_test = caught.tb.tb_next
        shown = "".join(
            traceback.StackSummary.extract(traceback.walk_tb(below_this_test), capture_locals=True).format()
        )
        assert broken.splitlines()[1].decode() not in f"{shown}{caught.value}"


class TestConfiguration:
    SECTION: ClassVar[dict[str, Any]] = {
        "backend": "local",
        "profiles": {"tests": {"scope": ["tests:read"], "ttl": "10m"}},
    }

    def opened(self, folder: Path, section: dict[str, Any] | None = None, name: str = "main") -> LocalBroker:
        given = self.SECTION if section is None else section
        return LocalBroker.from_config(name, given, folder=folder, live=None, clock=lambda: NOW)

    def test_the_key_of_a_broker_lies_in_the_gateway_folder_by_its_name(self, tmp_path: Path) -> None:
        LocalBroker.create_key(tmp_path / "broker-main.key")
        broker = self.opened(tmp_path)
        lease = broker.issue(grant(), until=NOW + TEN_MINUTES)
        assert broker.introspect(token_of(lease), audience="decision-1")["iss"] == "main"
        assert broker.profiles == {"tests": Profile(("tests:read",), TEN_MINUTES)}
        assert (tmp_path / "broker-main.key.pub").read_bytes() == broker.public_pem()

    def test_a_key_is_made_once_and_for_its_owner_only(self, tmp_path: Path) -> None:
        path = tmp_path / "broker-main.key"
        LocalBroker.create_key(path)
        assert path.stat().st_mode & 0o777 == 0o600
        before = path.read_bytes()
        assert refusal(lambda: LocalBroker.create_key(path)) == "key.file"
        assert path.read_bytes() == before

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o601])
    def test_a_key_that_others_may_use_is_refused(self, mode: int, tmp_path: Path) -> None:
        LocalBroker.create_key(tmp_path / "broker-main.key")
        (tmp_path / "broker-main.key").chmod(mode)
        with pytest.raises(ConfigError) as caught:
            self.opened(tmp_path)
        assert (caught.value.code, caught.value.where) == ("key.file-mode", "/key")

    def test_a_key_may_come_from_another_file_or_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        LocalBroker.create_key(tmp_path / "elsewhere.pem")
        by_file = self.opened(tmp_path, {**self.SECTION, "key": {"secret": {"file": "elsewhere.pem"}}})
        monkeypatch.setenv("BROKER_KEY", (tmp_path / "elsewhere.pem").read_text())
        by_name = self.opened(tmp_path, {**self.SECTION, "key": {"secret": {"env": "BROKER_KEY"}}})
        assert by_file.public_pem() == by_name.public_pem()

    @pytest.mark.parametrize(
        ("change", "code", "where", "words"),
        [
            ({"profile": {}}, "config.unknown-key", "/profile", "did you mean profiles?"),
            ({"profiles": None}, "config.type", "/profiles", "a map"),
            (
                {"profiles": {"a/b": {"scope": ["x"], "ttl": "soon"}}},
                "config.duration",
                "/profiles/a~1b/ttl",
                "10m",
            ),
            ({"profiles": {"p": {"scope": ["x"]}}}, "config.type", "/profiles/p/ttl", "a duration"),
            (
                {"profiles": {"p": {"scope": ["x"], "ttl": "0s"}}},
                "config.duration",
                "/profiles/p/ttl",
                "above zero",
            ),
            ({"profiles": {"p": {"scope": ["x"], "ttl": "0.5s"}}}, "broker.ttl", "/profiles/p/ttl", "1s"),
            (
                {"profiles": {"p": {"scope": ["x"], "ttl": 600}}},
                "config.type",
                "/profiles/p/ttl",
                "a duration",
            ),
            ({"profiles": {"p": {"scope": "x", "ttl": "1m"}}}, "config.type", "/profiles/p/scope", "a list"),
            (
                {"profiles": {"p": {"scope": [], "ttl": "1m"}}},
                "broker.scope",
                "/profiles/p/scope",
                "opens nothing",
            ),
            (
                {"profiles": {"p": {"scope": ["a", "b c"], "ttl": "1m"}}},
                "broker.scope",
                "/profiles/p/scope/1",
                "one word",
            ),
            (
                {"profiles": {"p": {"scope": ['a"b'], "ttl": "1m"}}},
                "broker.scope",
                "/profiles/p/scope/0",
                "one word",
            ),
            (
                {"profiles": {"p": {"scopes": ["x"], "ttl": "1m"}}},
                "config.unknown-key",
                "/profiles/p/scopes",
                "scope?",
            ),
            ({"key": "broker.key"}, "config.type", "/key", "a map"),
            ({"key": {"secret": {}}}, "config.secret", "/key/secret", "one source"),
            (
                {"key": {"secret": {"env": "NO_SUCH_NAME"}}},
                "secret.missing",
                "/key/secret/env",
                "NO_SUCH_NAME",
            ),
            ({"key": {"secret": {"file": "none.key"}}}, "key.file", "/key/secret/file", "none.key"),
        ],
    )
    def test_a_mistake_is_named_with_its_place(
        self, change: dict[str, Any], code: str, where: str, words: str, tmp_path: Path
    ) -> None:
        LocalBroker.create_key(tmp_path / "broker-main.key")
        with pytest.raises(ConfigError) as caught:
            self.opened(tmp_path, {**self.SECTION, **change})
        assert (caught.value.code, caught.value.where) == (code, where)
        assert words in str(caught.value)

    @pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-x", "é", "x" * 65])
    def test_a_name_that_could_leave_the_folder_is_refused(self, name: str) -> None:
        assert refusal(lambda: LocalBroker.generate(PROFILES, name=name)) == "broker.name"

    @pytest.mark.parametrize(
        "key", ["-----BEGIN PRIVATE KEY-----", b"x", None, generate_private_key(SECP384R1())]
    )
    def test_a_key_of_another_kind_is_refused(self, key: Any) -> None:
        assert refusal(lambda: LocalBroker(key, PROFILES)) == "key.algorithm"

    def test_a_key_comes_as_pem_in_a_secret_too(self) -> None:
        pem = KEYS["ES256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert (
            LocalBroker(Secret(pem), PROFILES).public_pem()
            == LocalBroker(KEYS["ES256"], PROFILES).public_pem()
        )
