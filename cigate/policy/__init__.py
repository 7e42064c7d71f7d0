"""What the policy says: documents of rules, and from facts to a decision.

In comes a policy (YAML or JSON) with the schema of the facts that it may read, once; then facts, many
times. Out comes a `Decision`: the effect, the rules that gave it, what must be taken before it holds, and,
asked for, why.
What must always hold: only a true allow rule opens; an error, or an absent fact, never does; the order of
rules decides nothing; adding any rule but an allow never opens anything; the same policy and facts always
give the same decision, for nothing else is read.
"""

from cigate.policy.change import Change
from cigate.policy.counterfactual import Counterfactual, counterfactual
from cigate.policy.document import PolicyDocument, Rule, Throttle, Variable
from cigate.policy.engine import PolicyEngine, decide
from cigate.policy.explain import Explanation, explain
from cigate.policy.live import LivePolicy
from cigate.policy.residual import Residual, residual
from cigate.policy.settle import settle

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
    "decide",
    "explain",
    "residual",
    "settle",
]
