"""Run as a process of its own: what it takes to load one policy, as JSON.

`python loading.py RULES time|memory`: seconds to load, the resident memory that it added, and what the first
decision about an action takes beyond a later one; or what tracemalloc counts, which slows loading too much to
be timed with it.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))
_ACTIONS = 40


def main() -> int:
    from cigate import PolicyEngine
    from policies import documents, generate

    count, asked = int(sys.argv[1]), sys.argv[2]
    # What is imported and made once for all policies is no part of any of them.
    PolicyEngine.from_yaml(generate.document(generate.policy(20))).decide({"action": "x"})
    policy = generate.policy(count)
    text = generate.document(policy)
    random = Random(3)
    facts = [documents.valid(random, action, usual=1.0) for action in policy.actions[-_ACTIONS:]]
    gc.collect()
    if asked == "memory":
        tracemalloc.start()
        engine = PolicyEngine.from_yaml(text)
        gc.collect()
        loaded = tracemalloc.get_traced_memory()[0]
        every = [documents.valid(random, action, usual=1.0) for action in policy.actions]
        before = tracemalloc.get_traced_memory()[0]
        for one in every:
            engine.decide(one)
        gc.collect()
        used = loaded + tracemalloc.get_traced_memory()[0] - before
        print(json.dumps({"rules": count, "bytes": loaded, "bytes_once_each_action_was_used": used}))
        return 0
    before = _resident()
    began = time.perf_counter()
    engine = PolicyEngine.from_yaml(text)
    seconds = time.perf_counter() - began
    gc.collect()
    resident = _resident() - before
    first = [_timed(engine, one) for one in facts]
    again = [_timed(engine, one) for one in facts]
    print(
        json.dumps(
            {
                "rules": count,
                "seconds": seconds,
                "resident_bytes": resident,
                "first_use_microseconds": (statistics.median(first) - statistics.median(again)) * 1e6,
            }
        )
    )
    return 0


def _timed(engine: object, facts: object) -> float:
    began = time.perf_counter()
    engine.decide(facts)  # type: ignore[attr-defined]
    return time.perf_counter() - began


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    raise SystemExit(main())
