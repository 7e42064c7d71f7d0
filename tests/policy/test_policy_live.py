"""A policy follows its file, and no file takes it down, opens it or turns it back."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_writing import FACTS, allow, deny, document

from cigate import LivePolicy
from cigate.errors import PolicyError
from cigate.policy import PolicyEngine, live


def text(sequence: int, *rules: dict[str, Any], indent: int | None = None) -> str:
    made = json.loads(document(*(rules or (allow(),))))
    made["metadata"]["sequence"] = sequence
    return json.dumps(made, indent=indent)


def replace(path: Path, content: str | bytes) -> None:
    """As a careful writer does it."""
    beside = path.with_name("beside")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode())
    beside.rename(path)


class Followed:
    """A policy file, the policy that follows it, and a clock that moves only when told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "policy.yaml"
        self.now = 0.0
        replace(self.path, text(1))
        self.policy = LivePolicy.from_path(self.path, every=timedelta(seconds=5), clock=lambda: self.now)

    def looks(self, times: int = 1) -> str:
        for _ in range(times):
            self.now += 5
            effect = self.policy.decide(FACTS).effect
        return str(effect)

    @property
    def code(self) -> str:
        return self.policy.problem.code if self.policy.problem is not None else ""


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_a_newer_version_is_in_force_once_it_has_stayed_as_it_is(followed: Followed) -> None:
    assert followed.looks() == "allow"
    replace(followed.path, text(2, deny()))
    assert [followed.looks(), followed.looks()] == ["allow", "deny"]
    assert (followed.policy.engine.sequence, followed.policy.problem) == (2, None)


def test_a_file_is_looked_at_so_often_and_no_more(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    real = live._status
    monkeypatch.setattr(live, "_status", lambda path: looked.append(path) or real(path))
    for _ in range(1000):
        followed.now += 0.01
        followed.policy.decide(FACTS)
    assert len(looked) <= 4  # two looks in ten seconds, and what the first of them reads is read but once


def test_a_policy_without_looks_changes_on_request_only(tmp_path: Path) -> None:
    followed = Followed(tmp_path)
    asked = LivePolicy.from_path(followed.path, every=None)
    replace(followed.path, text(2, deny()))
    assert asked.decide(FACTS).effect == "allow"
    assert asked.reload() is True
    assert asked.decide(FACTS).effect == "deny"


def test_other_comments_or_spaces_are_no_other_policy(followed: Followed) -> None:
    digest = followed.policy.engine.digest
    replace(followed.path, text(1, indent=2))
    assert followed.policy.reload()
    assert (followed.policy.engine.digest, followed.policy.engine.text) == (digest, text(1, indent=2))


Spoil = Callable[[Path], object]
BAD: dict[str, tuple[str, Spoil]] = {
    "a file that is gone": ("policy.unreadable", Path.unlink),
    "an empty file": ("policy.documents", lambda path: replace(path, "")),
    "half a file": ("policy.syntax", lambda path: path.write_text(text(2)[:-40])),
    "no YAML": ("policy.syntax", lambda path: replace(path, "a: b: c")),
    "an expression that is wrong": (
        "policy.unknown-field",
        lambda path: replace(path, text(2, deny("agent.manged"))),
    ),
    "a lower sequence": ("policy.sequence", lambda path: replace(path, text(0, allow()))),
    "other content of the same sequence": ("policy.sequence", lambda path: replace(path, text(1, deny()))),
    "no UTF-8": ("policy.encoding", lambda path: replace(path, b"\xff")),
    "too much": ("policy.too-large", lambda path: replace(path, b"#" * (16 * 2**20 + 1))),
    "a file that its group may write": ("policy.writable-by-others", lambda path: path.chmod(0o664)),
    "a file that others may write": ("policy.writable-by-others", lambda path: path.chmod(0o646)),
    "a folder in which others may replace it": (
        "policy.writable-by-others",
        lambda path: path.parent.chmod(0o777),
    ),
    "a folder in its place": ("policy.unreadable", lambda path: (path.unlink(), path.mkdir())),
    "a pipe in its place": ("policy.unreadable", lambda path: (path.unlink(), os.mkfifo(path))),
    "a link that leads nowhere": ("policy.unreadable", lambda path: (path.unlink(), path.symlink_to("no"))),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_changes_nothing_and_is_told_once(
    case: str, followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    code, spoil = BAD[case]
    before = followed.policy.engine
    spoil(followed.path)
    with caplog.at_level(logging.ERROR, logger="cigate"):
        assert followed.looks(6) == "allow"
        assert not followed.policy.reload()
    assert followed.code == code
    assert followed.policy.engine.digest == before.digest
    assert len(caplog.records) == 1
    assert code in caplog.text
    assert str(followed.path) in caplog.text


@pytest.mark.parametrize("case", BAD)
def test_a_good_file_after_a_bad_one_is_taken(case: str, followed: Followed) -> None:
    BAD[case][1](followed.path)
    followed.looks(3)
    followed.path.parent.chmod(0o700)
    if followed.path.is_dir():
        followed.path.rmdir()
    replace(followed.path, text(2, deny()))
    assert followed.looks(2) == "deny"
    assert followed.code == ""


@pytest.mark.parametrize("case", [case for case in BAD if "sequence" not in case])
def test_the_first_version_must_be_good(case: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    replace(path, text(1))
    code, spoil = BAD[case]
    spoil(path)
    with pytest.raises(PolicyError) as caught:
        LivePolicy.from_path(path)
    assert caught.value.code == code
    assert caught.value.where.startswith(str(path))


def test_the_same_file_put_back_is_no_problem_any_more(followed: Followed) -> None:
    followed.looks(3)
    away = followed.path.with_name("away")
    followed.path.rename(away)
    followed.looks(2)
    assert followed.code == "policy.unreadable"
    away.rename(followed.path)
    followed.looks(2)
    assert followed.code == ""


def test_a_policy_whose_end_is_not_there_yet_is_not_taken(followed: Followed) -> None:
    """Cut between two rules it would load, and allow what its last rule denies."""
    whole = "\n".join(
        [
            "apiVersion: cigate/v1",
            "kind: GatewayPolicy",
            "metadata: {name: tested, sequence: 2}",
            "spec:",
            "  rules:",
            '    - {name: all, effect: allow, actions: ["*"], expression: agent.managed}',
            "    - {name: none, effect: deny}",
        ]
    )
    lines = whole.splitlines(keepends=True)
    assert PolicyEngine.from_yaml("".join(lines[:-1])).decide(FACTS).effect == "allow"
    with open(followed.path, "w") as file:
        for line in lines:
            file.write(line)
            file.flush()
            followed.looks()
            assert followed.policy.engine.sequence == 1
    followed.looks(2)
    assert followed.policy.engine.sequence == 2
    assert followed.looks() == "deny"


def test_what_can_not_be_foreseen_changes_nothing_either(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> PolicyEngine:
        raise RecursionError("deep")

    replace(followed.path, text(2, deny()))
    with monkeypatch.context() as patched:
        patched.setattr(PolicyEngine, "from_yaml", broken)
        assert followed.looks(4) == "allow"
        assert followed.code == "policy.error"
    assert followed.policy.reload(), "the file is good, so a later attempt is"
    assert followed.looks() == "deny"


def test_a_problem_keeps_nothing_of_the_document_alive(followed: Followed) -> None:
    replace(followed.path, text(2, deny("agent.manged")))
    followed.policy.reload()
    problem = followed.policy.problem
    assert problem is not None
    assert (problem.__traceback__, problem.__cause__, problem.__context__) == (None, None, None)


def test_a_child_of_a_fork_follows_the_file_though_its_parent_was_reading(followed: Followed) -> None:
    held = threading.Event()
    done = threading.Event()

    def read_slowly() -> None:
        with followed.policy._turn():
            held.set()
            done.wait(30)

    reading = threading.Thread(target=read_slowly)
    reading.start()
    held.wait(30)
    replace(followed.path, text(2, deny()))
    child = os.fork()
    if child == 0:
        os._exit(0 if followed.policy.reload() and followed.looks() == "deny" else 1)
    done.set()
    reading.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["0", "1", "2", "3", "4", "half", "gone", "wrong", "reload", "look"])))
def test_the_sequence_never_falls_and_is_that_of_a_version_that_was_good(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    followed = Followed(tmp_path_factory.mktemp("live"))
    highest, there, seen = 1, 1, [1]
    for step in steps:
        if step == "reload":
            followed.policy.reload()
            highest = max(highest, there)
        elif step == "look":
            followed.looks()
        elif step == "gone":
            followed.path.unlink(missing_ok=True)
            there = 0
        else:
            content = {"half": text(9)[:-30], "wrong": text(9, deny("a.b"))}
            replace(followed.path, content.get(step) or text(int(step), deny()) if step != "1" else text(1))
            there = int(step) if step.isdigit() else 0
        seen.append(followed.policy.engine.sequence)
    followed.looks(2)
    assert seen == sorted(seen)
    assert followed.policy.engine.sequence == max(*seen, there)
    assert max(seen) >= highest


def test_threads_that_decide_meet_good_policies_only_while_files_of_all_kinds_come_and_go(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.yaml"
    replace(path, text(1))
    policy = LivePolicy.from_path(path, every=timedelta(0))
    versions = [text(at, allow("agent.managed") if at % 2 else deny()) for at in range(2, 500)]
    digests = {PolicyEngine.from_yaml(each).digest: "deny" for each in versions[::2]}
    digests |= {PolicyEngine.from_yaml(each).digest: "allow" for each in [text(1), *versions[1::2]]}
    wrong: list[object] = []
    counts = [0] * 8
    over = threading.Event()

    def decide(mine: int) -> None:
        while not over.wait(0.001):  # or eight threads that never rest leave the writer no time
            try:
                decision = policy.decide(FACTS)
                if digests.get(decision.policy_digest) != str(decision.effect):
                    wrong.append(decision)
            except BaseException as error:
                wrong.append(error)
            counts[mine] += 1

    deciding = [threading.Thread(target=decide, args=(at,)) for at in range(8)]
    for thread in deciding:
        thread.start()
    for at, version in enumerate(versions):
        match at % 5:
            case 0:
                path.write_text(version[: 40 + at % 200])
            case 1:
                replace(path, version.replace("allow", "alow").replace("deny", "dney"))
            case 2:
                path.unlink()
            case _:
                replace(path, version)
                policy.reload()
    replace(path, versions[-1])
    assert policy.reload()
    over.set()
    for thread in deciding:
        thread.join()
    assert wrong == []
    assert min(counts) > 0
    assert policy.engine.sequence == 499
