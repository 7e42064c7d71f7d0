"""A configuration and a policy written by hand, as the design shows them, from `init --config` to a finished run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_desk import Desk

BY_HAND = Path(__file__).parents[1] / "vectors" / "by-hand"
GATEWAY, POLICY = (BY_HAND.joinpath(name).read_text() for name in ("gateway.yaml", "policy.yaml"))
# What the example leaves to the reader: a name, where the policy is, and the second action that the policy speaks of.
AROUND = """\
audience: ci.example.org
policy: {file: policy.yaml}
"""
SECOND = """\
  create-infra:
    command: [/bin/true]
"""
MAKEFILE = """\
integration:
\t@test -n "$$CIGATE_CREDENTIAL" && test -f Makefile && echo "$$CIGATE_PARAM_TEST_SUITE of $$CIGATE_COMMIT"
"""


def git(*arguments: str, at: Path) -> str:
    who = ("-c", "user.name=alice", "-c", "user.email=alice@example.com")
    done = subprocess.run(["git", *who, *arguments], cwd=at, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def by_hand(desk: Desk, tmp_path: Path) -> tuple[Desk, str]:
    """A desk over the hand-written files and a real repository, and the commit on its main branch."""
    for tool in ("git", "make"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not here: apt-get install {tool}")
    work = tmp_path / "work"
    work.mkdir()
    git("init", "-q", "-b", "main", at=work)
    (work / "Makefile").write_text(MAKEFILE)
    git("add", ".", at=work)
    git("commit", "-q", "-m", "Test", at=work)
    commit = git("rev-parse", "HEAD", at=work)
    git("clone", "-q", "--bare", ".", str(tmp_path / "app.git"), at=work)
    desk.folder = tmp_path / "byhand"
    desk.folder.mkdir(mode=0o700)
    text = AROUND + GATEWAY.replace("/srv/repos/app.git", str(tmp_path / "app.git")) + SECOND
    for name, content in (("gateway.yaml", text), ("policy.yaml", POLICY)):
        (desk.folder / name).write_text(content)
        (desk.folder / name).chmod(0o644)
    desk.ok("init", "--config", "gateway.yaml")
    desk.ok("keygen", "agent.key")
    owner = ("--agent", "agent-1234", "--user", "alice@example.com", "--device", "laptop-1")
    desk.ok("enrol", "agent.key.pub", "--id", "laptop-1-agent", "--use", "request", *owner)
    return desk, commit


def test_the_hand_written_example_runs_a_commit_of_a_real_repository(by_hand: tuple[Desk, str]) -> None:
    desk, commit = by_hand
    said = desk.submit(
        {
            "agent_id": "agent-1234",
            "agent_version": "2.0.1",
            "user_id": "alice@example.com",
            "action": "run-test-suite",
            "commit": f"sha1:{commit}",
            "parameters": {"test_suite": "integration-qa"},
        }
    )
    assert said.code == 0, said.out + said.err
    assert said.json["code"] == "run.succeeded"
    assert said.json["cost"] == {"amount": 100, "currency": "EUR"}
    assert "output" not in said.json["run"]
    printed = desk.ok("status", said.json["decision_id"], "--output").out
    assert printed == f"integration-qa of sha1:{commit}\n"
    assert desk.ok("ledger", "verify").json["ok"] is True
    assert desk.ok("health").json["policy"]["sequence"] == 7


def test_a_commit_that_no_branch_reaches_is_denied_before_anything_is_taken(
    by_hand: tuple[Desk, str],
) -> None:
    desk, _ = by_hand
    said = desk.submit(
        {
            "agent_id": "agent-1234",
            "agent_version": "2.0.1",
            "user_id": "alice@example.com",
            "action": "run-test-suite",
            "commit": "b" * 40,
            "parameters": {"test_suite": "unit"},
        }
    )
    assert said.code == 10
    assert said.json["code"].startswith("source.")
    entry = json.loads(desk.ok("ledger", "show", len(desk.kinds()) - 1).out)
    assert (entry["kind"], entry["public"]["effect"]) == ("decision", "deny")
    assert entry["private"]["taken"] == {"all": True}
    assert desk.kinds()[-1] == "decision"
