"""Repositories and specs to run jobs with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from cigate.action import Action, Source
from cigate.decision import DecisionId
from cigate.pipelines import RunSpec
from cigate.request import ActionName
from cigate.testing.pipelines import CREDENTIAL, Does

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LONG = timedelta(seconds=60)
_IDS = count(1)

SCRIPTS = {
    Does.SUCCEED: "exit 0",
    Does.FAIL: "exit 3",
    Does.LAST: "exec sleep 1000",
    Does.SHOW: (
        'echo "it is $CIGATE_CREDENTIAL"; printf %s "$CIGATE_CREDENTIAL" | base64; '
        f'[ "$CIGATE_CREDENTIAL" = {CREDENTIAL} ]'
    ),
}


def spec(
    *command: str, source: Source | None = None, memory: int = 512 * 1024 * 1024, **fields: Any
) -> RunSpec:
    """A spec whose job runs `command`."""
    action = Action(ActionName("run-tests"), command=command, source=source, memory=memory)
    given: dict[str, Any] = {
        "decision_id": DecisionId(f"scene-{next(_IDS)}"),
        "commit": COMMIT,
        "commit_as_sent": f"sha1:{fields.get('commit', COMMIT)}",
        "parameters": {"test_suite": "integration-qa", "shards": 2, "fast": True},
        "isolation": "sandbox",
        "timeout": LONG,
        "awaits_credential": False,
        "receipt": b'{"decision": "allow"}',
    }
    return RunSpec(action=action, **{**given, **fields})


def spec_that(decision_id: DecisionId, does: Does, **fields: Any) -> RunSpec:
    """What the contract asks for, in shell."""
    return spec("/bin/sh", "-c", SCRIPTS[does], decision_id=decision_id, **fields)


class Repository:
    """A git repository in a folder, made with plumbing: nothing of this machine's configuration is in it."""

    def __init__(self, folder: Path, *, bare: bool = True, object_format: str = "sha1") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "-q", f"--object-format={object_format}", *(["--bare"] if bare else []), ".")

    def git(self, *arguments: str, given: bytes = b"") -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            input=given,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", given=content)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """A tree of (mode, object id, name), written without any of git's checks of names."""
        kinds = {"040000": "tree", "160000": "commit"}
        lines = [f"{mode} {kinds.get(mode, 'blob')} {of}\t{name}\0" for mode, of, name in entries]
        return self.git("mktree", "-z", "--missing", given="".join(lines).encode())

    def raw_tree(self, *entries: tuple[bytes, str, bytes]) -> str:
        """A tree exactly as given, in this order, with names that mktree would refuse."""
        content = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(of) for mode, of, name in entries)
        return self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=content)

    def commit(self, tree: str, *parents: str, branch: str | None = None) -> str:
        made = self.git(
            "commit-tree", tree, *(part for each in parents for part in ("-p", each)), given=b"x\n"
        )
        if branch is not None:
            self.git("update-ref", f"refs/heads/{branch}", made)
        return made

    def with_files(self, files: Mapping[str, bytes], *, branch: str = "main") -> str:
        """A commit on `branch` with these files in its root."""
        entries: Sequence[tuple[str, str, str]] = [
            ("100644", self.blob(content), name) for name, content in sorted(files.items())
        ]
        return self.commit(self.tree(*entries), branch=branch)
