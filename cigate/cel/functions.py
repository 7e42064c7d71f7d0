"""Functions of the language and of one's own: what each takes and gives, and what it does.

An operator is a function whose name has underscores for its operands (`_+_`), as in CEL's own syntax tree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from cigate.cel.types import Type


@frozen
class Overload:
    """One signature of a function or an operator.

    Args:
        takes: the types of its arguments; a parameter (`types.param("A")`) stands for one type throughout.
        gives: the type of its result.
        of: what a method is called on; None for a global function.
    """

    takes: tuple[Type, ...]
    gives: Type
    of: Type | None = None


@frozen(eq=False, repr=False)
class Function:
    """A function that expressions may call.

    Args:
        name: as it is written; qualified names have dots (`math.greatest`).
        overloads: its signatures. They are what the check knows; `call` looks at the values themselves.
        call: what it does, over plain Python values, the target first. Pure and total but for `EvaluationError`:
            of operands that no overload is for it raises `cel.no-such-overload`.
    """

    name: str
    overloads: tuple[Overload, ...]
    call: Callable[..., Any]

    def has_form(self, arguments: int, *, method: bool) -> bool:
        """Is there a signature with so many arguments, the target not counted?"""
        return any(
            (overload.of is not None) is method and len(overload.takes) == arguments
            for overload in self.overloads
        )
