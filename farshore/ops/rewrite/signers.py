"""Whose key signs a snapshot that is made anew: that of the reader, or of this host's credential."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from farshore.catalog.signed_commits import judge
from farshore.catalog.snapshots import host_of
from farshore.errors import SourceNotEnrolled
from farshore.format.commit import Commit
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet, key_tag
from farshore.signing import SigningKey


def signers_of(
    repository: Repository, commits: Iterable[Commit], credential: SigningKey | None
) -> Mapping[str, SigningKey]:
    """Return by commit the key that signs its successor.

    Args:
        credential: That of a writer, for sources that the reader's certificate does not have.

    Raises:
        SourceNotEnrolled: Neither may commit a source.
    """
    own = repository.reading_keys().signing_key
    found: dict[str, SigningKey] = {}
    for commit in commits:
        may = [
            key
            for key in (own, credential)
            if key is not None
            and key.signer_id not in repository.trust.revocations
            and judge(repository, replace(commit, signer=key.signer_id)) is None
        ]
        if not may:
            host = host_of(repository, commit) or "its host"
            raise SourceNotEnrolled(
                f"no key at hand may sign snapshots of {commit.source}, which {host} makes: the passphrase reads them, "
                "and only a writer of that source commits one",
                f"Let repository.credential name the credential of {host} for this run, or leave the source out with "
                "--source.",
            )
        found[commit.hash] = may[0]
    return found


def keys_for(repository: Repository, commit: Commit, signer: SigningKey) -> KeySet:
    """Return a reader's keys of the domain and epoch of a snapshot, that sign as somebody."""
    keys = repository.reading_keys().at(key_tag(commit.domain, commit.epoch))
    return replace(keys, signing_key=signer)


@contextmanager
def signing_as(repository: Repository, keys: KeySet) -> Iterator[None]:
    """Have what the repository signs be signed with these keys meanwhile."""
    before, repository.keys = repository.keys, keys
    try:
        yield
    finally:
        repository.keys = before
