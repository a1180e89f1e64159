"""Opening for a scrub: by the headers alone, and with a writer's keys where this host has some, to sign the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from farshore.access.open_replica import Writes
from farshore.access.open_repository import open_repository
from farshore.access.unlock import Need, credential_path, unlock
from farshore.clock import Clock
from farshore.config import Config
from farshore.replicas.ask import OnWait, wait_quietly
from farshore.replicas.repository import Repository


@contextmanager
def open_for_scrub(
    config: Config, *, replica: str | None = None, on_wait: OnWait = wait_quietly, clock: Clock
) -> Iterator[Repository]:
    """Open the replicas, or one; the keys only sign what was found, so having none is no error.

    Raises:
        FarshoreError: As `open_repository`; WrongPassphrase where a passphrase is configured and opens nothing.
    """
    with open_repository(
        config, need=Need.NONE, writes=Writes.ROWS, replica=replica, on_wait=on_wait, clock=clock
    ) as repository:
        secrets = config.repository.passphrase or config.repository.identity
        if secrets or credential_path(config, repository.header).is_file():
            repository.keys = unlock(config, repository, Need.WRITE)
        yield repository
