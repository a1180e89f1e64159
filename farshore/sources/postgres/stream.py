"""The COPY stream of a base backup (PostgreSQL 15 and later) as archives, members, their content, and the manifest.

Each message begins with one letter: `n` a new archive (its name, then a path, each ended by a zero byte), `d` bytes of
the current archive or manifest, `m` the manifest begins, `p` progress. Message boundaries mean nothing. An archive is a
ustar file ended by two blocks of zeros; one that ends without them was cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from farshore.errors import Bug, SourceCorrupt
from farshore.limits import STREAM_PIECE_BYTES
from farshore.sources.postgres.tar import BLOCK_BYTES, TarMember, decode_header, padding_bytes

_NEW_ARCHIVE, _DATA, _MANIFEST, _PROGRESS = b"ndmp"


class BackupStream:
    """Reads the stream once, in order. Used by one thread.

    Call order: `archives`, within it `members`, within it `content` for each file, to its end; then `manifest`.
    """

    def __init__(self, messages: Iterator[memoryview]) -> None:
        self._messages = messages
        self._data = memoryview(b"")  # of the current archive or manifest, not yet handed out
        self._message: memoryview | None = None  # a message that is not data, not yet acted upon
        self._ended = False
        self._left = 0  # bytes of the current member's content not yet read

    def archives(self) -> Iterator[str]:
        """Yield the name of each archive. The members of one must be walked before the next is asked for."""
        while (message := self._next_other()) is not None and message[0] == _NEW_ARCHIVE:
            self._message = None
            yield bytes(message[1:]).split(b"\0")[0].decode("utf-8", "replace")

    def members(self) -> Iterator[TarMember]:
        """Yield the members of the current archive.

        Raises:
            SourceCorrupt: The archive is cut or is no archive.
            Bug: A file's content was not read to its end.
        """
        while (member := decode_header(self._exactly(BLOCK_BYTES))) is not None:
            self._left = member.size
            yield member
            if self._left:
                raise Bug(f"content of {member.name!r} was left unread")
        if any(self._exactly(BLOCK_BYTES)):
            raise SourceCorrupt("an archive goes on after its end")

    def content(self, size: int) -> Iterator[bytes]:
        """Yield the content of the current member in pieces of at most `STREAM_PIECE_BYTES`."""
        if size != self._left:
            raise Bug("content of a member may be read once")
        while self._left:
            piece = self._exactly(min(self._left, STREAM_PIECE_BYTES))
            self._left -= len(piece)
            if not self._left:
                self._exactly(padding_bytes(size))
            yield piece

    def manifest(self) -> Iterator[memoryview]:
        """Yield the manifest's bytes up to the end of the stream."""
        message = self._next_other()
        if message is None or message[0] != _MANIFEST:
            raise SourceCorrupt("the backup ends without a manifest")
        self._message = None
        while self._fill():
            yield self._data
            self._data = self._data[:0]
        if not self._ended:
            raise SourceCorrupt("the stream goes on after the manifest")

    def _next_other(self) -> memoryview | None:
        """Return the next message that is not data, None at the end of the stream."""
        if self._fill():
            raise SourceCorrupt("the stream holds data that belongs to no archive")
        return self._message

    def _exactly(self, size: int) -> bytes:
        """Return the next `size` bytes of the current archive."""
        parts = []
        missing = size
        while missing:
            if not self._fill():
                raise SourceCorrupt("an archive of the backup ends in the middle")
            part = self._data[:missing]
            self._data = self._data[len(part) :]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _fill(self) -> bool:
        """Return whether data of the current archive is at hand, fetching the next message if need be."""
        while not self._data and self._message is None and not self._ended:
            message = next(self._messages, None)
            if message is None:
                self._ended = True
            elif message[0] == _DATA:
                self._data = message[1:]
            elif message[0] in (_NEW_ARCHIVE, _MANIFEST):
                self._message = message
            elif message[0] != _PROGRESS:
                raise SourceCorrupt(f"the stream holds a message of an unknown kind: {bytes(message[:1])!r}")
        return bool(self._data)
