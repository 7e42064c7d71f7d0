"""For whoever tests with cigate: facts to decide on, a gateway in a temporary folder, contract suites for backends.

In come a few overrides, out go whole documents of facts and gateways that work. The contract suites
(`StoreContract`, `BrokerContract`, `PipelineContract`) are classes of tests that an author of a backend
subclasses; our own backends pass them. Nothing here is imported by the rest of cigate.
"""

from cigate.testing.documents import NOW, assert_decides, facts
from cigate.testing.folder import AUDIENCE, COMMIT, Bench, Clock, bench

__all__ = ["AUDIENCE", "COMMIT", "NOW", "Bench", "Clock", "assert_decides", "bench", "facts"]
