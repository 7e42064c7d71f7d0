"""A gateway's folder as the command line makes it, and the command line to drive it: nothing here is a double.

Jobs carry a mark of their folder in their command line, so that a test can tell whether any is left.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from cigate.cli import main
from cigate.gateway import Gateway
from cigate.ledger import Entry
from cigate.signing import KeyId, Signer
from cigate.stores import Key
from cigate.stores.sqlite import SQLiteStore

ROOT = Path(__file__).parents[2]
SERVE = Path(__file__).with_name("driver_serve.py")
AUDIENCE = "processes.cigate.example"
COST = 100
LIMIT = 1000
PATIENCE = 30.0

_GATEWAY = """\
audience: processes.cigate.example
store: sqlite:state.db
policy: {{file: policy.yaml}}
agents: {{agent-1234: {{versions: [">=2.0,<3"], managed: true, trusted: true, capabilities: [tests]}}}}
users:
  alice@example.com: {{roles: [developer], team: qa}}
  bob@example.com: {{roles: [sre], team: platform}}
devices:
  laptop-1:
    managed: true
    posture: {{compliant: true, disk_encrypted: true, edr_running: true, os_patch_age_days: 3}}
budgets: {{qa: {{limit: 1000, currency: EUR, period: total}}}}
brokers: {{local: {{backend: local, profiles: {{tests: {{scope: [tests], ttl: 10m}}}}}}}}
pipelines:
  local: {{backend: local, isolation: sandbox}}
  bare: {{backend: local, isolation: none}}
allow_unisolated_jobs: true
actions:
  test:          # costs money, holds a credential, and runs in the sandbox
    command: [/bin/sh, -c, 'test -n "$CIGATE_CREDENTIAL" && sleep 0.1', {mark}]
    cost: {{per_run: 100}}
    credential: {{broker: local, profile: tests, ttl: 10m}}
    timeout: 1m
  long:          # the same, for as long as it may
    command: [/bin/sh, -c, 'sleep 50; exit 0', {mark}]
    cost: {{per_run: 100}}
    credential: {{broker: local, profile: tests, ttl: 10m}}
    timeout: 1m
  counted:       # leaves one line on the host for each time that it ran
    pipeline: bare
    command: [/bin/sh, -c, 'echo "$CIGATE_DECISION_ID" >> "$0"', {runs}, {mark}]
    cost: {{per_run: 100}}
    credential: {{broker: local, profile: tests, ttl: 10m}}
    timeout: 1m
  free:          # the same, for nothing
    pipeline: bare
    command: [/bin/sh, -c, 'echo "$CIGATE_DECISION_ID" >> "$0"', {runs}, {mark}]
    credential: {{broker: local, profile: tests, ttl: 10m}}
    timeout: 1m
  held:          # a person is asked first
    pipeline: bare
    command: [/bin/sh, -c, 'echo "$CIGATE_DECISION_ID" >> "$0"', {runs}, {mark}]
    timeout: 1m
  throttled:
    pipeline: bare
    command: [/bin/sh, -c, 'echo "$CIGATE_DECISION_ID" >> "$0"', {runs}, {mark}]
    timeout: 1m
  failing:
    pipeline: bare
    command: [/bin/sh, -c, 'exit 3', {mark}]
    timeout: 1m
  gated:         # holds a credential and money until a file appears beside the line that it wrote
    pipeline: bare
    command:
      [/bin/sh, -c, 'echo "$CIGATE_DECISION_ID" >> "$0"; until [ -e "$0.go" ]; do sleep 0.02; done', {runs}, {mark}]
    cost: {{per_run: 100}}
    credential: {{broker: local, profile: tests, ttl: 10m}}
    timeout: 1m
  unstartable:
    command: [/no/such/program, {mark}]
  forbidden:
    command: [/bin/true]
"""

_POLICY = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: processes, sequence: 1}
spec:
  rules:
    - {name: managed, effect: allow, actions: ["*"], expression: agent.managed}
    - {name: never, effect: deny, actions: [forbidden]}
    - name: a-person-first
      effect: require_approval
      actions: [held]
      approval: {count: 1, roles: [sre], ttl: 30m}
    - name: three-an-hour
      effect: throttle
      actions: [throttled]
      throttle: {limit: 3, per: 1h, key: [agent.id]}
"""


@frozen
class Answer:
    """What a verb of the command line said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@frozen
class Driver:
    """A process that is spoken to in lines."""

    process: subprocess.Popen[str]

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the driver ended without a word: {self.process.wait()}"
        return line.strip()

    def ask(self, line: str) -> str:
        self.say(line)
        return self.hear()


@frozen
class Folder:
    """One gateway's folder.

    Args:
        path: where it is.
        mark: a word in the command line of each of its jobs.
        runs: the file into which jobs without a sandbox write a line each.
    """

    path: Path
    mark: str
    runs: Path

    @classmethod
    def make(cls, path: Path) -> Folder:
        """A folder with a hand-written configuration, its state made by `init --config`, its keys enrolled."""
        path.mkdir(mode=0o700)
        folder = cls(path, f"mark-{secrets.token_hex(8)}", path / "runs")
        folder._write(path / "gateway.yaml", _GATEWAY.format(mark=folder.mark, runs=folder.runs))
        folder._write(path / "policy.yaml", _POLICY)
        owners = {
            "agent": ("--use", "request", "--agent", "agent-1234", "--user", "alice@example.com"),
            "bob": ("--use", "approval", "--user", "bob@example.com"),
        }
        verbs: list[tuple[str, ...]] = [("init",)]
        for name, owner in owners.items():
            key = str(path / f"{name}.key")
            device = ("--device", "laptop-1") if name == "agent" else ()
            verbs += [("keygen", key), ("enrol", f"{key}.pub", "--id", name, *owner, *device)]
        for verb in verbs:
            answer = folder.cigate(*verb)
            assert answer.code == 0, answer
        return folder

    def copy(self, path: Path) -> Folder:
        """A copy of the folder at rest. Its jobs carry the same mark, and write into the same file."""
        shutil.copytree(self.path, path)
        return Folder(path, self.mark, self.runs)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    # The command line

    def cigate(self, *words: str) -> Answer:
        """One verb, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--config", str(self.path / "gateway.yaml"), *words])
        return Answer(code, out.getvalue(), err.getvalue())

    def command(self, *words: str) -> list[str]:
        """The command line of one verb, to be run in a process of its own."""
        return [sys.executable, "-m", "cigate", "--config", str(self.path / "gateway.yaml"), *words]

    def driven(self, script: Path, *words: str) -> list[str]:
        """The command line of a script that is given the configuration's path first."""
        return [sys.executable, str(script), str(self.path / "gateway.yaml"), *words]

    @contextlib.contextmanager
    def driver(self, script: Path, *words: str) -> Iterator[Driver]:
        """A script in a process of its own, spoken to in lines; killed in the end, if it is still there."""
        with subprocess.Popen(
            self.driven(script, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as running:
            try:
                yield Driver(running)
            finally:
                running.kill()

    def gateway(self) -> Gateway:
        return Gateway.from_config(self.path / "gateway.yaml")

    # Requests

    def signer(self, name: str = "agent") -> Signer:
        return Signer.from_pem(self.path / f"{name}.key", key_id=KeyId(name), audience=AUDIENCE)

    def signed(self, action: str) -> bytes:
        return self.signer().sign(request(action))

    def signed_file(self, action: str) -> str:
        path = self.path / f"signed-{secrets.token_hex(8)}.json"
        path.write_bytes(self.signed(action))
        return str(path)

    # What is to be seen of it from outside

    def entries(self) -> list[Entry]:
        with self.gateway() as opened:
            return list(opened.ledger.entries())

    def ran(self) -> list[str]:
        """The decisions whose jobs began, from the jobs themselves."""
        return self.runs.read_text().split() if self.runs.exists() else []

    def spent(self) -> tuple[int, int]:
        """Of the budget: committed, reserved."""
        key = Key("budget", "qa/total")
        store = SQLiteStore(self.path / "state.db")
        try:
            row = json.loads(store.read([key]).get(key, b'{"committed": 0, "reserved": 0}'))
        finally:
            store.close()
        return row["committed"], row["reserved"]

    def jobs(self) -> list[int]:
        """The processes of this folder's jobs that live, whatever user or namespace they have."""
        return [process for process in processes() if self.mark.encode() in words_of(process)]


def request(action: str) -> dict[str, Any]:
    return {
        "agent_id": "agent-1234",
        "agent_version": "2.0.1",
        "user_id": "alice@example.com",
        "action": action,
        "commit": "a" * 40,
        "parameters": {},
    }


def processes() -> Sequence[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def words_of(process: int) -> list[bytes]:
    """The command line of a process; none if it is gone, or a zombie."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def until(true: Callable[[], Any], what: str) -> None:
    """Look again until it is true; a test that waits for nothing fails."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.005)


def decisions(entries: Sequence[Entry], kind: str) -> list[str]:
    """The decisions of the entries of one kind, in order."""
    return [entry.public["decision_id"] for entry in entries if entry.kind == kind]
