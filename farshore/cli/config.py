"""`farshore config`: look at the configuration before a night depends on it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation
from farshore.cli.wording import shown_text
from farshore.errors import EXIT_DONE, ConfigInvalid, ExtraMissing, FarshoreError, SecretUnavailable
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.config import Config, Secret, SourceConfig


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--secrets", action="store_true", help="also try to read every secret; none is shown")


def check(invocation: Invocation) -> int:
    """Validate, and show what was understood."""
    config, output = invocation.config(), invocation.output
    output.raw(
        {
            "type": "config",
            "path": str(config.path),
            "quorum": config.repository.quorum,
            "replicas": {name: {"url": one.url, "region": one.region} for name, one in config.replicas.items()},
            "sources": {name: {"type": one.kind, "place": _place(one)} for name, one in config.sources.items()},
            "state_dir": str(config.state_dir),
            "cache_dir": str(config.cache_dir),
            "overrides": list(config.overrides),
            "warnings": list(config.warnings),
        }
    )
    output.line(f"file       {config.path}")
    output.line(f"state      {config.state_dir}")
    output.line(f"quorum     {config.repository.quorum} of {count_of(len(config.replicas), 'replica')}")
    for name in config.overrides:
        output.line(f"override   {name}")
    output.line()
    output.table(("replica", "region", "url"), [(one.name, one.region, one.url) for one in config.replicas.values()])
    if config.sources:
        output.line()
        output.table(
            ("source", "type", "place", "schedule"),
            [(one.name, one.kind, _place(one), one.schedule) for one in config.sources.values()],
        )
    failed: FarshoreError | None = missing_extras(config)
    if failed:
        output.error(failed)
    if invocation.arguments.secrets:
        failed = _try_secrets(invocation, config) or failed
    return failed.exit_code if failed else EXIT_DONE


def _place(source: SourceConfig) -> str:
    from farshore.config import PostgresConfig

    return str(source.dsn) if isinstance(source, PostgresConfig) else str(source.path)


def secrets_of(config: Config) -> Iterator[tuple[str, Secret]]:
    """Yield every reference to a secret, with its key."""
    from farshore.config import PostgresConfig

    if config.repository.passphrase:
        yield "repository.passphrase", config.repository.passphrase
    for replica in config.replicas.values():
        for name, secret in replica.credentials.items():
            yield f"replicas.{replica.name}.credentials.{name}", secret
    for source in config.sources.values():
        if isinstance(source, PostgresConfig):
            yield f"sources.{source.name}.dsn", source.dsn


def missing_extras(config: Config) -> ExtraMissing | None:
    """Return the error for what replicas and sources need and this host lacks, or None. Loads and asks nothing."""
    from farshore.config import PostgresConfig
    from farshore.extras import extra_missing, lacking
    from farshore.stores import extra_of

    needed = {f"replica {one.name}": extra_of(one.url) for one in config.replicas.values()}
    needed |= {f"source {one.name}": "postgres" for one in config.sources.values() if isinstance(one, PostgresConfig)}
    missing = {who: extra for who, extra in needed.items() if extra and lacking(extra)}
    if not missing:
        return None
    listed = ", ".join(f"{extra} for the {who}" for who, extra in missing.items())
    return extra_missing(set(missing.values()), f"not installed here: {listed}")


def _try_secrets(invocation: Invocation, config: Config) -> FarshoreError | None:
    """Read every secret and forget it; return the last failure."""
    output = invocation.output
    failed: FarshoreError | None = None
    rows: list[tuple[str, str, str]] = []
    for key, secret in secrets_of(config):
        said = "readable"
        try:
            (config.reveal_passphrase if secret is config.repository.passphrase else config.reveal)(secret)
        except FarshoreError as error:
            failed, said = error, error.message
        rows.append((key, str(secret), said))
        output.raw({"type": "secret", "key": key, "reference": str(secret), "state": shown_text(said)})
    output.line()
    output.table(("secret", "reference", "state"), rows, wraps=frozenset({"state"}))
    if failed:
        output.error(failed)
    return failed


COMMAND = Command(
    name="config",
    summary="look at the configuration",
    description="Look at the configuration before a night depends on it.",
    example="farshore config check --secrets",
    children=(
        Command(
            name="check",
            summary="validate farshore.toml and show what was understood",
            description=(
                "Find farshore.toml, validate it with the overrides from the environment, show what was understood, "
                "and name the extras that its replicas and sources need and this host lacks. Reads no secret unless "
                "asked, and no server."
            ),
            example="farshore config check --secrets\nfarshore --config staging.toml config check",
            add_arguments=add_check_arguments,
            execute=check,
            failures=(ConfigInvalid, SecretUnavailable, ExtraMissing),
        ),
    ),
)
