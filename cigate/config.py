"""gateway.yaml, read strictly: a file goes in, a `Loaded` comes out, from which a Gateway is built.

What must always hold: an unknown or doubled key is an error that names the nearest known one; a file that
others may write is refused; every error says `FILE:LINE:COLUMN`; the digest covers every section that was
loaded, so that no decision can hide which configuration it was made under. Loading creates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import evolve, field, frozen

from cigate.action import Action
from cigate.errors import CigateError, ConfigError, PolicyError
from cigate.facts import FactType, Schema
from cigate.money import MOST_MINOR_UNITS, Money
from cigate.policy import PolicyEngine
from cigate.policy.loading.reading import POLICY_LIMITS
from cigate.wire import canonical, ownfile, settings, yamldoc
from cigate.wire.ijson import Limits
from cigate.wire.times import seconds

if (
    TYPE_CHECKING
):  # a section's room loads when the section is read: who asks for the policy alone waits for no other
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from cigate.controls import Budget
    from cigate.credentials import CredentialBroker, Tag
    from cigate.inventory import Inventory
    from cigate.pipelines import Pipeline
    from cigate.risk import RiskScorer
    from cigate.signing import Keyring

T = TypeVar("T")

SECTIONS: Final = (
    "audience",
    "store",
    "policy",
    "ledger",
    "agents",
    "users",
    "devices",
    "budgets",
    "actions",
    "brokers",
    "pipelines",
    "risk",
    "posture_max_age",
    "allow_unisolated_jobs",
)
_SCALARS: Final = ("audience", "store", "posture_max_age", "allow_unisolated_jobs")
_FACT_TYPES: Final = {"string": FactType.STRING, "integer": FactType.INT, "boolean": FactType.BOOL}
FOR_LIFE: Final = ("audience", "store", "ledger", "brokers", "pipelines", "allow_unisolated_jobs")
"""Sections of which a running process holds more than values: a change of them wants a restart."""
POSTURE_MAX_AGE: Final = timedelta(hours=24)


@frozen
class _Place:
    """Where a section stands: the document, its bytes, and the pointer in it."""

    document: yamldoc.Document
    raw: bytes
    pointer: str


@frozen
class Loaded:
    """Everything that a configuration says, checked: values that can be swapped as one on a reload.

    Args:
        audience: the one exact string that requests must name.
        policy: the compiled policy.
        actions: the catalogue.
        inventory: agents, users, devices.
        budgets: by team.
        risk: the scorer.
        posture_max_age: older posture is unknown as a whole.
        digest: over every loaded section but the policy, which has its own.
    """

    audience: str
    policy: PolicyEngine
    actions: Mapping[str, Action]
    inventory: Inventory
    budgets: Mapping[str, Budget]
    risk: RiskScorer
    posture_max_age: timedelta
    digest: str


@frozen
class Configuration:
    """A gateway.yaml as it was read: sections with the places they came from.

    Args:
        path: the file.
        sections: by name, `{file: …}` already followed.
        places: for each section the document and the pointer in it, for error messages.
    """

    path: Path
    sections: Mapping[str, Any]
    _places: Mapping[str, _Place] = field(repr=False, eq=False)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def store(self) -> str:
        """The store's URI, `sqlite:state.db` unless the file says otherwise."""
        from cigate.stores import check_uri

        with self._at("store"):
            return check_uri(settings.text(self.sections.get("store", "sqlite:state.db"), ""))

    @property
    def audience(self) -> str:
        if "audience" not in self.sections:
            raise self._error(
                "config.missing", "there is no audience", "audience", "", "audience: ci.example.org"
            )
        with self._at("audience"):
            return settings.text(self.sections["audience"], "")

    def ledger_key(self) -> Path | Ed25519PrivateKey:
        """The ledger's private key: its file, by default `ledger.key`, or the key itself from the environment.

        `ledger: {key: {secret: {file: PATH}}}`, or `{env: NAME}` of a variable that holds PKCS #8 PEM.

        Raises:
            ConfigError: `config.*`; and of a key from the environment `secret.missing`, `key.*`, `ledger.key`.
        """
        kind, named = self._ledger_secret()
        if kind == "file":
            return self.folder / named
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        from cigate.credentials.jws import private_key
        from cigate.secret import Secret

        with self._at("ledger"):
            try:
                key = private_key(Secret.from_env(named))
            except ConfigError as error:
                fix = "set it to the PEM of the ledger's key; init makes keys in files only"
                raise ConfigError(error.code, error.message, where="/key/secret/env", fix=fix) from None
            if not isinstance(key, Ed25519PrivateKey):
                raise ConfigError(
                    "ledger.key", "the ledger's key must be an Ed25519 private key", where="/key/secret/env"
                )
            return key

    def ledger_public_key(self) -> Path:
        """The file of the ledger's public key: beside the private one's, or beside gateway.yaml."""
        kind, named = self._ledger_secret()
        return (self.folder / named).with_suffix(".pub") if kind == "file" else self.folder / "ledger.pub"

    def _ledger_secret(self) -> tuple[str, str]:
        with self._at("ledger"):
            key = settings.section(self._mapping("ledger"), "", known=("key",)).get("key")
            if key is None:
                return "file", "ledger.key"
            secret = settings.section(key, "/key", known=("secret",)).get("secret")
            source = settings.section(secret, "/key/secret", known=("env", "file"))
            if len(source) != 1:
                raise ConfigError(
                    "config.secret",
                    "a secret has one source",
                    where="/key/secret",
                    fix="{secret: {file: PATH}}",
                )
            ((kind, named),) = source.items()
            return kind, settings.text(named, f"/key/secret/{kind}")

    def load(self) -> Loaded:
        """Build every value; the policy is compiled against the actions' own schemas.

        Raises:
            ConfigError: `config.*` and what the rooms raise, placed at `FILE:LINE:COLUMN`.
            PolicyError: the policy does not load.
        """
        from cigate.inventory import StaticInventory
        from cigate.risk import WeightedScorer

        actions = self.actions()
        self._check_references(actions)
        with self._at("agents"):
            inventory = StaticInventory.from_config(
                self._mapping("agents"), self._mapping("users"), self._mapping("devices")
            )
        with self._at("risk"):
            risk = WeightedScorer.from_config(self._mapping("risk"))
        return Loaded(
            audience=self.audience,
            policy=self.policy(actions),
            actions=actions,
            inventory=inventory,
            budgets=self._each("budgets", _budget),
            risk=risk,
            posture_max_age=self._posture_max_age(),
            digest=self.digest(),
        )

    def load_again(self) -> Loaded:
        """What the files say now, for a process that was built from this.

        Raises:
            ConfigError: `config.restart`: something changed that a running process keeps for life.
        """
        again = read_configuration(self.path)
        changed = [name for name in FOR_LIFE if again.sections.get(name) != self.sections.get(name)]
        if changed:
            raise ConfigError(
                "config.restart",
                f"{', '.join(changed)} changed, which this process was built with",
                where=str(self.path),
                fix="restart it; until then it denies",
            )
        return again.load()

    def actions(self) -> Mapping[str, Action]:
        """The catalogue."""
        return self._each("actions", self._action)

    def make_broker_keys(self) -> list[Path]:
        """Make the keys that brokers keep in this folder and that are not there yet. The files that were made."""
        made = []
        for name, section in self._mapping("brokers").items():
            with self._at("brokers", f"/{_escaped(name)}"):
                create = getattr(self._backend("cigate.brokers", section), "create_key", None)
            path = self.folder / f"broker-{name}.key"
            if create is not None and "key" not in section and not path.exists():
                create(path)
                made.append(path)
        return made

    def digest(self) -> str:
        """`sha256:` and hex over every section but the policy. Secrets are in it by reference only."""
        try:
            return canonical.digest(
                {name: value for name, value in self.sections.items() if name != "policy"}
            )
        except CigateError as error:
            raise ConfigError(
                "config.number",
                f"{self.path.name}: {error.message}",
                where=error.where,
                fix="write whole numbers",
            ) from error

    def pipelines(self) -> Mapping[str, Pipeline]:
        """The pipelines that the configuration names, each built by its backend."""
        with self._at("allow_unisolated_jobs"):
            unisolated = settings.boolean(self.sections.get("allow_unisolated_jobs", False), "")

        def build(_: str, section: Any) -> Pipeline:
            backend = self._backend("cigate.pipelines", section)
            made: Pipeline = backend.from_config(
                section, folder=self.folder, allow_unisolated_jobs=unisolated
            )
            return made

        return self._each("pipelines", build, self._pipeline_sections())

    def brokers(
        self, *, live: Callable[[Tag], bool], clock: Callable[[], datetime]
    ) -> Mapping[str, CredentialBroker]:
        """The brokers that are named. `live` tells a broker whether a decision's run still goes on."""

        def build(name: str, section: Any) -> CredentialBroker:
            backend = self._backend("cigate.brokers", section)
            made: CredentialBroker = backend.from_config(
                name, section, folder=self.folder, live=live, clock=clock
            )
            return made

        return self._each("brokers", build)

    def names(self, section: str) -> Collection[str]:
        """The names that a section defines, whether or not what they stand for loads."""
        found = self._pipeline_sections() if section == "pipelines" else self._mapping(section)
        return found.keys()

    def _pipeline_sections(self) -> Mapping[str, Any]:
        return self._mapping("pipelines") or {"local": {"backend": "local"}}

    def policy(self, actions: Mapping[str, Action] | None = None) -> PolicyEngine:
        """The policy alone, held against the catalogue of actions.

        Raises:
            ConfigError: as `load`, of the actions.
            PolicyError: the policy does not load.
        """
        schema = schema_of(self.actions() if actions is None else actions)
        if "policy" not in self.sections:
            raise self._error(
                "config.missing", "there is no policy", "policy", "", "policy: {file: policy.yaml}"
            )
        place = self._places["policy"]
        if place.pointer == "":
            return PolicyEngine.from_yaml(place.raw.decode(), schema=schema, name=place.document.name)
        inline = canonical.encode(self.sections["policy"]).decode()
        try:
            return PolicyEngine.from_yaml(inline, schema=schema, name=place.document.name)
        except PolicyError as error:
            raise self._placed(error, place, schema) from error

    def _placed(self, error: PolicyError, place: _Place, schema: Schema) -> PolicyError:
        """The same error of an inline policy, at the place where its author wrote it."""
        try:
            PolicyEngine.from_yaml(_where_it_stands(place), schema=schema, name=place.document.name)
        except PolicyError as placed:
            if placed.code == error.code:
                return placed
        where = place.document.place(place.pointer)
        return PolicyError(error.code, error.message, where=where, fix=error.fix)

    def _action(self, name: str, section: Any) -> Action:
        action = Action.from_config(name, section)
        if action.source is None:
            return action
        if "://" in action.source.git:
            raise ConfigError(
                "action.source",
                "a source is a repository on this machine",
                where="/source/git",
                fix="give the path of a clone that you keep up to date",
            )
        return evolve(action, source=evolve(action.source, git=str(self.folder / action.source.git)))

    def _check_references(self, actions: Mapping[str, Action]) -> None:
        pipelines, brokers = self._pipeline_sections(), self._mapping("brokers")
        for name, action in actions.items():
            pointer = f"/{_escaped(name)}"
            if action.pipeline not in pipelines:
                raise self._unknown("pipeline", action.pipeline, pipelines, f"{pointer}/pipeline")
            if action.credential is None:
                continue
            if action.credential.broker not in brokers:
                raise self._unknown(
                    "broker", action.credential.broker, brokers, f"{pointer}/credential/broker"
                )
            section = brokers[action.credential.broker]
            profiles = section.get("profiles", {}) if isinstance(section, Mapping) else {}
            if action.credential.profile not in profiles:
                raise self._unknown(
                    "profile", action.credential.profile, profiles, f"{pointer}/credential/profile"
                )

    def _unknown(self, what: str, name: str, known: Mapping[str, Any], pointer: str) -> ConfigError:
        error = settings.unknown_name(what, name, known, pointer)
        return self._error(error.code, error.message, "actions", pointer, error.fix)

    def _backend(self, group: str, section: Any) -> Any:
        from importlib.metadata import entry_points

        wanted = settings.text(settings.section(section, "").get("backend"), "/backend")
        known = {point.name: point for point in entry_points(group=group)}
        if wanted not in known:
            raise settings.unknown_name("backend", wanted, known, "/backend")
        return known[wanted].load()

    def _posture_max_age(self) -> timedelta:
        if "posture_max_age" not in self.sections:
            return POSTURE_MAX_AGE
        with self._at("posture_max_age"):
            return settings.duration(self.sections["posture_max_age"], "")

    def _mapping(self, section: str) -> Mapping[str, Any]:
        found = self.sections.get(section)
        with self._at(section):
            return {} if found is None else settings.section(found, "")

    def _each(
        self, section: str, build: Callable[[str, Any], T], given: Mapping[str, Any] | None = None
    ) -> Mapping[str, T]:
        """Build every member of a section, by name."""
        made = {}
        for name, value in (self._mapping(section) if given is None else given).items():
            with self._at(section, f"/{_escaped(name)}"):
                made[name] = build(name, value)
        return made

    @contextmanager
    def _at(self, section: str, prefix: str = "") -> Iterator[None]:
        """Put an error that has only a pointer at the file, line and column it stands at."""
        try:
            yield
        except ConfigError as error:
            where = error.where
            if where and not where.startswith("/"):
                raise  # it has its place already
            named = where.split("/")[1] if where else ""
            if section == "agents" and named in ("agents", "users", "devices"):
                section, where = named, where[len(named) + 1 :]
            raise self._error(error.code, error.message, section, prefix + where, error.fix) from error

    def _error(self, code: str, message: str, section: str, pointer: str, fix: str) -> ConfigError:
        if section not in self._places:
            return ConfigError(code, message, where=str(self.path), fix=fix)
        place = self._places[section]
        return ConfigError(
            code, message, where=_written(place.document, code, place.pointer + pointer), fix=fix
        )


def _written(document: yamldoc.Document, code: str, pointer: str) -> str:
    """Where an error stands: at the value, or at the key where that is what nobody knows."""
    about_key = code in ("config.unknown-key", "config.unknown-signal")
    return document.place_of_key(pointer) if about_key else document.place(pointer)


def schema_of(actions: Mapping[str, Action]) -> Schema:
    """The default schema with `parameters` typed by each action's own."""
    return Schema.default().with_actions(
        {
            name: {parameter: _FACT_TYPES[kind] for parameter, kind in action.fact_types().items()}
            for name, action in actions.items()
        }
    )


def digest_by_hand(
    audience: str,
    actions: Mapping[str, Action],
    budgets: Mapping[str, Budget],
    keyring: Keyring,
    pipelines: Mapping[str, Pipeline],
    brokers: Mapping[str, CredentialBroker],
    posture_max_age: timedelta,
    revision: str,
) -> str:
    """The configuration digest of a gateway that was built without a file."""
    limits = {
        name: [found.limit.minor, found.limit.currency, found.period] for name, found in budgets.items()
    }
    return canonical.digest(
        {
            "audience": audience,
            "actions": {name: action.to_json() for name, action in actions.items()},
            "budgets": limits,
            "keys": {name: record.to_json() for name, record in keyring.items()},
            "pipelines": {name: pipeline.isolation for name, pipeline in pipelines.items()},
            "brokers": sorted(brokers),
            "posture_max_age": seconds(posture_max_age),
            "revision": revision,
        }
    )


def keys_in_use(ledger_key: bytes, brokers: Mapping[str, CredentialBroker]) -> Mapping[str, str]:
    """Thumbprints of the keys that this gateway itself signs with: none of them is anybody's to enrol."""
    pems = {"the ledger": ledger_key}
    for name, broker in brokers.items():
        public_pem = getattr(broker, "public_pem", None)
        if public_pem is not None:
            pems[f"the broker {name}"] = public_pem()
    from cigate.signing import KeyRecord, KeyUse

    return {KeyRecord.enrol(pem, id="own", use=KeyUse.LEDGER).thumbprint: name for name, pem in pems.items()}


def check_references(
    actions: Mapping[str, Action], pipelines: Mapping[str, Pipeline], brokers: Mapping[str, CredentialBroker]
) -> None:
    """Every pipeline and broker that an action names is there.

    Raises:
        ConfigError: `config.unknown-pipeline`, `config.unknown-broker`.
    """
    for name, action in actions.items():
        if action.pipeline not in pipelines:
            raise ConfigError(
                "config.unknown-pipeline",
                f"action {name} wants the pipeline {action.pipeline!r}",
                where=f"/actions/{name}",
            )
        if action.credential is not None and action.credential.broker not in brokers:
            raise ConfigError(
                "config.unknown-broker",
                f"action {name} wants the broker {action.credential.broker!r}",
                where=f"/actions/{name}",
            )


def read_configuration(path: Path | str) -> Configuration:
    """Read a gateway.yaml, and the files that its sections name. Nothing is built and nothing is created.

    Raises:
        ConfigError: `config.unreadable`, `config.writable-by-others`, `config.owner`, `config.unknown-key`, `yaml.*`.
    """
    path = Path(path).resolve()  # what stands beside it stands beside the file, not beside a link to it
    main, raw = _document(path, path.name)
    try:
        value = settings.section(main.value, "", known=SECTIONS)
    except ConfigError as error:
        raise ConfigError(
            error.code, error.message, where=_written(main, error.code, error.where), fix=error.fix
        ) from error
    sections: dict[str, Any] = {}
    places: dict[str, _Place] = {}
    for name, section in value.items():
        if isinstance(section, Mapping) and set(section) == {"file"} and isinstance(section["file"], str):
            document, text = _document(
                path.parent / section["file"],
                section["file"],
                named_at=main.place(f"/{name}/file"),
                limits=POLICY_LIMITS if name == "policy" else yamldoc.LIMITS,
            )
            sections[name], places[name] = document.value, _Place(document, text, "")
        elif isinstance(section, str) and name not in _SCALARS:
            raise ConfigError(
                "config.type",
                f"{name} must be a map",
                where=main.place(f"/{name}"),
                fix=f"{name}: {{file: PATH}} reads it from a file",
            )
        else:
            sections[name], places[name] = section, _Place(main, raw, f"/{name}")
    return Configuration(path, sections, places)


def _budget(name: str, section: Any) -> Budget:
    found = settings.section(section, "", known=("limit", "currency", "period"))
    for key in ("limit", "currency"):
        if key not in found:
            raise ConfigError("config.missing-key", f"the key {key} is missing")
    from cigate.controls import PERIODS, Budget

    period = found.get("period", "month")
    if period not in PERIODS:
        raise settings.unknown_name("period", str(period), PERIODS, "/period")
    limit = settings.whole(found.get("limit"), "/limit", least=0, most=MOST_MINOR_UNITS)
    try:
        return Budget(name, Money(limit, settings.text(found["currency"], "/currency")), period)
    except ConfigError as error:
        raise ConfigError(error.code, error.message, where="/currency", fix=error.fix) from error


def _where_it_stands(place: _Place) -> str:
    """The text of an inline section alone, on the lines and columns that it has in its file."""
    line, column = place.document.position(place.pointer)
    lines = place.raw.decode().splitlines(keepends=True)
    first = " " * (column - 1) + lines[line - 1][column - 1 :]
    rest = takewhile(lambda each: each[0] in " #\r\n", lines[line:])
    return "\n" * (line - 1) + first + "".join(rest)


def _document(
    path: Path, name: str, *, named_at: str = "", limits: Limits = yamldoc.LIMITS
) -> tuple[yamldoc.Document, bytes]:
    fix = "" if named_at else "go to the gateway's folder, or give --config FILE"
    text = ownfile.read(path, name, where=named_at, fix=fix)
    try:
        return yamldoc.parse(text, name, limits=limits), text
    except yamldoc.YAMLError as error:
        raise ConfigError(error.code, error.message, where=f"{name}:{error.where}", fix=error.fix) from error


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
