"""One process among several: says `ready`, waits for a line, then submits (or approves) files from many threads.

Prints one line: a list of the outcomes, in the order of the files.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cigate import Gateway

config, verb, threads, *files = sys.argv[1:]
with Gateway.from_config(config) as gateway, ThreadPoolExecutor(int(threads)) as pool:
    print("ready", flush=True)
    sys.stdin.readline()
    outcomes = list(pool.map(lambda file: getattr(gateway, verb)(Path(file).read_bytes()), files))
    print(json.dumps([outcome.to_json() for outcome in outcomes]), flush=True)
