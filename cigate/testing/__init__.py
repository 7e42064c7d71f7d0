"""For whoever tests with cigate: facts to decide on, a gateway in a temporary folder, contract suites for backends.

In come a few overrides, out go whole documents of facts and gateways that work. The contract suites
(`StoreContract`, `BrokerContract`, `PipelineContract`) are classes of tests that an author of a backend
subclasses; our own backends pass them. Nothing here is imported by the rest of cigate.
"""
