"""What the pages list is what there is: promises and their tests, codes, verbs, names, keys, clients."""

from __future__ import annotations

import ast
import importlib.util
import re
from datetime import timedelta

import pytest
from attrs import fields_dict
from docs_pages import ROOT

from cigate import Action, Schema, WeightedScorer
from cigate.config import SECTIONS
from cigate.decision import Effect, Obligations
from cigate.parameter import Parameter
from cigate.policy.document import BUCKET_KEYS
from cigate.request import ActionName

REFERENCE = ROOT / "docs" / "reference"
PROMISE = re.compile(r"`(test_promise_\w+)`")


def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def promised() -> set[str]:
    """Every test of a promise."""
    files = (ROOT / "tests" / "promises").glob("test_*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    return {
        node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_promise_in_security_names_a_test_that_exists():
    named = PROMISE.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) == len(set(named)) > 0
    assert set(named) - promised() == set(), "SECURITY.md promises what no test proves"


def test_each_test_of_a_promise_belongs_to_one_that_security_makes():
    named = PROMISE.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    belongs = {test for test in promised() for name in named if test == name or test.startswith(f"{name}_")}
    assert promised() - belongs == set(), "a promise is tested that SECURITY.md does not make"


@pytest.mark.parametrize("page", ["cli.md", "errors.md", "api.md"])
def test_a_generated_page_is_what_the_source_says_now(page):
    written = generator().pages()[REFERENCE / page]
    assert (REFERENCE / page).read_text(encoding="utf-8") == written, "run: python docs/generate.py"


def test_each_code_has_a_message_or_a_meaning():
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_the_configuration_page_has_every_key():
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    keys = {*SECTIONS, *fields_dict(Action), *fields_dict(Parameter)} - {"name", "max_length"} | {
        "maxLength",
        "run_as",
    }
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()


def test_the_configuration_page_has_the_defaults_of_an_action():
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    usual = Action(ActionName("usual"))
    for key, value in {
        "pipeline": usual.pipeline,
        "timeout": f"{usual.timeout // timedelta(minutes=1)}m",
        "memory": f"{usual.memory // 2**30}Gi",
        "output": usual.output,
    }.items():
        assert re.search(rf"^\| `{key}` \| .* \| `{value}` \|$", text, re.MULTILINE), (key, value)


def test_the_configuration_page_has_every_signal_with_its_points():
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    rows = [f"| `{one.name}` | `{one.paths[0]}` | {one.points} |" for one in WeightedScorer().signals()]
    assert [row for row in rows if row not in text] == []


def test_the_policy_page_has_every_fact_effect_bucket_and_obligation():
    text = (REFERENCE / "policy.md").read_text(encoding="utf-8")
    facts = [f"| `{path}` | {kind.value} |" for path, kind in Schema.default().fields.items()]
    words = [f"`{word}" for word in (*Effect, *BUCKET_KEYS, *fields_dict(Obligations))]
    assert [row for row in (*facts, *words) if row not in text] == []


@pytest.mark.parametrize("client", ["sign.py", "sign.mjs", "sign.sh"])
def test_a_client_stands_in_the_page_as_it_is_in_its_file(client):
    text = (ROOT / "docs" / "how-to" / "sign-from-any-language.md").read_text(encoding="utf-8")
    source = (ROOT / "docs" / "clients" / client).read_text(encoding="utf-8")
    assert f"\n{source}```\n" in text


def test_the_set_up_commands_are_the_ones_that_are_run_elsewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tests = "python3 -m venv .venv && .venv/bin/pip install -q 'tox>=4' && .venv/bin/tox"
    for file in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        assert tests in (ROOT / file).read_text(encoding="utf-8"), file
    first_screen = readme[: readme.index("## ")]
    assert first_screen.count("```sh") == 2
