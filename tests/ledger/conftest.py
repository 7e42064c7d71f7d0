"""Lets the tests of this room import the hostile simulators."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "simulators"))
