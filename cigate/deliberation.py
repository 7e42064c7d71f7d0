"""What we know, and what the policy says to it: reads only, in one snapshot.

The first of the three parts of a request (design, section 8): this one reads and decides, `admission` commits,
`effects` act. Nothing is taken here, and whatever moves under it is seen again by the commit.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import field, frozen

from cigate.action import Action
from cigate.admission import Asked, beyond_approval
from cigate.attestation import Attestation, SignedRefusal
from cigate.collect import budget_of, collect
from cigate.config import Loaded, check_references
from cigate.controls import (
    CLOCK,
    FENCE,
    Fence,
    HeldTicket,
    budget_keys,
    check_clock,
    history_keys,
    is_spent,
    nonce_keys,
    read_fence,
)
from cigate.credentials import CredentialBroker
from cigate.decision import Decision, DecisionId, Effect, denied
from cigate.errors import AttestationError, CigateError, FactsError, RequestError
from cigate.facts import Facts
from cigate.pipelines import Pipeline
from cigate.pipelines.source import GitSource
from cigate.request import DeviceId, Request, UserId
from cigate.signing import KeyRecord
from cigate.stores import Rows, Store

log = logging.getLogger("cigate")


@frozen
class Decided:
    """A request with its decision, before anything is taken."""

    asked: Asked
    loaded: Loaded
    decision: Decision
    own: Decision | None = None
    facts: Facts | None = None
    action: Action | None = None
    parameters: Mapping[str, bool | int | str] = field(factory=dict)
    commit: str = ""


class Deliberation:
    """Decides on attested requests, under the policy and configuration that are in force.

    Args:
        loaded: what is in force when this begins.
        store: read only.
        pipelines, brokers: what actions may name.
        keys: the records of keys as they are today, of those that are enrolled and not revoked.
        skew: how far clocks may differ.
        reload: reads the files again, for when another process has loaded newer ones; None: there are no files.
    """

    def __init__(
        self,
        loaded: Loaded,
        store: Store,
        *,
        pipelines: Mapping[str, Pipeline],
        brokers: Mapping[str, CredentialBroker],
        keys: Callable[[Collection[str]], Mapping[str, KeyRecord]],
        skew: timedelta,
        reload: Callable[[], Loaded] | None,
    ) -> None:
        check_references(loaded.actions, pipelines, brokers)
        self.loaded = loaded
        self._store = store
        self._pipelines = pipelines
        self._brokers = brokers
        self._keys = keys
        self._skew = skew
        self._reload = reload

    def decide(self, attestation: Attestation, held: HeldTicket | None, now: datetime) -> Decided:
        """Collect what is known, in one snapshot, and decide on it."""
        request, key = attestation.request, attestation.key
        loaded, fence, rows = self._snapshot(attestation, held is None, now)
        asked = Asked(
            attestation,
            DecisionId("dec-" + secrets.token_hex(12)),
            now,
            fence,
            budget_of(loaded, request.user_id),
            held,
        )

        def no(code: str, message: str) -> Decided:
            return Decided(asked, loaded, denied(code, message, policy_digest=loaded.policy.digest))

        if (fence.policy_digest, fence.config_digest) != (loaded.policy.digest, loaded.digest):
            return no(
                "fence.stale",
                "another process has loaded a policy or configuration that this one does not have",
            )
        action = loaded.actions.get(request.action)
        stop = fence.blocks(
            key=key.id,
            agent=request.agent_id,
            user=request.user_id,
            device=key.device or "",
            action=request.action,
            pipeline=action.pipeline if action is not None else "",
        )
        if stop is not None:
            return no(f"stop.{stop.kind}", f"{stop.scope} is stopped: {stop.reason}")
        if action is None:
            return no("action.unknown", f"there is no action {request.action!r}")
        pipeline = self._pipelines[action.pipeline]
        try:
            parameters = action.check(request.parameters)
            commit = self._commit(action, request)
            facts = collect(
                attestation,
                action,
                parameters,
                loaded=loaded,
                isolation=pipeline.isolation,
                rows=rows,
                approvals=self._approvals(held, loaded, fence, now),
                now=now,
            )
        except (RequestError, FactsError) as error:
            return no(error.code, str(error))
        own = loaded.policy.decide(facts)
        decision = self._after_policy(own, facts, action, pipeline, held)
        return Decided(asked, loaded, decision, own, facts, action, parameters, commit)

    def _snapshot(self, attestation: Attestation, fresh: bool, now: datetime) -> tuple[Loaded, Fence, Rows]:
        request, signed = attestation.request, attestation.signed
        nonce = nonce_keys(attestation.key.thumbprint, signed.jti) if fresh else frozenset()
        loaded = self.loaded
        for _ in range(2):
            budget = budget_of(loaded, request.user_id)
            keys = {FENCE, CLOCK, *nonce, *history_keys(request.agent_id)}
            rows = self._store.read(keys | (budget_keys(budget, now) if budget is not None else frozenset()))
            check_clock(rows, now, self._skew)
            fence = read_fence(rows)
            if (fence.policy_digest, fence.config_digest) == (loaded.policy.digest, loaded.digest):
                break
            loaded = self._load_again(loaded)
        if fence.revocation_of_key(attestation.key.id) is not None:
            raise AttestationError(
                "attestation.unknown-key", f"key {attestation.key.id} was revoked meanwhile"
            )
        if fresh and is_spent(rows, attestation.key.thumbprint, signed.jti):
            raise SignedRefusal("attestation.replayed", "this request was seen before", key=attestation.key)
        return loaded, fence, rows

    def _load_again(self, loaded: Loaded) -> Loaded:
        """The files as they are now: another process says that they have changed. Bad ones change nothing."""
        if self._reload is None:
            return loaded
        try:
            again = self._reload()
            check_references(again.actions, self._pipelines, self._brokers)
        except CigateError as error:
            log.error("the configuration does not load any more: %s", error)
            return loaded
        self.loaded = again
        return again

    def _commit(self, action: Action, request: Request) -> str:
        if action.source is None:
            return request.commit_hex
        return GitSource(action.source.git, action.source.branches).resolve(request.commit_hex)

    def _approvals(
        self, held: HeldTicket | None, loaded: Loaded, fence: Fence, now: datetime
    ) -> Sequence[Mapping[str, Any]]:
        """Who approved a held request, with the roles that they have today; who is revoked does not count."""
        if held is None:
            return ()
        counted = []
        keys = self._keys([verdict.key_id for verdict in held.approvals])
        device = loaded.inventory.device(DeviceId(held.ticket.device)) if held.ticket.device else None
        owner = device.owner if device is not None else None
        for verdict in held.approvals:
            user = loaded.inventory.user(UserId(verdict.user))
            key = keys.get(verdict.key_id)
            ended = key is None or (key.valid_until is not None and now >= key.valid_until)
            revoked = fence.revocation_of_key(verdict.key_id) or fence.revocation_of_user(verdict.user)
            if user is not None and not ended and revoked is None and verdict.user != owner:
                counted.append({"user": verdict.user, "roles": list(user.roles or ()), "at": verdict.at})
        return counted

    def _after_policy(
        self, decision: Decision, facts: Facts, action: Action, pipeline: Pipeline, held: HeldTicket | None
    ) -> Decision:
        """What binds an allow and is not the policy's to say: obligations, and what the approvers agreed to."""
        if decision.effect is not Effect.ALLOW:
            return decision
        wanted = decision.obligations.isolation
        if wanted == "sandbox" and pipeline.isolation != "sandbox":
            return decision.refused(
                "obligation.isolation",
                f"the policy wants a sandbox, {action.pipeline} is {pipeline.isolation}",
            )
        if held is not None and (widened := beyond_approval(held.ticket, decision, facts)):
            return decision.refused("approval.mismatch", widened)
        return decision
