"""A loaded policy, and what it says of facts: which rules apply, and what each comes to.

`decide` is a pure function of policy and facts: it reads no clock, no network and no state, so any decision
can be made again, explained and proved about. Nothing in here lets an exception out for what facts say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from cigate.decision import Decision, Explanation, denied
from cigate.errors import FactsError, PolicyError
from cigate.facts import Facts, Schema
from cigate.policy.absence import Outcome
from cigate.policy.document import Rule
from cigate.policy.exact import came_to, combined, completed, decided
from cigate.policy.loading.compiled import CompiledRule, compile_rules
from cigate.policy.loading.reading import read
from cigate.policy.straight.candidates import Asking, Candidates
from cigate.policy.straight.checks import Checks, Odd, space

if TYPE_CHECKING:
    from cigate.policy.explaining.remaining import Residual


@frozen(eq=False)
class PolicyEngine:
    """A policy that is loaded, compiled once, and ready to decide from any thread.

    Make one with `from_yaml` or `from_path`; then ask `decide`, or `cigate.policy.explain` why.
    """

    name: str
    sequence: int
    digest: str
    text: str = field(repr=False)
    schema: Schema = field(repr=False)
    _compiled: tuple[CompiledRule, ...] = field(repr=False)
    _general: tuple[CompiledRule, ...] = field(repr=False)
    _by_action: Mapping[str, Sequence[CompiledRule]] = field(repr=False)
    _candidates: dict[str | None, Candidates] = field(init=False, repr=False, factory=dict)
    _checks: Checks = field(init=False, repr=False)
    _asking: Asking = field(init=False, repr=False)

    @_checks.default
    def _what_checks(self) -> Checks:
        return Checks(self.schema, space())

    @_asking.default
    def _what_all_share(self) -> Asking:
        return Asking(
            self.schema, self.digest, self._exactly, self.explanation, self._anew, self._checks.space
        )

    @classmethod
    def from_yaml(cls, text: str, schema: Schema | None = None, name: str = "policy.yaml") -> Self:
        """Load a policy from YAML or JSON text.

        Args:
            text: the document.
            schema: the facts, and the actions with their parameters if it has any; default
                `Schema.default()`.
            name: what errors call the document.

        Raises:
            PolicyError: the document does not load; `where` is `NAME:LINE:COLUMN`.
        """
        schema = Schema.default() if schema is None else schema
        document, source = read(text, name, actions=schema.parameters)
        compiled = compile_rules(document, source, schema)
        by_action: dict[str, list[CompiledRule]] = {}
        for one in compiled:
            for action in one.actions or ():
                by_action.setdefault(action, []).append(one)
        general = tuple(one for one in compiled if one.actions is None)
        return cls(
            document.name, document.sequence, document.digest, text, schema, compiled, general, by_action
        )

    @classmethod
    def from_path(cls, path: str | PathLike[str], schema: Schema | None = None) -> Self:
        """Load a policy from a file.

        Raises:
            PolicyError: as `from_yaml`; `policy.unreadable`, or `policy.encoding` if it is not UTF-8.
        """
        try:
            with open(path, "rb") as file:
                text = file.read().decode("utf-8")
        except OSError as error:
            raise PolicyError(
                "policy.unreadable", f"can't be read: {error.strerror}", where=str(path)
            ) from error
        except UnicodeDecodeError as error:
            raise PolicyError("policy.encoding", "the file is not UTF-8", where=f"{path}:1:1") from error
        return cls.from_yaml(text, schema, str(path))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules as written, in the order of the document."""
        return tuple(one.rule for one in self._compiled)

    def applicable(self, action: str) -> tuple[CompiledRule, ...]:
        """The rules that have a say about this action, in the order of the document."""
        own = self._by_action.get(action)
        return tuple(sorted((*self._general, *own), key=lambda one: one.at)) if own else self._general

    def decide(self, facts: Facts | Mapping[str, Any]) -> Decision:
        """What the policy says of these facts.

        Never raises for what facts say: a fact of a wrong type is a deny (`facts.type`), and whatever goes
            wrong unexpectedly is one too (`policy.error`), loudly, in the log.

        Args:
            facts: a document of facts, or a nested dict that is checked against the schema first.
        """
        try:
            document: Any = facts
            if type(facts) is not dict:
                if type(facts) is not Facts:  # to read another mapping may change it, as with a defaultdict
                    return self.exactly(facts)
                document = facts.document
            try:
                self._checks.fits(document)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001  # it is not of the usual shape, or it is odd
                self._checks.otherwise(document)
            action = document["action"]
            candidates = self._candidates.get(action) or self._candidates_of(action)
            found = candidates.which(document)
            finish = candidates.finishes.get(found) or candidates.finish(found)
            return finish(document, facts)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # whatever is odd is judged the exact way, which says what it was
            return self.exactly(facts)

    def _candidates_of(self, action: Any) -> Candidates:
        """The rules to ask about an action; the same ones for all actions that no rule names."""
        known = self.schema.parameters
        if type(action) is not str or not self._compiled or (known is not None and action not in known):
            raise Odd
        named = known is not None or action in self._by_action
        at = action if named else None  # no text, for any text may be an action that a rule names
        found = self._candidates.get(at)
        if found is None:
            facts = {"action": action} if named else {}
            found = self._candidates[at] = Candidates(self._asking, self.applicable(action), facts)
        return found

    def _anew(self, true: Sequence[CompiledRule], facts: Facts | Mapping[str, Any]) -> Decision:
        """The decision of rules that are known to be true, where what they come to depends on the facts."""
        known = Facts.of(facts.document if isinstance(facts, Facts) else facts, self.schema)
        return combined(self, [completed(one, known) for one in true], known)

    def exactly(self, facts: Facts | Mapping[str, Any]) -> Decision:
        """The same as `decide`, by the exact way alone: what `decide` is held against."""
        known = self.conforming(facts)
        if isinstance(known, Decision):
            return known
        try:
            return decided(self, known)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # the one place that turns the unexpected into a deny (threats B3)
            return self.broken(error)

    def _exactly(self, one: CompiledRule) -> Callable[[Facts], bool]:
        def is_true(facts: Facts) -> bool:
            outcome, _ = came_to(one, facts)
            if outcome is Outcome.ERROR:
                raise Odd
            return outcome is Outcome.TRUE

        return is_true

    def explanation(self, facts: Facts | Mapping[str, Any]) -> Explanation:
        """Why it decides as it does about these facts, to be read or drawn."""
        from cigate.policy.explaining import explain  # it explains what is decided here, so it stands above

        return explain(self, facts)

    def residual(self, known: Facts | Mapping[str, Any], *, absent: Collection[str] = ()) -> Residual:
        """What must still hold for an allow when only some facts are known: see `cigate.policy.Residual`.

        Raises:
            FactsError: a known fact has the wrong type.
        """
        from cigate.policy.explaining import residual

        return residual(self, known, absent=absent)

    def _repr_html_(self) -> str:
        from cigate.policy.explaining.drawing import policy_html

        return policy_html(self)

    def _repr_markdown_(self) -> str:
        from cigate.policy.explaining.drawing import policy_markdown

        return policy_markdown(self)

    def conforming(self, facts: Facts | Mapping[str, Any]) -> Facts | Decision:
        """The facts, checked against the schema; or the deny that follows from one that does not fit."""
        try:
            return Facts.of(facts.document if isinstance(facts, Facts) else facts, self.schema)
        except FactsError as error:
            return denied(error.code, f"{error.where}: {error.message}", policy_digest=self.digest)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # a value that breaks the check itself is no allow either
            return self.broken(error)

    def broken(self, error: Exception) -> Decision:
        """The deny that an unexpected exception comes to."""
        import logging  # for the unexpected alone

        logging.getLogger("cigate").error(
            "policy %s failed to decide, which denies", self.name, exc_info=error
        )
        message = f"the policy failed to decide: {type(error).__name__}"
        return denied("policy.error", message, policy_digest=self.digest)
