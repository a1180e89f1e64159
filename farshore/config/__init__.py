"""The configuration: farshore.toml and the environment, validated once into frozen settings."""

from farshore.config.loading import find_config, load_config, read_retention
from farshore.config.parsing import format_duration, parse_duration
from farshore.config.secret import RUN_SECRETS, ResolveBlock, Secret, credentials_directory, read_private_file
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

__all__ = [
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
    "credentials_directory",
    "find_config",
    "format_duration",
    "load_config",
    "parse_duration",
    "read_private_file",
    "read_retention",
]
