"""What one request costs: `python benchmarks/submit.py`.

`submit` is measured end to end, allowed and denied, and so are its parts, beside the floor that no
implementation of the same promises can go below, measured in the same run on the same disk: one P-256
verification, one Ed25519 signature for each commit, and as many durable SQLite commits of rows of the same sizes
(WAL, synchronous=FULL, nothing but sqlite3). The ratio is what this gateway adds. Jobs are Python callables that
do nothing, so that no sandbox is measured. Nothing here is tuned; the numbers are told as they are.
"""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from measuring import Times, arguments, describe, interleaved, keep, milliseconds, table

from cigate.attestation import DSSEVerifier, attest
from cigate.effects import Conclusion
from cigate.request import Request
from cigate.signing import KeyRecord, Keyring
from cigate.stores import Change, Key, Put, Rows
from cigate.testing import bench
from cigate.testing.folder import AUDIENCE, Bench

WARM_UP = 20
_PRIMITIVES = ("verify a P-256 signature", "sign with Ed25519")
_COMMITS = ("two durable commits", "one durable commit")
POLICY = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: benchmark, sequence: 1}
spec:
  variables:
    - {name: cheap, expression: cost.estimate <= 5000}
  rules:
    - {name: managed, effect: allow, actions: [run-test-suite], expression: agent.managed && variables.cheap}
    - {name: infra, effect: allow, actions: [create-infra], expression: agent.trusted}
    - {name: often, effect: throttle, actions: [run-test-suite], throttle: {limit: 1000000, per: 1h, key: [agent.id]}}
    - {name: quarantine, effect: deny, expression: risk.score >= 80}
"""


def main() -> int:
    asked = arguments(__doc__, rounds=300)
    rounds: int = asked.rounds
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        found, sizes = _measure(Path(name), rounds)
    whole = {name: found[name] for name in ("submit, allowed", "submit, denied")}
    floor = {name: found[name] for name in (*_PRIMITIVES, *_COMMITS)}
    parts = {name: times for name, times in found.items() if name not in whole and name not in floor}
    _print(whole, parts, floor, rounds)
    document = {
        "benchmark": "submit",
        "bytes": sizes,
        **{
            group: {name: times.to_json() for name, times in measured.items()}
            for group, measured in (("whole", whole), ("parts", parts), ("floor", floor))
        },
        "ratio": {name: whole[name].median / _least(floor, name) for name in whole},
    }
    print(f"\nkept in {keep(asked.results, 'submit', document)}")
    return 0


def _measure(folder: Path, rounds: int) -> tuple[dict[str, Times], dict[str, int]]:
    recording: list[Recording] = []

    def recorded(store: Any) -> Any:
        recording.append(Recording(store))
        return recording[-1]

    desk = bench(folder, policy=POLICY, budget=10**12, wrap=recorded)
    gateway, commits = desk.gateway, recording[0].commits
    allowed, denied = ([make(desk) for _ in range(WARM_UP + rounds)] for make in (Bench.signed, _unmanaged))
    floor, last = Floor(folder / "floor.db"), dict[str, int]()

    def submit(raw: bytes, wanted: str) -> None:
        commits.clear()
        outcome = gateway.submit(raw)
        assert outcome.effect == wanted, outcome.decision.reasons

    def write(count: int, name: str) -> None:
        assert len(commits) == count, f"{name} took {len(commits)} commits, not {count}"
        last[name] = sum(len(put.value or b"") for puts in commits for put in puts.values())
        floor.write(commits)

    steps: dict[str, Callable[[int], object]] = {
        "submit, allowed": lambda at: submit(allowed[at], "allow"),
        "two durable commits": lambda _: write(2, "submit, allowed"),
        "submit, denied": lambda at: submit(denied[at], "deny"),
        "one durable commit": lambda _: write(1, "submit, denied"),
        "verify a P-256 signature": floor.verify,
        "sign with Ed25519": floor.sign,
        **_parts(desk, WARM_UP + rounds),
    }
    try:
        return interleaved(steps, rounds=rounds, warm_up=WARM_UP), last
    finally:
        gateway.close()
        floor.close()


def _unmanaged(desk: Bench) -> bytes:
    return desk.unmanaged.sign(desk.request(agent="agent-5678"))


def _parts(desk: Bench, count: int) -> dict[str, Callable[[int], object]]:
    """The steps of an allowed request, each taking what the one before it left."""
    gateway, raw = desk.gateway, [desk.signed() for _ in range(count)]
    owner = {"agent": "agent-1234", "user": "alice@example.com"}
    ring = Keyring.of(KeyRecord.enrol(desk.agent.public_pem(), id=desk.agent.key_id, use="request", **owner))
    verifiers, now = {"dsse": DSSEVerifier()}, desk.clock.now
    left: dict[str, Any] = {}

    def parse(at: int) -> None:
        left["request"] = Request.parse(raw[at])

    def identify(_: int) -> None:
        left["attested"] = gateway._who.request(left["request"])

    def decide(_: int) -> None:
        left["decided"] = gateway._deliberation.decide(left["attested"], None, desk.clock())

    def commit(_: int) -> None:
        left["plan"] = gateway._plan(left["decided"])
        gateway._admit(left["decided"], left["plan"])

    def act(_: int) -> None:
        intent, spec = left["plan"]
        begun = gateway._effects.begin(intent, spec)
        assert not isinstance(begun, Conclusion), begun
        ended = gateway._effects.follow(intent, spec, begun[1])
        assert ended.code == "run.succeeded", ended

    return {
        "parse": parse,
        "attest, with keys in memory": lambda _: attest(left["request"], ring, verifiers, AUDIENCE, now),
        "attest, with keys and fence from the store": identify,
        "collect and decide": decide,
        "commit the decision and the intent": commit,
        "start, issue, release, follow, conclude": act,
    }


@define
class Recording:
    """Stands before a store and keeps what each commit wrote, so that the floor writes the same."""

    _store: Any
    commits: list[dict[Key, Put]] = field(factory=list, init=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def transact(self, keys: Collection[Key], work: Callable[[Rows], Change[Any]], *, now: datetime) -> Any:
        made: list[Change[Any]] = []

        def recorded(rows: Rows) -> Change[Any]:
            made[:] = [work(rows)]
            return made[0]

        result = self._store.transact(keys, recorded, now=now)
        if made and made[0].puts:
            self.commits.append(dict(made[0].puts))
        return result


class Floor:
    """What the same promises cost at least: the primitives alone, and the very rows, written by nothing but sqlite3."""

    def __init__(self, path: Path) -> None:
        self._message = secrets.token_bytes(600)
        key = generate_private_key(SECP256R1())
        self._public, self._signature = key.public_key(), key.sign(self._message, ECDSA(SHA256()))
        self._signing = Ed25519PrivateKey.generate()
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;"
            "CREATE TABLE rows (family TEXT, id TEXT, value BLOB, PRIMARY KEY (family, id)) WITHOUT ROWID;"
        )

    def verify(self, _: int) -> None:
        self._public.verify(self._signature, self._message, ECDSA(SHA256()))

    def sign(self, _: int) -> None:
        self._signing.sign(self._message)

    def write(self, commits: Sequence[Mapping[Key, Put]]) -> None:
        for puts in commits:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)",
                [(key.family, key.id, put.value) for key, put in puts.items()],
            )
            self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


def _least(floor: Mapping[str, Times], name: str) -> float:
    """The floor of a whole request: one verification, then a signature for each commit."""
    commits = ("two durable commits", 2) if name == "submit, allowed" else ("one durable commit", 1)
    return (
        floor["verify a P-256 signature"].median
        + commits[1] * floor["sign with Ed25519"].median
        + floor[commits[0]].median
    )


def _print(
    whole: Mapping[str, Times], parts: Mapping[str, Times], floor: Mapping[str, Times], rounds: int
) -> None:
    print(
        f"{describe()}\n{rounds} rounds of each; milliseconds: median, and from the 10th to the 90th percentile\n"
    )

    def rows(found: Mapping[str, Times]) -> list[tuple[str, ...]]:
        return [
            (name, milliseconds(times.median), f"{milliseconds(times.low)} - {milliseconds(times.high)}")
            for name, times in found.items()
        ]

    print(table(("end to end", "median", "10 % - 90 %"), rows(whole)), end="\n\n")
    print(table(("parts of an allowed request", "median", "10 % - 90 %"), rows(parts)), end="\n\n")
    print(table(("floor", "median", "10 % - 90 %"), rows(floor)), end="\n\n")
    least = {name: _least(floor, name) for name in whole}
    ratios = [
        (name, milliseconds(times.median), milliseconds(least[name]), f"{times.median / least[name]:.1f}")
        for name, times in whole.items()
    ]
    print(table(("against the floor", "median", "floor", "ratio"), ratios))


if __name__ == "__main__":
    raise SystemExit(main())
