"""A host's own record of its audit chain, and the audit files that a replica has still to be given.

    <directory>/lock                        held while the chain grows
    <directory>/head.json                   the newest seal, and what the next one goes on from
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from farshore.host_resources import STATE, unusable
from farshore.limits import AUDIT_OUTBOX_BYTES_MAX
from farshore.model import dataclass


class RecordedNeeds(NamedTuple):
    """A snapshot whose needs are in rows of this chain, from place `since` of its source to its own."""

    snapshot_id: str
    since: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal of a chain, and what the next one goes on from.

    `daily`: the UTC day of the newest daily seal. `uncovered`: hashes of the seals and commits since; None where they
    are not known, because this host lost its record. `covered`: the day of each commit of late that daily seals of
    this chain covered, by its hash. `sources`, `chains`: the heads of others that seals named so far.
    """

    sequence: int = 0
    digest: str = ""
    daily: str = ""
    uncovered: tuple[str, ...] | None = ()
    covered: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    recorded: Mapping[str, RecordedNeeds] = field(default_factory=dict)

    def encoded(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "sequence": self.sequence,
            "digest": self.digest,
            "daily": self.daily,
            "uncovered": None if self.uncovered is None else list(self.uncovered),
            "covered": dict(self.covered),
            "sources": dict(self.sources),
            "chains": {chain: list(last) for chain, last in self.chains.items()},
            "recorded": {source: list(last) for source, last in self.recorded.items()},
        }

    @staticmethod
    def decoded(value: Any) -> Head:
        """Return it from its JSON object, or raise ValueError, KeyError or TypeError."""
        uncovered = value["uncovered"]
        return Head(
            int(value["sequence"]),
            str(value["digest"]),
            str(value["daily"]),
            None if uncovered is None else tuple(str(one) for one in uncovered),
            {str(commit): str(day) for commit, day in dict(value["covered"]).items()},
            {str(source): str(commit) for source, commit in dict(value["sources"]).items()},
            {str(chain): (int(last[0]), str(last[1])) for chain, last in dict(value["chains"]).items()},
            {
                str(source): RecordedNeeds(str(last[0]), int(last[1]))
                for source, last in dict(value["recorded"]).items()
            },
        )


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

    def head(self) -> Head:
        """Return the head of the chain after it."""
        return Head.decoded(self._contents()["head"])

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
    """The directory of one chain of one repository. See the module's docstring.

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
                        head = flush.head()
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
            return Head.decoded(json.loads((self._directory / "head.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None  # spoilt by the disk: the replicas know it too

    def _write_head(self, head: Head) -> None:
        fresh = self._directory / "head.json.new"
        _write(fresh, json.dumps(head.encoded()).encode())
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
    contents = {"head": head.encoded(), "names": [name for name, _ in files]}
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
