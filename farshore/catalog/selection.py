"""The entries that a restore selects, and their new paths: patterns, a subtree, leading names that are dropped.

The parents of an entry are selected with it, and a hard link whose file is left out becomes that file. Plain text in a
pattern narrows the manifest first, whole row groups at a time; the patterns themselves are matched on the rows left.

Rows found by a walk through the manifest are noted, so that a restore, which asks for the same rows several times,
reads the manifest once where they are few, and where they are many once to plan and once to write. Files that are left
out are looked for only once a hard link of one is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.catalog.relocation import Relocation
from farshore.errors import SnapshotUnknown
from farshore.format.choosing import Alike, Candidates, HardLinks
from farshore.format.entries import ENTRY_COLUMNS, table_to_entries
from farshore.format.extents import view_extents
from farshore.format.manifest import ManifestReader, ManifestRow, display_path, table_to_rows
from farshore.model import HOLE, EntryKind, dataclass
from farshore.sources.directory.globs import Globs
from farshore.sources.glob_expressions import Line, read_line, why_void

_CHUNKS_MAX = 1_000_000  # 40 MB beside the index; a restore of more takes the index of the whole snapshot
_SPECIAL = re.compile(rb"[*?\[\\]")
_OPAQUE = re.compile(rb"[\[\\]")  # what follows may be text or not: it is not looked into
_ROWS_AT_ONCE = 2048  # a row takes 2 kB as Python values
_ROWS_KEPT_MAX = 2048  # likewise
_EXTENT_BYTES_KEPT_MAX = 4 << 20  # of the rows that are kept, beside that


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """Which entries of a snapshot are wanted, and at which paths. Patterns have the rules of .gitignore.

    include: Only what these match, with the directories above it; nothing given means everything.
    exclude: Nothing that these match, and nothing below it: they win over `include`.
    below: Only the entry at this path and what is below it, which patterns are seen from. It becomes the root, or where
        it is no directory, the one entry of the root.
    strip: Number of leading names to drop from every path.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    below: bytes = b""
    strip: int = 0


class Selection:
    """Chooses and places rows as the options say."""

    def __init__(self, options: SelectionOptions) -> None:
        self.include = tuple(options.include)
        self.exclude = tuple(options.exclude)
        self.below = options.below.strip(b"/")
        self._relocation = Relocation(below=self.below, strip=options.strip)
        include = [from_top(one) for one in self.include]
        self._include = Globs(include)
        self._exclude = Globs([from_top(one) for one in self.exclude])
        self._candidates = candidates(include, below=self.below)
        self._unmatched: tuple[str, ...] = ()
        self._trial_of_others = self._trial()
        self._links: _Notes | None = None  # files that are left out and have a hard link that is not
        self._noted: _Notes | None = None  # of the first walk to the end

    def origins(self, path: bytes) -> list[bytes]:
        """Return the paths of the snapshot that a file at a path of the target may have had; none where that is open.

        A path of the target may be that of another file of the snapshot.
        """
        return self._relocation.origins(path)

    @property
    def partial(self) -> bool:
        """Whether rows are not those of the manifest, as they are there."""
        return not (self.whole and self._relocation.keeps_places)

    def selects(self, path: bytes, *, directory: bool) -> bool:
        """Return whether the patterns mean a path of the target, which the snapshot need not have."""
        return self._trial_of_others.selects(path, directory=directory)

    @property
    def narrow(self) -> bool:
        """Whether it is likely to select far less than everything."""
        return bool(self.include or self.below)

    @property
    def candidates(self) -> Candidates | None:
        """The rows that it may select, and read more than once; None where that may be everything."""
        return self._candidates if self.narrow else None

    @property
    def whole(self) -> bool:
        """Whether it selects everything, although perhaps with other paths."""
        return not (self.include or self.exclude or self.below)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """The patterns that matched nothing, once `rows` has yielded all."""
        return self._unmatched

    def check(self, manifest: ManifestReader) -> None:
        """See that every selected entry has a place of its own; reads the manifest only where names are dropped.

        Raises:
            PathsClash: Some would be at the same place, or have none.
            SnapshotUnknown: As `rows`.
        """
        if self._relocation.strip:
            self._relocation.check(lambda: (row.entry for row in self._chosen(manifest)))

    def rows(self, manifest: ManifestReader) -> Iterator[ManifestRow]:
        """Yield the selected rows at their new places, each after the directories above it.

        Raises:
            SnapshotUnknown: Nothing is selected, or the subtree is not there.
        """
        if self._relocation.keeps_places:
            yield from self._chosen(manifest)
            return
        for row in self._chosen(manifest):
            entry = self._relocation.place(row.entry)
            if entry is not None:
                yield replace(row, entry=entry)

    def chunk_ids(self, manifest: ManifestReader) -> npt.NDArray[Any] | None:
        """Return the chunks of the selected rows (`V32`), or None when they are too many to narrow an index.

        Raises:
            SnapshotUnknown: As `rows`.
        """
        noted = self._notes_of(manifest)
        if noted is None or (noted.ids is None and not noted.too_many):
            rows = self._walk(manifest) if noted is None or noted.rows is None else noted.rows
            noted = _Notes(manifest, chunks=True)
            for row in rows:
                noted.add(row)
                if noted.too_many:
                    return None
            self._noted = noted
        if noted.too_many:
            return None
        ids, noted.ids = noted.ids or [], None  # kept here as well they would take their memory twice
        return np.frombuffer(b"".join(ids), f"V{len(HOLE)}")

    def _chosen(self, manifest: ManifestReader) -> Iterator[ManifestRow]:
        """Yield the selected rows with the paths of the snapshot: from the notes where they hold all, else by a walk.

        The first walk that reaches the end of the manifest is noted.
        """
        noted = self._notes_of(manifest)
        if noted is None:
            noted = _Notes(manifest, chunks=self.narrow)
            for row in self._walk(manifest):
                noted.add(row)
                yield row
            self._noted = noted
            return
        if noted.rows is not None:
            yield from noted.rows
            return
        noted.ids = None  # nobody asked for them after the first walk
        yield from self._walk(manifest)

    def _notes_of(self, manifest: ManifestReader) -> _Notes | None:
        return self._noted if self._noted is not None and self._noted.manifest is manifest else None

    def _walk(self, manifest: ManifestReader) -> Iterator[ManifestRow]:
        """Read the manifest and yield the selected rows."""
        if self.whole:
            yield from manifest.rows()
            return
        files: Mapping[bytes, ManifestRow] | None = None
        new_files: dict[bytes, bytes] = {}
        waiting: list[ManifestRow] = []
        trial, trial_of_targets = self._trial(), self._trial()
        pending = _Pending((*self.include, *self.exclude))
        found = there = False
        for row in _rows(manifest, self._candidates) if self.narrow else manifest.rows():
            entry = row.entry
            directory = entry.kind is EntryKind.DIRECTORY
            if waiting:
                waiting = [one for one in waiting if _is_above(one.entry.path, entry.path)]
            if not self._is_below(entry.path):
                continue
            there = True
            inner = self._inner(entry.path)
            if pending:
                pending.see(inner, directory=directory)
            if not trial.selects(inner, directory=directory):
                if directory:
                    waiting.append(row)
                continue
            found = found or bool(inner) or not directory or not self.exclude
            yield from waiting
            waiting = []
            if entry.kind is EntryKind.HARDLINK and self._leaves_out(entry.target, trial_of_targets):
                files = self._left_out(manifest) if files is None else files
                yield _link_or_file(row, files, new_files)
            else:
                yield row
        self._unmatched = pending.left()
        if not found:
            raise self._nothing(there=there)

    def _leaves_out(self, file: bytes, trial: _Trial) -> bool:
        return not self._is_below(file) or not trial.selects(self._inner(file), directory=False)

    def _left_out(self, manifest: ManifestReader) -> Mapping[bytes, ManifestRow]:
        """Return the files that are left out and have a hard link that is not; few of them are read once.

        Reads the links and then those files, so only a walk that has found one of them asks.
        """
        if self._links is None or self._links.manifest is not manifest or self._links.rows is None:
            trial, trial_of_targets = self._trial(), self._trial()
            targets: set[bytes] = set()
            for table in manifest.tables(ENTRY_COLUMNS, HardLinks(self._candidates)):
                for entry in table_to_entries(table):
                    if self._leaves_out(entry.path, trial) or not self._leaves_out(entry.target, trial_of_targets):
                        continue
                    targets.add(entry.target)
            self._links = _Notes(manifest, chunks=False)
            found: dict[bytes, ManifestRow] = {}
            for row in _rows(manifest, Candidates((), sorted(targets))):
                self._links.add(row)
                found[row.entry.path] = row
            return found
        return {row.entry.path: row for row in self._links.rows}

    def _trial(self) -> _Trial:
        include = _Branch(self._include) if self.include else None
        return _Trial(include, _Branch(self._exclude) if self.exclude else None)

    def _is_below(self, path: bytes) -> bool:
        return not self.below or path == self.below or path.startswith(self.below + b"/")

    def _inner(self, path: bytes) -> bytes:
        """Return a path as it is seen from the top of the subtree."""
        return path[len(self.below) + 1 :] if self.below else path

    def _nothing(self, *, there: bool) -> SnapshotUnknown:
        if self.below and not there:
            return SnapshotUnknown(
                f"the snapshot has no path {display_path(self.below)!r}", "Show what there is with 'farshore ls'."
            )
        if self.include and not self.exclude:
            void = [f"The pattern {one!r} {why}." for one in self.include if (why := why_void(one))]
            return SnapshotUnknown(
                f"nothing in the snapshot matches {', '.join(self.include)}",
                " ".join(void) or "Show what there is with 'farshore ls'.",
            )
        left = f" of what matches {', '.join(self.include)}" if self.include else ""
        return SnapshotUnknown(
            f"nothing is left{left} without {', '.join(self.exclude)}", "Show what there is with 'farshore ls'."
        )


class _Notes:
    """The findings of one walk: the rows while they are few, and the ids of their chunks while those are."""

    def __init__(self, manifest: ManifestReader, *, chunks: bool) -> None:
        self.manifest = manifest
        self.rows: list[ManifestRow] | None = []  # None once there are too many
        self.ids: list[bytes] | None = [] if chunks else None  # `V32`, end to end
        self.too_many = False  # chunks to keep the ids of
        self._chunks = 0
        self._extent_bytes = 0

    def add(self, row: ManifestRow) -> None:
        """Note the next row."""
        self._extent_bytes += len(row.extents)
        if self.rows is not None:
            self.rows.append(row)
            if len(self.rows) > _ROWS_KEPT_MAX or self._extent_bytes > _EXTENT_BYTES_KEPT_MAX:
                self.rows = None
        if self.ids is not None and row.extents:
            chunks = np.ascontiguousarray(view_extents(row.extents)["chunk"])
            self._chunks += len(chunks)
            self.ids.append(chunks.tobytes())
            if self._chunks > _CHUNKS_MAX:
                self.ids, self.too_many = None, True


class _Trial:
    """Whether an entry is selected, by both kinds of patterns."""

    def __init__(self, include: _Branch | None, exclude: _Branch | None) -> None:
        self._include = include
        self._exclude = exclude

    def selects(self, path: bytes, *, directory: bool) -> bool:
        """Return whether an entry is wanted and not left out."""
        if self._include is not None and not self._include.selects(path, directory=directory):
            return False
        return self._exclude is None or not self._exclude.selects(path, directory=directory)


class _Pending:
    """Patterns that have matched nothing so far."""

    def __init__(self, patterns: Sequence[str]) -> None:
        positive = [one for one in dict.fromkeys(patterns) if not one.startswith("!")]
        self._left = {one: globs for one in positive if (globs := Globs([from_top(one)]))}

    def __bool__(self) -> bool:
        return bool(self._left)

    def see(self, path: bytes, *, directory: bool) -> None:
        """Try what is left on an entry."""
        if path:
            for one in [one for one, globs in self._left.items() if globs.match(path, directory=directory)]:
                del self._left[one]

    def left(self) -> tuple[str, ...]:
        """Return those that matched nothing."""
        return tuple(self._left)


class _Branch:
    """Tries patterns on entries; what it found of the directories above one serves the next beside it."""

    def __init__(self, globs: Globs) -> None:
        self._globs = globs
        self._above: bytes | None = None
        self._inside = False

    def selects(self, path: bytes, *, directory: bool) -> bool:
        """Return whether an entry, or a directory above it, matches."""
        above, separator, _ = path.rpartition(b"/")
        if separator and above != self._above:
            names = above.split(b"/")
            levels = (b"/".join(names[:end]) for end in range(1, len(names) + 1))
            self._inside = any(self._matches(level, directory=True) for level in levels)
            self._above = above
        return (bool(separator) and self._inside) or self._matches(path, directory=directory)

    def _matches(self, path: bytes, *, directory: bool) -> bool:
        return bool(path) and self._globs.match(path, directory=directory)


def split_selector(text: str) -> tuple[str, bytes]:
    """Return the name of a snapshot, and the path in it after `:/`; or nothing.

    Where a path has a slash and does not begin with one, it is what follows the last colon before that slash. So
    `HOST:NAME` is a name, with any path behind it, and a colon in the first name of a path needs `:/`.
    """
    selector, found, path = text.partition(":/")
    if not found and "/" in text:
        start, slash, rest = text.partition("/")
        selector, found, path = start.rpartition(":")
        selector, path = (selector, f"{path}{slash}{rest}") if found else (text, "")
    return selector, normal_path(os.fsencode(path))


def normal_path(path: bytes) -> bytes:
    """Return a path as manifests have it, for one as people write it: `./a//b/`, `/a/b`."""
    return os.path.normpath(b"/" + path).strip(b"/")


def candidates(patterns: Sequence[str], *, below: bytes = b"") -> Candidates:
    """Return which entries patterns may select: those that hold the text which any match must hold.

    The paths below a match hold its text, too. The directories above plain text at the beginning of a
    path are candidates by name, because a restore needs them.

    Args:
        below: Only what is in this subtree, whose top the patterns are seen from. Without patterns, all of it.
    """
    top = below + b"/" if below else b""
    alike = [_alike(line) for line in map(read_line, patterns) if line is not None and not line.negated]
    alike = [Alike(top + one.prefix, one.text) for one in alike] if patterns else [Alike(top, b"")]
    above = {one.prefix[:at] for one in alike for at in _slashes(one.prefix)}
    paths = sorted(one for one in above | {b"", below} if not below or (one + b"/").startswith(top))
    return Candidates(tuple(dict.fromkeys(alike)), tuple(paths))


def from_top(pattern: str) -> str:
    """Return a pattern as patterns are written; people also write a path from where they are."""
    negated, body = pattern.startswith("!"), pattern.removeprefix("!")
    while body.startswith("./"):
        body = "/" + body.removeprefix("./").lstrip("/")
    return f"!{body}" if negated else body


def _rows(manifest: ManifestReader, choice: Candidates) -> Iterator[ManifestRow]:
    for table in manifest.tables(choice=choice):
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            yield from table_to_rows(table.slice(start, _ROWS_AT_ONCE))


def _alike(line: Line) -> Alike:
    prefix = _SPECIAL.split(line.body, maxsplit=1)[0] if line.rooted else b""
    plain = _OPAQUE.split(line.body, maxsplit=1)[0]
    return Alike(prefix, max(re.split(rb"[*?/]", plain), key=len))


def _slashes(path: bytes) -> Iterator[int]:
    return (at for at, byte in enumerate(path) if byte == ord("/"))


def _link_or_file(row: ManifestRow, files: Mapping[bytes, ManifestRow], new_files: dict[bytes, bytes]) -> ManifestRow:
    entry = row.entry
    if entry.target not in files:
        return row
    if entry.target in new_files:
        return replace(row, entry=entry._replace(target=new_files[entry.target]))
    new_files[entry.target] = entry.path
    first = files[entry.target]
    return replace(first, entry=first.entry._replace(path=entry.path))


def _is_above(directory: bytes, path: bytes) -> bool:
    return not directory or path.startswith(directory + b"/")
