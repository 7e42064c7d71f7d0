"""Pipelines: a decided run goes in, an observed run comes out.

What must always hold: a run starts without a secret, one decision never starts two, and the credential
reaches the runner of that run and nothing else. Backends are modules named for their product.
"""

from cigate.pipelines.pipeline import Parameters, Pipeline, Run, RunSpec, RunState, mismatch

__all__ = ["Parameters", "Pipeline", "Run", "RunSpec", "RunState", "mismatch"]
