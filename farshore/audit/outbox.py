"""A host's own record of its audit chain, and the audit files that a replica has still to be given.

    <directory>/lock                        held while the chain grows
    <directory>/head.json                   sequence and digest of the newest seal
    <directory>/parcels/<sequence>/         one flush: its files and its seal, and their names in `contents.json`
    <directory>/parcels/<sequence>/to/<replica>     there while this replica has still to be given the flush

A flush appears whole, by a rename, before anything of it is sent: a process killed at any instruction neither breaks
the chain nor loses a sealed row, because the next run sends what is left. Processes of one host may share a directory.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from farshore.host_resources import STATE, unusable
from farshore.limits import AUDIT_OUTBOX_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal of a chain."""

    sequence: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Flush:
    """One flush that some replica has still to be given."""

    directory: Path

    @property
    def sequence(self) -> int:
        """The place of its seal in the chain."""
        return int(self.directory.name)

    def contents(self) -> tuple[tuple[str, Path], ...]:
        """Return object names and the files that hold their bytes; the seal last, so it never vouches for nothing."""
        names = self._contents()["names"]
        return tuple((name, self.directory / "files" / str(number)) for number, name in enumerate(names))

    def digest(self) -> str:
        """Return the digest of its seal."""
        return str(self._contents()["digest"])

    def waits_for(self, replica: str) -> bool:
        """Return whether this replica has still to be given the flush."""
        return self.mark(replica).exists()

    def waits(self) -> bool:
        """Return whether any replica has still to be given the flush."""
        with suppress(FileNotFoundError):
            return any((self.directory / "to").iterdir())
        return False

    def total_bytes(self) -> int:
        """Return the size of its files; less while another process drops it."""
        with suppress(FileNotFoundError):
            return sum(file.stat().st_size for file in (self.directory / "files").iterdir())
        return 0

    def done(self, replica: str) -> None:
        """Forget that this replica waits; drop the flush once nobody does. Safe to repeat."""
        self.mark(replica).unlink(missing_ok=True)
        try:
            (self.directory / "to").rmdir()
        except FileNotFoundError:
            return  # another process has just dropped it
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return
            raise
        shutil.rmtree(self.directory, ignore_errors=True)

    def mark(self, replica: str) -> Path:
        """Return the file that says that this replica waits."""
        return self.directory / "to" / f"_{quote(replica, safe='')}"

    def _contents(self) -> dict[str, Any]:
        contents: dict[str, Any] = json.loads((self.directory / "contents.json").read_text(encoding="utf-8"))
        return contents


class Outbox:
    """The directory of one writer of one repository. See the module's docstring.

    Raises (every method): StoreFull where the state directory has no space, ConfigInvalid where it cannot be used.
    """

    def __init__(self, directory: Path, *, bytes_max: int = AUDIT_OUTBOX_BYTES_MAX) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._flushes = directory / "parcels"  # the name on disk: hosts have flushes in it that still wait

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the chain: no other process of this host adds to it meanwhile."""
        with self._explained():
            self._flushes.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def head(self) -> Head | None:
        """Return the newest seal that this host knows of, or None when it has no record. Call it with the lock held."""
        with self._explained():
            head = self._read_head()
            for flush in self._all()[-1:]:
                # The process may have died between the flush and the head. A flush just being dropped is older.
                with suppress(FileNotFoundError):
                    if head is None or flush.sequence > head.sequence:
                        head = Head(flush.sequence, flush.digest())
                        self._write_head(head)
            return head

    def add(self, head: Head, files: Sequence[tuple[str, bytes]], replicas: Iterable[str]) -> None:
        """Keep one flush for `replicas` and move the head to its seal; durable on return. Needs the lock held."""
        with self._explained():
            for leftover in self._directory.glob(
                "building-*"
            ):  # of a process that was killed: nobody else has the lock
                shutil.rmtree(leftover, ignore_errors=True)
            building = Path(tempfile.mkdtemp(prefix="building-", dir=self._directory))
            _fill(building, head, files, replicas)
            placed = building.replace(self._flushes / f"{head.sequence:012d}")
            try:
                _sync(self._flushes)
                self._write_head(head)
            except OSError:
                shutil.rmtree(placed, ignore_errors=True)  # or its rows would be sealed a second time
                raise
            self._tidy()

    def unsent(self) -> list[Flush]:
        """Return every flush that some replica waits for, oldest first."""
        with self.locked(), self._explained():
            self.head()
            return self._all()

    def _all(self) -> list[Flush]:
        return [Flush(path) for path in sorted(self._flushes.glob("[0-9]*"))]

    def _read_head(self) -> Head | None:
        try:
            document = json.loads((self._directory / "head.json").read_text(encoding="utf-8"))
            return Head(int(document["sequence"]), str(document["digest"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None  # spoilt by the disk: the replicas know it too

    def _write_head(self, head: Head) -> None:
        fresh = self._directory / "head.json.new"
        _write(fresh, json.dumps({"sequence": head.sequence, "digest": head.digest}).encode())
        fresh.replace(self._directory / "head.json")
        _sync(self._directory)

    def _tidy(self) -> None:
        # A replica that is away for months is brought in sync by a heal; the outbox only bridges the ordinary outage.
        kept = 0
        for flush in reversed(self._all()):
            kept += flush.total_bytes()
            if kept > self._bytes_max or not flush.waits():
                shutil.rmtree(flush.directory, ignore_errors=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unusable(STATE, self._directory, error) from error


def _fill(building: Path, head: Head, files: Sequence[tuple[str, bytes]], replicas: Iterable[str]) -> None:
    (building / "files").mkdir()
    (building / "to").mkdir()
    for number, (_, data) in enumerate(files):
        _write(building / "files" / str(number), data)
    contents = {"digest": head.digest, "names": [name for name, _ in files]}
    _write(building / "contents.json", json.dumps(contents).encode())
    for replica in replicas:
        Flush(building).mark(replica).touch()
    _sync(building / "files")
    _sync(building / "to")
    _sync(building)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
