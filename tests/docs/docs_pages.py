"""Reads pages of Markdown and runs what stands in them, as a reader would who follows one from top to bottom.

Each page has one temporary folder, one shell and one Python namespace. A fenced block is, by its language:

- `python`: run; a `text` block right after it is what it printed.
- `console`: lines that begin with `$ ` are typed (`> ` continues one); the others are all that is shown then.
- `sh`: run as a whole; it must succeed.
- `yaml`: a policy, some of its rules, or sections of a gateway.yaml: it must load.
- `json`: it must parse.

`<!-- file: NAME -->` before a block: it is written to that file instead. `<!-- not run: why -->`: it is neither
run nor read. In what a console shows, a line `…` stands for any lines, and `…` inside one for any text; ids,
times, digests and durations may differ from the page's, but each one must be the same wherever the page repeats it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from cigate import PolicyEngine
from cigate.cli.examples import GATEWAY_YAML, POLICY_YAML
from cigate.config import SECTIONS, read_configuration
from cigate.errors import ConfigError
from cigate.wire import canonical, yamldoc

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (file|not run): (.+?) -->\n+$")
_VARIES = re.compile(
    r"(?:dec|tkt)-[0-9a-f]{8,}"
    r"|\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b|\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
    r"|(?<![\w.])\d+(?:\.\d+)?s(?!\w)"
)
_LIMIT = 60.0


@frozen
class Block:
    """One fenced block of a page, with the mark right before it, if there is one."""

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""
    says: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order, as far as they are indented without their indentation."""
    source = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(source):
        indent, language, text = found.groups()
        text = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        marked = _MARK.search(source[: found.start()])
        line = source.count("\n", 0, found.start()) + 2
        yield Block(page, line, language, text, *(marked.groups() if marked else ("", "")))


@define
class Reader:
    """Follows one page in a folder of its own."""

    folder: Path
    _names: dict[str, Any] = field(factory=lambda: {"__name__": "page"})
    _meant: dict[str, str] = field(factory=dict)
    _printed: str | None = None
    _shell: Shell | None = None

    def follow(self, page: Path) -> None:
        """Do what every block says.

        Raises:
            AssertionError: something is not as the page says, at FILE:LINE.
        """
        try:
            for block in blocks(page):
                if block.mark != "not run":
                    self._do(block)
        finally:
            if self._shell is not None:
                self._shell.close()

    def _do(self, block: Block) -> None:
        printed, self._printed = self._printed, None
        if block.mark == "file":
            target = self.folder / block.says
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
            return
        match block.language:
            case "python":
                self._printed = self._python(block)
            case "text":
                if printed is not None:
                    self._compare(block, block.text, printed)
            case "console":
                self._console(block)
            case "sh":
                shown, code = self._typed(block.text)
                assert code == 0, f"{block.place}: it ended with {code}\n{shown}"
            case "yaml":
                load(block, self.folder)
            case "json":
                json.loads(block.text)
            case "toml" | "ini":
                pass
            case other:
                raise AssertionError(
                    f"{block.place}: a block of {other or 'no language'}: say text, or how to run it"
                )

    def _python(self, block: Block) -> str:
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec", dont_inherit=True)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.chdir(self.folder), _importing_from(self.folder):
            exec(code, self._names)
        return out.getvalue()

    def _console(self, block: Block) -> None:
        for command, expected in _commands(block):
            for page_says, real in self._meant.items():
                command = command.replace(page_says, real)
            shown, _ = self._typed(command)
            self._compare(block, expected, shown, command)

    def _typed(self, command: str) -> tuple[str, int]:
        if self._shell is None:
            self._shell = Shell(self.folder)
        return self._shell.type(command)

    def _compare(self, block: Block, expected: str, shown: str, command: str = "") -> None:
        told = f"{block.place}: {command}\n--- the page says\n{expected}\n--- it shows\n{shown}"
        wanted, lines = expected.rstrip("\n").split("\n"), shown.rstrip("\n").split("\n")
        at = 0
        for number, line in enumerate(wanted):
            if line.strip() == "…":
                rest = wanted[number + 1 :]
                at = next(
                    (
                        later
                        for later in range(at, len(lines) + 1)
                        if (later == len(lines) if not rest else later < len(lines))
                        and (not rest or self._like(rest[0], lines[later]) is not None)
                    ),
                    -1,
                )
                assert at >= 0, told
                continue
            found = self._like(line, lines[at]) if at < len(lines) else None
            assert found is not None, f"{told}\n--- differs at: {line!r}"
            self._meant.update(found)
            at += 1
        assert at == len(lines), told

    def _like(self, expected: str, shown: str) -> Mapping[str, str] | None:
        """What the page's ids and times are here, if the line is the same but for them."""
        pattern, named, after = "", [], 0
        for varying in _VARIES.finditer(expected):
            pattern += _literal(expected[after : varying.start()])
            known = self._meant.get(varying[0])
            pattern += f"({re.escape(known)})" if known is not None else f"({_VARIES.pattern})"
            named.append(varying[0])
            after = varying.end()
        found = re.fullmatch(pattern + _literal(expected[after:]), shown)
        if found is None:
            return None
        return {
            name: value
            for name, value in zip(named, found.groups(), strict=True)
            if not re.fullmatch(r"[\d.]+s", name)
        }


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Find the page's own modules, and forget them afterwards."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(f"{folder}{os.sep}"):
                del sys.modules[name]


def _literal(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.split("…"))


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """What is typed, and what the page says is shown then."""
    command: list[str] = []
    shown: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), "\n".join(shown)
            command, shown = [line[2:]], []
        elif line.startswith("> ") and command and not shown:
            command.append(line[2:])
        else:
            assert command, f"{block.place}: a console block begins with `$ `"
            shown.append(line)
    yield "\n".join(command), "\n".join(shown)


class Shell:
    """One shell in which a page's commands are typed one after the other, as on a terminal that nobody answers.

    `cigate`, `python3` and `python` are this interpreter's, so that a page need not say where they are installed.
    """

    def __init__(self, folder: Path) -> None:
        programs = folder.parent / f"{folder.name}-programs"
        programs.mkdir()
        for name, arguments in (("cigate", "-m cigate"), ("python3", ""), ("python", "")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            program.chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "100",
            "DOCS": str(ROOT / "docs"),
        }
        self._process = subprocess.Popen(
            ["/bin/sh"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._number = 0

    def type(self, command: str) -> tuple[str, int]:
        """What a command shows on standard output and error together, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        mark = f"--- command {self._number} ended with "
        self._process.stdin.write(
            f"{{ {command}\n}} </dev/null\nended=$?; printf '\\n{mark}%s\\n' $ended; (exit $ended)\n".encode()
        )
        self._process.stdin.flush()
        seen, deadline = b"", time.monotonic() + _LIMIT
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while (ended := re.search(rf"\n{mark}(\d+)\n\Z".encode(), seen)) is None:
                assert ready.select(deadline - time.monotonic()), f"{command} still runs\n{seen.decode()}"
                more = os.read(self._process.stdout.fileno(), 65536)
                assert more, f"the shell is gone\n{seen.decode()}"
                seen += more
        return seen[: ended.start()].decode(), int(ended[1])

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=_LIMIT)
        self._process.stdout.close()


def load(block: Block, folder: Path) -> None:
    """Load a policy, rules, or sections of a configuration; the example folder's fill in what is not shown.

    Raises:
        CigateError: it does not load.
    """
    found = yamldoc.parse(block.text.encode(), block.place).value
    if isinstance(found, list):
        rules = {"rules": found}
        found = {
            "apiVersion": "cigate/v1",
            "kind": "GatewayPolicy",
            "metadata": {"name": "p", "sequence": 1},
            "spec": rules,
        }
    assert isinstance(found, dict), f"{block.place}: neither a policy nor a configuration"
    if "apiVersion" in found:
        PolicyEngine.from_yaml(canonical.encode(found).decode(), name=block.place)
        return
    assert set(found) <= set(SECTIONS), f"{block.place}: {sorted(set(found) - set(SECTIONS))} are no sections"
    example = yamldoc.parse(GATEWAY_YAML.encode(), "example").value
    assert isinstance(example, dict)
    aside = folder.parent / f"{folder.name}-configuration"
    aside.mkdir(exist_ok=True)
    (aside / "policy.yaml").write_text(POLICY_YAML)
    policies = {"policy": {"file": "policy.yaml"}}
    merged = {**example, **policies, **found}
    if "actions" in found:
        merged["policy"] = _RULES
    if "actions" not in found and "brokers" in found:
        merged["actions"] = {"hello": example["actions"]["hello"]}
        merged["policy"] = _RULES
    (aside / "gateway.yaml").write_bytes(canonical.encode(merged))
    (aside / "gateway.yaml").chmod(0o600)
    (aside / "policy.yaml").chmod(0o600)
    configuration = read_configuration(aside / "gateway.yaml")
    configuration.load()
    try:
        configuration.pipelines()
    except ConfigError as error:
        if error.code != "pipeline.run-as" or os.geteuid() == 0:
            raise  # only root can run jobs as somebody else


_RULES = {
    "apiVersion": "cigate/v1",
    "kind": "GatewayPolicy",
    "metadata": {"name": "all", "sequence": 1},
    "spec": {"rules": [{"name": "all", "effect": "allow", "actions": ["*"], "expression": "agent.managed"}]},
}
