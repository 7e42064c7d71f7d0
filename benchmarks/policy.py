"""How fast a policy decides, beside its peers and a hand-written floor: `python benchmarks/policy.py`.

The parts, each alone by `--only NAME`:

  check    every engine's effect on random documents against a naive evaluation, before anything is timed
  peers    all engines in one run, in turn, at 20, 200 and 2,000 rules
  flat     cigate and the floor at 20 to 20,000 rules: five hot actions, and all actions evenly
  linear   cigate where no index helps: all rules about one action
  loading  seconds and memory to load a policy, and what the first decision about an action adds
  rule     parsing and compiling one expression

`--quick` takes about two minutes for all of it; without it, about fifteen. `--only peers --engines floor,cigate`
times those two alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from measuring import describe, keep, options, table
from measuring_decisions import Decide, PerDecision, once, per_decision
from pages import PAGE, fill, markdown
from plot import svg

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout's cigate, installed or not

from policies import documents, generate, reference
from policies.engines import ENGINES, FLOOR, OURS, Engine
from policies.rules import Policy

SIZES = (20, 200, 2000)
PARTS = ("check", "peers", "flat", "linear", "loading", "rule")


@frozen
class Limits:
    """How far to go: a quick run leaves out what would take long, and says so.

    Args:
        rounds: of each measurement.
        checked: documents that engines are compared on.
        decision: the slowest decision, in seconds, that is timed.
        load: the longest loading, in seconds, that is waited for.
        share: seconds that one engine may take at one size.
        loaded: the sizes that are loaded in processes of their own.
    """

    rounds: int
    checked: int
    decision: float
    load: float
    share: float
    loaded: tuple[int, ...]


QUICK = Limits(rounds=40, checked=120, decision=0.04, load=6.0, share=0.4, loaded=(200, 2000, 10_000))
FULL = Limits(rounds=300, checked=1000, decision=3.0, load=120.0, share=6.0, loaded=(200, 2000, 10_000))


@frozen
class Run:
    """What was asked, and what was found so far: figures for the results, text for the page."""

    limits: Limits
    engines: tuple[Engine, ...]
    sizes: tuple[int, ...]
    figures: dict[str, Any] = field(factory=dict)
    blocks: dict[str, str] = field(factory=dict)
    plot: list[str] = field(factory=list)

    def tell(self, name: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
        print(f"\n{table(head, rows)}\n{note}".rstrip())
        self.blocks[name] = f"{markdown(head, rows)}\n\n{note}"


def main() -> int:
    asked = _arguments()
    limits = QUICK if asked.quick else FULL
    if asked.rounds:
        limits = evolve(limits, rounds=asked.rounds)
    words = [word.strip() for word in asked.engines.split(",") if word.strip()]
    engines = tuple(one for one in ENGINES if not words or any(word in one.name for word in words))
    run = Run(limits, engines, tuple(int(size) for size in asked.sizes.split(",")))
    print(describe())
    parts = {
        "check": check,
        "peers": peers,
        "flat": flat,
        "linear": linear,
        "loading": loading,
        "rule": one_rule,
    }
    for name in asked.only.split(","):
        began = time.perf_counter()
        parts[name](run)
        print(f"({name}: {time.perf_counter() - began:.0f} s)")
    versions = {
        one.name: {"version": one.installed(), "pinned": one.pinned(), "note": one.note} for one in engines
    }
    found = {"benchmark": "policy", "quick": asked.quick, "engines": versions, **run.figures}
    print(f"\nkept in {keep(asked.results, 'policy', found)}")
    if asked.write:
        kind = "a quick run" if asked.quick else f"{limits.rounds} rounds of each"
        fill({"policy-machine": f"{describe()}; {kind}.", **run.blocks})
        for picture in run.plot:
            (PAGE.parent / "policy.svg").write_text(picture, encoding="utf-8")
        print(f"written to {PAGE}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = options(__doc__, rounds=0)
    parser.add_argument("--quick", action="store_true", help="minutes, not a quarter of an hour")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,…", help="some parts")
    parser.add_argument(
        "--engines", default="", metavar="WORD,…", help="the engines with one of these in their name"
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), metavar="N,…", help="rules, for peers")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks")
    return parser.parse_args()


def check(run: Run) -> None:
    """Compare every engine's effect with the naive evaluation, kind of document by kind."""
    policy = generate.policy(20)
    cases = [
        (kind, one, reference.effect(policy, one))
        for kind, one in documents.checks(policy, run.limits.checked, seed=5)
    ]
    kinds = ("valid", "unknown action", "absent", "wrong type")
    rows, figures = [], {}
    for engine in run.engines:
        try:
            decide = engine.build(policy)
        except Exception as error:  # noqa: BLE001  # a peer that does not run here is told, with whatever it said
            rows.append((engine.name, *("" for _ in kinds), f"does not run: {_said(error)}"))
            figures[engine.name] = {"error": _said(error)}
            continue
        wrong = [(kind, _effect(decide, one), right) for kind, one, right in cases]
        differs = Counter(kind for kind, said, right in wrong if said != right)
        opens = sum(said == "allow" != right for _, said, right in wrong)
        most = Counter(f"{said}, not {right}" for _, said, right in wrong if said != right).most_common(1)
        rows.append(
            (
                engine.name,
                *(str(differs[kind]) for kind in kinds),
                f"allows {opens} that must not be; most often {most[0][0]}" if most else "",
            )
        )
        figures[engine.name] = {"differs": dict(differs), "opens": opens, "most": most}
    note = (
        f"Differences from the naive evaluation, of {len(cases)} documents ("
        + ", ".join(f"{sum(kind == case[0] for case in cases)} {kind}" for kind in kinds)
        + "); right: "
        + ", ".join(f"{count} {effect}" for effect, count in Counter(case[2] for case in cases).most_common())
        + "."
    )
    run.tell("policy-check", ("differs on", *kinds, "how"), rows, note)
    run.figures["check"] = figures


def _effect(decide: Decide, document: documents.Document) -> str:
    try:
        return decide(documents.fresh(document))
    except Exception as error:  # noqa: BLE001  # that it raised is the answer
        return type(error).__name__


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def peers(run: Run) -> None:
    """All engines in one run; whoever was far too slow at one size is not waited for at the next."""
    found: dict[str, dict[int, PerDecision]] = {engine.name: {} for engine in run.engines}
    why: dict[str, str] = {}
    for size, after in zip(run.sizes, (*run.sizes[1:], 0), strict=True):
        policy = generate.policy(size)
        usual = documents.traffic(policy, 200, actions=policy.actions[:5], seed=7)
        built = {}
        for engine in run.engines:
            if engine.name in why:
                continue
            decide, said = _loaded(engine, policy, run.limits, grown=after / size)
            if decide is None:
                why[engine.name] = said
                continue
            built[engine.name] = decide
            if said:
                why[engine.name] = said
        for name, times in per_decision(
            built, usual, rounds=run.limits.rounds, most_seconds=run.limits.share
        ).items():
            found[name][size] = times
    _tell_peers(run, found, why)


def _loaded(engine: Engine, policy: Policy, limits: Limits, grown: float) -> tuple[Decide | None, str]:
    """The engine with the policy in it, or why not; or both, if a policy `grown` times as large is not waited for."""
    try:
        began = time.perf_counter()
        decide = engine.build(policy)
        load = time.perf_counter() - began
        took = once(decide, documents.traffic(policy, 1, actions=policy.actions[:1], seed=1))
    except Exception as error:  # noqa: BLE001  # a peer that does not run here is told, with whatever it said
        return None, _said(error)
    if took > limits.decision:
        return None, f"{took * 1000:.0f} ms a decision at {len(policy.rules):,} rules, too slow for this run"
    if load * grown > limits.load:
        return decide, f"loads {len(policy.rules):,} rules in {load:.1f} s, too slow for this run beyond"
    return decide, ""


def _tell_peers(run: Run, found: Mapping[str, Mapping[int, PerDecision]], why: Mapping[str, str]) -> None:
    head = ["µs a decision"]
    for size in run.sizes:
        head += [f"{size:,} rules", "median", "× floor"]
    rows = []
    for engine in run.engines:
        row = [engine.name]
        for size in run.sizes:
            times, floor = found[engine.name].get(size), found.get(FLOOR, {}).get(size)
            if times is None:
                row += ["", "", ""]
            else:
                ratio = f"{times.least / floor.least:,.2f}" if floor is not None else ""
                row += [f"{times.least:,.2f}", f"{times.median:,.2f}", ratio]
        rows.append(row)
    lines = [f"- {name}: {said}" for name, said in why.items()]
    lines += [
        f"- {engine.name}: {engine.note}" for engine in run.engines if engine.note and found[engine.name]
    ]
    versions = {
        engine.distribution: engine.installed() for engine in run.engines if engine.installed() != "here"
    }
    lines += ["- " + ", ".join(f"{name} {version}" for name, version in versions.items())] if versions else []
    lines += [
        f"- {engine.name} is pinned at {engine.pinned()}, and what ran is {engine.installed()}"
        for engine in run.engines
        if engine.distribution and engine.installed() not in ("", engine.pinned())
    ]
    ratios: dict[str, Any] = {}
    for size in run.sizes:
        least = {name: times[size].least for name, times in found.items() if size in times}
        same = {engine.name for engine in run.engines if engine.same_work}
        others = {name: value for name, value in least.items() if name in same and name not in (FLOOR, OURS)}
        if others:
            best = min(others, key=others.__getitem__)
            ratios[str(size)] = {
                "best peer": best,
                **{name: others[best] / least[name] for name in (OURS, FLOOR) if name in least},
            }
            than = " and ".join(
                f"{name} is {others[best] / least[name]:.3g} × as fast"
                for name in (OURS, FLOOR)
                if name in least
            )
            lines.append(f"- {size:,} rules: the best peer is {best}; {than}")
    run.tell("policy-peers", head, rows, "\n".join(lines))
    run.figures["peers"] = {
        name: {str(size): times.to_json() for size, times in each.items()} for name, each in found.items()
    }
    run.figures["left out"], run.figures["ratios"] = dict(why), ratios
    shown = {
        name: {size: times.least for size, times in each.items()} for name, each in found.items() if each
    }
    if shown:
        colours = {OURS: "#d62728", FLOOR: "#000000"}
        run.plot.append(svg("One decision, conversions included (minimum)", shown, colours))


def flat(run: Run) -> None:
    """Whether a decision costs the same however many rules there are."""
    names = {engine.name: engine for engine in ENGINES if engine.name in (FLOOR, OURS)}
    kinds = ("five hot actions", "all actions evenly")
    found: dict[tuple[str, str], dict[int, PerDecision]] = {
        (name, kind): {} for name in names for kind in kinds
    }
    why: dict[str, str] = {}
    sizes = (20, 200, 2000, 20_000)
    for size, after in zip(sizes, (*sizes[1:], 0), strict=True):
        policy = generate.policy(size)
        for kind in kinds:
            actions = policy.actions[:5] if kind == kinds[0] else policy.actions
            usual = documents.traffic(policy, max(200, 2 * len(actions)), actions=actions, seed=9)
            built = {}
            for name, engine in names.items():
                if name in why:
                    continue
                decide, said = _loaded(engine, policy, run.limits, grown=after / size)
                if decide is None or said:
                    why[name] = said
                if decide is not None:
                    built[name] = decide
                    seen = {one["action"]: one for one in usual}
                    for one in seen.values():  # code that is made on first use is made here
                        decide(one)
            timed = per_decision(built, usual, rounds=run.limits.rounds, most_seconds=run.limits.share)
            for name, times in timed.items():
                found[name, kind][size] = times
    rows = []
    for (name, kind), each in found.items():
        row = [f"{name}, {kind}"]
        for size in sizes:
            times = each.get(size)
            row += (
                ["", ""]
                if times is None
                else [f"{times.least:.2f}", f"{times.median / each[sizes[0]].median:.2f}"]
            )
        rows.append(row)
    head = ["µs a decision"]
    for size in sizes:
        head += [f"{size:,} rules", f"× {sizes[0]}"]
    note = "The least; the ratio is of medians. " + "; ".join(f"{name}: {said}" for name, said in why.items())
    run.tell("policy-flat", head, rows, note)
    run.figures["flat"] = {
        f"{name}, {kind}": {str(size): times.to_json() for size, times in each.items()}
        for (name, kind), each in found.items()
    }


def linear(run: Run) -> None:
    """What one more simple rule costs where all are about the same action."""
    small, large = 50, 500
    wanted = (FLOOR, OURS, "common-expression-language", "cel-expr-python", "regorus, virtual machine")
    built: dict[str, Decide] = {}
    policies = {size: generate.one_action(size) for size in (small, large)}
    for name in wanted:
        engine = next(one for one in ENGINES if one.name == name)
        for size, policy in policies.items():
            try:
                built[f"{name} {size}"] = engine.build(policy)
            except Exception as error:  # noqa: BLE001  # a peer that does not run here is told, with whatever it said
                print(f"{name}: {_said(error)}")
    usual = documents.traffic(policies[small], 100, actions=("deploy",), seed=13)
    found = per_decision(built, usual, rounds=run.limits.rounds, most_seconds=run.limits.share)
    rows, figures = [], {}
    for name in wanted:
        pair = [found.get(f"{name} {size}") for size in (small, large)]
        if pair[0] is None or pair[1] is None:
            continue
        each = (pair[1].least - pair[0].least) / (large - small)
        rows.append((name, f"{pair[0].least:.2f}", f"{pair[1].least:.2f}", f"{each:.3f}"))
        figures[name] = {"small": pair[0].to_json(), "large": pair[1].to_json(), "microseconds_a_rule": each}
    run.tell("policy-linear", ("µs a decision", f"{small} rules", f"{large} rules", "a rule"), rows)
    run.figures["linear"] = figures


def loading(run: Run) -> None:
    """Load policies in processes of their own."""
    rows, figures = [], {}
    for size in run.limits.loaded:
        timed, counted = (_child(size, what, run.limits.load * 5) for what in ("time", "memory"))
        figures[str(size)] = {"time": timed, "memory": counted}
        if "error" in timed or "error" in counted:
            rows.append((f"{size:,}", timed.get("error", counted.get("error", "")), "", "", "", "", ""))
            continue
        rows.append(
            (
                f"{size:,}",
                f"{timed['seconds']:.2f}",
                f"{timed['seconds'] / size * 1000:.3f}",
                f"{counted['bytes'] / size / 1024:.2f}",
                f"{counted['bytes_once_each_action_was_used'] / size / 1024:.2f}",
                f"{timed['resident_bytes'] / size / 1024:.2f}",
                f"{timed['first_use_microseconds']:.0f}",
            )
        )
    head = (
        "rules",
        "s",
        "ms a rule",
        "KB a rule",
        "after use",
        "resident KB a rule",
        "first use of an action, µs",
    )
    note = "KB as tracemalloc counts them, once loaded and once every action was decided on; resident: of the process."
    run.tell("policy-loading", head, rows, note)
    run.figures["loading"] = figures


def _child(size: int, what: str, most: float) -> dict[str, Any]:
    script = Path(__file__).parent / "policies" / "loading.py"
    try:
        done = subprocess.run(
            [sys.executable, str(script), str(size), what],
            capture_output=True,
            text=True,
            timeout=most,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not within {most:.0f} s"}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["it failed"])[-1][:120]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one_rule(run: Run) -> None:
    """What it takes to parse, and to parse, check and compile one expression that no cache has."""
    from cigate import Schema, cel
    from cigate.cel.check import check as check_types

    numbers = itertools.count()
    declarations = cel.Declarations.from_schema(Schema.default())

    def text() -> str:
        return (
            f"cost.estimate <= {next(numbers)} && agent.managed && agent.approved_version "
            '&& parameters.ref.matches("^(main|release/.*)$")'
        )

    steps = {
        "parse": lambda source: cel.parse(source),
        "parse and check": lambda source: check_types(cel.parse(source), declarations, source),
        "parse, check and compile": lambda source: cel.compile(source, declarations=declarations),
    }
    try:
        from policies.cel_python import compile_text
    except ImportError as error:
        print(f"cel-python: {error}")
    else:
        steps["cel-python, parse and make a program"] = compile_text
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(max(50, run.limits.rounds)):
        for name, work in steps.items():
            source = text()
            began = time.perf_counter()
            work(source)
            found[name].append((time.perf_counter() - began) * 1e6)
    rows = [(name, f"{min(each):.1f}", f"{sorted(each)[len(each) // 2]:.1f}") for name, each in found.items()]
    run.tell("policy-rule", ("µs for one rule", "least", "median"), rows)
    run.figures["rule"] = {name: {"minimum": min(each)} for name, each in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
