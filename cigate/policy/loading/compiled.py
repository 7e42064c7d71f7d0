"""A policy's expressions as programs: checked for types and presence tests, variables in place; once, at load.

Rules and variables are checked as they are written, so that an error points into the author's own text. Then
each variable is replaced by what it stands for, and that is what is checked for polarity, and what runs: a
variable costs nothing where it is not read, and an error in an unread one is none.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
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
from cigate.policy.loading.pinned import pins
from cigate.policy.loading.polarity import misplaced
from cigate.policy.loading.reading import Source
from cigate.policy.loading.retyped import guarded
from cigate.policy.loading.rewriting import VARIABLES, inlined, size_and_depth
from cigate.policy.loading.survey import Survey, survey

Actions = tuple[str, ...] | None
Parameters = frozenset[tuple[str, FactType]] | None

_TOO_LARGE: Final = "with its variables in place it has more than {} nodes or {} levels"


@frozen(eq=False, repr=False)
class Readable:
    """What rules about the same actions may read, and which of it is a map."""

    declarations: cel.Declarations
    maps: Collection[str]

    def program(self, node: Node) -> cel.Program:
        return cel.compile(render_readable(node), declarations=self.declarations)


@frozen(eq=False, repr=False)
class CompiledRule:
    """A rule that is ready to be asked. What asking needs is made when it is first asked, for most rules seldom are.

    Args:
        at: its place in the document.
        rule: as written.
        readable: what it may read.
        expression: its expression with variables in place; None: it has none, and is true.
        said: its message expression, likewise.
        actions: the actions for which it can be true, by what it lists and by what it compares; None: all.
    """

    at: int
    rule: Rule
    readable: Readable
    expression: str | None = None
    said: str | None = None
    actions: Actions = None

    @property
    def declarations(self) -> cel.Declarations:
        """The facts that it may read."""
        return self.readable.declarations

    @property
    def node(self) -> Node | None:
        """Its expression's tree, variables in place."""
        return None if self.expression is None else cel.checked(self.expression, self.declarations)[0]

    @property
    def strict(self) -> bool:
        """Whether an absent fact that it tests for may not hide that another one is missing."""
        return self.rule.effect is not Effect.DENY and not self.rule.ignores_unknown

    @cached_property
    def shown(self) -> cel.Program | None:
        """Its expression as explanations show it."""
        if self.expression is None:
            return None
        return cel.compile(self.expression, declarations=self.declarations)

    @cached_property
    def program(self) -> cel.Program | None:
        """Its expression, guarded against open facts of another type."""
        node = self.node
        return None if node is None else self.readable.program(guarded(node, self.declarations))

    @cached_property
    def message(self) -> cel.Program | None:
        """Its message expression."""
        if self.said is None:
            return None
        return cel.compile(self.said, declarations=self.declarations)

    @cached_property
    def tests(self) -> Reading | None:
        """Its expression taken apart at its presence tests; None where an absent fact can hide no error."""
        node = self.node
        if node is None or not self.strict:
            return None
        readable = self.readable
        return reading(
            node, readable.maps, lambda part: readable.program(guarded(part, readable.declarations))
        )


def compile_rules(document: PolicyDocument, source: Source, schema: Schema) -> tuple[CompiledRule, ...]:
    """Check every rule, in the order of the document.

    Raises:
        PolicyError: what `cel.compile` finds, as `policy.` and the rest of its code; `policy.type` (not a
            bool, or not a string), `policy.shadowed-name`, `policy.variable`, `policy.too-large`,
            `policy.presence`, `policy.unknown-fact` (the key of a bucket).
    """
    return _Compiler(document, source, schema).rules()


@frozen(eq=False, repr=False)
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
        self._readable: dict[Parameters, Readable] = {}
        self._names: dict[Parameters, cel.Declarations] = {}
        self._parameters: dict[Actions, Parameters] = {}

    def rules(self) -> tuple[CompiledRule, ...]:
        for at, variable in enumerate(self._document.variables):
            text = _Text(self._source, f"/spec/variables/{at}/expression", variable.expression)
            node, self._types[variable.name], seen = self._written(text, None)
            self._names.clear()  # there is one name more
            self._stands[variable.name] = self._inlined(text, node) if _reads_variables(seen) else node
        return tuple(self._rule(at, rule) for at, rule in enumerate(self._document.rules))

    def _rule(self, at: int, rule: Rule) -> CompiledRule:
        where = f"/spec/rules/{at}"
        for place, path in enumerate(rule.throttle.key if rule.throttle is not None else ()):
            if self._schema.type_of(path) is not FactType.STRING:
                raise self._source.error(
                    "policy.unknown-fact", f"there is no text {path}", f"{where}/throttle/key/{place}"
                )
        said = expression = None
        actions = rule.actions
        if rule.message_expression is not None:
            text = _Text(self._source, f"{where}/messageExpression", rule.message_expression)
            said, _, _ = self._typed(text, rule.actions, STRING)
        if rule.expression is not None:
            text = _Text(self._source, f"{where}/expression", rule.expression)
            expression, node, seen = self._typed(text, rule.actions, BOOL)
            self._check_facts(text, node, seen, rule)
            pinned = pins(node).get("action")
            if pinned is not None:
                actions = tuple(sorted(pinned if actions is None else pinned.intersection(actions)))
        return CompiledRule(at, rule, self._read_by(rule.actions), expression, said, actions)

    def _check_facts(self, text: _Text, node: Node, seen: Survey, rule: Rule) -> None:
        """What the types alone do not show: presence tests by polarity, open facts within lists and maps."""
        if seen.may_ask and not rule.ignores_unknown:
            wrong = misplaced(node, opens=rule.effect is Effect.ALLOW, maps=self._maps)
            if wrong is not None:
                raise text.error("presence", wrong.message, wrong.at, fix=wrong.fix)
        if seen.gathers:
            try:
                guarded(node, self._read_by(rule.actions).declarations)
            except cel.CompileError as error:
                raise _told(text, error) from error

    def _typed(self, text: _Text, actions: Actions, wanted: cel.Type) -> tuple[str, Node, Survey]:
        """The expression of the wanted type with its variables in place, as text and as a tree, and what is in it."""
        node, found, seen = self._written(text, actions)
        if not wanted.accepts(found):
            raise text.error("type", f"this gives {found}, and must give {wanted}", 0)
        if not _reads_variables(seen):
            return text.text, node, seen
        whole = self._inlined(text, node)
        # Checked again, for in a variable too `parameters` are those of the rule's own actions.
        source = render_readable(whole)
        try:
            cel.checked(source, self._read_by(actions).declarations)
        except cel.CompileError as error:
            code = error.code.removeprefix("cel.")
            raise text.error(code, f"{error.message}, in {source[:200]}", 0) from error
        return source, whole, survey(whole, self._maps)

    def _written(self, text: _Text, actions: Actions) -> tuple[Node, cel.Type, Survey]:
        """The expression as its author wrote it, its type, and what is in it."""
        parameters = self._parameters_of(actions)
        if parameters not in self._names:
            self._names[parameters] = self._declare(parameters, self._types)
        try:
            self._check_above(text)
            node, found = cel.checked(text.text, self._names[parameters])
        except cel.CompileError as error:
            raise _told(text, error) from error
        seen = survey(node, self._maps)
        if not self._taken.isdisjoint(seen.binds):
            raise self._shadowed(text, node)
        return node, found, seen

    def _shadowed(self, text: _Text, node: Node) -> PolicyError:
        """An expression put in place inside a macro must go on meaning the facts."""
        at, name = next(
            (part.at, name) for part in walk(node) for name in _variables(part) if name in self._taken
        )
        message = f"{name} is a fact, a type or a library already; the variable needs another name"
        return text.error("shadowed-name", message, at)

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

    def _read_by(self, actions: Actions) -> Readable:
        """The facts alone, for an expression whose variables are in place."""
        parameters = self._parameters_of(actions)
        if parameters not in self._readable:
            self._readable[parameters] = Readable(self._declare(parameters, {}), self._maps)
        return self._readable[parameters]

    def _parameters_of(self, actions: Actions) -> Parameters:
        if actions not in self._parameters:
            found = parameters_of(self._schema, actions)
            self._parameters[actions] = None if found is None else frozenset(found.items())
        return self._parameters[actions]

    def _declare(self, parameters: Parameters, variables: dict[str, cel.Type]) -> cel.Declarations:
        return cel.Declarations.from_schema(
            self._schema,
            action_parameters=None if parameters is None else dict(parameters),
            variables=dict(variables),
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


def _reads_variables(seen: Survey) -> bool:
    return any(path.startswith(VARIABLES) for path in seen.paths)


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
