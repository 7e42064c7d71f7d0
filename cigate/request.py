"""The request of an agent, well-formed and within bounds: what intake hands on.

`Request.parse` reads the bytes once, strictly. The outer fields of an unverified request are compared
with the signed ones and used for nothing else (design, rule 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NewType

from attrs import field, frozen

AgentId = NewType("AgentId", str)
UserId = NewType("UserId", str)
DeviceId = NewType("DeviceId", str)
ActionName = NewType("ActionName", str)
Commit = NewType("Commit", str)


@frozen
class Request:
    """One request, as the agent wrote it.

    Args:
        agent_id, agent_version, user_id, action, commit, parameters, purpose: the fields that a signature covers.
        attestation: the DSSE envelope's bytes, decoded from the outer base64; None for a request not yet signed.
    """

    agent_id: AgentId
    agent_version: str
    user_id: UserId
    action: ActionName
    commit: Commit
    parameters: Mapping[str, bool | int | str] = field(converter=lambda given: MappingProxyType(dict(given)))
    purpose: str | None = None
    attestation: bytes | None = field(default=None, repr=False)

    def fields(self) -> dict[str, Any]:
        """Every field that a signature covers, as JSON; an absent purpose is absent."""
        return {
            "agent_id": self.agent_id,
            "agent_version": self.agent_version,
            "user_id": self.user_id,
            "action": self.action,
            "commit": self.commit,
            "parameters": dict(self.parameters),
            **({"purpose": self.purpose} if self.purpose is not None else {}),
        }
