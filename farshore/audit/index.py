"""Writes the Delta log of each table at one replica: the files that count there now, as one version more.

The log is derived. A version is put where there is none, so two that write at once do not overwrite each other; the
next version, or `rebuild`, sets right the files that somebody else added or removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farshore.audit import names
from farshore.audit.cache import local_files
from farshore.audit.cached_query import tables_at
from farshore.audit.delta_log import (
    VERSION_BYTES_MAX,
    IndexedFile,
    file_statistics,
    files_of,
    first_version,
    next_version,
    unknown_to,
)
from farshore.audit.query import fetch
from farshore.audit.schema import TABLES
from farshore.audit.tables import decode_table
from farshore.errors import Conflict, KeyMissing, ObjectCorrupt, StateUnknown
from farshore.replicas.repository import Replica, Repository
from farshore.results import Progress
from farshore.run import Run
from farshore.stores.base import ANY_OBJECT, Store
from farshore.trust.actions import Right

_TRIES = 5  # of one version, while others write versions too


@dataclass(frozen=True, slots=True)
class TableIndexed:
    """A Delta log after it was written. `version`: its newest; `added`, `removed`: files that this call put into it."""

    replica: str
    table: str
    version: int
    files: int
    added: int
    removed: int


def require_maintainer(repository: Repository) -> None:
    """Refuse who may not maintain: engines that read a log see the files that it names, and no others.

    Raises:
        KeyMissing: No key at hand has the right.
    """
    key = repository.keys.signing_key if repository.keys is not None else None
    if key is None or not repository.trust.may(key.signer_id, Right.MAINTAIN):
        raise KeyMissing(
            "nothing at hand may index the audit tables: that needs a key with the right to maintain",
            "Use the passphrase or identity that 'farshore init' made, or enroll this host with --role maintainer.",
        )


def index_replica(
    repository: Repository,
    replica: Replica,
    *,
    run: Run,
    rebuild: bool = False,
    statistics: dict[str, str] | None = None,
) -> list[TableIndexed]:
    """Bring the Delta logs of one replica up to the files that count there. Safe to repeat and to interrupt.

    Args:
        rebuild: Delete what is in the logs, and write version 0 anew.
        statistics: Those of files that another replica has too, by name; filled.

    Raises:
        KeyMissing: As `require_maintainer`.
        ObjectCorrupt, ObjectNotFound: A seal or file that counts is damaged or gone here, or a log is none of ours.
        StateUnknown: Others write versions all the time.
        FarshoreError: As the store said.
    """
    require_maintainer(repository)
    at = tables_at(repository, replica)
    stage = f"index:{replica.name}"
    run.progress(Progress(stage))
    fetch(at, TABLES)
    found = []
    statistics = {} if statistics is None else statistics
    for number, table in enumerate(TABLES, start=1):
        if rebuild:
            _drop(replica.store, table)
        files = dict(local_files(at.root, [table]))
        found.append(_Indexing(repository, replica, table, files, statistics).write())
        run.progress(Progress(stage, entries=number))
    return found


def _drop(store: Store, table: str) -> None:
    """Delete what is in a log, the newest first: a reader meanwhile sees an earlier version, or no log."""
    for info in sorted(store.list(names.delta_log(table)), key=lambda one: one.name, reverse=True):
        store.delete(info.name, info.seen or ANY_OBJECT)


@dataclass(frozen=True)
class _Indexing:
    """One table of one replica, and its files here, which are those that count there."""

    repository: Repository
    replica: Replica
    table: str
    files: Mapping[str, Path]
    statistics: dict[str, str]

    def write(self) -> TableIndexed:
        """Put the next version where the log is not as the files are; tried again where somebody else was first."""
        for _ in range(_TRIES):
            version, log = self._read()
            added, removed = unknown_to(log, self.files)
            if version >= 0 and not added and not removed:
                return self._outcome(version, 0, 0)
            now_utc = self.repository.clock.now_utc()
            new = [self._file(name) for name in added]
            data = (
                next_version(self.table, new, removed, now_utc)
                if version >= 0
                else first_version(self.table, self.repository.repository_id, new, now_utc)
            )
            try:
                self.replica.store.put(names.delta_version(self.table, version + 1), data)
            except Conflict:
                continue
            return self._outcome(version + 1, len(added), len(removed))
        raise StateUnknown(f"others write the Delta log of {self.table} at {self.replica.name} all the time")

    def _read(self) -> tuple[int, frozenset[str]]:
        """Return the newest version and its files; -1 where there is no log."""
        store, prefix = self.replica.store, names.delta_log(self.table)
        listed = [info.name for info in store.list(prefix)]
        if not listed:
            return -1, frozenset()
        if sorted(listed) != [names.delta_version(self.table, number) for number in range(len(listed))]:
            raise self._not_ours(f"{prefix} has other objects than versions, or lacks one")
        try:
            versions = ((name, store.get(name, bytes_max=VERSION_BYTES_MAX)) for name in sorted(listed))
            return len(listed) - 1, files_of(self.table, versions)
        except ObjectCorrupt as error:
            raise self._not_ours(error.message) from error

    def _not_ours(self, message: str) -> ObjectCorrupt:
        return ObjectCorrupt(
            f"{message}, at {self.replica.name}", "'farshore audit index --rebuild' deletes the log and writes it anew."
        )

    def _file(self, name: str) -> IndexedFile:
        data = self.files[name].read_bytes()
        if name not in self.statistics:
            self.statistics[name] = file_statistics(decode_table(self.table, name, data))
        return IndexedFile(name, len(data), self.repository.clock.now_utc(), self.statistics[name])

    def _outcome(self, version: int, added: int, removed: int) -> TableIndexed:
        return TableIndexed(self.replica.name, self.table, version, len(self.files), added, removed)
