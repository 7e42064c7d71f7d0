"""CEL engines behind one small interface: ours, cel-python, Google's C++ and the Rust interpreter.

In come the text of an expression and what it may read; out comes a function from bindings to an `Outcome`.
Every peer is used as it comes: no extension is configured and none of its functions is replaced. What an
engine can't tell apart in Python is said by its attributes, so that a comparison can allow for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import cel as rust
from attrs import frozen
from cel_expr_python import cel as cpp

from cigate import cel
from cigate.cel import Type
from tests.oracles.outcome import Failed, Outcome, double, told

Run = Callable[[Mapping[str, Any]], Outcome]


class Engine(Protocol):
    """One implementation of the language.

    Attributes:
        name: the distribution that it is in.
        tells_uint: whether a `uint` that it gives can be told from an `int`.
        checks: whether it checks types before it evaluates.
    """

    name: str
    tells_uint: bool
    checks: bool

    def prepare(
        self, source: str, names: Mapping[str, Type], *, container: str = "", checked: bool = False
    ) -> Run:
        """The expression, ready to run; what does not compile fails in every run.

        Args:
            source: the expression.
            names: what it may read, and of what type.
            container: where names are looked up first.
            checked: check its types against `names`; engines that check none take no notice.
        """
        ...


def failing(error: BaseException) -> Run:
    """What an expression does that did not compile."""
    failed = Failed(f"does not compile: {error}"[:300], refused=True)
    return lambda _: failed


@frozen
class Ours:
    """`cigate.cel`."""

    name: str = "cigate"
    tells_uint: bool = True
    checks: bool = True

    def prepare(
        self, source: str, names: Mapping[str, Type], *, container: str = "", checked: bool = False
    ) -> Run:
        declarations = cel.Declarations.of(names) if checked else None
        try:
            program = cel.compile(source, declarations=declarations, container=container)
        except cel.CompileError as error:
            return failing(error)
        return lambda bindings: attempt(program, bindings)


@frozen
class CelPython:
    """cel-python, through `cigate.cel.reference`."""

    name: str = "cel-python"
    tells_uint: bool = True
    checks: bool = False

    def prepare(
        self, source: str, names: Mapping[str, Type], *, container: str = "", checked: bool = False
    ) -> Run:
        from cigate.cel import reference  # a parser generator, that only whoever asks for it pays for

        try:
            program = reference.compile(source, container=container)
        except cel.CompileError as error:
            return failing(error)
        return lambda bindings: attempt(program, bindings)


def attempt(program: Callable[[Mapping[str, Any]], Any], bindings: Mapping[str, Any]) -> Outcome:
    try:
        return told(program(bindings))
    except cel.EvaluationError as error:
        return Failed(f"{error.code}: {error.message}")


@frozen
class Rust:
    """common-expression-language: the Rust crate `cel`, bound to Python."""

    name: str = "common-expression-language"
    tells_uint: bool = False
    checks: bool = False

    def prepare(
        self, source: str, names: Mapping[str, Type], *, container: str = "", checked: bool = False
    ) -> Run:
        try:
            program = rust.compile(source)
        except BaseException as error:  # a panic of Rust is no Exception
            return failing(_ours_to_raise(error))

        def run(bindings: Mapping[str, Any]) -> Outcome:
            try:
                return _rust_told(program.execute(dict(bindings)))
            except BaseException as error:
                return Failed(f"{type(_ours_to_raise(error)).__name__}: {error}")

        return run


def _ours_to_raise(error: BaseException) -> BaseException:
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | AssertionError):
        raise error
    return error


def _rust_told(value: Any) -> Outcome:
    match value:
        case rust.OptionalValue():
            return ("optional", *((_rust_told(value.value()),) if value.has_value() else ()))
        case list():
            return ("list", tuple(_rust_told(item) for item in value))
        case dict():
            return ("map", frozenset((_rust_told(key), _rust_told(item)) for key, item in value.items()))
    return told(value)


@frozen
class Google:
    """cel-expr-python: Google's cel-cpp, bound to Python."""

    name: str = "cel-expr-python"
    tells_uint: bool = True
    checks: bool = True

    def prepare(
        self, source: str, names: Mapping[str, Type], *, container: str = "", checked: bool = False
    ) -> Run:
        try:
            environment = _cpp_environment(tuple(names.items()), container)
            expression = environment.compile(source, disable_check=not checked)
        except RuntimeError as error:
            return failing(error)

        def run(bindings: Mapping[str, Any]) -> Outcome:
            try:
                return _cpp_told(expression.eval(data=dict(bindings)))
            except (RuntimeError, ValueError, TypeError, OverflowError) as error:
                return Failed(f"{type(error).__name__}: {error}")

        return run


@lru_cache(maxsize=64)
def _cpp_environment(names: tuple[tuple[str, Type], ...], container: str) -> Any:
    """Costs more than a whole expression, and the same names are read by many."""
    variables = {name: _cpp_type(kind) for name, kind in names}
    return cpp.NewEnv(variables=variables, container=container or None)


_CPP = {
    "bool": cpp.Type.BOOL,
    "int": cpp.Type.INT,
    "uint": cpp.Type.UINT,
    "double": cpp.Type.DOUBLE,
    "string": cpp.Type.STRING,
    "bytes": cpp.Type.BYTES,
    "null_type": cpp.Type.NULL,
    "timestamp": cpp.Type.TIMESTAMP,
    "duration": cpp.Type.DURATION,
    "dyn": cpp.Type.DYN,
}


def _cpp_type(kind: Type) -> Any:
    if kind.is_record:
        return cpp.Type.Map(cpp.Type.STRING, cpp.Type.DYN)
    match kind.name, kind.arguments:
        case "list", (item,):
            return cpp.Type.List(_cpp_type(item))
        case "map", (key, value):
            return cpp.Type.Map(_cpp_type(key), _cpp_type(value))
    return _CPP[kind.name]


_CPP_TYPES = {
    "TIMESTAMP": "google.protobuf.Timestamp",
    "DURATION": "google.protobuf.Duration",
    "NULL": "null_type",
}


def _cpp_told(value: Any) -> Outcome:
    name = value.type().name().partition("<")[0]
    match name, value.value():
        case "ERROR", said:
            return Failed(str(said))
        case "UINT", whole:
            return ("uint", int(whole))
        case "LIST", items:
            return ("list", tuple(_cpp_told(item) for item in items))
        case "MAP", entries:
            return ("map", frozenset((told(key), _cpp_told(item)) for key, item in entries.items()))
        case "TYPE", kind:
            written = kind.name().partition("<")[0]
            return ("type", _CPP_TYPES.get(written, written.lower()))
        case "DOUBLE", number:
            return double(float(number))
        case _, plain if plain is None or isinstance(
            plain, bool | int | str | bytes | bytearray | datetime | timedelta
        ):
            return told(plain)
    return Failed(f"a value of type {name}, which Python is not given")


OURS, CEL_PYTHON, GOOGLE, RUST = Ours(), CelPython(), Google(), Rust()
PEERS: tuple[Engine, ...] = (CEL_PYTHON, GOOGLE, RUST)
ENGINES: tuple[Engine, ...] = (OURS, *PEERS)


def agree(engine: Engine, found: Outcome, expected: Outcome) -> bool:
    """Does an engine's outcome stand for what is expected, as far as its values can be told apart?"""
    return bool(found == expected or (not engine.tells_uint and _signed(found) == _signed(expected)))


def _signed(outcome: Outcome) -> Outcome:
    match outcome:
        case ("uint", whole):
            return ("int", whole)
        case tuple():
            return tuple(_signed(part) for part in outcome)
        case frozenset():
            return frozenset(_signed(part) for part in outcome)
    return outcome


__all__ = ["CEL_PYTHON", "ENGINES", "GOOGLE", "OURS", "PEERS", "RUST", "Engine", "Run", "agree"]
