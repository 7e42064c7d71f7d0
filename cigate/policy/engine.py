"""A loaded policy, and what it says of facts: which rules apply, and what each comes to.

`decide` is a pure function of policy and facts: it reads no clock, no network and no state, so any decision
can be made again, explained and proved about. Nothing in here lets an exception out for what facts say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from cigate import cel
from cigate.decision import Decision, Effect, Explanation, Reason, Ruling, denied, ruled
from cigate.errors import FactsError, PolicyError
from cigate.facts import Facts, Schema
from cigate.policy.absence import Outcome, hides_error, without_partial
from cigate.policy.candidates import Asking, Candidates
from cigate.policy.checks import Checks, Odd, space
from cigate.policy.combining import Verdict, combine, people_who_count
from cigate.policy.compiled import CompiledRule, compile_rules
from cigate.policy.document import Rule
from cigate.policy.reading import read
from cigate.policy.rulings import ruling_of

if TYPE_CHECKING:
    from cigate.policy.explaining.remaining import Residual


@frozen(eq=False)
class PolicyEngine:
    """A policy that is loaded, compiled once, and ready to decide from any thread.

    Make one with `from_yaml` or `from_path`; then ask `decide`, or `cigate.policy.explaining.explanation` why.
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
            self.schema, self.digest, self._exactly, self._explanation, self._anew, self._checks.space
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
                    return self._exact(facts)
                document = facts.document
            self._checks.fits(document)
            action = document["action"]
            candidates = self._candidates.get(action) or self._candidates_of(action)
            found = candidates.which(document)
            finish = candidates.finishes.get(found) or candidates.finish(found)
            return finish(document, facts)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # whatever is odd is judged again, by ways that take less for granted
            return self._otherwise(facts)

    def _otherwise(self, facts: Facts | Mapping[str, Any]) -> Decision:
        """The decision on facts that are not of the usual shape, or are odd; an odd one is decided the exact way."""
        try:
            document: Any = facts.document if type(facts) is Facts else facts
            self._checks.otherwise(document)
            candidates = self._candidates_of(document["action"])
            found = candidates.which(document)
            return (candidates.finishes.get(found) or candidates.finish(found))(document, facts)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # the exact way says what it was
            return self._exact(facts)

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
        return self._combined([_completed(one, known) for one in true], known, facts)

    def _exact(self, facts: Facts | Mapping[str, Any]) -> Decision:
        known = self.conforming(facts)
        return known if isinstance(known, Decision) else decide(self, known)

    def _combined(self, found: Sequence[Verdict], known: Facts, facts: Facts | Mapping[str, Any]) -> Decision:
        true = [verdict.compiled for verdict in found if verdict.outcome is Outcome.TRUE]
        answer = combine(found, known)
        return ruled(ruling_of(answer, true, self.digest, self._explanation), answer.takes, facts)

    def _exactly(self, one: CompiledRule) -> Callable[[Any], bool]:
        def is_true(document: Any) -> bool:
            outcome, _ = _outcome(one, Facts.of(document, self.schema))
            if outcome is Outcome.ERROR:
                raise Odd
            return outcome is Outcome.TRUE

        return is_true

    def _explanation(self, facts: Facts | Mapping[str, Any]) -> Explanation:
        from cigate.policy.explaining import explain  # it explains what is decided here, so it stands above

        return explain(self, facts)

    def residual(self, known: Facts | Mapping[str, Any], *, absent: Collection[str] = ()) -> Residual:
        """What must still hold for an allow when only some facts are known: see `cigate.policy.explaining.remaining`.

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


def decide(policy: PolicyEngine, facts: Facts) -> Decision:
    """What a policy says of facts that fit its schema. Pure: the same two always give the same decision."""
    try:
        return _decide(policy, facts)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # the one place that turns the unexpected into a deny (threats B3)
        return policy.broken(error)


def obstacle(policy: PolicyEngine, facts: Facts) -> Reason | None:
    """Why no rule needs to be asked at all, if there is such a reason."""
    if not policy.rules:
        return Reason("policy.empty", f"the policy {policy.name} has no rule, so nothing is allowed")
    action = facts.get("action")
    if not isinstance(action, str):
        return Reason("facts.missing", "/action is not known, so no rule can apply")
    if policy.schema.parameters is None:
        return None
    if action not in policy.schema.parameters:
        return Reason("policy.unknown-action", f"there is no action {action}")
    try:
        _check_parameters(policy.schema, action, facts)
    except FactsError as error:
        return Reason(error.code, f"{error.where}: {error.message}")
    return None


def verdicts(policy: PolicyEngine, facts: Facts) -> tuple[Verdict, ...]:
    """What each rule that applies to the action came to, in the order of the document."""
    return tuple(_verdict(one, facts) for one in policy.applicable(facts.get("action") or ""))


def _check_parameters(schema: Schema, action: str, facts: Facts) -> None:
    """Parameters have the types of their own action: a wrong one must not look like another value."""
    assert schema.parameters is not None
    types = {f"parameters.{name}": kind for name, kind in schema.parameters[action].items()}
    given = facts.get("parameters")
    if isinstance(given, Mapping):
        Facts.of({"parameters": given}, Schema(types))


def _verdict(one: CompiledRule, facts: Facts) -> Verdict:
    if one.expression is not None:
        found, why = _outcome(one, facts)
        if found is not Outcome.TRUE:
            return Verdict(one, found, why)
    return _completed(one, facts)


def _completed(one: CompiledRule, facts: Facts) -> Verdict:
    """The verdict of a rule whose expression is true."""
    rule = one.rule
    if rule.approval is not None:
        return Verdict(one, Outcome.TRUE, people=people_who_count(rule.approval, facts))
    if rule.throttle is None:
        return Verdict(one, Outcome.TRUE)
    bucket: list[str] = []
    for path in rule.throttle.key:
        value = facts.get(path)
        if not isinstance(value, str):
            return Verdict(one, Outcome.ERROR, f"{path}, which names its bucket, is not known")
        bucket.append(value)
    return Verdict(one, Outcome.TRUE, bucket=tuple(bucket))


def _outcome(one: CompiledRule, facts: Facts) -> tuple[Outcome, str]:
    assert one.program is not None
    try:
        value = one.program(facts.document)
    except cel.EvaluationError as error:
        whole = without_partial(one.tests, one.program.references, facts) if one.tests is not None else facts
        if whole is not facts:
            return _outcome(one, whole)
        ignored = one.rule.ignores_unknown and error.code == "cel.no-such-field"
        return (Outcome.FALSE if ignored else Outcome.ERROR), f"{error.code}: {error.message}"
    if type(value) is not bool:  # threats B1: a number or a text is not an answer
        return Outcome.ERROR, f"it gave {type(value).__name__}, not a bool"
    # Where a rule that is true for want of a fact holds back less than an error, or a false allow rule
    # does, the absent fact must not have hidden an error.
    lenient = value is False if one.rule.effect is Effect.ALLOW else value is True
    if one.tests is not None and lenient and hides_error(one.tests, facts):
        return Outcome.ERROR, "an absent fact that it tests for hides that another one is missing"
    return (Outcome.TRUE if value else Outcome.FALSE), ""


def _decide(policy: PolicyEngine, facts: Facts) -> Decision:
    blocked = obstacle(policy, facts)
    if blocked is not None:
        ruling = Ruling(
            Effect.DENY, blocked.code, policy.digest, reasons=(blocked,), explainer=policy._explanation
        )
        return ruled(ruling, (), facts)
    return policy._combined(verdicts(policy, facts), facts, facts)
