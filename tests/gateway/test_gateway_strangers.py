"""What nobody's signature stands behind: counted, never written singly, never forgotten at the end of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from cigate import Gateway, testing
from cigate.signing import KeyRecord, Signer
from cigate.strangers import Strangers
from cigate.testing import Bench, bench

FORGED = b'{"agent_id": "agent-1234"}'


@pytest.fixture
def at(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def refused(gateway: Gateway) -> list[dict[str, int]]:
    return [entry.public["refused"] for entry in gateway.ledger.entries() if entry.kind == "strangers"]


def test_ten_thousand_strangers_buy_no_entry_and_ride_along_with_the_next_commit(at: Bench) -> None:
    before = at.gateway.ledger.size
    for _ in range(10_000):
        at.gateway.submit(FORGED)
    assert at.gateway.ledger.size == before
    assert at.gateway.health()["strangers"] == {"request.missing-field": 10_000}
    assert at.gateway.submit(at.signed()).allowed
    assert refused(at.gateway) == [{"request.missing-field": 10_000}]
    assert at.gateway.health()["strangers"] == {}


def test_what_a_process_counted_is_in_the_ledger_with_the_next_process_first_commit(at: Bench) -> None:
    for _ in range(3):
        at.gateway.submit(FORGED)
    at.gateway.close()
    for _ in range(2):
        other = at.rebuild()
        other.submit(b"{")
        other.close()
    last = at.rebuild()
    assert refused(last) == []
    assert last.submit(at.signed()).allowed
    assert refused(last) == [{"request.missing-field": 3, "request.syntax": 2}]


def test_counts_of_a_commit_that_did_not_happen_are_taken_by_the_next_one() -> None:
    strangers = Strangers(None)
    strangers.count("request.syntax")
    claimed = strangers.claim()
    assert strangers.counts == {}
    strangers.count("request.syntax")
    strangers.give_back(claimed)
    assert strangers.claim() == {"request.syntax": 2}


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"x": "y"}', b'{"x": -1}', b"\xff", b""])
def test_a_torn_line_that_was_left_costs_only_itself(tmp_path: Path, line: bytes) -> None:
    left = tmp_path / "left"
    left.write_bytes(b'{"request.syntax":1}\n' + line)
    strangers = Strangers(left)
    assert strangers.claim() == {"request.syntax": 1}
    assert strangers.claim() == {}
    assert list(tmp_path.iterdir()) == []


def test_counts_that_can_not_be_left_end_with_their_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strangers = Strangers(tmp_path / "no such folder" / "left")
    strangers.count("request.syntax")
    strangers.leave()
    assert "could not be left" in caplog.text


def test_as_many_key_records_are_read_for_an_unknown_key_as_for_a_known_or_revoked_one(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enrol(name: str) -> None:
        signer = Signer.generate("ecdsa-p256-sha256", key_id=name, audience=testing.AUDIENCE, clock=at.clock)
        owner = {"agent": "agent-1234", "user": "alice@example.com"}
        at.gateway.enrol(KeyRecord.enrol(signer.public_pem(), id=name, use="request", **owner))

    enrol("known"), enrol("revoked")
    at.gateway.revoke("revoked")
    read, real = [], KeyRecord.from_json
    monkeypatch.setattr(KeyRecord, "from_json", lambda row: read.append(1) or real(row))
    counts = {}
    for name in ("known", "revoked", "unknown"):
        forger = Signer.generate("ecdsa-p256-sha256", key_id=name, audience=testing.AUDIENCE, clock=at.clock)
        read.clear()
        assert at.gateway.submit(forger.sign(at.request())).code == "attestation.refused"
        counts[name] = len(read)
    assert counts == {"known": 1, "revoked": 1, "unknown": 1}
