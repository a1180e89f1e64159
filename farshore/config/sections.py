"""Reading the sections of one document into settings; every mistake goes to the findings, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from farshore.config.document import Document, KeyPath, variable_name
from farshore.config.parsing import CREDENTIALS, Findings, check_credentials, is_plain, nearest, place_of
from farshore.config.schema import (
    AUDIT,
    COST,
    HOLDER,
    NAME,
    PLACEMENT,
    READS,
    REPLICA,
    REPOSITORY,
    RETENTION,
    SECTIONS,
    SOURCES,
    STATE,
    Key,
    Mistake,
    Surroundings,
    read_secret,
)
from farshore.config.settings import (
    AuditConfig,
    CostConfig,
    DirectoryConfig,
    HolderConfig,
    PlacementConfig,
    PostgresConfig,
    ReadsConfig,
    ReplicaConfig,
    RepositoryConfig,
    RetentionConfig,
    SourceConfig,
    SqliteConfig,
)
from farshore.model import dataclass
from farshore.stores.object_retention import LockMode

_SOURCE_CLASSES: Mapping[str, type[DirectoryConfig | SqliteConfig | PostgresConfig]] = {
    "directory": DirectoryConfig,
    "sqlite": SqliteConfig,
    "postgres": PostgresConfig,
}


@dataclass(frozen=True, slots=True)
class Sections:
    """A reader of one document. After any finding the settings it returned are incomplete and must not be used."""

    document: Document
    around: Surroundings
    findings: Findings

    def check_names(self) -> None:
        """Find sections that do not exist, and values where a section belongs."""
        for name, value in self.document.values.items():
            if name not in SECTIONS:
                self._unknown((name,), SECTIONS, "section")
            elif not isinstance(value, dict):
                self._mistake((name,), "must be a section", f"Write it as [{name}].")

    def repository(self) -> RepositoryConfig | None:
        """Read [repository]; the default quorum is a majority of the replicas."""
        replicas = len(self._table(("replicas",)))
        values = self._keys(("repository",), REPOSITORY, self._table(("repository",)))
        if values is None:
            return None
        quorum = values.setdefault("quorum", replicas // 2 + 1)
        if replicas and quorum > replicas:
            self._mistake(
                ("repository", "quorum"),
                f"is {quorum}, more than the number of replicas, {replicas}",
                "Lower the quorum, or add replicas.",
            )
        return RepositoryConfig(**values)

    def replicas(self) -> dict[str, ReplicaConfig]:
        """Read [replicas.*]: at least one, no two in one place."""
        replicas: dict[str, ReplicaConfig] = {}
        for name, table in self._named("replicas"):
            values = self._keys(("replicas", name), REPLICA, table)
            if values is None or "url" not in values:
                continue
            self._check_whole(("replicas", name), values)
            self._check_private(("replicas", name), values)
            given = values.pop("credentials", {})
            credentials = self._credentials(name, values["url"].partition("://")[0], given)
            replicas[name] = ReplicaConfig(name=name, credentials=credentials, **values)
        if not self._table(("replicas",)):
            self.findings.add(
                f"{self.document.path} names no replica",
                'Add a section like [replicas.vault] with url = "file:///srv/vault".',
            )
        self._check_places(replicas)
        return replicas

    def sources(self) -> dict[str, SourceConfig]:
        """Read [sources.*]; which keys there are depends on `type`."""
        sources: dict[str, SourceConfig] = {}
        for name, table in self._named("sources"):
            path = ("sources", name)
            kind = table.get("type")
            if kind is None:
                self._mistake(path, "has no type", f"Write type = one of {_listed(SOURCES)}.")
                continue
            if not isinstance(kind, str) or kind not in SOURCES:
                close = nearest(str(kind), SOURCES)
                said = f"is {kind!r}, which is no type of source" + (f"; the nearest is {close!r}" if close else "")
                self._mistake((*path, "type"), said, f"Types are {_listed(SOURCES)}.")
                continue
            rest = {key: value for key, value in table.items() if key != "type"}
            values = self._keys(path, SOURCES[kind], rest, known_too=("type",))
            required = [key for key, about in SOURCES[kind].items() if about.required]
            if values is not None and all(key in values for key in required):
                sources[name] = _SOURCE_CLASSES[kind](name=name, **values)
        return sources

    def placement(self) -> PlacementConfig:
        """Read [placement]."""
        return PlacementConfig(**(self._keys(("placement",), PLACEMENT, self._table(("placement",))) or {}))

    def holders(self) -> dict[str, HolderConfig]:
        """Read [holders.*]: who else can open the repository."""
        holders: dict[str, HolderConfig] = {}
        for name, table in self._named("holders"):
            values = self._keys(("holders", name), HOLDER, table)
            if values is not None:
                holders[name] = HolderConfig(name=name, **values)
        return holders

    def audit(self) -> AuditConfig:
        """Read [audit]."""
        return AuditConfig(**(self._keys(("audit",), AUDIT, self._table(("audit",))) or {}))

    def cost(self) -> CostConfig:
        """Read [cost]."""
        return CostConfig(**(self._keys(("cost",), COST, self._table(("cost",))) or {}))

    def retention(self) -> tuple[RetentionConfig, dict[str, RetentionConfig]]:
        """Read [retention], and [retention.sources.NAME], which goes instead of it for one source."""
        table = dict(self._table(("retention",)))
        given = table.pop("sources", {})
        general = self._rules(("retention",), table) if table else RetentionConfig()
        if not isinstance(given, dict) or not all(isinstance(one, dict) for one in given.values()):
            self._mistake(
                ("retention", "sources"), "holds no sections", "Write [retention.sources.NAME], then its keys."
            )
            return general, {}
        zone = {"time_zone": general.time_zone}
        return general, {n: self._rules(("retention", "sources", n), {**zone, **one}) for n, one in given.items()}

    def _rules(self, path: KeyPath, table: dict[str, Any]) -> RetentionConfig:
        values = self._keys(path, RETENTION, table)
        if values is None:
            return RetentionConfig()
        rules = RetentionConfig(**values)
        if rules.keeps_nothing:
            self._mistake(path, "keeps nothing", "Say what to keep, like keep_daily = 7, or remove the section.")
        return rules

    def reads(self) -> ReadsConfig:
        """Read [reads]."""
        return ReadsConfig(**(self._keys(("reads",), READS, self._table(("reads",))) or {}))

    def state(self) -> dict[str, Any]:
        """Read [state]: `dir` and `cache`, each where it is given."""
        return self._keys(("state",), STATE, self._table(("state",))) or {}

    def _table(self, path: KeyPath) -> dict[str, Any]:
        value = self.document.values.get(path[0], {})
        return value if isinstance(value, dict) else {}

    def _named(self, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the named tables of a section; find names that are not legal or not distinct as variables."""
        variables: dict[str, str] = {}
        for name, table in self._table((section,)).items():
            path = (section, name)
            if not isinstance(table, dict):
                self._mistake(path, "must be a section of its own", f"Write [{section}.NAME], then its keys.")
            elif not NAME.fullmatch(name):
                said = "has a name with other characters than a-z, 0-9, - and _, or longer than 64"
                self._mistake(path, said, "Names start with a letter or digit; they appear in commands and tables.")
            elif (other := variables.setdefault(variable_name(path), name)) != name:
                self._mistake(
                    path, f"differs from {section}.{other} only by - and _", "Give them clearly different names."
                )
            else:
                yield name, table

    def _keys(
        self, path: KeyPath, keys: Mapping[str, Key], table: dict[str, Any], known_too: tuple[str, ...] = ()
    ) -> dict[str, Any] | None:
        """Return the settings of one table, or None after any mistake in it."""
        count = len(self.findings.found)
        values: dict[str, Any] = {}
        for name, value in table.items():
            if name not in keys:
                self._unknown((*path, name), (*keys, *known_too), "key")
                continue
            try:
                values[name] = keys[name].read(value, self.around)
            except Mistake as mistake:
                self._mistake((*path, name), mistake.message, mistake.hint)
        for name, key in keys.items():
            if key.required and name not in table:
                self._mistake(path, f"has no {name}", f"Add {name} = ... to [{'.'.join(path)}].")
        return values if len(self.findings.found) == count else None

    def _credentials(self, name: str, scheme: str, given: dict[str, Any]) -> dict[str, Any]:
        path = ("replicas", name, "credentials")
        if given and not CREDENTIALS[scheme]:
            self._mistake(path, f"is for cloud replicas; {scheme}:// takes none", "Remove it.")
            return {}
        credentials = self._keys(path, {key: Key(read_secret) for key in CREDENTIALS[scheme]}, given)
        try:
            check_credentials(scheme, given)
        except ValueError as error:
            self._mistake(path, str(error), None)
        return credentials or {}

    def _check_whole(self, path: KeyPath, values: Mapping[str, Any]) -> None:
        """Find keys of a replica that say nothing without each other."""
        for one, other in (("immutable", "immutable_days"), ("latitude", "longitude"), ("lock", "lock_for")):
            if (one in values) != (other in values):
                given, missing = (one, other) if one in values else (other, one)
                self._mistake((*path, given), f"says nothing without {missing}", f"Add {missing} to {'.'.join(path)}.")
        self._check_lock(path, values)
        if "synced_every" in values and not values.get("offline"):
            self._mistake((*path, "synced_every"), "is for offline copies", "Add offline = true, or remove it.")

    def _check_lock(self, path: KeyPath, values: Mapping[str, Any]) -> None:
        """Find locks that cannot be, or that nobody may have meant."""
        lock, scheme = values.get("lock"), values["url"].partition("://")[0]
        if "lock_slack" in values and lock is None:
            self._mistake((*path, "lock_slack"), "says nothing without lock", f"Add lock to {'.'.join(path)}.")
        if lock is None:
            return
        if scheme == "file":
            self._mistake((*path, "lock"), "cannot be: a directory has no locks", "Remove it, or use a bucket.")
        if "immutable" in values:
            said = "only says what lock sees to"
            self._mistake((*path, "immutable"), said, "Remove immutable and immutable_days.")
        if lock is LockMode.COMPLIANCE and not values.get("compliance_is_final"):
            self._mistake(
                (*path, "lock"),
                "is compliance, which nobody can lift: not you, and not the provider",
                "Add compliance_is_final = true if that is meant; what is locked is paid for until its time.",
            )

    def _check_private(self, path: KeyPath, values: Mapping[str, Any]) -> None:
        if is_plain(values.get("endpoint", "")) and not values.get("insecure"):
            self._mistake(
                (*path, "endpoint"),
                "is http://, so everybody on the way sees which objects there are, and can answer in its place",
                f"Write https://, or insecure = true under [{'.'.join(path)}] for a network that is yours alone.",
            )

    def _check_places(self, replicas: Mapping[str, ReplicaConfig]) -> None:
        places = {name: place_of(one.url, one.endpoint, one.credentials) for name, one in replicas.items()}
        names = list(places)
        for index, name in enumerate(names):
            for other in names[:index]:
                shorter, longer = sorted((places[name], places[other]), key=len)
                if longer[: len(shorter)] != shorter:
                    continue
                same = len(longer) == len(shorter)
                said = f"is the same place as replicas.{other}" if same else f"overlaps the place of replicas.{other}"
                self._mistake(
                    ("replicas", name, "url"),
                    said,
                    "Each replica needs a place of its own; one copy twice is one copy.",
                )

    def _unknown(self, path: KeyPath, known: tuple[str, ...], word: str) -> None:
        close = nearest(path[-1], known)
        said = f"{self.document.where(path)}: unknown {word} {'.'.join(path)}"
        listed = f"The {word}s here are {_listed(known)}."
        self.findings.add(said, f"Did you mean {close}? {listed}" if close else listed)

    def _mistake(self, path: KeyPath, said: str, hint: str | None) -> None:
        self.findings.add(f"{self.document.where(path)}: {'.'.join(path)} {said}", hint)


def _listed(words: Any) -> str:
    return ", ".join(words)
