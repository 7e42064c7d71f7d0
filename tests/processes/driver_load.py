"""Submits without end, from a few threads, until nothing is let through any more; notes when each effect begins.

Prints `loaded` once all threads have had a run, and in the end how often they were refused.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cigate import Gateway, LocalBroker, LocalPipeline
from cigate.signing import KeyId, Signer
from tests.processes.gateway_folder import AUDIENCE, request

THREADS = 2
REFUSALS = 5
config, effects = Path(sys.argv[1]), sys.argv[2]
log = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def noted(kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
    def acting(*given: Any, **named: Any) -> Any:
        os.write(log, f"{kind} {time.monotonic_ns()}\n".encode())
        return act(*given, **named)

    return acting


LocalPipeline.start = noted("start", LocalPipeline.start)  # type: ignore[method-assign]  # what it began, and when
LocalPipeline.release = noted("release", LocalPipeline.release)  # type: ignore[method-assign]
LocalBroker.issue = noted("issue", LocalBroker.issue)  # type: ignore[method-assign]
signer = Signer.from_pem(config.with_name("agent.key"), key_id=KeyId("agent"), audience=AUDIENCE)
loaded = threading.Barrier(THREADS + 1)
refused: list[str] = []


def load() -> None:
    assert gateway.submit(signer.sign(request("free"))).allowed
    loaded.wait()
    mine = 0
    while mine < REFUSALS:
        outcome = gateway.submit(signer.sign(request("free")))
        mine = mine + 1 if outcome.code == "stop.halt" else 0
    refused.extend(["stop.halt"] * mine)


with Gateway.from_config(config) as gateway:
    threads = [threading.Thread(target=load) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    loaded.wait()
    print("loaded", flush=True)
    for thread in threads:
        thread.join()
print(len(refused), flush=True)
