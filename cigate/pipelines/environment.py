"""What a job finds in its environment: its decision and parameters, and nothing else of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cigate.errors import PipelineUnavailable
from cigate.pipelines.pipeline import Parameters, RunSpec

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CREDENTIAL: Final = "CIGATE_CREDENTIAL"
DECISION: Final = "CIGATE_DECISION_ID"
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Z0-9]")


def job_environment(spec: RunSpec, *, home: str, receipt: str) -> Mapping[str, str]:
    """The variables of a job before its credential is released.

    Args:
        home: what becomes HOME.
        receipt: the path, as the job sees it, of the receipt; left out where the spec has none.

    Raises:
        PipelineUnavailable: `pipeline.parameter-collision`, `pipeline.parameter-value`.
    """
    return {
        "PATH": PATH,
        "HOME": home,
        "LANG": "C.UTF-8",
        **parameter_variables(spec.parameters),
        "CIGATE_COMMIT": _text("commit", spec.commit_as_sent),
        DECISION: _text("decision id", spec.decision_id),
        **({"CIGATE_RECEIPT": receipt} if spec.receipt else {}),
    }


def parameter_variables(parameters: Parameters) -> Mapping[str, str]:
    """`CIGATE_PARAM_` and the name in capitals, everything but letters and digits an underscore.

    Raises:
        PipelineUnavailable: two parameters share a variable, or a value can't be one.
    """
    found: dict[str, str] = {}
    for name, value in parameters.items():
        variable = "CIGATE_PARAM_" + _NOT_IN_A_NAME.sub("_", name.upper())
        if variable in found:
            raise PipelineUnavailable(
                "pipeline.parameter-collision",
                f"two parameters of the action would be {variable}",
                where=f"/parameters/{name}",
                fix="rename one of them",
            )
        found[variable] = _text(name, value)
    return found


def _text(name: str, value: bool | int | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise PipelineUnavailable("pipeline.parameter-value", f"{name} has a value that no variable can have")
    return text
