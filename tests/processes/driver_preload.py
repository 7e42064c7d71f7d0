"""A gateway that is built once and then forked, as a server that preloads its application does.

Forks a child for each file; prints `child PID` for each, then each child's outcome as it comes; when the children are
gone, the parent submits the last file itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cigate import Gateway


def submit(file: str) -> None:
    outcome = gateway.submit(Path(file).read_bytes())
    os.write(1, f"{os.getpid()} {json.dumps(outcome.to_json())}\n".encode())


config, *files = sys.argv[1:]
gateway = Gateway.from_config(config)
assert gateway.health()["ok"]
children = []
for file in files[:-1]:
    child = os.fork()
    if child == 0:
        submit(file)
        os._exit(0)
    children.append(child)
    os.write(1, f"child {child}\n".encode())
for child in children:
    os.waitpid(child, 0)
submit(files[-1])
gateway.close()
