"""A gateway that serves: one line in, `VERB FILE`; one line out, the outcome, when and only when it may be believed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cigate import Gateway

with Gateway.from_config(sys.argv[1]) as gateway:
    for line in sys.stdin:
        verb, _, file = line.strip().partition(" ")
        if verb == "end":
            break
        outcome = getattr(gateway, verb)(Path(file).read_bytes())
        answer = outcome.code if verb == "evaluate" else json.dumps(outcome.to_json())
        os.write(sys.stdout.fileno(), f"{answer}\n".encode())
