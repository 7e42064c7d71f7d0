"""The language that rules are written in: Google's Common Expression Language, compiled to Python.

In comes the text of an expression and what it may read (`Declarations`); out comes a `Program`, which turns facts
into plain Python, or raises. `compile` finds at load whatever is wrong for every request: a misspelt fact, a type
that can't fit, a pattern that is none, an expression that is too large or may cost too much. The stages are a file
each: lexer, parse (and macros), resolve, check, cost, fold, emit.

What must always hold: a program reads no clock, no network and no state; nothing but CEL's `true` comes back as
True; every failure to evaluate is an `EvaluationError`, which is never to be taken for false; none takes long.
Messages of protobuf are no values here; everything else of the language is.
"""

from cigate.cel.check import check
from cigate.cel.error import CompileError, EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.parse import parse
from cigate.cel.program import Observed, Program, compile, ready
from cigate.cel.syntax import UInt, path_of
from cigate.cel.types import Declarations, Type
from cigate.cel.values import NONE, Optional

__all__ = [
    "NONE",
    "CompileError",
    "Declarations",
    "EvaluationError",
    "Function",
    "Observed",
    "Optional",
    "Overload",
    "Program",
    "Type",
    "UInt",
    "check",
    "compile",
    "parse",
    "path_of",
    "ready",
]
