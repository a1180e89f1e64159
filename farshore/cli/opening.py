"""Opening a repository for a command: the person sees whom it waits for, and which replicas could not be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farshore.cli.records import unasked_fields
from farshore.cli.wording import shown_text
from farshore.errors import FarshoreError

if TYPE_CHECKING:
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.cli.command import Invocation
    from farshore.cli.output import Output
    from farshore.config import Config
    from farshore.replicas.repository import Repository


class UnaskedWarnings:
    """Warns of each replica that could not be asked, once. Used by one thread."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown: set[str] = set()

    def show(self, unasked: Mapping[str, FarshoreError]) -> None:
        """Warn of those that were not warned of yet."""
        for name, error in list(unasked.items()):
            if name not in self._shown:
                self._shown.add(name)
                warn_unasked(self._output, name, error)


def warn_unasked(output: Output, replica: str, error: FarshoreError) -> None:
    """Warn of one replica that could not be asked, with the reason."""
    fields = unasked_fields(replica, error)
    output.warning(shown_text(fields.pop("message")), **fields)


def waiting_note(output: Output) -> Callable[[tuple[str, ...]], None]:
    """Return what shows a person whom a command waits for."""

    def show(replicas: tuple[str, ...]) -> None:
        if replicas:
            output.note(f"waiting for {', '.join(replicas)}: no answer yet")

    return show


@contextmanager
def opened_repository(
    invocation: Invocation,
    config: Config,
    *,
    need: Need,
    writes: Writes,
    replica: str | None = None,
    patient: bool = True,
) -> Iterator[Repository]:
    """Open the repository, warn of replicas that cannot be asked at once, and at the end of those that failed later.

    Arguments and errors are those of `open_repository`.
    """
    from farshore.access.open_repository import open_repository

    warnings = UnaskedWarnings(invocation.output)
    with open_repository(
        config,
        need=need,
        writes=writes,
        replica=replica,
        patient=patient,
        on_wait=waiting_note(invocation.output),
        clock=invocation.clock,
    ) as repository:
        warnings.show(repository.unasked)
        try:
            yield repository
        finally:
            warnings.show(repository.unasked)
