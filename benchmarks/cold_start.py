"""How long a cold start takes: `python benchmarks/cold_start.py`.

Each command is a process of its own, beside `python -c pass`, which is the floor; all take turns. Byte code is
compiled before the rounds that count. `cigate policy decide` runs over a realistic policy of 20 and of 200 rules,
beside a script that does the same through cel-python: with a program made of every rule, as a load that finds every
mistake must, and with programs of the rules that apply alone, which tells nobody of a mistake in another.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from random import Random

from measuring import ProcessTimes, describe, keep, milliseconds, options, processes, table
from pages import PAGE, fill, markdown

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout's cigate, installed or not

from policies import documents, generate, reference

WARM_UP = 2
FLOOR = "python -c pass"
IMPORT = "python -c 'import cigate'"
FACTS = {"action": "hello", "agent": {"id": "agent-1234", "managed": True}, "risk": {"score": 10}}
SIZES = (20, 200)
UNWANTED = ("celpy", "lark", "yaml", "cryptography.x509", "importlib.metadata")
"""What `import cigate` is better off without."""


def main() -> int:
    parser = options(__doc__, rounds=0)
    parser.add_argument("--quick", action="store_true", help="ten rounds, of 40")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks")
    asked = parser.parse_args()
    rounds: int = asked.rounds or (10 if asked.quick else 40)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = processes(_commands(folder), folder=folder, rounds=rounds, warm_up=WARM_UP)
    imported = _imported()
    floor = found[FLOOR]
    head = ("cold start, ms", "processor", "beyond the floor", "wall", "10 % - 90 %", "beyond the floor")
    rows = [
        (
            name,
            milliseconds(times.processor.median),
            milliseconds(times.processor.median - floor.processor.median),
            milliseconds(times.wall.median),
            f"{milliseconds(times.wall.low)} - {milliseconds(times.wall.high)}",
            milliseconds(times.wall.median - floor.wall.median),
        )
        for name, times in found.items()
    ]
    notes = "\n".join([*_ratios(found), _said(imported)])
    print(f"{describe()}\n{rounds} rounds of each, medians\n\n{table(head, rows)}\n\n{notes}")
    document = {
        "benchmark": "cold-start",
        "commands": {name: times.to_json() for name, times in found.items()},
        "imported": imported,
    }
    print(f"\nkept in {keep(asked.results, 'cold-start', document)}")
    if asked.write:
        fill(
            {
                "cold-start": f"{describe()}; {rounds} rounds of each, medians.\n\n{markdown(head, rows)}\n\n{notes}"
            }
        )
        print(f"written to {PAGE}")
    return 0


def _commands(folder: Path) -> Mapping[str, list[str]]:
    """The commands, and in the folder what they read."""
    python, script = [sys.executable], Path(__file__).parent / "policies" / "cold_cel_python.py"
    subprocess.run(
        [*python, "-m", "cigate", "init", str(folder / "gateway")], check=True, capture_output=True
    )
    gateway = ["--config", "gateway/gateway.yaml"]
    (folder / "facts.json").write_text(json.dumps(FACTS))
    commands = {
        FLOOR: [*python, "-c", "pass"],
        IMPORT: [*python, "-c", "import cigate"],
        "python -c 'from cigate import PolicyEngine'": [*python, "-c", "from cigate import PolicyEngine"],
        "python -c 'from cigate import Gateway'": [*python, "-c", "from cigate import Gateway"],
        "cigate --help": [*python, "-m", "cigate", "--help"],
        "cigate policy decide": [*python, "-m", "cigate", "policy", "decide", "facts.json", *gateway],
        "cigate health": [*python, "-m", "cigate", "health", *gateway],
    }
    for size in SIZES:
        policy, random = generate.policy(size), Random(size)
        allowed = (documents.valid(random, policy.actions[0], usual=1.0) for _ in range(1000))
        facts = next(one for one in allowed if reference.effect(policy, one) == "allow")
        (folder / f"{size}.yaml").write_text(generate.document(policy))
        (folder / f"{size}.json").write_text(json.dumps(facts, default=datetime.isoformat))
        commands[f"cigate policy decide, {size} rules"] = [
            *python,
            *("-m", "cigate", "policy", "decide", f"{size}.json", "--policy", f"{size}.yaml"),
        ]
        for which in ("all", "applicable"):
            commands[f"cel-python, {size} rules, {which} compiled"] = [
                *python,
                *(str(script), f"{size}.yaml", f"{size}.json", which),
            ]
    return commands


def _ratios(found: Mapping[str, ProcessTimes]) -> list[str]:
    lines = []
    for size in SIZES:
        ours = found[f"cigate policy decide, {size} rules"]
        for which in ("all", "applicable"):
            theirs = found[f"cel-python, {size} rules, {which} compiled"]
            lines.append(
                f"- {size} rules: {ours.processor.median / theirs.processor.median:.2f} × the processor time and "
                f"{ours.wall.median / theirs.wall.median:.2f} × the time of cel-python, {which} rules compiled"
            )
    return lines


def _imported() -> dict[str, list[str]]:
    """Of the modules that `import cigate` should leave alone, those that it, its names and a decision load."""
    decide = (
        "from cigate import PolicyEngine; PolicyEngine.from_yaml('{apiVersion: cigate/v1, kind: GatewayPolicy, "
        "metadata: {name: n, sequence: 1}, spec: {rules: []}}').decide({'action': 'a'})"
    )
    found = {}
    imports = ("import cigate", "from cigate import PolicyEngine", "from cigate import Gateway")
    for name, code in {**{one: one for one in imports}, "load and decide": decide}.items():
        listed = f"{code}\nimport sys; print(*sorted(sys.modules))"
        done = subprocess.run([sys.executable, "-c", listed], check=True, capture_output=True, text=True)
        loaded = done.stdout.split()
        found[name] = [one for one in UNWANTED if one in loaded]
    return found


def _said(imported: Mapping[str, list[str]]) -> str:
    return "\n".join(
        f"- `{name}` loads {', '.join(found)}" if found else f"- `{name}` loads none of {', '.join(UNWANTED)}"
        for name, found in imported.items()
    )


if __name__ == "__main__":
    raise SystemExit(main())
