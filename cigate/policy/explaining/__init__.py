"""Why a policy decides as it does, for whoever asks; nothing here is needed to decide.

In come a policy and facts; out come the parts of each rule that decided it (`explain`), the smallest change of facts
that would have been allowed (`counterfactual`), and what must still hold while only some facts are known (`residual`),
as data, as text, and drawn for a notebook. What must hold: all of it comes from `decide`, and never differs from it.
"""

from cigate.policy.explaining.change import Change
from cigate.policy.explaining.explanation import Explanation, explain
from cigate.policy.explaining.nearest import Counterfactual, counterfactual
from cigate.policy.explaining.remaining import Residual, residual

__all__ = ["Change", "Counterfactual", "Explanation", "Residual", "counterfactual", "explain", "residual"]
