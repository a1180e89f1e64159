"""Fetching a good copy of an object from the nearest replica that has one: hashed before it counts, at a bounded pace.

Objects up to `HEAL_MEMORY_BYTES` pass through memory, larger ones through a file of a private scratch directory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from farshore import limits
from farshore.errors import Corrupt, FarshoreError, NotFound, ObjectCorrupt
from farshore.format.names import object_bytes_max
from farshore.format.pack_id import hash_object
from farshore.host_resources import TEMPORARY, open_new_file
from farshore.model import dataclass
from farshore.repair.object_checks import check_itself, digest_in_name
from farshore.replicas.object_pieces import checked_pieces, read_pieces
from farshore.replicas.repository import Replica, Repository
from farshore.stores.base import PlainBody
from farshore.stores.token_bucket import TokenBucket


@dataclass(frozen=True)
class GoodCopy:
    """Bytes that were hashed and found right. `source`: the replica they are from."""

    body: PlainBody
    digest: str
    size: int
    source: str


class NoGoodCopy(Exception):
    """No replica has a good copy. `passing`: one that may have it could not be asked."""

    def __init__(self, reasons: Sequence[str], *, passing: bool) -> None:
        super().__init__("; ".join(reasons) or "no replica that was listed has it")
        self.passing = passing


class Transfer:
    """Reads objects for one heal. Safe from many threads.

    Args:
        pace: Of the bytes that are read, over all threads of the heal.
        damaged: Called with replica and name for each copy that was read and found wrong.
    """

    def __init__(
        self, *, repository: Repository, pace: TokenBucket, scratch: Path, damaged: Callable[[str, str], None]
    ) -> None:
        self._repository = repository
        self._pace = pace
        self._scratch = scratch
        self._damaged = damaged
        self._numbers = iter(range(1 << 62))
        self._lock = threading.Lock()

    @contextmanager
    def good_copy(self, name: str, sources: Sequence[tuple[Replica, int]]) -> Iterator[GoodCopy]:
        """Hold the first good copy, for the length of the block.

        Args:
            sources: Replicas to try in order, each with the size that it lists.

        Raises:
            NoGoodCopy: None has one.
        """
        reasons: list[str] = []
        passing = False
        for source, size in sources:
            file = None if size <= limits.HEAL_MEMORY_BYTES else self._scratch / f"object-{self._number()}"
            try:
                body, digest = self._read(source, name, size, file)
            except FarshoreError as error:
                if isinstance(error, Corrupt):
                    self._damaged(source.name, name)
                passing = passing or not isinstance(error, (Corrupt, NotFound))
                reasons.append(f"{source.name}: {error}")
                _remove(file)
                continue
            try:
                yield GoodCopy(body, digest, size, source.name)
            finally:
                _remove(file)
            return
        raise NoGoodCopy(reasons, passing=passing)

    def is_sound(self, replica: Replica, name: str, size: int) -> bool:
        """Return whether a replica's own copy is good, by reading it to its end.

        Raises:
            StoreUnavailable, StoreDenied: It could not be read, so nothing is known.
        """
        file = None if size <= limits.HEAL_MEMORY_BYTES else self._scratch / f"object-{self._number()}"
        try:
            self._read(replica, name, size, file)
        except (Corrupt, NotFound):
            return False
        finally:
            _remove(file)
        return True

    def _read(self, replica: Replica, name: str, size: int, file: Path | None) -> tuple[PlainBody, str]:
        """Return an object's bytes, or the file they were written to, with their hash; both checked."""
        if size > object_bytes_max(name):
            raise ObjectCorrupt(f"{name} has {size} bytes, more than any object of its kind")
        if file is None:
            data = self._read_all(replica, name, size)
            if not check_itself(name, data, self._repository):
                raise ObjectCorrupt(f"nothing proves that {name} is what was written")
            return data, digest_in_name(name) or hash_object(name, data)
        wanted = digest_in_name(name)
        if not wanted:
            raise ObjectCorrupt(f"{name} has {size} bytes, more than any object of its kind")
        with open_new_file(file, TEMPORARY) as output:
            for piece in checked_pieces(read_pieces(replica.store, name, size), wanted, name):
                self._pace.consume(len(piece))
                output.write(piece)
        return file, wanted

    def _read_all(self, replica: Replica, name: str, size: int) -> bytes:
        self._pace.consume(size)
        return replica.store.get(name, bytes_max=min(object_bytes_max(name), limits.HEAL_MEMORY_BYTES))

    def _number(self) -> int:
        with self._lock:
            return next(self._numbers)


def _remove(file: Path | None) -> None:
    if file is not None:
        file.unlink(missing_ok=True)
