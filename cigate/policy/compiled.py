"""A policy's expressions as programs: checked for types and presence tests, variables in place; once, at load.

Rules and variables are checked as they are written, so that an error points into the author's own text. Then
each variable is replaced by what it stands for, and that is what is checked for polarity, and what runs: a
variable costs nothing where it is not read, and an error in an unread one is none.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from cigate import cel
from cigate.cel.library import LIBRARY
from cigate.cel.parse import MAX_DEPTH, MAX_NODES
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import Bind, Comprehension, Name, Node, Select, walk
from cigate.cel.types import BOOL, STRING, TYPE_NAMES
from cigate.decision import Effect
from cigate.errors import PolicyError
from cigate.facts import FactType, Schema
from cigate.policy.absence import Reading, reading
from cigate.policy.document import PolicyDocument, Rule
from cigate.policy.polarity import misplaced
from cigate.policy.reading import Source
from cigate.policy.retyped import guarded
from cigate.policy.rewriting import VARIABLES, inlined, size_and_depth

Actions = tuple[str, ...] | None

_TOO_LARGE: Final = "with its variables in place it has more than {} nodes or {} levels"


@frozen(eq=False)
class CompiledRule:
    """A rule that is ready to be asked.

    Args:
        rule: as written.
        program: its expression; None: it has none, and is true.
        shown: the same without guards, as explanations show it.
        message: its message expression.
        tests: its expression taken apart at its presence tests; None where an absent fact can hide no error.
        declarations: what it may read.
    """

    rule: Rule
    program: cel.Program | None = None
    shown: cel.Program | None = None
    message: cel.Program | None = None
    tests: Reading | None = None
    declarations: cel.Declarations | None = None


def compile_rules(document: PolicyDocument, source: Source, schema: Schema) -> tuple[CompiledRule, ...]:
    """Compile every rule, in the order of the document.

    Raises:
        PolicyError: what `cel.compile` finds, as `policy.` and the rest of its code; `policy.type` (not a
            bool, or not a string), `policy.shadowed-name`, `policy.variable`, `policy.too-large`,
            `policy.presence`, `policy.unknown-fact` (the key of a bucket).
    """
    return _Compiler(document, source, schema).rules()


@frozen
class _Text:
    """One expression in the document."""

    source: Source
    pointer: str
    text: str

    def error(self, code: str, message: str, at: int, *, fix: str = "") -> PolicyError:
        return self.source.expression_error(f"policy.{code}", message, self.pointer, self.text, at, fix=fix)


class _Compiler:
    def __init__(self, document: PolicyDocument, source: Source, schema: Schema) -> None:
        self._document = document
        self._source = source
        self._schema = schema
        open_maps = {path for path, kind in schema.fields.items() if kind is FactType.SCALARS}
        self._maps = schema.groups() | open_maps
        self._taken = {path.partition(".")[0] for path in schema.fields} | TYPE_NAMES | {VARIABLES}
        self._taken |= {name.partition(".")[0] for name in LIBRARY if "." in name}
        self._stands: dict[str, Node] = {}
        self._types: dict[str, cel.Type] = {}
        self._facts: dict[Actions, cel.Declarations] = {}
        self._names: dict[Actions, cel.Declarations] = {}

    def rules(self) -> tuple[CompiledRule, ...]:
        for at, variable in enumerate(self._document.variables):
            text = _Text(self._source, f"/spec/variables/{at}/expression", variable.expression)
            node, self._types[variable.name] = self._written(text, None)
            self._names.clear()  # there is one name more
            self._stands[variable.name] = self._inlined(text, node)
        return tuple(self._rule(rule, f"/spec/rules/{at}") for at, rule in enumerate(self._document.rules))

    def _rule(self, rule: Rule, where: str) -> CompiledRule:
        for at, path in enumerate(rule.throttle.key if rule.throttle is not None else ()):
            if self._schema.type_of(path) is not FactType.STRING:
                raise self._source.error(
                    "policy.unknown-fact", f"there is no text {path}", f"{where}/throttle/key/{at}"
                )
        message = None
        if rule.message_expression is not None:
            text = _Text(self._source, f"{where}/messageExpression", rule.message_expression)
            node = self._typed(text, rule.actions, STRING)
            message = self._program(text, node, rule.actions)
        if rule.expression is None:
            return CompiledRule(rule, message=message)
        text = _Text(self._source, f"{where}/expression", rule.expression)
        node = self._typed(text, rule.actions, BOOL)
        facts = self._declarations(rule.actions)
        try:
            tests = None if rule.ignores_unknown else self._tests(text, node, rule, facts)
            program = self._program(text, guarded(node, facts), rule.actions)
        except cel.CompileError as error:
            raise _told(text, error) from error
        return CompiledRule(
            rule,
            program=program,
            shown=self._program(text, node, rule.actions),
            message=message,
            tests=tests,
            declarations=facts,
        )

    def _tests(self, text: _Text, node: Node, rule: Rule, facts: cel.Declarations) -> Reading | None:
        wrong = misplaced(node, opens=rule.effect is Effect.ALLOW, maps=self._maps)
        if wrong is not None:
            raise text.error("presence", wrong.message, wrong.at, fix=wrong.fix)
        if rule.effect is Effect.DENY:
            return None
        return reading(node, self._maps, lambda part: self._program(text, guarded(part, facts), rule.actions))

    def _typed(self, text: _Text, actions: Actions, wanted: cel.Type) -> Node:
        """The expression of the wanted type, with its variables in place."""
        node, found = self._written(text, actions)
        if not wanted.accepts(found):
            raise text.error("type", f"this gives {found}, and must give {wanted}", 0)
        return self._inlined(text, node)

    def _written(self, text: _Text, actions: Actions) -> tuple[Node, cel.Type]:
        """The expression as its author wrote it, and its type."""
        if actions not in self._names:
            self._names[actions] = self._declare(actions, self._types)
        try:
            self._check_above(text)
            program = cel.compile(text.text, declarations=self._names[actions])
        except cel.CompileError as error:
            raise _told(text, error) from error
        for node in walk(program.node):
            # An expression put in place inside a comprehension must go on meaning the facts.
            taken = next((name for name in _variables(node) if name in self._taken), None)
            if taken is not None:
                message = f"{taken} is a fact, a type or a library already; the variable needs another name"
                raise text.error("shadowed-name", message, node.at)
        return program.node, program.type

    def _check_above(self, text: _Text) -> None:
        """While the variables are read: of them only those that have been are there."""
        below = {variable.name for variable in self._document.variables} - self._types.keys()
        for node in walk(cel.parse(text.text)) if below else ():
            match node:
                case Select(operand=Name(name=name), field=field) if name == VARIABLES and field in below:
                    raise text.error("variable", "a variable reads only those above it", node.at)

    def _inlined(self, text: _Text, node: Node) -> Node:
        found = inlined(node, self._stands)
        left = next((part for part in walk(found) if isinstance(part, Name) and part.name == VARIABLES), None)
        if left is not None:
            raise text.error("variable", "a variable is read as variables.NAME, and in no other way", left.at)
        size, depth = size_and_depth(found)
        if size > MAX_NODES or depth > MAX_DEPTH:
            raise text.error("too-large", _TOO_LARGE.format(MAX_NODES, MAX_DEPTH), 0)
        return found

    def _program(self, text: _Text, node: Node, actions: Actions) -> cel.Program:
        """What runs. Checked again, for in a variable too `parameters` are those of the rule's own actions."""
        source = render_readable(node)
        try:
            return cel.compile(source, declarations=self._declarations(actions))
        except cel.CompileError as error:
            raise text.error(
                error.code.removeprefix("cel."), f"{error.message}, in {source[:200]}", 0
            ) from error

    def _declarations(self, actions: Actions) -> cel.Declarations:
        """The facts alone, for an expression whose variables are in place."""
        if actions not in self._facts:
            self._facts[actions] = self._declare(actions, {})
        return self._facts[actions]

    def _declare(self, actions: Actions, variables: dict[str, cel.Type]) -> cel.Declarations:
        parameters = parameters_of(self._schema, actions)
        return cel.Declarations.from_schema(
            self._schema, action_parameters=parameters, variables=dict(variables)
        )


def parameters_of(schema: Schema, actions: Actions) -> dict[str, FactType] | None:
    """The parameters that a rule about these actions may read; None: any, dynamically.

    A rule about several actions may read what any of them takes. Where two take the same name as different
    types, the rule reads its parameters dynamically.
    """
    if schema.parameters is None:
        return None
    found: dict[str, FactType] = {}
    for action in schema.parameters if actions is None else actions:
        for name, kind in schema.parameters[action].items():
            if found.setdefault(name, kind) is not kind:
                return None
    return found


def _variables(node: Node) -> tuple[str, ...]:
    """The variables that a macro makes."""
    match node:
        case Comprehension(variable=variable, second=second):
            return variable, second
        case Bind(variable=variable):
            return (variable,)
        case _:
            return ()


def _told(text: _Text, error: cel.CompileError) -> PolicyError:
    code = error.code.removeprefix("cel.")
    return text.error(code, error.message, error.offset, fix=error.fix)
