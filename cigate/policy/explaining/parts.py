"""The parts of a rule's expression on their own: each a program, below the `&&`, `||` and `!` that join them."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import AND, NOT, OR, Call, Name, Node, walk
from cigate.cel.types import TYPE_NAMES
from cigate.facts import Facts
from cigate.policy.absence import Outcome, outcome


@frozen
class Atom:
    """A part that is no `&&`, `||` or `!`."""

    program: cel.Program

    def worth(self, facts: Facts) -> Outcome:
        """Whether it is true, false or in error for these facts."""
        return outcome(self.program, facts)


@frozen
class Joined:
    """`&&`, `||` or `!` over parts; `program` is the whole of it."""

    function: str
    parts: tuple[Part, ...]
    program: cel.Program

    def worth(self, facts: Facts) -> Outcome:
        """Whether it is true, false or in error for these facts."""
        return outcome(self.program, facts)


Part = Atom | Joined


def apart(node: Node, declarations: cel.Declarations | None) -> Part:
    """An expression taken apart at its `&&`, `||` and `!`; a chain of one of them is one level."""
    program = part_program(node, declarations)
    match node:
        case Call(function=function, target=None, arguments=parts) if function in (AND, OR, NOT):
            below = tuple(apart(part, declarations) for part in parts)
            return Joined(function, tuple(_flat(function, below)), program)
    return Atom(program)


def part_program(node: Node, declarations: cel.Declarations | None) -> cel.Program:
    """A part as a program; it fits the declarations already, for the whole does."""
    return cel.compile(render_readable(node), declarations=declarations)


def atoms(part: Part) -> Iterator[Atom]:
    """Every atom, left to right."""
    if isinstance(part, Atom):
        yield part
    else:
        for below in part.parts:
            yield from atoms(below)


def deciding(part: Part, facts: Facts) -> Iterator[Atom]:
    """The atoms that made the whole what it is: the false ones of a false `&&`, the true ones of a true `||`.

    Where all were needed (a true `&&`, a false `||`) all are given; of an error, those in error.
    """
    if isinstance(part, Atom):
        yield part
    elif part.function == NOT:
        yield from deciding(part.parts[0], facts)
    else:
        whole = part.worth(facts)
        each = [(below, below.worth(facts)) for below in part.parts]
        for below, worth in each:
            if worth is whole or all(found is not whole for _, found in each):
                yield from deciding(below, facts)


def is_constant(node: Node) -> bool:
    """Whether an expression reads no fact and no variable."""
    return not any(isinstance(part, Name) and part.name not in TYPE_NAMES for part in walk(node))


def touches(reference: str, path: str) -> bool:
    """Whether what an expression reads is changed by another value at `path`."""
    return reference == path or path.startswith(f"{reference}.") or reference.startswith(f"{path}.")


def _flat(function: str, parts: tuple[Part, ...]) -> Iterator[Part]:
    for part in parts:
        if function != NOT and isinstance(part, Joined) and part.function == function:
            yield from part.parts
        else:
            yield part
