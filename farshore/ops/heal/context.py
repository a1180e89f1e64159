"""Opening a repository to heal it: also the replicas that nothing else opens, because their header is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from farshore.access import open_repository
from farshore.access.open_replica import open_replica
from farshore.access.unlock import Need
from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import FarshoreError, HeaderDamaged, RepositoryMissing
from farshore.plan.replicas import nearest_first
from farshore.replicas import OnWait, wait_quietly
from farshore.replicas.repository import Replica, Repository
from farshore.trust.actions import Right


@dataclass
class HealContext:
    """The replicas that a heal works on. `missing_header`: those without a header, or with a damaged one."""

    repository: Repository
    missing_header: Mapping[str, FarshoreError] = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)  # all that answer, with a header or without
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the others of each, nearest first

    def moved(self) -> dict[str, tuple[int, int]]:
        """Return by replica the bytes received and sent, as `Repository.moved`."""
        return {name: replica.meter.moved() for name, replica in self.replicas.items()}

    @property
    def keyless(self) -> bool:
        """Whether no key is at hand."""
        return self.repository.keys is None


@contextmanager
def open_context(
    config: Config, *, keyless: bool = False, on_wait: OnWait = wait_quietly, clock: Clock
) -> Iterator[HealContext]:
    """Open every replica that answers, with a key where the configuration has one: one that may heal, if it can be had.

    Else no row of `repairs` would count, and what was mended would be shown as damaged until the next check.

    Args:
        keyless: Use no key although there is one.
        on_wait: As in `open_repository`.

    Raises:
        RepositoryMissing, StoreUnavailable: No replica has a header that can be read.
        WrongPassphrase, KeyMissing: As `open_repository`.
    """
    need = Need.NONE if keyless else Need.ANY
    with open_repository(config, need=need, right=Right.HEAL, on_wait=on_wait, clock=clock) as repository:
        missing_header = {
            name: error
            for name, error in repository.unreachable.items()
            if isinstance(error, (RepositoryMissing, HeaderDamaged))
        }
        for name in missing_header:  # it answers, and is healed
            repository.unasked.pop(name, None)
        opened = {name: open_replica(config, config.replicas[name], clock) for name in missing_header}
        try:
            yield HealContext(
                repository,
                missing_header,
                {**repository.replicas, **opened},
                {name: nearest_first(config, name) for name in config.replicas},
            )
        finally:
            for replica in opened.values():
                replica.store.close()
