"""Counts of a restore into an existing tree. No I/O here, nor anything of the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeltaCounts:
    """Names of entries that a restore into an existing tree found to differ; bytes are of content."""

    compared: int = 0  # entries of the snapshot
    added: int = 0
    replaced: int = 0
    patched: int = 0  # files that keep part of their content
    linked: int = 0  # names that were of another file
    metadata: int = 0  # the content was right
    deleted: int = 0  # names that the snapshot has not
    extra: int = 0  # likewise, and left
    leftovers: int = 0  # temporary files of a restore that was killed
    bytes_read: int = 0  # of the target's files, to compare them
    bytes_new: int = 0  # of files that are added or replaced
    bytes_fetched: int = 0  # of content that comes from the repository
    bytes_deleted: int = 0
    by_content: bool = False
    delete: bool = False
    dry_run: bool = False

    @property
    def differences(self) -> int:
        """Names that are not as in the snapshot; extra ones count where `delete` was asked for."""
        return self.added + self.replaced + self.patched + self.linked + self.metadata + self.deleted
