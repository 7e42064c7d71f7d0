"""The gateway: the steps in their order, and nothing else.

    request bytes → Attestation → Facts → Decision → Run → Lease → Entry

This is the only file that knows that order. `submit` reads as the design does: intake, attestation, facts,
policy, one transaction, effects. Each step is a room of its own. Whatever goes wrong on the way is a
refusal with a code: the caller gets an Outcome, never an exception, and doubt means no.
"""

from __future__ import annotations

import base64
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cigate import cel
from cigate.action import Action
from cigate.admission import Admitted, FenceMoved, admit, intended
from cigate.attestation import (
    OUTWARD_CODE,
    Approval,
    Attestation,
    AttestationVerifier,
    DSSEVerifier,
)
from cigate.config import (
    POSTURE_MAX_AGE,
    Loaded,
    digest_by_hand,
    keys_in_use,
    read_configuration,
)
from cigate.controls import (
    FENCE,
    RACED,
    Budget,
    HeldTicket,
    Verdict,
    nonce_keys,
    read_fence,
    read_ticket,
    record_verdict,
    spend_nonce,
    take,
    take_keys,
    ticket_keys,
)
from cigate.credentials import CredentialBroker, Tag
from cigate.decision import Decision, DecisionId, Effect, TicketId, denied
from cigate.deliberation import Decided, Deliberation
from cigate.effects import Conclusion, Effects, Halt, wait_for_starters
from cigate.errors import (
    AttestationError,
    BackendError,
    CigateError,
    ConfigError,
    RequestError,
    StoreUnavailable,
)
from cigate.identification import Identification
from cigate.intent import Intent
from cigate.inventory import Inventory
from cigate.journal import Step, read_row
from cigate.ledger import Draft, Ledger
from cigate.outcome import Outcome, RunStatus, TicketStatus, given_out, refusal
from cigate.pipelines import Pipeline, RunSpec
from cigate.policy import PolicyEngine, settle
from cigate.request import DeviceId, Request
from cigate.risk import RiskScorer, WeightedScorer
from cigate.signing import KeyRecord, Keyring
from cigate.state import State
from cigate.stores import Key, Rows, Store, open_store
from cigate.ticket import Ticket

log = logging.getLogger("cigate")

SKEW: Final = timedelta(seconds=60)
DRAIN: Final = timedelta(seconds=30)
_ROUNDS: Final = 3
"""How often a request is decided again when stops, policy or configuration move under it."""
_SPOKEN: Final = frozenset(
    f"attestation.{what}"
    for what in (
        "replayed",
        "replay-store-full",
        "audience",
        "time",
        "lifetime",
        "owner",
        "mismatch",
        "payload",
    )
)
"""What the holder of an enrolled key is told; all that can go wrong with the key itself looks the same."""


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


class Gateway:
    """A CI gateway inside the process that runs CI. Safe to use from many threads, and after a fork.

    `Gateway.from_config("gateway.yaml")` builds one from a file; the arguments build one by hand. The store must have
    been created (`SQLiteStore.create`, `MemoryStore()`, or `cigate init`): a gateway never remakes lost state.

    Args:
        audience: the one exact string that requests must name.
        policy: a compiled policy.
        actions: the catalogue, by name.
        keyring: keys enrolled by hand; those that `enrol` wrote into the store are known besides.
        inventory: agents, users and devices.
        store: where state and ledger live.
        ledger_key: the Ed25519 private key that signs checkpoints, or the PEM file that holds it.
        brokers, pipelines: by the names that actions use.
        budgets: by team.
        risk: scores what is known of a request.
        verifiers: formats of attestation by name, tried in order.
        posture_max_age: older posture is unknown as a whole.
        clock: aware UTC now. Tests give their own.
        skew: how far clocks may differ.
        revision: names what is in force besides, and can't be seen from here: inventory, functions, risk weights,
            profiles. It is in the configuration digest; change it with them, and running processes deny.

    Raises:
        ConfigError: something that an action names is not there, or the policy's sequence is not above the last one.
        LedgerError: the state is missing, or behind its anchor.
    """

    def __init__(
        self,
        *,
        audience: str,
        policy: PolicyEngine,
        actions: Mapping[str, Action],
        inventory: Inventory,
        store: Store,
        ledger_key: Ed25519PrivateKey | Path | str,
        keyring: Keyring | None = None,
        brokers: Mapping[str, CredentialBroker] | None = None,
        pipelines: Mapping[str, Pipeline] | None = None,
        budgets: Mapping[str, Budget] | None = None,
        risk: RiskScorer | None = None,
        verifiers: Mapping[str, AttestationVerifier] | None = None,
        posture_max_age: timedelta = POSTURE_MAX_AGE,
        clock: Callable[[], datetime] = utc_now,
        skew: timedelta = SKEW,
        revision: str = "",
    ) -> None:
        keyring = keyring if keyring is not None else Keyring.of()
        _check_arguments(policy=policy, inventory=inventory, store=store, keyring=keyring, actions=actions)
        loaded = Loaded(
            audience=audience,
            policy=policy,
            actions=actions,
            inventory=inventory,
            budgets=budgets or {},
            risk=risk or WeightedScorer(),
            posture_max_age=posture_max_age,
            digest=digest_by_hand(
                audience,
                actions,
                budgets or {},
                keyring,
                pipelines or {},
                brokers or {},
                posture_max_age,
                revision,
            ),
        )
        self._build(
            loaded,
            store=store,
            ledger_key=ledger_key,
            keyring=keyring,
            brokers=lambda: brokers or {},
            pipelines=pipelines or {},
            verifiers=verifiers or {"dsse": DSSEVerifier()},
            clock=clock,
            skew=skew,
            reload=None,
        )

    @classmethod
    def from_config(cls, path: Path | str, *, clock: Callable[[], datetime] = utc_now) -> Gateway:
        """The gateway that a gateway.yaml describes. A running one reads its files again when another process
        has loaded newer ones.

        Raises:
            ConfigError, PolicyError: at `FILE:LINE:COLUMN`.
            StoreUnavailable, LedgerError: the state is missing, unreadable, or behind its anchor.
        """
        configuration = read_configuration(path)
        loaded = configuration.load()
        gateway = cls.__new__(cls)
        gateway._build(
            loaded,
            store=open_store(configuration.store, folder=configuration.folder),
            ledger_key=configuration.ledger_key(),
            keyring=Keyring.of(),
            brokers=lambda: configuration.brokers(live=gateway.is_live, clock=clock),
            pipelines=configuration.pipelines(),
            verifiers={"dsse": DSSEVerifier()},
            clock=clock,
            skew=SKEW,
            reload=configuration.load_again,
        )
        return gateway

    def _build(
        self,
        loaded: Loaded,
        *,
        store: Store,
        ledger_key: Ed25519PrivateKey | Path | str,
        keyring: Keyring,
        brokers: Callable[[], Mapping[str, CredentialBroker]],
        pipelines: Mapping[str, Pipeline],
        verifiers: Mapping[str, AttestationVerifier],
        clock: Callable[[], datetime],
        skew: timedelta,
        reload: Callable[[], Loaded] | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._skew = skew
        self._state = State.open(
            store, audience=loaded.audience, ledger_key=ledger_key, clock=clock, skew=skew
        )
        self._journal = self._state.journal
        self._who = Identification(store, keyring, verifiers, loaded.audience, clock, skew)
        self._effects = Effects(self._journal, pipelines=pipelines, brokers=brokers(), clock=clock)
        self._deliberation = Deliberation(
            loaded,
            store,
            pipelines=pipelines,
            brokers=self._effects.brokers,
            keys=self._who.known,
            skew=skew,
            reload=reload,
        )
        own = keys_in_use(self._state.ledger.public_pem(), self._effects.brokers)
        self._state.load(loaded, {**{record.thumbprint: record.id for record in keyring.values()}, **own})
        cel.ready()
        self._clean_up()

    def _clean_up(self) -> None:
        """What dead processes left is ended before this one begins; what can't be ended now is tried again later."""
        try:
            for left in self._effects.reconcile():
                log.warning(
                    "outstanding: %s of decision %s: %s", left["kind"], left["decision_id"], left["why"]
                )
        except BackendError as error:
            log.error("what dead processes left could not be ended: %s", error)

    # What agents ask for

    def submit(self, raw: bytes) -> Outcome:
        """Take one signed request through the gateway, to the end of its run. Never raises for a refusal."""
        return self._request(raw, follow=True)

    def start(self, raw: bytes) -> Outcome:
        """The same, but return once the run has started; a thread follows it to its end."""
        return self._request(raw, follow=False)

    def evaluate(self, raw: bytes) -> Decision:
        """What would be decided about these bytes now. Nothing is consumed and nothing is written."""

        def outcome() -> Outcome:
            decided = self._deliberation.decide(self._who.request(Request.parse(raw)), None, self._clock())
            asked, decision = decided.asked, decided.decision
            name, now, budget = asked.decision_id, asked.now, asked.budget
            rows = self._store.read(
                take_keys(decision, decision_id=name, now=now, budget=budget, ticket=None)
            )
            taken, _ = take(decision, rows, decision_id=name, now=now, budget=budget, ticket=None)
            settled = settle(decision, taken)
            return Outcome(settled, settled.code)

        return self._refusing(outcome, count=False).decision

    # What people answer

    def approve(self, signed: bytes) -> Outcome:
        """Record a signed approval, once. At the quorum the held request is decided again and runs: its Outcome."""
        return self._refusing(lambda: self._answer(signed, "approve"))

    def reject(self, signed: bytes) -> Outcome:
        """Record a signed rejection: the ticket is closed."""
        return self._refusing(lambda: self._answer(signed, "reject"))

    # What operators do

    def status(self, name: str | Ticket) -> TicketStatus | RunStatus:
        """A ticket or a run, as it stands.

        Raises:
            RequestError: `status.unknown`.
        """
        name = str(name.id if isinstance(name, Ticket) else name)
        keys = [Key(family, name) for family in ("decision", "output", "run")]
        rows = self._store.read([*keys, *ticket_keys(TicketId(name))])
        held = read_ticket(rows, TicketId(name))
        if held is not None:
            return TicketStatus.of(held, self._clock())
        if Key("run", name) in rows:
            return self.status(read_row(rows[Key("run", name)])["decision_id"])
        if Key("decision", name) not in rows:
            raise RequestError(
                "status.unknown", f"there is no ticket or run {name!r}", fix="submit printed its id"
            )
        stored = rows.get(Key("output", name))
        output = base64.b64decode(read_row(stored)["output"]) if stored is not None else None
        return RunStatus(DecisionId(name), read_row(rows[Key("decision", name)]), output)

    def halt(self, reason: str, *, scope: str | None = None, drain: timedelta = DRAIN) -> Halt:
        """Stop: nothing more starts in `scope` (`agent:ID`, `action:NAME`, `pipeline:NAME` …; None: anything).

        Durable before it returns, for every process on the store and over restarts. `drained` is true only when no
        start, lease or release that had begun before is still under way.

        Raises:
            ConfigError: `halt.reason`, the reason is empty; `halt.scope`.
        """
        self._state.halt(reason, scope)
        return wait_for_starters(self._store, drain)

    def resume(self, reason: str, *, scope: str | None = None) -> None:
        """Lift the halt of `scope`, or every halt."""
        self._state.resume(reason, scope)

    def enrol(self, record: KeyRecord) -> None:
        """Enrol a public key: once, ever.

        Raises:
            ConfigError: `key.enrolled-already`: the id or the key is known, be it under another name or revoked.
        """
        if record.id in self._who.keyring:
            raise ConfigError("key.enrolled-already", f"there is a key {record.id} in the keyring")
        self._state.enrol(record)

    def revoke(self, scope: str, reason: str = "revoked by an operator") -> None:
        """Revoke for good: a key id, or `agent:ID`, `user:ID`, `device:ID`. What runs under it is stopped."""
        self._state.revoke(scope, reason)

    def reconcile(self) -> Sequence[Mapping[str, Any]]:
        """Undo what dead processes left, and retry what failed. Gives what may still be outstanding."""
        return self._effects.reconcile()

    def health(self) -> Mapping[str, Any]:
        """How the gateway stands: halts, what is outstanding and since when, the ledger's size and root."""
        fence = read_fence(self._store.read([FENCE]))
        head = self.ledger.head()
        leases = [{"kind": "lease", **row} for row in self._effects.leases.outstanding()]
        return {
            "ok": not fence.stops and not leases,
            "audience": self._deliberation.loaded.audience,
            "policy": {
                "name": fence.policy_name,
                "sequence": fence.policy_sequence,
                "digest": fence.policy_digest,
            },
            "config_digest": fence.config_digest,
            "epoch": fence.epoch,
            "stops": fence.to_json()["stops"],
            "strangers": self._journal.strangers.counts,
            "running": [intent.decision_id for intent in self._effects.intents()],
            "outstanding": leases,
            "ledger": {"size": head.size, "root": head.root.hex()},
        }

    @property
    def ledger(self) -> Ledger:
        """The ledger, to read."""
        return self._state.ledger

    @property
    def audience(self) -> str:
        return self._deliberation.loaded.audience

    @property
    def policy(self) -> PolicyEngine:
        """The policy in force in this process."""
        return self._deliberation.loaded.policy

    def close(self) -> None:
        """End the runs that this process follows, and let go of the store's locks and connections."""
        self._effects.close()
        self._state.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The steps, in order

    def _request(self, raw: bytes, *, follow: bool) -> Outcome:
        return self._refusing(
            lambda: self._resolve(self._who.request(Request.parse(raw)), None, follow=follow)
        )

    def _refusing(self, work: Callable[[], Outcome], *, count: bool = True) -> Outcome:
        """The one place where an error becomes a refusal: a code for the caller, the reason for operators."""
        try:
            return work()
        except RequestError as error:
            refused = refusal(error.code, str(error))
        except AttestationError as error:
            refused = refusal(
                error.code,
                str(error),
                outward=error.code if error.code in _SPOKEN else OUTWARD_CODE,
            )
        except Exception as error:  # noqa: BLE001  # doubt means no, whatever it is about
            return _not_able(error)
        log.info("refused: %s", refused.decision.reasons[0].message)
        if count:
            self._journal.strangers.count(refused.decision.code)
        return refused

    def _resolve(self, attestation: Attestation, held: HeldTicket | None, *, follow: bool) -> Outcome:
        """Decide, commit, act; decide again if the fence moved in between."""
        for _ in range(_ROUNDS):
            decided = self._deliberation.decide(attestation, held, self._clock())
            if held is not None and decided.decision.effect is Effect.REQUIRE_APPROVAL:
                return Outcome(decided.decision, decided.decision.code, ticket=held.ticket)
            plan = self._plan(decided)
            try:
                admitted = self._admit(decided, plan)
            except FenceMoved:
                continue
            except StoreUnavailable as error:
                if error.code != RACED:
                    raise
                continue  # an identical request opened its ticket meanwhile: join that
            except (RequestError, AttestationError):
                raise  # nothing was kept
            except Exception as error:  # noqa: BLE001  # it may be committed: `status` tells by its name
                return evolve(_not_able(error), decision_id=decided.asked.decision_id)
            return self._act(decided, plan, admitted, follow=follow)
        return refusal("gateway.busy", "stops, policy or configuration kept changing under the request")

    def _plan(self, decided: Decided) -> tuple[Intent, RunSpec] | None:
        """What to do if the decision is settled as an allow."""
        if decided.decision.effect is not Effect.ALLOW or decided.action is None or decided.facts is None:
            return None
        action, asked = decided.action, decided.asked
        isolation = self._effects.pipelines[action.pipeline].isolation
        intent = intended(asked, action, decided.decision, decided.facts, owner=self._effects.owner.id)
        spec = RunSpec(
            decision_id=asked.decision_id,
            action=action,
            commit=decided.commit,
            commit_as_sent=asked.attestation.request.commit,
            parameters=decided.parameters,
            isolation=decided.decision.obligations.isolation or isolation,
            timeout=action.timeout,
            awaits_credential=action.credential is not None,
        )
        return intent, spec

    def _admit(self, decided: Decided, plan: tuple[Intent, RunSpec] | None) -> Admitted:
        """Commit. From before the commit on, an intent is this process's own, until it is concluded."""
        name = decided.asked.decision_id
        if plan is not None:
            self._effects.claim(name)
        admitted = None
        try:
            admitted = admit(
                self._journal,
                decided.asked,
                decided.decision,
                decided.facts,
                own=decided.own,
                intent=plan[0] if plan is not None else None,
                audience=self.audience,
                origin=self._state.origin,
                skew=self._skew,
            )
            return admitted
        finally:
            if plan is not None and (admitted is None or not admitted.decision.allowed):
                self._effects.abandon(name)

    def _act(
        self, decided: Decided, plan: tuple[Intent, RunSpec] | None, admitted: Admitted, *, follow: bool
    ) -> Outcome:
        decision = admitted.decision
        outcome = Outcome(
            decision,
            decision.code,
            decision_id=decided.asked.decision_id,
            ticket=admitted.ticket
            or (decided.asked.ticket.ticket if decided.asked.ticket is not None else None),
            receipt=admitted.receipt,
            output=decided.action.output if decided.action is not None else "status",
        )
        if not decision.allowed or plan is None:
            return outcome
        intent, spec = plan[0], evolve(plan[1], receipt=admitted.receipt)
        begun = self._effects.begin(intent, spec)
        if isinstance(begun, Conclusion):
            return self._concluded(outcome, begun)
        run, held = begun
        if follow:
            return self._concluded(outcome, self._effects.follow(intent, spec, held))
        follower = threading.Thread(
            target=self._effects.follow,
            args=(intent, spec, held),
            name=f"cigate-{run.decision_id}",
            daemon=True,
        )
        try:
            follower.start()
        except RuntimeError as error:  # no more threads: what nobody can follow is ended
            return self._concluded(outcome, self._effects.give_up(intent, run, held, str(error)))
        return evolve(outcome, code="run.started", run=given_out(run, outcome.output), cost=intent.reserved)

    def _concluded(self, outcome: Outcome, conclusion: Conclusion) -> Outcome:
        run = given_out(conclusion.run, outcome.output) if conclusion.run is not None else None
        return evolve(outcome, code=conclusion.code, run=run, cost=conclusion.cost)

    # Approvals

    def _answer(self, signed: bytes, verdict: str) -> Outcome:
        now = self._clock()
        approval = self._who.approval(signed)
        if approval.verdict != verdict:
            raise RequestError(
                "approval.verdict", f"this is signed as {approval.verdict!r}, not as {verdict!r}"
            )
        held = self._record_verdict(approval, now)
        if verdict == "reject":
            return Outcome(
                denied("approval.rejected", f"{approval.key.user} rejected it"),
                "approval.rejected",
                ticket=held.ticket,
            )
        return self._resolve(self._who.held(held), held, follow=True)

    def _record_verdict(self, approval: Approval, now: datetime) -> HeldTicket:
        name = TicketId(approval.ticket)
        given = Verdict(
            key_id=approval.key.id,
            thumbprint=approval.key.thumbprint,
            user=approval.key.user or "",
            verdict=approval.verdict.value,
            at=now,
            jti=approval.signed.jti,
            envelope=approval.envelope,
        )
        salt = secrets.token_bytes(16)

        def work(rows: Rows) -> Step[HeldTicket]:
            fence = read_fence(rows)
            if fence.revocation_of_key(given.key_id) or fence.revocation_of_user(given.user):
                raise AttestationError(
                    "attestation.unknown-key", f"key {given.key_id} or {given.user} is revoked"
                )
            nonce = spend_nonce(
                rows, given.thumbprint, given.jti, expires=approval.expires + self._skew, now=now
            )
            asked = read_ticket(rows, name)
            device = (
                self._deliberation.loaded.inventory.device(DeviceId(asked.ticket.device))
                if asked is not None
                else None
            )
            held, puts = record_verdict(
                rows,
                name,
                given,
                digest=approval.digest,
                now=now,
                device_owner=device.owner if device is not None else None,
            )
            entry = Draft(
                "approval",
                {"ticket": name, "verdict": approval.verdict.value},
                {
                    "user": given.user,
                    "key": approval.key.to_json(),
                    "envelope": base64.b64encode(approval.envelope).decode(),
                    "digest": approval.digest,
                },
                salt,
            )
            return Step(held, {**puts, **nonce}, (entry,))

        keys = {FENCE, *ticket_keys(name), *nonce_keys(given.thumbprint, given.jti)}
        return self._journal.write(keys, work, now=now)[0]

    def is_live(self, tag: Tag) -> bool:
        """Whether a decision's run still goes on: what a broker's token is good for."""
        return Key("intent", tag) in self._store.read([Key("intent", tag)])


def _check_arguments(
    *, policy: object, inventory: object, store: object, keyring: object, actions: Mapping[str, object]
) -> None:
    """A gateway that is built by hand is built from values, not from what they are loaded from.

    Raises:
        ConfigError: `gateway.argument`.
    """
    wanted = {
        "policy": (policy, isinstance(policy, PolicyEngine), "a PolicyEngine: PolicyEngine.from_path(…)"),
        "inventory": (inventory, hasattr(inventory, "agent"), "an Inventory: StaticInventory.from_config(…)"),
        "store": (store, hasattr(store, "transact"), "a Store: SQLiteStore(path)"),
        "keyring": (keyring, isinstance(keyring, Keyring), "a Keyring: Keyring.of(record, …)"),
    }
    for name, action in actions.items():
        wanted[f"actions[{name!r}]"] = (
            action,
            isinstance(action, Action),
            "an Action: Action.from_config(…)",
        )
    for name, (given, fits, what) in wanted.items():
        if not fits:
            raise ConfigError("gateway.argument", f"{name} is {what}, not {type(given).__name__}")


def _not_able(error: Exception) -> Outcome:
    """A refusal because the gateway could not do its work."""
    if isinstance(error, CigateError):
        log.error("the gateway could not work: %s", error)
        return refusal(f"gateway.{error.code}", str(error))
    log.error("unexpected error in the gateway", exc_info=error)
    return refusal("gateway.error", f"unexpected {type(error).__name__}")
