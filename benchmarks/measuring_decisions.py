"""Times decisions: every engine in turn, round by round, each from fresh dicts that are made outside the clock."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from attrs import frozen
from policies.documents import Document, fresh

Decide = Callable[[Document], str]
_BATCH = 40
_WARM_UP = 10


@frozen
class PerDecision:
    """Microseconds a decision: the least and the median over batches."""

    least: float
    median: float
    decisions: int

    def to_json(self) -> dict[str, float | int]:
        return {"minimum": self.least, "median": self.median, "decisions": self.decisions}


def once(decide: Decide, documents: Sequence[Document]) -> float:
    """Seconds a decision, roughly: the best of three."""
    return min(_batch(decide, documents[:1]) for _ in range(3))


def per_decision(
    engines: Mapping[str, Decide],
    documents: Sequence[Document],
    *,
    rounds: int,
    most_seconds: float,
) -> dict[str, PerDecision]:
    """All engines in turn, `rounds` times, on batches drawn from the same documents.

    An engine whose round would take longer than its share of `most_seconds` gets smaller batches, down to two
    decisions, and sits out the rounds for which there is no time left.
    """
    random = Random(11)
    batches = {name: _size(decide, documents, most_seconds / rounds) for name, decide in engines.items()}
    spent = dict.fromkeys(engines, 0.0)
    found: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        drawn = random.sample(documents, min(_BATCH, len(documents)))
        for name, decide in engines.items():
            if found[name] and spent[name] > most_seconds:
                continue
            if (
                batches[name] == _BATCH
            ):  # the engine before left its own code and data in the processor's caches
                _batch(decide, drawn[:_WARM_UP])
            seconds = _batch(decide, drawn[: batches[name]])
            spent[name] += seconds * batches[name]
            found[name].append(seconds * 1e6)
    return {
        name: PerDecision(min(each), statistics.median(each), len(each) * batches[name])
        for name, each in found.items()
    }


def _size(decide: Decide, documents: Sequence[Document], seconds: float) -> int:
    return max(2, min(_BATCH, len(documents), int(seconds / once(decide, documents))))


def _batch(decide: Decide, documents: Sequence[Document]) -> float:
    """Seconds a decision over one batch. No garbage is collected meanwhile: whose it is would be chance."""
    copies = [fresh(document) for document in documents]
    enabled = gc.isenabled()
    gc.disable()
    try:
        began = time.perf_counter()
        for document in copies:
            decide(document)
        return (time.perf_counter() - began) / len(copies)
    finally:
        if enabled:
            gc.enable()
