"""What is loaded when: importing cigate, or asking for help, loads no parser, no X.509 and no database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("lark", "celpy", "yaml", "re2", "cryptography", "sqlite3", "flask", "asyncio", "http", "packaging")


def loaded_by(code: str, folder: Path) -> set[str]:
    """The modules that a fresh interpreter has loaded after this code, beyond those of a bare one."""
    tail = "\nimport sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    both = []
    for script in ("", code):
        done = subprocess.run(
            [sys.executable, "-c", script + tail], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        both.append(set(json.loads(done.stderr.splitlines()[-1])))
    return both[1] - both[0]


def run(*arguments: str) -> str:
    return f"from cigate.cli import main\ntry:\n main({list(arguments)})\nexcept SystemExit:\n pass"


@pytest.mark.parametrize(
    "code", ["import cigate", run("--help"), run("submit", "--help"), run("ledger", "verify", "-h")]
)
def test_nothing_heavy_is_loaded(code: str, tmp_path: Path) -> None:
    loaded = loaded_by(code, tmp_path)
    assert "cigate" in loaded
    roots = {name.partition(".")[0] for name in loaded}
    assert roots & set(HEAVY) == set()


def test_import_cigate_loads_no_room(tmp_path: Path) -> None:
    assert {name for name in loaded_by("import cigate", tmp_path) if name.startswith("cigate")} == {"cigate"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from cigate import PolicyEngine", ("cryptography", "sqlite3", "flask")),
        ("from cigate import RiskScorer, WeightedScorer", ("celpy", "lark", "sqlite3", "flask")),
        ("from cigate import Request, Action", ("celpy", "lark", "sqlite3", "cryptography", "flask")),
        ("from cigate import Gateway", ("flask", "cryptography.x509", "asyncio")),
    ],
)
def test_a_piece_alone_loads_no_other(code: str, absent: tuple[str, ...], tmp_path: Path) -> None:
    loaded = loaded_by(code, tmp_path)
    assert [name for name in absent if name in loaded] == []


def test_every_public_name_is_found_and_unknown_ones_are_said(tmp_path: Path) -> None:
    import cigate

    for name in cigate.__all__:
        assert getattr(cigate, name) is not None
    with pytest.raises(AttributeError, match="Gatewy"):
        cigate.Gatewy
