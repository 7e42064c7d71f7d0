"""How long a cold start takes: `python benchmarks/cold_start.py`.

Each command is a process of its own, beside `python -c pass`, which is the floor; all take turns. Byte code is
compiled before the rounds that count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import arguments, describe, interleaved, keep, milliseconds, table

WARM_UP = 3
FLOOR = "python -c pass"
FACTS = {"action": "hello", "agent": {"id": "agent-1234", "managed": True}, "risk": {"score": 10}}


def main() -> int:
    asked = arguments(__doc__, rounds=30)
    rounds: int = asked.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "gateway"
        subprocess.run([sys.executable, "-m", "cigate", "init", str(folder)], check=True, capture_output=True)
        (folder / "facts.json").write_text(json.dumps(FACTS))
        python = [sys.executable]
        found = interleaved(
            {
                FLOOR: _run([*python, "-c", "pass"], folder),
                "python -c 'import cigate'": _run([*python, "-c", "import cigate"], folder),
                "python -c 'from cigate import Gateway'": _run(
                    [*python, "-c", "from cigate import Gateway"], folder
                ),
                "cigate --help": _run([*python, "-m", "cigate", "--help"], folder),
                "cigate policy decide": _run(
                    [*python, "-m", "cigate", "policy", "decide", "facts.json"], folder
                ),
                "cigate health": _run([*python, "-m", "cigate", "health"], folder),
            },
            rounds=rounds,
            warm_up=WARM_UP,
        )
    floor = found[FLOOR].median
    print(f"{describe()}\n{rounds} rounds of each; milliseconds\n")
    print(
        table(
            ("cold start", "median", "10 % - 90 %", "beyond the floor"),
            [
                (
                    name,
                    milliseconds(times.median),
                    f"{milliseconds(times.low)} - {milliseconds(times.high)}",
                    milliseconds(times.median - floor),
                )
                for name, times in found.items()
            ],
        )
    )
    document = {
        "benchmark": "cold-start",
        "commands": {name: times.to_json() for name, times in found.items()},
    }
    print(f"\nkept in {keep(asked.results, 'cold-start', document)}")
    return 0


def _run(command: Sequence[str], folder: Path) -> Callable[[int], object]:
    def run(_: int) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    return run


if __name__ == "__main__":
    raise SystemExit(main())
