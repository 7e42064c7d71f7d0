"""Which commits may be built, and what of them is written: nothing that a repository says is run."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from cigate.errors import PipelineUnavailable, RequestError
from cigate.pipelines.source import GitSource
from cigate.pipelines.tree import TreeLimits
from tests.pipelines.pipeline_scene import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "app.git")


def source(repository: Repository, *branches: str, **fields: TreeLimits | timedelta) -> GitSource:
    return GitSource(repository.folder, branches or ("main",), **fields)  # type: ignore[arg-type]


def unreachable(where: GitSource, commit: str) -> bool:
    with pytest.raises(RequestError) as refusal:
        where.resolve(commit)
    return refusal.value.code == "source.unreachable"


def written(where: GitSource, commit: str, folder: Path) -> dict[str, object]:
    """What materialise made: content of files, targets of links (as tuples), None for empty folders."""
    where.materialise(commit, folder)
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = (os.readlink(path),)
        elif path.is_file():
            found[name] = path.read_bytes()
        elif not any(path.iterdir()):
            found[name] = None
    return found


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_commit_on_an_allowed_branch_resolves_to_itself_old_or_new(
    tmp_path: Path, bare: bool, object_format: str
) -> None:
    repository = Repository(tmp_path / "repo", bare=bare, object_format=object_format)
    old = repository.with_files({"a": b"1"})
    new = repository.commit(repository.tree(), old, branch="main")
    assert [source(repository).resolve(each) for each in (old, new)] == [old, new]


@pytest.mark.parametrize(
    ("pattern", "branch", "allowed"),
    [
        ("main", "main", True),
        ("main", "mainly", False),
        ("main", "main/evil", False),
        ("main", "x/main", False),
        ("release/*", "release/1", True),
        ("release/*", "release/1/evil", False),
        ("release/*", "release", False),
        ("release/**", "release/1/2", True),
        ("v?", "v1", True),
        ("v?", "v10", False),
        ("[mn]ain", "main", False),
        ("m.in", "main", False),
        ("*", "feature/x", False),
    ],
)
def test_a_branch_is_allowed_by_its_whole_name(
    repository: Repository, pattern: str, branch: str, allowed: bool
) -> None:
    commit = repository.with_files({"a": b"1"}, branch=branch)
    where = source(repository, pattern)
    assert where.resolve(commit) == commit if allowed else unreachable(where, commit)


@pytest.mark.parametrize(
    "spelling",
    [
        "main",
        "HEAD",
        "",
        "0" * 39,
        "0" * 41,
        "A" * 40,
        "refs/heads/main",
        "main@{0}",
        "--all",
        "0" * 40 + "\n",
    ],
)
def test_only_a_full_object_id_names_a_commit(repository: Repository, spelling: str) -> None:
    repository.with_files({"a": b"1"})
    with pytest.raises(RequestError) as refusal:
        source(repository).resolve(spelling)
    assert refusal.value.code == "source.malformed-commit"


def test_an_object_that_merely_exists_is_unreachable(repository: Repository) -> None:
    repository.with_files({"a": b"1"})
    loose = repository.commit(repository.tree())
    assert unreachable(source(repository), loose)
    assert unreachable(source(repository), "0" * 40)


def test_a_commit_of_a_fork_that_shares_the_object_store_is_unreachable(
    repository: Repository, tmp_path: Path
) -> None:
    repository.with_files({"a": b"1"})
    fork = Repository(tmp_path / "fork.git")
    evil = fork.with_files({"a": b"evil"})
    (repository.folder / "objects" / "info" / "alternates").write_text(f"{fork.folder}/objects\n")
    assert repository.git("cat-file", "-t", evil) == "commit"
    assert unreachable(source(repository), evil)


@pytest.mark.parametrize(
    "ref", ["refs/pull/1/head", "refs/tags/main", "refs/remotes/origin/main", "refs/main"]
)
def test_a_ref_that_is_no_branch_makes_nothing_reachable(repository: Repository, ref: str) -> None:
    repository.with_files({"a": b"1"})
    evil = repository.commit(repository.tree())
    repository.git("update-ref", ref, evil)
    assert unreachable(source(repository, "main", "**"), evil)


def test_a_branch_that_only_points_to_another_ref_makes_nothing_reachable(repository: Repository) -> None:
    evil = repository.commit(repository.tree())
    repository.git("update-ref", "refs/pull/1/head", evil)
    repository.git("symbolic-ref", "refs/heads/main", "refs/pull/1/head")
    assert unreachable(source(repository), evil)


def test_tags_trees_and_blobs_are_no_commits(repository: Repository) -> None:
    commit = repository.with_files({"a": b"1"})
    repository.git("tag", "-a", "-m", "x", "v1", commit)
    tag = repository.git("rev-parse", "refs/tags/v1")
    tree = repository.git("rev-parse", f"{commit}^{{tree}}")
    for each in (tag, tree, repository.blob(b"1")):
        assert unreachable(source(repository), each)


def test_a_graft_or_a_replacement_makes_nothing_reachable_and_changes_no_content(
    repository: Repository, tmp_path: Path
) -> None:
    good = repository.with_files({"a": b"good"})
    evil = repository.commit(repository.tree(("100644", repository.blob(b"evil"), "a")))
    (repository.folder / "info").mkdir(exist_ok=True)
    (repository.folder / "info" / "grafts").write_text(f"{good} {evil}\n")
    assert unreachable(source(repository), evil)
    repository.git("replace", "-f", good, evil)
    assert written(source(repository), good, tmp_path / "out") == {"a": b"good"}


def test_a_folder_within_somebody_elses_repository_is_no_repository(tmp_path: Path) -> None:
    outer = Repository(tmp_path / "outer", bare=False)
    commit = outer.with_files({"a": b"1"})
    (outer.folder / "inner").mkdir()
    with pytest.raises(PipelineUnavailable) as failure:
        GitSource(outer.folder / "inner", ("main",)).resolve(commit)
    assert failure.value.code == "source.unreadable"


def test_a_repository_of_another_user_is_read_and_runs_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    commit = repository.with_files({"a": b"1"})
    trap = tmp_path / "trap"
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "diff.external",
        "core.alternateRefsCommand",
    ):
        repository.git("config", key, f"touch {trap}")
    repository.git("config", "core.hooksPath", str(tmp_path))
    if os.geteuid() == 0:
        for path in (repository.folder, *repository.folder.rglob("*")):
            os.chown(path, 12345, 12345)
    assert written(source(repository), source(repository).resolve(commit), tmp_path / "out") == {"a": b"1"}
    assert not trap.exists()


def test_files_get_one_of_two_modes_and_links_stay_links(repository: Repository, tmp_path: Path) -> None:
    blob = repository.blob(b"content\0with\nall")
    commit = repository.commit(
        repository.tree(
            ("100644", blob, "plain"),
            ("100755", blob, "program"),
            ("120000", repository.blob(b"/etc/shadow"), "away"),
            ("120000", repository.blob(b"../../.."), "up"),
            ("160000", "1" * 40, "submodule"),
            ("040000", repository.tree(("100644", blob, "deep \n\xe4")), "folder"),
        ),
        branch="main",
    )
    folder = tmp_path / "out"
    previous = os.umask(0o077)
    try:
        found = written(source(repository), commit, folder)
    finally:
        os.umask(previous)
    assert found == {
        "plain": b"content\0with\nall",
        "program": b"content\0with\nall",
        "away": ("/etc/shadow",),
        "up": ("../../..",),
        "submodule": None,
        "folder/deep \n\xe4": b"content\0with\nall",
    }
    modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("plain", "program", "folder")}
    assert modes == {"plain": 0o644, "program": 0o755, "folder": 0o755}


def test_no_hook_filter_attribute_or_submodule_of_the_tree_is_heeded(
    repository: Repository, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    repository.git("config", "filter.evil.smudge", f"touch {trap}; cat")
    repository.git("config", "filter.evil.process", f"touch {trap}")
    hook = repository.folder / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    files = {
        ".gitattributes": b"* text eol=crlf ident filter=evil export-ignore\n",
        ".gitmodules": f'[submodule "x"]\npath = x\nurl = .\nupdate = !touch {trap}\n'.encode(),
        "a": b"$Id$\nline\n",
    }
    commit = repository.with_files(files)
    assert written(source(repository), commit, tmp_path / "out") == files
    assert not trap.exists()


@pytest.mark.parametrize(
    "name", [b"..", b".", b".git", b".GIT", b".gIt", b"a/../../b", b"/etc", b"x/.git/config"]
)
def test_a_name_that_no_checkout_may_have_is_refused(
    repository: Repository, tmp_path: Path, name: bytes
) -> None:
    tree = repository.raw_tree((b"100644", repository.blob(b"x"), name))
    commit = repository.commit(tree, branch="main")
    assert refusal_of(source(repository), commit, tmp_path / "out") == "source.path"
    assert not (tmp_path / "out").exists()


def test_two_things_of_one_name_are_refused_so_that_nothing_is_written_through_a_link(
    repository: Repository, tmp_path: Path
) -> None:
    blob, away = repository.blob(b"x"), repository.blob(str(tmp_path).encode())
    inner = repository.tree(("100644", blob, "planted"))
    for entries in (
        [(b"120000", away, b"a"), (b"40000", inner, b"a")],
        [(b"100644", blob, b"a"), (b"100644", away, b"a")],
        [(b"100644", blob, b"a"), (b"40000", inner, b"a")],
        [(b"160000", "1" * 40, b"a"), (b"40000", inner, b"a")],
    ):
        commit = repository.commit(repository.raw_tree(*entries), branch="main")
        assert refusal_of(source(repository), commit, tmp_path / "out") == "source.path"
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (TreeLimits(octets=5), "source.too-large"),
        (TreeLimits(files=1), "source.too-large"),
        (TreeLimits(path=3), "source.path"),
        (TreeLimits(depth=1), "source.path"),
    ],
)
def test_a_tree_beyond_a_limit_is_refused(
    repository: Repository, tmp_path: Path, limits: TreeLimits, code: str
) -> None:
    inner = repository.tree(("100644", repository.blob(b"four"), "file"))
    commit = repository.commit(
        repository.tree(
            ("040000", inner, "a"),
            ("100644", repository.blob(b"2"), "b"),
            ("100644", repository.blob(b"3"), "c"),
        ),
        branch="main",
    )
    assert refusal_of(source(repository, limits=limits), commit, tmp_path / "out") == code
    assert not (tmp_path / "out").exists()


def test_a_tree_that_names_itself_over_and_over_costs_a_bounded_listing(
    repository: Repository, tmp_path: Path
) -> None:
    tree = repository.tree(("100644", repository.blob(b"x"), "f" * 200))
    for _ in range(8):
        tree = repository.tree(*(("040000", tree, f"{n}") for n in range(10)))
    commit = repository.commit(tree, branch="main")
    assert refusal_of(source(repository), commit, tmp_path / "out") == "source.too-large"


def test_a_question_to_git_has_an_end(repository: Repository) -> None:
    commit = repository.with_files({"a": b"1"})
    with pytest.raises(PipelineUnavailable) as failure:
        source(repository, timeout=timedelta(0)).resolve(commit)
    assert failure.value.code == "source.unreadable"


def test_an_object_that_a_partial_clone_lacks_is_not_fetched(repository: Repository, tmp_path: Path) -> None:
    origin = Repository(tmp_path / "origin.git")
    blob = origin.blob(b"elsewhere")
    commit = repository.commit(repository.tree(("100644", blob, "gone")), branch="main")
    trap = tmp_path / "trap"
    settings = {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(origin.folder),
        "remote.origin.uploadPack": f"touch {trap}; git-upload-pack",
        "protocol.file.allow": "always",
        "protocol.allow": "always",
    }
    for key, value in settings.items():
        repository.git("config", key, value)
    where = source(repository)
    with pytest.raises((PipelineUnavailable, RequestError)):
        where.materialise(where.resolve(commit), tmp_path / "out")
    assert not trap.exists()


def test_an_object_that_is_missing_is_an_error_and_is_not_fetched(
    repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit(repository.tree(("100644", "2" * 40, "gone")), branch="main")
    with pytest.raises((PipelineUnavailable, RequestError)):
        source(repository).materialise(commit, tmp_path / "out")


def refusal_of(where: GitSource, commit: str, folder: Path) -> str:
    with pytest.raises(RequestError) as refusal:
        where.materialise(commit, folder)
    return refusal.value.code
