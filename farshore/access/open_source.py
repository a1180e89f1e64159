"""From configuration to a source."""

from __future__ import annotations

from farshore.clock import Clock
from farshore.config import Config, DirectoryConfig, SqliteConfig
from farshore.errors import (
    SourceMissing,
)
from farshore.extras import needed_extra
from farshore.sources.base import Source
from farshore.sources.marks import is_container


def open_source(config: Config, name: str, *, clock: Clock) -> Source:
    """Return a source of the configuration. Reads nothing yet but the secret it names.

    Raises:
        SourceMissing: No source has this name.
        ExtraMissing: The driver that such a source needs is not installed.
    """
    source = config.sources.get(name)
    if source is None:
        known = ", ".join(config.sources) or "none"
        raise SourceMissing(f"no source is named {name}", f"The configuration names these: {known}.")
    if isinstance(source, DirectoryConfig):
        from farshore.sources.directory.source import DirectorySource

        return DirectorySource(
            name=name,
            path=source.path,
            exclude=source.exclude,
            one_file_system=source.one_file_system,
            paged=source.paged,
            exclude_caches=source.exclude_caches,
            exclude_if_present=source.exclude_if_present,
            hosts=source.hosts,
            in_container=is_container(config.environment),
            clock=clock,
        )
    if isinstance(source, SqliteConfig):
        from farshore.sources.sqlite.source import SqliteSource

        in_container = is_container(config.environment)
        return SqliteSource(name=name, path=source.path, hosts=source.hosts, in_container=in_container, clock=clock)
    with needed_extra("postgres"):
        from farshore.sources.postgres.source import PostgresSource  # its driver needs a third of a second to import

    return PostgresSource(name=name, dsn=config.reveal(source.dsn), clock=clock)
