"""When paths were added, changed and removed, over all snapshots of a source.

Each manifest is read once, as a stream; of the snapshot before it only the matches are kept. A snapshot that cannot
be read is reported, and the next one is compared with the last that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from farshore.catalog.contents import open_snapshot
from farshore.catalog.selection import candidates, from_top
from farshore.catalog.snapshots import commits_with_holders
from farshore.errors import ConfigInvalid, Denied, FarshoreError, SnapshotUnknown, StoreFull
from farshore.format import columns
from farshore.format.choosing import Candidates
from farshore.format.commit import Commit
from farshore.format.entries import ENTRY_COLUMNS, table_to_entries
from farshore.format.manifest import ManifestReader, ManifestRow
from farshore.model import ChangeKind, EntryKind, Finding
from farshore.ops.ask.found_rows import FoundRow, FoundRows, compare, found_row
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository
from farshore.sources.directory.globs import Globs

_ROWS_AT_ONCE = 2048  # a row needs 2 kB as Python values
Unread = Callable[[Commit, FarshoreError], None]


def find_changes(
    repository: Repository, pattern: str, *, source: str | None = None, unread: Unread = lambda *_: None
) -> Iterator[Finding]:
    """Yield what became of each path that a pattern matches, one source after the other, its oldest snapshot first.

    Paths of the first snapshot count as added with it. Memory does not grow with the number of matches.

    Args:
        pattern: With the rules of .gitignore; a match does not include the paths below it.
        source: Only the snapshots of this one.
        unread: Called with each snapshot that could not be read.

    Raises:
        SnapshotUnknown: There is no snapshot, or the pattern says nothing.
        StoreFull, ConfigInvalid: The matches do not fit into the temporary directory.
        CredentialCannotRead: The keys at hand cannot read.
    """
    globs = Globs([from_top(pattern)])
    if not globs or pattern.startswith("!"):
        raise SnapshotUnknown(f"{pattern!r} is no pattern that could match", "Write it like a line of .gitignore.")
    catalog = commits_with_holders(repository, source)
    if not catalog:
        raise SnapshotUnknown(f"there is no snapshot of {source}" if source else "there is no snapshot yet")
    choice = candidates([from_top(pattern)])
    by_source = sorted(catalog, key=lambda pair: pair[0].source)  # a stable sort: their order stays
    for _, pairs in groupby(by_source, key=lambda pair: (pair[0].source, pair[0].source_id)):
        yield from _of_source(repository, list(pairs), globs, choice, unread)


def _of_source(
    repository: Repository,
    pairs: list[tuple[Commit, tuple[str, ...]]],
    globs: Globs,
    choice: Candidates,
    unread: Unread,
) -> Iterator[Finding]:
    known = FoundRows()
    last = ""
    try:
        for commit, holders in pairs:
            fresh = FoundRows()
            try:
                reader = open_reader(repository, listed=holders)
                fresh.fill(_matching(open_snapshot(repository, commit, reader), globs, choice))
            except (StoreFull, ConfigInvalid, Denied):  # of this host, so of every snapshot
                fresh.close()
                raise
            except FarshoreError as error:
                fresh.close()
                unread(commit, error)
                continue
            for before, after in compare(known, fresh):
                yield _finding(commit, last, before, after)
            known.close()
            known, last = fresh, commit.snapshot
    finally:
        known.close()


def _matching(manifest: ManifestReader, globs: Globs, choice: Candidates) -> Iterator[FoundRow]:
    for table in manifest.tables([*ENTRY_COLUMNS, "content_hash"], choice):
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            part = table.slice(start, _ROWS_AT_ONCE)
            hashes = columns.binaries(part.column("content_hash"))
            for entry, content_hash in zip(table_to_entries(part), hashes, strict=True):
                directory = entry.kind is EntryKind.DIRECTORY
                if entry.path and globs.match(entry.path, directory=directory):
                    yield found_row(ManifestRow(entry, content_hash))


def _finding(commit: Commit, last: str, before: FoundRow | None, after: FoundRow | None) -> Finding:
    some = after or before
    assert some is not None  # noqa: S101 - a pair that differs has one side at least
    change = ChangeKind.ADDED if before is None else ChangeKind.REMOVED if after is None else ChangeKind.MODIFIED
    if before is not None and after is not None and before.content == after.content:
        change = ChangeKind.METADATA
    return Finding(
        source=commit.source,
        snapshot_id=commit.snapshot,
        committed_utc=commit.committed_utc,
        state=commit.state,
        change=change,
        path=some.path,
        kind=EntryKind(some.kind),
        bytes_before=before.size if before else 0,
        bytes_after=after.size if after else 0,
        mtime_ns=some.mtime_ns,
        previous_id=last,
    )
