"""The configuration: farshore.toml and the environment, validated once into frozen settings."""

from farshore.config.loading import find_config, load_config
from farshore.config.parsing import format_duration, parse_duration
from farshore.config.secret import ResolveBlock, Secret, read_private_file
from farshore.config.settings import (
    AuditConfig,
    Config,
    CostConfig,
    DirectoryConfig,
    HolderConfig,
    HolderKind,
    PlacementConfig,
    PostgresConfig,
    Prefer,
    ReadsConfig,
    ReplicaConfig,
    RepositoryConfig,
    SourceConfig,
    SqliteConfig,
)

__all__ = [
    "AuditConfig",
    "Config",
    "CostConfig",
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
    "Secret",
    "SourceConfig",
    "SqliteConfig",
    "find_config",
    "format_duration",
    "load_config",
    "parse_duration",
    "read_private_file",
]
