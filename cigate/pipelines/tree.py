"""The files of a commit as git lists them, checked as a whole before the first byte is written.

What must always hold: nothing is written outside the folder, through a link, or over something else; and a
hostile tree costs no more than the limits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import field, frozen

from cigate.errors import RequestError

_LINE: Final = re.compile(
    rb"(?P<mode>[0-7]{6}) (?P<kind>[a-z]+) (?P<id>[0-9a-f]{40,64}) +(?P<size>[0-9]+|-)\t(?P<path>.+)",
    re.DOTALL,
)
_FILES: Final = {b"100644": 0o644, b"100664": 0o644, b"100755": 0o755}
_LINK: Final = b"120000"
_SUBMODULE: Final = b"160000"


@frozen
class TreeLimits:
    """The largest tree that is written: bytes in all, files, and for one path its length and depth."""

    octets: int = 512 * 1024 * 1024
    files: int = 200_000
    path: int = 1024
    depth: int = 64
    link: int = 4095


@frozen
class Entry:
    """One line of a recursive listing. `size` of a submodule is 0."""

    mode: bytes
    object_id: bytes
    size: int
    parts: tuple[bytes, ...]

    @property
    def path(self) -> bytes:
        return b"/".join(self.parts)


def parse_listing(listing: bytes, limits: TreeLimits) -> Sequence[Entry]:
    """The output of `git ls-tree -r -z -l`, every line of it within the limits and fit to be written.

    Raises:
        RequestError: `source.path`, `source.mode`, `source.too-large`.
    """
    if listing.count(b"\0") > limits.files:
        raise RequestError("source.too-large", f"the commit has more than {limits.files} files")
    entries = [_entry(line, limits) for line in listing.split(b"\0") if line]
    if sum(entry.size for entry in entries) > limits.octets:
        raise RequestError("source.too-large", f"the commit's files have more than {limits.octets} bytes")
    return entries


def _entry(line: bytes, limits: TreeLimits) -> Entry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise RequestError("source.path", f"git lists what we can't read: {line[:80]!r}")
    parts = tuple(match["path"].split(b"/"))
    if len(match["path"]) > limits.path or len(parts) > limits.depth or max(map(len, parts)) > 255:
        raise RequestError("source.path", f"a path is too long or too deep: {match['path'][:80]!r}…")
    if any(part in (b"", b".", b"..") or part.lower() == b".git" for part in parts):
        raise RequestError("source.path", f"a path that no checkout may have: {match['path']!r}")
    kinds = {**dict.fromkeys(_FILES, b"blob"), _LINK: b"blob", _SUBMODULE: b"commit"}
    if kinds.get(match["mode"]) != match["kind"]:
        raise RequestError("source.mode", f"{match['path']!r} has the mode {match['mode'].decode()}")
    size = 0 if match["size"] == b"-" else int(match["size"])
    if match["mode"] == _LINK and not 0 < size <= limits.link:
        raise RequestError("source.mode", f"the link {match['path']!r} points nowhere or too far")
    return Entry(match["mode"], match["id"], size, parts)


def _without_conflicts(entries: Iterable[Entry]) -> Sequence[Entry]:
    kept = tuple(entries)
    seen: set[tuple[bytes, ...]] = set()
    folders = {entry.parts[:depth] for entry in kept for depth in range(1, len(entry.parts))}
    for entry in kept:
        if entry.parts in seen or entry.parts in folders:
            raise RequestError("source.path", f"two things in the commit are named {entry.path!r}")
        seen.add(entry.parts)
    return kept


@frozen
class Tree:
    """Entries no two of which want the same name.

    Raises:
        RequestError: `source.path`, two of them do.
    """

    entries: Sequence[Entry] = field(converter=_without_conflicts)

    def write(self, folder: Path, read: Callable[[Entry], Iterable[bytes]]) -> None:
        """Make `folder` and write every entry into it, content given by `read` in pieces. Links come last.

        While a file is written there is no link yet that it could be written through.

        Raises:
            RequestError: `source.path`, a link's target has a zero byte.
            OSError: the disk failed, or something is there already.
        """
        root = os.fsencode(folder)
        folders = {entry.parts[:depth] for entry in self.entries for depth in range(1, len(entry.parts))}
        folders |= {entry.parts for entry in self.entries if entry.mode == _SUBMODULE}
        _make_folder(root)
        for parts in sorted(folders, key=len):
            _make_folder(os.path.join(root, *parts))
        for entry in self.entries:
            if entry.mode in _FILES:
                _write_file(os.path.join(root, *entry.parts), _FILES[entry.mode], read(entry))
        for entry in self.entries:
            if entry.mode == _LINK:
                target = b"".join(read(entry))
                if b"\0" in target:
                    raise RequestError(
                        "source.path", f"the link {entry.path!r} has a target with a zero byte"
                    )
                os.symlink(target, os.path.join(root, *entry.parts))


def _make_folder(path: bytes) -> None:
    os.mkdir(path)
    os.chmod(path, 0o755)  # noqa: S103  # who may enter is decided by the folder above


def _write_file(path: bytes, mode: int, content: Iterable[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(content)
        os.fchmod(descriptor, mode)
