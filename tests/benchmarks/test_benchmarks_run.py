"""The benchmarks still measure what they say: each runs, shortly, and keeps its numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("submit.py", ("submit, allowed", "submit, denied", "collect and decide", "floor", "ratio")),
        ("cold_start.py", ("python -c pass", "import cigate", "cigate --help", "cigate policy decide")),
    ],
)
def test_a_benchmark_prints_a_table_and_keeps_its_numbers(
    script: str, told: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, BENCHMARKS / script, "--rounds", "2", "--results", tmp_path / "results"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [name for name in told if name not in done.stdout] == []
    (kept,) = (tmp_path / "results").iterdir()
    document = json.loads(kept.read_text())
    assert document["machine"]["cores"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
