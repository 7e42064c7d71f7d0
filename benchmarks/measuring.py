"""What the benchmarks share: repeat, take the median, describe the machine, print a table, keep the numbers."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import frozen

RESULTS = Path(__file__).parent / "results"
PEERS = ("attrs", "cel-python", "cryptography", "PyYAML")


@frozen
class Times:
    """How long one thing took, in seconds: the median over its rounds, and the tenth and ninetieth percentile."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        tenths = statistics.quantiles(seconds, n=10, method="inclusive")
        return cls(statistics.median(seconds), tenths[0], tenths[-1], len(seconds))

    def to_json(self) -> dict[str, float | int]:
        return {"median": self.median, "p10": self.low, "p90": self.high, "rounds": self.rounds}


def interleaved(
    steps: Mapping[str, Callable[[int], object]], *, rounds: int, warm_up: int
) -> dict[str, Times]:
    """Do all steps in turn, once a round, so that whatever disturbs the machine disturbs all alike.

    The first rounds, `warm_up` of them, are not counted. A step is given the number of its round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for at in range(warm_up + rounds):
        for name, work in steps.items():
            began = time.perf_counter()
            work(at)
            seconds[name].append(time.perf_counter() - began)
    return {name: Times.of(found[warm_up:]) for name, found in seconds.items()}


@frozen
class ProcessTimes:
    """How long a process took on the clock, and how much processor time it used."""

    wall: Times
    processor: Times

    def to_json(self) -> dict[str, Any]:
        return {"wall": self.wall.to_json(), "processor": self.processor.to_json()}


def processes(
    commands: Mapping[str, Sequence[str]], *, folder: Path, rounds: int, warm_up: int
) -> dict[str, ProcessTimes]:
    """Run all commands in turn, each as a process of its own that must succeed."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(warm_up + rounds):
        for name, command in commands.items():
            began = time.perf_counter()
            with tempfile.TemporaryFile() as said:
                child = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
                _, status, used = os.wait4(child.pid, 0)
                took = time.perf_counter() - began
                child.returncode = os.waitstatus_to_exitcode(status)
                said.seek(0)
                assert child.returncode == 0, f"{name} ended with {child.returncode}: {said.read().decode()}"
            seconds[name].append((took, used.ru_utime + used.ru_stime))
    return {
        name: ProcessTimes(*(Times.of(each) for each in zip(*found[warm_up:], strict=True)))
        for name, found in seconds.items()
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith(("model name", "Model"))
        ),
        platform.processor() or "unknown",
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": {name: version(name) for name in PEERS},
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be: names to the left, numbers to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"


def arguments(text: str | None, *, rounds: int) -> argparse.Namespace:
    """What every benchmark takes: how many rounds, and where the numbers go."""
    return options(text, rounds=rounds).parse_args()


def options(text: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The same, for a benchmark that takes more."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"of each measurement (default: {rounds})")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="default: benchmarks/results"
    )
    return parser


def keep(folder: Path, name: str, document: Mapping[str, Any]) -> Path:
    """Write the numbers to `NAME-TIME.json` in the folder, with the machine they are from."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"machine": machine(), **document}, indent=2) + "\n")
    return path


def describe() -> str:
    found = machine()
    return (
        f"{found['processor']}, {found['cores']} cores, load {found['load']:.1f}; Python {found['python']}, "
        f"SQLite {found['sqlite']}, cryptography {found['versions']['cryptography']}"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
