"""Every engine that is timed: what it is, which version, and how a policy is loaded into it.

An engine's module is imported when it is asked for, so that one which is not installed is told with its error and
the others run. To `build` gives a function from a fresh nested dict to the effect; whatever an engine needs the
facts turned into, that function does.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from attrs import frozen

from policies.documents import Document
from policies.rules import Policy

Decide = Callable[[Document], str]
REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"


@frozen
class Engine:
    """One engine, as it is used.

    Args:
        name: what tables call it.
        place: module and function that build it.
        distribution: the package it is from; empty: it is in this repository.
        note: what it does less or otherwise than the others.
        same_work: it can say the whole policy, so that it may be called the best peer.
    """

    name: str
    place: str
    distribution: str = ""
    note: str = ""
    same_work: bool = True

    def build(self, policy: Policy) -> Decide:
        """The policy, loaded.

        Raises:
            ImportError: it is not installed.
            Exception: whatever the engine says of the policy.
        """
        module, _, function = self.place.partition(":")
        build: Callable[[Policy], Decide] = getattr(import_module(f"policies.{module}"), function)
        return build(policy)

    def installed(self) -> str:
        """Its version here; empty if it is none."""
        try:
            return version(self.distribution) if self.distribution else "here"
        except PackageNotFoundError:
            return ""

    def pinned(self) -> str:
        """The version that `requirements.txt` asks for."""
        lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
        pins = dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
        return pins.get(self.distribution, "")


FLOOR = "hand-written floor"
OURS = "cigate"
_GUARDS = "stops a rule at its first test that fails, names neither rules nor takes; who approved is found in Python"
_NO_TAKES = "names no takes; who approved is found in Python before it is asked"
_FIRST = f"stops at the first rule that decides, {_NO_TAKES}"
# CompiledRunner goes first: it fails for every expression once another Environment has been made in the process.
ENGINES = (
    Engine("cel-python, CompiledRunner", "cel_python:compiled", "cel-python"),
    Engine("cel-python, CompiledRunner, indexed", "cel_python:compiled_indexed", "cel-python"),
    Engine(FLOOR, "floor:build"),
    Engine(OURS, "ours:build"),
    Engine("cel-python, interpreter", "cel_python:interpreted", "cel-python"),
    Engine("cel-python, interpreter, indexed", "cel_python:interpreted_indexed", "cel-python"),
    Engine("common-expression-language", "cel_rust:build", "common-expression-language"),
    Engine("common-expression-language, indexed", "cel_rust:indexed", "common-expression-language"),
    Engine("cel-expr-python", "cel_cpp:build", "cel-expr-python"),
    Engine("cel-expr-python, indexed", "cel_cpp:indexed", "cel-expr-python"),
    Engine("regorus, virtual machine", "rego:build", "gordon-to-regorus"),
    Engine("regorus, virtual machine, indexed", "rego:indexed", "gordon-to-regorus"),
    Engine("vakt", "vakt_guard:build", "vakt", _GUARDS),
    Engine("vakt, indexed", "vakt_guard:indexed", "vakt", _GUARDS),
    Engine("cedarpy", "cedar:build", "cedarpy", _NO_TAKES),
    Engine("cedarpy, indexed", "cedar:indexed", "cedarpy", _NO_TAKES),
    Engine("casbin", "casbin_enforcer:build", "casbin", _FIRST),
    Engine("casbin, indexed", "casbin_enforcer:indexed", "casbin", _FIRST),
    Engine(
        "agent-governance-toolkit-core",
        "agent_governance:build",
        "agent-governance-toolkit-core",
        f"one test a rule is all it can say, so each rule keeps its first; {_FIRST}",
        same_work=False,
    ),
    Engine(
        "strathon",
        "strathon_enforcer:build",
        "strathon",
        "stops at the first rule that decides; an error is false",
    ),
)
