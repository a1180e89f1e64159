"""The configuration: farshore.toml and the environment, validated once into frozen settings.

Searched in this order, the first that is there is used alone: the path given (`--config`), $FARSHORE_CONFIG,
./farshore.toml, ~/.config/farshore/farshore.toml, /etc/farshore/farshore.toml. Then the environment overrides
single keys.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from farshore.config.document import apply_overrides, read_document
from farshore.config.parsing import Findings, checked_tags, directory_of, format_duration, parse_duration
from farshore.config.schema import RETENTION, Mistake, Surroundings
from farshore.config.secret import (
    NOT_A_SERVICE,
    RUN_SECRETS,
    ResolveBlock,
    Secret,
    credentials_directory,
    read_private_file,
)
from farshore.config.sections import Sections
from farshore.config.settings import (
    AuditConfig,
    Config,
    CostConfig,
    Dedupe,
    DirectoryConfig,
    HolderConfig,
    HolderKind,
    PlacementConfig,
    PostgresConfig,
    Prefer,
    ReadsConfig,
    ReplicaConfig,
    RepositoryConfig,
    RetentionConfig,
    SourceConfig,
    SqliteConfig,
)
from farshore.errors import Bug, ConfigInvalid

__all__ = [
    "NOT_A_SERVICE",
    "RUN_SECRETS",
    "AuditConfig",
    "Config",
    "CostConfig",
    "Dedupe",
    "DirectoryConfig",
    "HolderConfig",
    "HolderKind",
    "PlacementConfig",
    "PostgresConfig",
    "Prefer",
    "ReadsConfig",
    "ReplicaConfig",
    "RepositoryConfig",
    "ResolveBlock",
    "RetentionConfig",
    "Secret",
    "SourceConfig",
    "SqliteConfig",
    "checked_tags",
    "credentials_directory",
    "find_config",
    "format_duration",
    "load_config",
    "parse_duration",
    "read_private_file",
    "read_retention",
]

FILE_NAME = "farshore.toml"
SYSTEM_FILE = Path("/etc/farshore") / FILE_NAME
SYSTEM_STATE_DIR = Path("/var/lib/farshore")


def load_config(path: Path | None, environment: Mapping[str, str], resolve_block: ResolveBlock | None = None) -> Config:
    """Return the validated configuration. Reads the file; no secret, no server.

    Args:
        path: The file; None searches the places that the module names.
        environment: The process's environment; it is kept for reading secrets later.
        resolve_block: Reads Prefect Secret blocks; flows have one.

    Raises:
        ConfigInvalid: No file, or mistakes in it; the message names each with its place and the nearest known key.
    """
    document = read_document(find_config(path, environment))
    findings = Findings()
    strays = apply_overrides(document, environment, findings)
    around = Surroundings(document.path.parent, _home(environment), credentials_directory(environment))
    sections = Sections(document, around, findings)
    sections.check_names()
    replicas = sections.replicas()
    repository = sections.repository()
    sources = sections.sources()
    placement = sections.placement()
    holders = sections.holders()
    audit = sections.audit()
    cost = sections.cost()
    reads = sections.reads()
    retention, source_retention = sections.retention()
    state = sections.state()
    findings.settle()
    if repository is None:
        raise Bug("a configuration without findings has no repository settings")
    if repository.passphrase is None and "FARSHORE_PASSPHRASE" in environment:
        repository = replace(repository, passphrase=Secret("env", "FARSHORE_PASSPHRASE"))
    state_dir = _state_dir(state, environment, around)
    cache = _given(environment, "FARSHORE_CACHE", around) or state.get("cache")
    places = {"the state directory": state_dir, **({"the cache": cache} if cache else {})}
    places |= {f"source {name}": one.path for name, one in sources.items() if isinstance(one, DirectoryConfig)}
    return Config(
        repository=repository,
        replicas=replicas,
        sources=sources,
        audit=audit,
        cost=cost,
        reads=reads,
        retention=retention,
        source_retention=source_retention,
        placement=placement,
        holders=holders,
        state_dir=state_dir,
        path=document.path,
        cache=cache,
        overrides=tuple(sorted(document.overridden.values())),
        warnings=(*strays, *_warnings(replicas, sources), *_misplaced(replicas, places)),
        environment=environment,
        resolve_block=resolve_block,
    )


def read_retention(values: Mapping[str, object], base: Path) -> RetentionConfig:
    """Return rules that were given by hand, checked like those under [retention].

    Raises:
        ConfigInvalid: One is unknown or cannot be, or they keep nothing.
    """
    around = Surroundings(base, base)
    read: dict[str, Any] = {}
    for key, value in values.items():
        if key not in RETENTION:
            raise ConfigInvalid(f"{key!r} is no rule", f"The rules are {', '.join(RETENTION)}.")
        try:
            read[key] = RETENTION[key].read(value, around)
        except Mistake as mistake:
            raise ConfigInvalid(f"{key} {mistake.message}", mistake.hint) from mistake
    rules = RetentionConfig(**read)
    if rules.keeps_nothing:
        raise ConfigInvalid("the rules keep nothing", "Say what to keep, like keep_daily=7.")
    return rules


def find_config(path: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the absolute path of the configuration file to use.

    Raises:
        ConfigInvalid: A file that was asked for, or every file that is looked for, is missing.
    """
    if path is not None:
        return _present(path, "--config names")
    if named := environment.get("FARSHORE_CONFIG"):
        return _present(Path(named), "FARSHORE_CONFIG names")
    home = _home(environment)
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    places = (Path.cwd() / FILE_NAME, config_home / "farshore" / FILE_NAME, SYSTEM_FILE)
    for place in places:
        if place.is_file():
            return place
    raise ConfigInvalid(
        f"no {FILE_NAME} in {', '.join(str(place.parent) for place in places)}",
        "Write one (docs/reference/configuration.md starts with the smallest), or name one by --config or "
        "FARSHORE_CONFIG.",
    )


def _present(path: Path, who: str) -> Path:
    absolute = Path.cwd() / path.expanduser()
    if absolute.is_file() or absolute.is_fifo():
        return absolute
    what = "a directory" if absolute.is_dir() else "a file that does not exist"
    raise ConfigInvalid(f"{who} {what}: {absolute}", "Name the farshore.toml to use.")


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment["HOME"]) if environment.get("HOME") else Path.home()


def _given(environment: Mapping[str, str], name: str, around: Surroundings) -> Path | None:
    """Return the directory that a variable names; relative ones are relative to where the command runs."""
    value = environment.get(name)
    if not value:
        return None
    return around.home / value[2:] if value.startswith("~/") else Path.cwd() / value


def _state_dir(state: Mapping[str, Any], environment: Mapping[str, str], around: Surroundings) -> Path:
    chosen = _given(environment, "FARSHORE_STATE_DIR", around) or state.get("dir")
    if chosen is not None:
        return Path(chosen)
    if environment.get("XDG_STATE_HOME"):
        return Path(environment["XDG_STATE_HOME"]) / "farshore"
    if os.geteuid() == 0:
        return SYSTEM_STATE_DIR
    return around.home / ".local" / "state" / "farshore"


def _misplaced(replicas: Mapping[str, ReplicaConfig], places: Mapping[str, Path]) -> list[str]:
    """Return which directories of this host are inside a replica, and so in all copies of it. Trial N4."""
    return [
        f"{what} ({place}) is inside replica {replica.name}, so its files would be in that bucket"
        for what, place in places.items()
        for replica in replicas.values()
        if replica.url.startswith("file://") and Path(os.path.realpath(place)).is_relative_to(directory_of(replica.url))
    ]


def _warnings(replicas: Mapping[str, ReplicaConfig], sources: Mapping[str, SourceConfig]) -> list[str]:
    """Return what is legal and yet probably not meant."""
    found: list[str] = []
    for source in sources.values():
        if not isinstance(source, DirectoryConfig):
            continue
        for key, patterns in (("exclude", source.exclude), ("paged", source.paged)):
            if not patterns:
                continue
            from farshore.sources.glob_expressions import why_void

            void = ((one, why_void(one)) for one in patterns)
            found += [f"source {source.name}: {key} pattern {one!r} {why}" for one, why in void if why]
        root = os.path.realpath(source.path)
        for replica in replicas.values():
            inside = replica.url.startswith("file://") and directory_of(replica.url).is_relative_to(root)
            if inside and not source.exclude:
                found.append(
                    f"source {source.name} contains replica {replica.name} and excludes nothing, "
                    "so every backup would contain the backups before it"
                )
    return found
