"""The settings of farshore.toml, as frozen values. Made by `load_config`; tests and flows may make them directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from farshore.config.secret import PASSPHRASE_VARIABLES, ResolveBlock, Secret
from farshore.limits import AUDIT_KEEP_DAYS, SPOOL_BYTES, UPLOADS_PER_REPLICA
from farshore.stores.base import Store
from farshore.stores.object_retention import LockMode

WatchStore = Callable[[str, Store], Store]  # replica, its store -> the same store, watched


class Dedupe(StrEnum):
    """Whose packs a backup uses again: those of its own sources always, and more of its domain."""

    OWN = "own"
    PROVEN = "proven"  # and those that a reader has read whole
    DOMAIN = "domain"  # and all others: whoever holds one key of the domain is believed


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """Settings of the repository as a whole.

    `identity` is a recipient's private identity file; `credential` this host's write-only credential file. A host
    that restores needs the passphrase or an identity; a host that only backs up may have the credential alone.
    `shares` are files with word lists of `farshore key shares make`, or lists that were typed, instead of both.
    """

    quorum: int
    passphrase: Secret | None = None
    identity: Path | None = None
    credential: Path | None = None
    fingerprint: str = ""
    shares: tuple[Path | str, ...] = ()
    dedupe: Dedupe = Dedupe.PROVEN


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """One replica. `credentials` is empty where the provider's own default chain supplies them.

    From `account` to `jurisdiction` it says what the placement policy asks about; the engine believes that and does not
    act on it. From `lock` on it says how objects are kept, and the engine sees to it.
    """

    name: str
    url: str  # file URLs are absolute
    region: str = ""
    endpoint: str | None = None
    insecure: bool = False  # requests may go in clear to another host
    credentials: Mapping[str, Secret] = field(default_factory=dict)
    bandwidth_up: int | None = None  # bytes per second; None: no limit
    bandwidth_down: int | None = None
    uploads: int = UPLOADS_PER_REPLICA  # at once
    spool_bytes: int = SPOOL_BYTES  # that may wait on this host's disk while it is behind
    account: str = ""  # account, project or subscription: closed or hijacked as a whole
    login: str = ""  # whom the writer signs in as: stolen or revoked as a whole
    immutable: LockMode | None = None  # the store refuses to delete for `immutable_days`
    immutable_days: int = 0
    versioned: bool = False  # the store keeps what is deleted or overwritten, out of the writer's reach
    offline: bool = False  # not connected but while it is brought up to date
    synced_every: timedelta | None = None  # how often an offline copy is brought up to date
    on_writer_host: bool | None = None  # None: a directory is, unless it is offline
    latitude: float | None = None  # these four go before the table of regions
    longitude: float | None = None
    country: str = ""
    jurisdiction: str = ""
    lock: LockMode | None = None  # every object is locked for `lock_for` from the snapshot's commit on
    lock_for: timedelta | None = None
    lock_slack: timedelta = timedelta(days=1)  # added to each new lock
    compliance_is_final: bool = False  # somebody said so: nobody can lift such a lock, and its objects cost until then
    storage_class: str = ""  # of packs


@dataclass(frozen=True, slots=True)
class PlacementConfig:
    """Requirements on the copies, at least; 0 asks for nothing. `accepted` names losses that may be total."""

    copies: int = 0
    providers: int = 0
    jurisdictions: int = 0
    distance_km: int = 0
    immutable: int = 0
    offline: int = 0
    accepted: tuple[str, ...] = ()


class HolderKind(StrEnum):
    """How a key holder opens the repository."""

    PASSPHRASE = "passphrase"  # noqa: S105 - the word for it
    RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class HolderConfig:
    """Somebody, or a safe, who can open the repository besides this host."""

    name: str
    kind: HolderKind
    on_writer_host: bool = False  # lost when the host is


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Facts about a source for deployments and reports; the engine itself does not act on it."""

    schedule: str = ""  # cron, five fields, or @daily and the like
    rpo: timedelta | None = None  # the newest snapshot may be at most this old
    rto: timedelta | None = None  # a restore may last at most this long
    owner: str = ""


@dataclass(frozen=True, slots=True)
class DirectoryConfig(Upkeep):
    """A directory tree. Patterns are matched by `farshore.sources.directory.source`."""

    kind: ClassVar[str] = "directory"

    name: str
    path: Path
    exclude: tuple[str, ...] = ()
    one_file_system: bool = True
    paged: tuple[str, ...] = ()  # patterns of files to be cut at fixed pages (disk images, database files)
    exclude_caches: bool = False  # leave out the content of directories marked by a CACHEDIR.TAG
    exclude_if_present: tuple[str, ...] = ()  # leave out the content of directories that hold a file of such a name
    hosts: tuple[str, ...] = ()  # that share the source, by name or pattern; empty where it is of one host


@dataclass(frozen=True, slots=True)
class SqliteConfig(Upkeep):
    """One SQLite database file."""

    kind: ClassVar[str] = "sqlite"

    name: str
    path: Path
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PostgresConfig(Upkeep):
    """One PostgreSQL cluster, read over the replication protocol."""

    kind: ClassVar[str] = "postgres"

    name: str
    dsn: Secret


SourceConfig = DirectoryConfig | SqliteConfig | PostgresConfig


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """The audit tables. `paths`: whether names of files appear in them. `anchor`: a command that gets daily seals.

    `keep`: how long rows stay, but for those about what there still is.
    """

    paths: bool = False
    anchor: tuple[str, ...] = ()
    keep: timedelta = timedelta(days=AUDIT_KEEP_DAYS)


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """How many snapshots of a source are kept; `farshore.retention.rules` says which. 0 and None keep none."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: timedelta | None = None
    keep_tags: tuple[str, ...] = ()  # every snapshot with one of these
    time_zone: str = "UTC"  # of hours, days, weeks, months and years; a name of the IANA database

    @property
    def periods(self) -> dict[str, int]:
        """Of how many hours, days and so on a snapshot is kept."""
        return {
            "hourly": self.keep_hourly, "daily": self.keep_daily, "weekly": self.keep_weekly,
            "monthly": self.keep_monthly, "yearly": self.keep_yearly,
        }  # fmt: skip

    @property
    def keeps_nothing(self) -> bool:
        """Whether there is no rule at all, so that nothing is ever forgotten."""
        return self.keeps_tagged_alone and not self.keep_tags

    @property
    def keeps_tagged_alone(self) -> bool:
        """Whether no rule but that of tags keeps anything."""
        return not (self.keep_last or self.keep_within or any(self.periods.values()))


@dataclass(frozen=True, slots=True)
class CostConfig:
    """Settings of `farshore cost`. `prices`: a price table of one's own, before the one that ships."""

    prices: Path | None = None


class Prefer(StrEnum):
    """The criterion by which a replica is chosen to read from."""

    BALANCED = "balanced"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"


@dataclass(frozen=True, slots=True)
class ReadsConfig:
    """How replicas are chosen to read from."""

    prefer: Prefer = Prefer.BALANCED
    host_region: str = ""  # where this host runs: reading from a replica there sends nothing out of it
    hedge: bool = True  # ask a second replica where the first is late


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is configured. Safe to share between threads.

    `environment` is what it was loaded with; `reveal` reads every secret through it, so nothing else needs to read
    the process's environment. Neither it nor `resolve_block` shows in a repr.
    """

    repository: RepositoryConfig
    replicas: dict[str, ReplicaConfig]
    sources: dict[str, SourceConfig]
    audit: AuditConfig = field(default_factory=AuditConfig)
    placement: PlacementConfig = field(default_factory=PlacementConfig)
    holders: dict[str, HolderConfig] = field(default_factory=dict)
    cost: CostConfig = field(default_factory=CostConfig)
    reads: ReadsConfig = field(default_factory=ReadsConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    source_retention: Mapping[str, RetentionConfig] = field(default_factory=dict)  # by source, instead of `retention`
    state_dir: Path = field(kw_only=True)
    path: Path | None = None
    cache: Path | None = None
    overrides: tuple[str, ...] = ()  # environment variables that set a key
    warnings: tuple[str, ...] = ()  # settings that are legal and probably not meant
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    resolve_block: ResolveBlock | None = field(default=None, repr=False, compare=False)
    watch: WatchStore | None = field(default=None, repr=False, compare=False)  # each store that is opened passes it

    @property
    def cache_dir(self) -> Path:
        """Where copies of immutable objects are kept; deleting it costs time and nothing else."""
        return self.cache or self.state_dir / "cache"

    def reveal(self, secret: Secret) -> str:
        """Return the secret, late and unkept. A command gets the environment without the other secrets in it.

        Raises:
            SecretUnavailable: It cannot be read on this host.
        """
        return secret.reveal(self._environment_for(secret), self.resolve_block)

    def reveal_passphrase(self, secret: Secret) -> bytes:
        """As `reveal`; a passphrase may be any bytes.

        Raises:
            SecretUnavailable: It cannot be read on this host.
        """
        return secret.reveal_bytes(self._environment_for(secret), self.resolve_block)

    def _environment_for(self, secret: Secret) -> Mapping[str, str]:
        return self.environment_without_secrets() if secret.kind == "command" else self.environment

    def environment_without_secrets(self) -> Mapping[str, str]:
        """Return the environment for commands that are no business of ours, without the secrets that settings name."""
        withheld = {*PASSPHRASE_VARIABLES, *_variables_in(self)}
        return {name: value for name, value in self.environment.items() if name not in withheld}


def _variables_in(value: object) -> Iterator[str]:
    """Yield the names of environment variables that settings refer to as secrets."""
    if isinstance(value, Secret):
        if value.kind == "env":
            yield value.value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _variables_in(one)
    elif is_dataclass(value):
        for one in fields(value):
            yield from _variables_in(getattr(value, one.name))
