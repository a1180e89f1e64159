"""Opening a repository for a command: the passphrase a person types, whom it waits for, and who could not be asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from farshore.cli import Invocation
from farshore.cli.wording import shown_text, unasked_fields
from farshore.errors import ConfigInvalid, FarshoreError

if TYPE_CHECKING:
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.cli.output import Output
    from farshore.config import Config
    from farshore.replicas.repository import Repository
    from farshore.trust.actions import Right


Used = TypeVar("Used")
VARIABLE = "FARSHORE_PASSPHRASE"
HOW_TO_CONFIGURE = 'Set FARSHORE_PASSPHRASE, or write passphrase = { file = "..." } under [repository].'


def able_to_read(invocation: Invocation, config: Config) -> Config:
    """Return a configuration that can open the data, asking for the passphrase if there is no other way."""
    named = config.repository.passphrase or config.repository.identity or config.repository.shares
    if named or not invocation.interactive:
        return config
    return with_passphrase(config, invocation.ask_secret("passphrase: "))


def able_to_write(invocation: Invocation, config: Config) -> Config:
    """Return a configuration that can add backups; a host's own credential asks for nothing."""
    credential = config.repository.credential
    if (credential and credential.exists()) or any(config.state_dir.glob("credentials/*/*")):
        return config
    return able_to_read(invocation, config)


def ask_new(invocation: Invocation, prompt: str = "new passphrase: ") -> bytes:
    """Ask twice for a passphrase that is about to be set.

    Raises:
        ConfigInvalid: There is nobody to ask, or the answers are empty or differ.
    """
    if not invocation.interactive:
        raise ConfigInvalid("there is no passphrase and no terminal to ask for one", HOW_TO_CONFIGURE)
    from farshore.access.passphrase_strength import PASSPHRASE_LENGTH_MIN, is_short_passphrase

    first = invocation.ask_secret(prompt)
    if not first.strip():
        raise ConfigInvalid("an empty passphrase protects nothing", "Choose a long one, several words, and keep it.")
    if is_short_passphrase(first):
        raise ConfigInvalid(
            f"a passphrase of fewer than {PASSPHRASE_LENGTH_MIN} characters "
            "is guessed by anybody who can read a replica",
            "Choose a long one, several words that nobody else puts together, and keep it.",
        )
    if invocation.ask_secret("the same again: ") != first:
        raise ConfigInvalid("the two passphrases differ", "Nothing was changed; run the command again.")
    return first


def with_passphrase(config: Config, passphrase: bytes) -> Config:
    """Return `config` with a passphrase that was typed: it lives in this process alone."""
    from farshore.config import Secret

    return replace(
        config,
        repository=replace(config.repository, passphrase=Secret("env", VARIABLE)),
        environment={**config.environment, VARIABLE: os.fsdecode(passphrase)},
    )


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


def asks_for_fingerprint(invocation: Invocation) -> Callable[[bytes], bool] | None:
    """Return what asks a person whether a repository is the right one; None where nobody can be asked."""
    if not invocation.interactive:
        return None

    def ask(fingerprint: bytes) -> bool:
        from farshore.trust.words import to_words

        invocation.output.note(f"fingerprint {fingerprint.hex()}\n  in words: {to_words(fingerprint)}")
        return invocation.confirm("Is this the fingerprint that you wrote down?")

    return ask


def with_listing(
    invocation: Invocation,
    config: Config,
    use: Callable[[Repository], Used],
    *,
    replica: str | None = None,
    source: str | None = None,
    ahead: Sequence[str] = (),
) -> tuple[Repository, Used]:
    """Open the repository to read commits and no more, and return it, closed, with what `use` made of it.

    With this host's credential, which costs nothing; and where that leaves snapshots of other domains unopened and the
    host has a reader's secret beside it, once more with that. Errors are those of `open_repository` and of `use`.

    Args:
        source: The one source whose commits `use` lists; None: all.
        ahead: Prefixes that `use` lists beside those of commits.
    """
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need, names_secret
    from farshore.catalog import listed_prefixes

    able = able_to_write(invocation, config)
    with opened_repository(
        invocation, able, need=Need.WRITE, writes=Writes.NONE, replica=replica, patient=False,
        ahead=(*listed_prefixes(source), *ahead),
    ) as repository:  # fmt: skip
        used = use(repository)
    if not (repository.foreign and names_secret(able)):
        return repository, used
    with opened_repository(
        invocation, able, need=Need.MOST, writes=Writes.NONE, replica=replica, patient=False,
        ahead=(*listed_prefixes(source), *ahead),
    ) as repository:  # fmt: skip
        return repository, use(repository)


def opened_snapshots(
    invocation: Invocation, config: Config, *, source: str | None = None, writes: Writes | None = None
) -> AbstractContextManager[Repository]:
    """Open the repository, or the replica that `--replica` names, to read what is in snapshots.

    Args:
        source: The one source whose snapshots are listed; None: all.
        writes: Changes that are allowed; none unless given.
    """
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.catalog import listed_prefixes

    return opened_repository(
        invocation, config, need=Need.READ, writes=writes or Writes.NONE, replica=invocation.arguments.replica,
        patient=False, ahead=listed_prefixes(source),
    )  # fmt: skip


@contextmanager
def opened_repository(
    invocation: Invocation,
    config: Config,
    *,
    need: Need,
    writes: Writes,
    replica: str | None = None,
    right: Right | None = None,
    patient: bool = True,
    ahead: Sequence[str] = (),
) -> Iterator[Repository]:
    """Open the repository, warn of replicas that cannot be asked at once, and at the end of those that failed later.

    Arguments and errors are those of `open_repository`.
    """
    from farshore.access import open_repository

    warnings = UnaskedWarnings(invocation.output)
    with open_repository(
        config,
        need=need,
        writes=writes,
        replica=replica,
        right=right,
        patient=patient,
        ahead=ahead,
        on_wait=waiting_note(invocation.output),
        confirm=asks_for_fingerprint(invocation),
        clock=invocation.clock,
    ) as repository:
        warnings.show(repository.unasked)
        try:
            yield repository
        finally:
            warnings.show(repository.unasked)
