"""What the policy says: documents of rules, and from facts to a decision.

In comes a policy (YAML or JSON) with the schema of the facts that it may read, once; then facts, many
times. Out comes a `Decision`: the effect, the rules that gave it, what must be taken before it holds, and,
asked for, why.
What must always hold: only a true allow rule opens; an error, or an absent fact, never does; the order of
rules decides nothing; adding any rule but an allow never opens anything; the same policy and facts always
give the same decision, for nothing else is read. Who only decides loads nothing of what explains.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cigate.policy.document import PolicyDocument, Rule, Throttle, Variable
from cigate.policy.engine import PolicyEngine
from cigate.policy.settle import settle

if TYPE_CHECKING:
    from cigate.policy.explaining import Change as Change
    from cigate.policy.explaining import Counterfactual as Counterfactual
    from cigate.policy.explaining import Explanation as Explanation
    from cigate.policy.explaining import Residual as Residual
    from cigate.policy.explaining import counterfactual as counterfactual
    from cigate.policy.explaining import explain as explain
    from cigate.policy.explaining import residual as residual
    from cigate.policy.live import LivePolicy as LivePolicy

_AT_FIRST_USE = {
    "Change": "explaining",
    "Counterfactual": "explaining",
    "Explanation": "explaining",
    "LivePolicy": "live",
    "Residual": "explaining",
    "counterfactual": "explaining",
    "explain": "explaining",
    "residual": "explaining",
}


def __getattr__(name: str) -> Any:
    if name not in _AT_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"cigate.policy.{_AT_FIRST_USE[name]}"), name)


__all__ = [
    "Change",
    "Counterfactual",
    "Explanation",
    "LivePolicy",
    "PolicyDocument",
    "PolicyEngine",
    "Residual",
    "Rule",
    "Throttle",
    "Variable",
    "counterfactual",
    "explain",
    "residual",
    "settle",
]
