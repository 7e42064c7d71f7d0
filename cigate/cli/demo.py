"""The guided tour: a gateway folder and a repository are made, and real requests go through the real gateway.

Nothing here is acted: each outcome that is printed is what `Gateway.submit` gave, and each operator's view is
what the gateway kept. The folder stays, so that the reader can go on in it.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from shutil import which
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cigate.cli import demo_files
from cigate.cli.folder import make_state, write_once
from cigate.cli.terminal import Terminal
from cigate.config import read_configuration
from cigate.decision import Effect
from cigate.errors import ConfigError
from cigate.gateway import Gateway
from cigate.ledger import verify_export
from cigate.outcome import Outcome, RunStatus
from cigate.pipelines.local import LocalPipeline
from cigate.signing import KeyId, KeyRecord, Signer, load_private_key, write_key_pair

AUDIENCE = "demo.cigate.example"
_CODE = {
    Effect.ALLOW: "allow",
    Effect.DENY: "deny",
    Effect.REQUIRE_APPROVAL: "require approval",
    Effect.THROTTLE: "throttle",
}


_PLAINLY: Final = {
    "attestation.refused": "the signature is not by an enrolled key over these bytes",
    "attestation.replayed": "it was taken once already",
}
_LONGEST_LINE: Final = 90
_CUT_TO: Final = 60


def demo(arguments: argparse.Namespace) -> int:
    """Make the folder, take the tour, leave the folder."""
    began = time.monotonic()
    folder = _free(Path("cigate-demo")) if arguments.dir is None else _own(Path(arguments.dir))
    tour = Tour(Terminal(sys.stdout), folder)
    tour.prepare()
    with Gateway.from_config(folder / "gateway.yaml") as gateway:
        tour.take(gateway)
        tour.look_at_ledger(gateway)
    tour.farewell(time.monotonic() - began)
    return 0


class Tour:
    """One tour in one folder."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        self._out = terminal
        self._folder = folder
        self._commit = ""
        self._signers: dict[str, Signer] = {}
        self._summary: list[tuple[str, ...]] = []

    def prepare(self) -> None:
        """The folder, its repository, and three enrolled keys."""
        self._out.line(self._out.styled("cigate: a CI gateway between desktop agents and CI", "bold"))
        self._out.prose(
            "Seven requests go through a real gateway. An agent signs each one; the gateway decides, runs what is "
            "allowed in a sandbox with a credential that only the job sees, and signs every step into a ledger."
        )
        python = which("python3", path="/usr/bin:/usr/local/bin:/bin")
        if python is None or which("git") is None:
            raise ConfigError(
                "demo.missing", "the tour needs git, and a python3 in /usr", fix="apt install git python3"
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self._folder / "gateway.yaml"
        write_once(config, demo_files.GATEWAY_YAML.replace("PYTHON", python).encode(), 0o600)
        write_once(self._folder / "policy.yaml", demo_files.POLICY_YAML.encode(), 0o600)
        pipeline = read_configuration(config).pipelines()["local"]
        if isinstance(pipeline, LocalPipeline):
            pipeline.probe()
        make_state(config)
        self._commit = self._make_repository()
        with Gateway.from_config(config) as gateway:
            self._enrol(
                gateway,
                "agent-laptop-1",
                use="request",
                agent="agent-1234",
                user="alice@example.com",
                device="laptop-1",
            )
            self._enrol(
                gateway,
                "agent-laptop-2",
                use="request",
                agent="agent-5678",
                user="alice@example.com",
                device="laptop-2",
            )
            self._enrol(gateway, "bob-approves", use="approval", user="bob@example.com")
        self._out.row("folder", f"{self._folder}/  (gateway.yaml, policy.yaml, app.git, keys, state.db)")
        self._out.row("commit", self._commit)

    def take(self, gateway: Gateway) -> None:
        """The seven requests, in six chapters."""
        tests = {"test_suite": "integration-qa"}
        first = self._signed("agent-laptop-1", "agent-1234", "run-test-suite", tests)

        self._chapter("1. A managed agent runs a test suite")
        self._show("allowed and run", gateway, gateway.submit(first))

        self._chapter("2. An unmanaged agent wants infrastructure")
        wish = self._signed("agent-laptop-2", "agent-5678", "create-infra", {"size": "large"})
        self._show("unmanaged agent", gateway, gateway.submit(wish))

        self._chapter("3. A trusted agent wants infrastructure: a person is asked")
        wish = self._signed(
            "agent-laptop-1", "agent-1234", "create-infra", {"size": "small"}, purpose="load test on Friday"
        )
        held = gateway.submit(wish)
        self._show("needs approval", gateway, held)
        if held.ticket is not None:
            self._out.row("bob reads", held.ticket.summary())
            self._out.row("bob signs", f"his key signs {held.ticket.digest}")
            self._show(
                "approved by bob",
                gateway,
                gateway.approve(self._signers["bob-approves"].approve(held.ticket)),
            )

        self._chapter("4. Too many test runs: two an hour are allowed")
        self._quietly(
            gateway, gateway.submit(self._signed("agent-laptop-1", "agent-1234", "run-test-suite", tests))
        )
        third = self._signed("agent-laptop-1", "agent-1234", "run-test-suite", tests)
        self._show("one too many", gateway, gateway.submit(third))

        self._chapter("5. Somebody changes a signed request")
        forged = json.loads(self._signed("agent-laptop-1", "agent-1234", "create-infra", {"size": "small"}))
        envelope = json.loads(base64.b64decode(forged["attestation"]))
        payload = base64.b64decode(envelope["payload"]).replace(b'"small"', b'"large"')
        envelope["payload"] = base64.b64encode(payload).decode()
        forged["attestation"] = base64.b64encode(json.dumps(envelope).encode()).decode()
        forged["parameters"]["size"] = "large"
        self._show("forged", gateway, gateway.submit(json.dumps(forged).encode()))

        self._chapter("6. Somebody sends the first request again")
        self._show("replayed", gateway, gateway.submit(first))

        self._chapter("In short")
        self._out.table(("request", "decision", "code", "exit", "charged"), self._summary)

    def look_at_ledger(self, gateway: Gateway) -> None:
        """Verify it, then change one byte in a copy and verify that."""
        self._chapter("The ledger")
        found = gateway.ledger.verify()
        self._out.row(
            "verified",
            f"{found.size} entries, root {found.root[:16]}…: {'all as signed' if found.ok else found.message}",
        )
        copy = self._folder / "ledger-copy.jsonl"
        with open(copy, "wb") as file:
            gateway.ledger.export(file)
        lines = copy.read_bytes().splitlines(keepends=True)
        victim = next(at for at, line in enumerate(lines) if b'"effect":"deny"' in line)
        lines[victim] = lines[victim].replace(b'"effect":"deny"', b'"effect":"denY"', 1)
        tampered = self._folder / "ledger-tampered.jsonl"
        tampered.write_bytes(b"".join(lines))
        broken = verify_export(tampered.read_bytes(), public_key=(self._folder / "ledger.pub").read_bytes())
        self._out.row("one byte", f"in a copy, entry {victim} now says denY instead of deny")
        self._out.row("verified", f"entry {broken.first_bad}: {broken.message}", "red")

    def farewell(self, seconds: float) -> None:
        self._out.line()
        self._out.line(f"Done in {seconds:.1f} s. The folder stays; go on in it:")
        here = Path(sys.argv[0]).absolute().parent
        path = () if which("cigate") else (f'export PATH="{here}:$PATH"',)
        for command in (
            *path,
            f"cd {self._folder}",
            "cigate ledger show",
            "cigate ledger verify ledger-tampered.jsonl",
            "cigate health",
            "cigate halt 'looking into it'  &&  cigate resume 'looked into it'",
        ):
            self._out.line(f"  {self._out.styled(command, 'bold')}")

    def _chapter(self, text: str) -> None:
        self._out.heading(text)

    def _show(self, name: str, gateway: Gateway, outcome: Outcome) -> None:
        decision = outcome.decision
        self._out.effect(decision.effect.value, outcome.code)
        self._out.row("because", "\n".join(_because(outcome)))
        seen = self._operator_view(gateway, outcome)
        if seen:
            self._out.row("runner saw", "\n".join(map(_short, seen.splitlines())), "dim")
        self._out.row("caller got", json.dumps(outcome.to_json()))
        self._out.row("cost", str(outcome.cost) if outcome.cost else "nothing")
        cost = str(outcome.cost) if outcome.cost else "-"
        self._summary.append((name, _CODE[decision.effect], outcome.code, str(outcome.exit_code), cost))

    def _quietly(self, gateway: Gateway, outcome: Outcome) -> None:
        self._out.row("second run", f"{outcome.effect.value}, {outcome.code}")
        cost = str(outcome.cost) if outcome.cost else "-"
        self._summary.append(
            ("second test run", _CODE[outcome.effect], outcome.code, str(outcome.exit_code), cost)
        )

    def _operator_view(self, gateway: Gateway, outcome: Outcome) -> str:
        if outcome.run is None or outcome.decision_id is None:
            return ""
        status = gateway.status(outcome.decision_id)
        return (status.output or b"").decode("utf-8", "replace") if isinstance(status, RunStatus) else ""

    def _signed(
        self, key: str, agent: str, action: str, parameters: dict[str, str], purpose: str | None = None
    ) -> bytes:
        request = {
            "agent_id": agent,
            "agent_version": "2.0.1",
            "user_id": "alice@example.com",
            "action": action,
            "commit": self._commit,
            "parameters": parameters,
            **({"purpose": purpose} if purpose else {}),
        }
        return self._signers[key].sign(request)

    def _enrol(self, gateway: Gateway, name: str, **owner: Any) -> None:
        private = self._folder / f"{name}.key"
        public = write_key_pair(private)
        gateway.enrol(KeyRecord.enrol(public.read_bytes(), id=name, **owner))
        self._signers[name] = Signer.from_pem(private, key_id=KeyId(name), audience=AUDIENCE)

    def _make_repository(self) -> str:
        """A bare repository with one commit on main, in which the broker's public key lies for the job."""
        work, bare = self._folder / "app", self._folder / "app.git"
        work.mkdir()
        raw = (
            load_private_key(self._folder / "broker-local.key")
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)[-32:]
        )
        for name, text in (
            ("run_tests.py", demo_files.RUN_TESTS),
            ("make_infra.py", demo_files.MAKE_INFRA),
            ("ed25519.py", demo_files.ED25519),
            ("broker.key.raw", raw.hex() + "\n"),
        ):
            (work / name).write_text(text)
        who = ["-c", "user.name=tour", "-c", "user.email=tour@example.com", "-c", "commit.gpgsign=false"]
        _git("init", "-q", "-b", "main", str(work))
        _git("-C", str(work), "add", ".")
        _git("-C", str(work), *who, "commit", "-q", "-m", "A job")
        _git("clone", "-q", "--bare", str(work), str(bare))
        return _git("-C", str(bare), "rev-parse", "main").strip()


def _because(outcome: Outcome) -> list[str]:
    """The reasons, and for a deny of the policy what a yes would have taken."""
    decision = outcome.decision
    if outcome.code in _PLAINLY:
        return [_PLAINLY[outcome.code]]
    told = [reason.message for reason in decision.reasons] or [decision.code]
    _, _, missing = decision.explain().partition("\nstill missing:\n")
    if decision.effect is Effect.DENY and missing:
        told += [f"still missing: {line.strip()}" for line in missing.splitlines()]
    return told


def _short(line: str) -> str:
    """A line that the reader takes in at a glance; tokens are long."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_CUT_TO]}…"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def _own(folder: Path) -> Path:
    """The folder that was asked for, and no other: missing or empty.

    Raises:
        ConfigError: `demo.exists`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "demo.exists", f"{folder} is there already, and not empty", fix="give a new or an empty folder"
        )
    return folder


def _free(folder: Path) -> Path:
    """The folder, or the first numbered one that is not there yet."""
    if not folder.exists():
        return folder
    return next(
        found for n in range(2, 1000) if not (found := folder.with_name(f"{folder.name}-{n}")).exists()
    )
