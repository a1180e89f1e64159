"""One file's content as a restore target: to a stream that is only written. Holes go out as the zeros they read as."""

from __future__ import annotations

from farshore.errors import Bug
from farshore.model import Entry, EntryKind
from farshore.targets.base import TargetKind
from farshore.targets.stream.ordered import OrderedTarget


class FileStream(OrderedTarget):
    """Implements `Target` for the content of the one file that is restored; directories above it are nothing to it."""

    kind = TargetKind.FILE
    spoilt_hint = "What was written is its beginning and no more; 'farshore verify' lists what is damaged."

    def make(self, entry: Entry) -> None:
        if entry.kind is EntryKind.DIRECTORY:
            return
        if entry.kind is not EntryKind.FILE:
            raise Bug(f"a {entry.kind} has no content")
        super().make(entry)

    def skip_hole(self, start: int, end: int) -> None:
        self.send_zeros(end - start)
