"""An operator's desk: a gateway folder as `init` makes it, and the command line over it, in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

from cigate.cli import main

COMMIT = "a" * 40
HELLO: Mapping[str, Any] = {
    "agent_id": "agent-1234",
    "agent_version": "2.0.1",
    "user_id": "alice@example.com",
    "action": "hello",
    "commit": COMMIT,
    "parameters": {"name": "Ada"},
}
TESTS: Mapping[str, Any] = {**HELLO, "action": "run-test-suite", "parameters": {"test_suite": "unit"}}
INFRA: Mapping[str, Any] = {**HELLO, "action": "create-infra", "parameters": {"size": "small"}}


@frozen
class Said:
    """What a verb did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@define
class Desk:
    """Runs verbs in a folder, which is also the working directory.

    Args:
        folder: the gateway's.
    """

    folder: Path
    _capsys: pytest.CaptureFixture[str]
    _monkeypatch: pytest.MonkeyPatch

    def cigate(self, *arguments: object, stdin: str = "") -> Said:
        """One verb, as `cigate ARGUMENTS` in the folder, with a pipe for stdin."""
        self._monkeypatch.chdir(self.folder)
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capsys.readouterr()
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)

    def ok(self, *arguments: object, stdin: str = "") -> Said:
        """The same, for what must succeed."""
        said = self.cigate(*arguments, stdin=stdin)
        assert said.code == 0, said.err
        return said

    def signed(self, request: Mapping[str, Any] = HELLO, key: str = "agent.key", **changed: Any) -> str:
        """A request as `sign` signs it."""
        (self.folder / "request.json").write_text(json.dumps({**request, **changed}))
        return self.ok("sign", "request.json", "--key", key).out

    def submit(self, request: Mapping[str, Any] = HELLO, **changed: Any) -> Said:
        """Sign a request and submit it."""
        return self.cigate("submit", "-", stdin=self.signed(request, **changed))

    def held(self) -> str:
        """The ticket of a request that waits for a person."""
        said = self.submit(INFRA)
        assert said.code == 11
        ticket: str = said.json["ticket"]
        return ticket

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the folder as an operator would."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new, 1))

    def kinds(self) -> list[str]:
        """The kinds of the ledger's entries, in order."""
        return [line.split()[2] for line in self.ok("ledger", "show").out.splitlines()]
