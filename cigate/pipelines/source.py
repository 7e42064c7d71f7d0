"""A commit of a git repository: whether it may be built, and its files, written without a checkout.

Theory. Git is asked about objects and refs only, in an environment where nothing that a repository, a user
or the system configures can start a program, fetch anything or put one object in another's place. What is
on the branches decides: an object that merely exists (from a fork that shares the store, a pull request, a
tag of a branch's name) is not reachable. Checkout is avoided altogether, since hooks, filters, attributes
and submodules all hang on it; `tree` writes the blobs.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from attrs import field, frozen

from cigate.errors import PipelineUnavailable, RequestError
from cigate.pipelines.tree import Entry, Tree, TreeLimits, parse_listing

_OBJECT_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HEADS: Final = "refs/heads/"
_MOST_LISTED: Final = 32 * 1024 * 1024
_PIECE: Final = 1024 * 1024
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"

_ENVIRONMENT: Final = {
    "PATH": _PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_ALLOW_PROTOCOL": "",
}

_SETTINGS: Final = (
    "safe.directory=*",
    "protocol.allow=never",
    "core.hooksPath=" + os.devnull,
    "core.fsmonitor=false",
    "core.useReplaceRefs=false",
    "core.pager=cat",
    "advice.graftFileDeprecated=false",
)


def _absolute(given: str | Path) -> Path:
    return Path(given).absolute()


def _branches(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(given)


@frozen
class GitSource:
    """A local repository, bare or not, and the branches from which a commit must be reachable.

    Args:
        git: the repository's folder.
        branches: names or globs; `*` and `?` stay within one part of a name, `**` does not: `release/*`.
        timeout: the longest that one question to git may take.
        limits: the largest tree that is written.
    """

    git: Path = field(converter=_absolute)
    branches: tuple[str, ...] = field(converter=_branches)
    timeout: timedelta = timedelta(seconds=60)
    limits: TreeLimits = field(factory=TreeLimits)

    def resolve(self, commit: str) -> str:
        """The commit's full object id, if an allowed branch of this repository reaches it.

        Raises:
            RequestError: `source.malformed-commit`, it is no full object id; `source.unreachable`, this
                repository has no such commit, or none of the allowed branches contains it.
            PipelineUnavailable: `source.unreadable`, git could not be asked.
        """
        if _OBJECT_ID.fullmatch(commit) is None:
            raise RequestError(
                "source.malformed-commit", "a commit is a full object id of 40 or 64 lower-case hex digits"
            )
        self._require_repository()
        query = "--batch-check=%(objectname) %(objecttype)"
        kind = self._ask("cat-file", query, given=f"{commit}\n".encode())
        if kind.split() != [commit.encode(), b"commit"]:
            raise self._unreachable(commit)
        if not any(self._allows(branch) for branch in self._branches_with(commit)):
            raise self._unreachable(commit)
        return commit

    def materialise(self, commit: str, folder: Path) -> None:
        """Write the commit's tree into `folder`, which is made and must not exist.

        Files get mode 644 or 755, links stay links wherever they point, submodules become empty folders.

        Raises:
            RequestError: `source.path`, `source.mode`, `source.too-large`: the tree has what no checkout of
                ours may have; the folder is left half-written.
            PipelineUnavailable: `source.unreadable`, git or the disk failed.
        """
        listing = self._ask("ls-tree", "-r", "-z", "-l", "--full-tree", commit)
        tree = Tree(parse_listing(listing, self.limits))
        with self._running("cat-file", "--batch") as git:
            tree.write(folder, git.blob)

    def _branches_with(self, commit: str) -> Iterator[str]:
        # the filter of for-each-ref takes "main" for "main/anything" too, so names are matched here
        listed = self._ask("for-each-ref", f"--contains={commit}", "--format=%(refname)%00%(symref)", _HEADS)
        for line in listed.decode("utf-8", "surrogateescape").splitlines():
            name, _, points_to = line.partition("\0")
            if points_to == "":
                yield name.removeprefix(_HEADS)

    def _allows(self, branch: str) -> bool:
        return any(_glob(pattern).fullmatch(branch) is not None for pattern in self.branches)

    def _unreachable(self, commit: str) -> RequestError:
        return RequestError(
            "source.unreachable",
            f"{commit} is no commit on {', '.join(self.branches) or 'any allowed branch'}",
            fix="push it to one of these branches of the action's own repository",
        )

    def _require_repository(self) -> None:
        if not (self._folder / "objects").is_dir() and not self._folder.is_file():
            raise PipelineUnavailable("source.unreadable", f"{self.git} is no readable git repository")

    @property
    def _folder(self) -> Path:
        inner = self.git / ".git"
        return inner if inner.exists() else self.git

    def _command(self, *arguments: str) -> list[str]:
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        # naming the folder leaves git nothing to discover, in parent folders or elsewhere
        return ["git", *settings, f"--git-dir={self._folder}", *arguments]

    def _ask(self, *arguments: str, given: bytes = b"") -> bytes:
        with self._running(*arguments) as git:
            with suppress(BrokenPipeError):
                git.stdin.write(given)
                git.stdin.close()
            answer = git.stdout.read(_MOST_LISTED + 1)
            if len(answer) > _MOST_LISTED:
                # a tree can name itself so often that its listing has no end
                raise RequestError("source.too-large", f"git's answer is longer than {_MOST_LISTED} bytes")
            git.require_success(self.git)
        return answer

    @contextmanager
    def _running(self, *arguments: str) -> Iterator[_Git]:
        """A git that is gone afterwards, however this ends, and that lives no longer than `timeout`."""
        with TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    self._command(*arguments),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env=_ENVIRONMENT,
                    cwd="/",
                )
            except (OSError, ValueError) as error:
                raise PipelineUnavailable("source.unreadable", f"git can't be started: {error}") from error
            assert process.stdin is not None
            assert process.stdout is not None
            overdue = threading.Timer(self.timeout.total_seconds(), process.kill)
            overdue.daemon = True
            overdue.start()
            try:
                yield _Git(process, process.stdin, process.stdout, said)
            except OSError as error:
                why = f"{self.git} can't be read or written out: {error}"
                raise PipelineUnavailable("source.unreadable", why) from error
            finally:
                overdue.cancel()
                process.kill()
                process.wait()
                process.stdout.close()
                with suppress(BrokenPipeError):
                    process.stdin.close()


@frozen
class _Git:
    process: subprocess.Popen[bytes]
    stdin: IO[bytes]
    stdout: IO[bytes]
    said: IO[bytes]

    def require_success(self, repository: Path) -> None:
        if self.process.wait() == 0:
            return
        self.said.seek(0)
        why = self.said.read(500).decode("utf-8", "replace").strip() or "it took too long"
        raise PipelineUnavailable("source.unreadable", f"git could not read {repository}: {why}")

    def blob(self, entry: Entry) -> Iterator[bytes]:
        """The content of one object, in pieces, from a `cat-file --batch`."""
        self.stdin.write(entry.object_id + b"\n")
        self.stdin.flush()
        name = entry.object_id.decode()
        if self.stdout.readline() != b"%s blob %d\n" % (entry.object_id, entry.size):
            raise PipelineUnavailable("source.unreadable", f"git does not give the object {name}")
        left = entry.size
        while left:
            piece = self.stdout.read(min(left, _PIECE))
            if not piece:
                raise PipelineUnavailable("source.unreadable", f"git broke off within the object {name}")
            left -= len(piece)
            yield piece
        if self.stdout.read(1) != b"\n":
            raise PipelineUnavailable("source.unreadable", f"git broke off after the object {name}")


def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    meaning = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts), re.DOTALL)
