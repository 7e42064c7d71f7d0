"""One tree of errors, told apart by what the reader can do about them.

Every error has a stable `code` (`request.duplicate-key`), a message that names the thing, `where` it
was (a JSON pointer, or `line:column`), and, where there is one, the way out. Strangers outside are
given the code; operators are given the rest. Refusals are values (`Decision`, `Outcome`), not errors.
"""

from __future__ import annotations

from typing_extensions import override


class CigateError(Exception):
    """Whatever cigate raises. Catch this one, or the branch that you can act upon.

    Args:
        code: stable, dotted, documented: `request.duplicate-key`.
        message: what was wrong, naming the thing.
        where: a JSON pointer (`/parameters/shards`), or `line:column`; empty when there is no place.
        fix: what would put it right; empty when the message says it already.
    """

    def __init__(self, code: str, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.where = where
        self.fix = fix

    @override
    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        way_out = f" ({self.fix})" if self.fix else ""
        return f"{place}{self.code}: {self.message}{way_out}"

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.where, self.fix))


def _rebuild(kind: type[CigateError], code: str, message: str, where: str, fix: str) -> CigateError:
    return kind(code, message, where=where, fix=fix)


class RequestError(CigateError):
    """The caller must change the request: it is malformed, out of bounds, or not what the action takes."""


class AttestationError(CigateError):
    """Nobody that we know signed exactly this, for us, now."""


class PolicyError(CigateError):
    """The policy author must change the document; `where` is `line:column`."""


class FactsError(CigateError):
    """A fact has the wrong type or is out of bounds; `where` is its JSON pointer."""


class ConfigError(CigateError):
    """The operator must change the configuration, or the files that it names."""


class BackendError(CigateError):
    """Something behind a protocol failed: try later, or look there."""


class StoreUnavailable(BackendError):
    """The store did not do it: nothing happened, it is safe to try again."""


class StoreUncertain(BackendError):
    """The store may have done it: look up the decision before you try again."""


class PipelineUnavailable(BackendError):
    """The pipeline started nothing."""


class PipelineUncertain(BackendError):
    """The pipeline may have started a run: `observe` finds it by the decision's id."""


class BrokerUnavailable(BackendError):
    """Nothing was issued (safe to retry)."""


class BrokerUncertain(BackendError):
    """Something may have been issued; it can be found by the grant's tag."""


class CannotList(BackendError):
    """This broker can't list what it issued, so a lost lease counts as outstanding until it expires."""


class LedgerError(CigateError):
    """Stop and look: the ledger, or the state beside it, is not what it must be."""
