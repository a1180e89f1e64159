"""Collects the audit rows of runs, seals them into the writer's chain, and gives them to every replica."""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from farshore.audit import chain, names
from farshore.audit.outbox import Flush, Head, Outbox
from farshore.audit.privacy import without_paths
from farshore.audit.rows import TABLE_OF_ROW, AuditRow
from farshore.audit.schema import TABLES
from farshore.audit.tables import Stamp, encode_rows
from farshore.clock import Clock
from farshore.errors import Conflict, FarshoreError, ObjectCorrupt, ObjectNotFound, StoreUnavailable
from farshore.format.names import object_bytes_max
from farshore.host_resources import STATE, unusable
from farshore.limits import AUDIT_FILE_ROWS_MAX
from farshore.replicas.ask import FirstBug, LifeSign, ask_all
from farshore.stores.base import Store

_WRITER_ID = re.compile("[0-9a-f]{32}")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class AuditWritten:
    """The outcome of writing the audit rows of one run.

    `objects`: the names of the run's audit files and seals. `replicas`: by name, empty where the replica now has
    everything, else `code: message`; what it lacks is kept on this host and sent with the next flush.
    """

    objects: tuple[str, ...]
    replicas: dict[str, str]

    @property
    def failed(self) -> tuple[str, ...]:
        """The replicas that lack something."""
        return tuple(name for name, error in self.replicas.items() if error)


@dataclass
class _Run:
    """The rows of one run that are not sealed yet, and the names of its objects that are."""

    rows: dict[str, list[AuditRow]] = field(default_factory=lambda: defaultdict(list))
    encoded: list[tuple[str, bytes]] = field(default_factory=list)
    objects: tuple[str, ...] = ()


class AuditRecorder:
    """Holds rows until `flush`, then writes them to all replicas. Safe for use from many threads.

    Args:
        stores: The replicas that are open, by name; a retry within one request is their wrappers' business.
        signing_key: 32 bytes of Ed25519; None leaves the seals unsigned.
        writer_id: 32 hex digits that stay the same for this host and repository, see `open_writer_id`.
        state_dir: The host's state directory; everything is below `audit/<repository id>/<writer id>` in it.
        configured: The names of all replicas; what those that are not open lack is kept for them, so that no chain
            has a gap once they are back.
        paths: Whether names of files may be written (`audit.paths`). Otherwise `CheckRow.paths` is dropped, and so is
            the message, but not the code, of every error that may quote one.
        alive: A replica whose value changes is not silent, so a large file has all the time it needs.
        first_bug: As for `ask_all`.
    """

    def __init__(
        self,
        *,
        stores: Mapping[str, Store],
        repository_id: str,
        signing_key: bytes | None,
        writer_id: str,
        state_dir: Path,
        clock: Clock,
        configured: Collection[str] = (),
        paths: bool = False,
        alive: LifeSign | None = None,
        first_bug: FirstBug | None = None,
    ) -> None:
        self._stores = dict(stores)
        self._replicas = tuple(dict.fromkeys((*stores, *configured)))
        self._repository_id = repository_id
        self._signing_key = signing_key
        self._writer_id = writer_id
        self._outbox = Outbox(state_dir / "audit" / repository_id / writer_id)
        self._clock = clock
        self._paths = paths
        self._alive = alive
        self._first_bug = first_bug
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = defaultdict(_Run)
        self._head_is_sure = False

    def add(self, row: AuditRow) -> None:
        """Add one row. Memory stays bounded: every `AUDIT_FILE_ROWS_MAX` rows of a table become compressed bytes."""
        table = TABLE_OF_ROW[type(row)]
        with self._lock:
            run = self._runs[row.run_id]
            rows = run.rows[table]
            rows.append(row if self._paths else without_paths(row))
            if len(rows) < AUDIT_FILE_ROWS_MAX:
                return
            full, run.rows[table] = rows, []
        self._encode(run, row.run_id, table, full)

    def add_columns(self, run_id: str) -> None:
        """Add an empty file of every table.

        The run that makes a repository calls it, so that every engine can be shown every table before the first
        restore or verify has written a row.
        """
        with self._lock:
            run = self._runs[run_id]
        for table in TABLES:
            self._encode(run, run_id, table, [])

    def move(self, writer_id: str, state_dir: Path) -> None:
        """Seal what is not sealed yet into the chain of another writer, where the first one's cannot be kept."""
        self._writer_id = writer_id
        self._outbox = Outbox(state_dir / "audit" / self._repository_id / writer_id)
        self._head_is_sure = False

    def sealed(self, run_id: str) -> bool:
        """Whether rows of the run are in the chain, and so are sent sooner or later."""
        with self._lock:
            return run_id in self._runs and bool(self._runs[run_id].objects)

    def flush(self, run_id: str) -> AuditWritten:
        """Seal what was added for the run and give every replica what it lacks, of this and of earlier flushes.

        One replica's failure does not stop the others. Safe to repeat: a second call seals only rows that were added
        since, and tries again the replicas that failed. Rows once sealed survive the end of the process.

        Raises:
            StoreUnavailable: The host has no record of its chain and no replica answered what it was; the rows are
                kept in memory and the call may be repeated.
            StoreFull, ConfigInvalid: The state directory has no space or cannot be used; likewise.
        """
        with self._lock:
            run = self._runs.get(run_id)
        if run:
            for table in tuple(run.rows):
                with self._lock:
                    rows = run.rows.pop(table)
                if rows:
                    self._encode(run, run_id, table, rows)
            if run.encoded:
                self._seal(run_id, run)
        return AuditWritten(run.objects if run else (), self._send())

    def _encode(self, run: _Run, run_id: str, table: str, rows: list[AuditRow]) -> None:
        recorded_utc = self._clock.now_utc()
        data = encode_rows(table, rows, Stamp(self._repository_id, recorded_utc))
        with self._lock:
            run.encoded.append((names.file_name(table, recorded_utc.date(), run_id, data), data))

    def _seal(self, run_id: str, run: _Run) -> None:
        with self._outbox.locked():
            with self._lock:
                files = list(run.encoded)
            if not files:
                return  # another thread has just sealed them
            before = self._sure_head()
            sequence = before.sequence + 1
            seal = chain.make_seal(
                repository_id=self._repository_id,
                writer_id=self._writer_id,
                sequence=sequence,
                previous=before.digest,
                run_id=run_id,
                sealed_utc=self._clock.now_utc(),
                files=[chain.SealedFile(name, len(data), chain.digest(data)) for name, data in files],
                signing_key=self._signing_key,
            )
            files.append((names.seal_name(self._writer_id, sequence), seal))
            self._outbox.add(Head(sequence, chain.digest(seal)), files, self._replicas)
        with self._lock:
            del run.encoded[: len(files) - 1]
            run.objects += tuple(name for name, _ in files)

    def _sure_head(self) -> Head:
        # A host that lost its state, or was set back to an older one, would seal two flushes at one place.
        known = self._outbox.head()
        if self._head_is_sure and known is not None:
            return known
        if known is None or self._is_anywhere(names.seal_name(self._writer_id, known.sequence + 1)):
            known = self._head_at_replicas(known or Head())
        self._head_is_sure = True
        return known

    def _is_anywhere(self, name: str) -> bool:
        def has_seal(replica: str) -> bool:
            self._stores[replica].head(name)
            return True

        answers, _ = self._ask_all(has_seal)  # of replicas that are away or deny it, what this host knows has to do
        return any(answers.values())

    def _head_at_replicas(self, known: Head) -> Head:
        heads, failed = self._ask_all(lambda replica: self._newest_seal(self._stores[replica]))
        if failed and not heads:
            first = next(iter(failed.values()))
            raise StoreUnavailable(f"no replica says which audit seal was the last of this host: {first}")
        return max([known, *heads.values()], key=lambda head: head.sequence)

    def _newest_seal(self, store: Store) -> Head:
        listed = [info.name for info in store.list(names.seals_of_writer(self._writer_id))]
        for name in sorted(listed, reverse=True):
            try:
                data = store.get(name, bytes_max=object_bytes_max(name))
                return Head(chain.decode_seal(name, data).sequence, chain.digest(data))
            except (ObjectCorrupt, ObjectNotFound):
                continue
        return Head()

    def _send(self) -> dict[str, str]:
        """Send what waits for each replica; one that is silent is left alone, and what it lacks waits on."""
        unsent = self._outbox.unsent()
        sent, failed = self._ask_all(lambda replica: self._send_to(replica, self._stores[replica], unsent))
        silent = {name: f"{error.code}: {error.message}" for name, error in failed.items()}
        return {name: sent[name] if name in sent else silent[name] for name in self._stores}

    def _ask_all(self, ask: Callable[[str], _Answer]) -> tuple[dict[str, _Answer], dict[str, FarshoreError]]:
        return ask_all(self._stores, ask, clock=self._clock, patient=True, alive=self._alive, first_bug=self._first_bug)

    def _send_to(self, replica: str, store: Store, unsent: Iterable[Flush]) -> str:
        trouble = ""
        for flush in unsent:
            if not flush.waits_for(replica):
                continue
            try:
                for name, path in flush.contents():
                    store.put(name, path.read_bytes())
            except FileNotFoundError:
                continue  # another process of this host has just sent it
            except FarshoreError as error:
                trouble = f"{error.code}: {error.message}"
                if not isinstance(error, Conflict):
                    break  # this replica is away: the rows stay for the next flush
                # Other bytes are there under a name of ours: no retry can mend that, and verify reports it.
            flush.done(replica)
        return trouble


def open_writer_id(state_dir: Path, repository_id: str, clock: Clock) -> str:
    """Return this host's own id in the audit chain of a repository, made at random the first time.

    Safe to call from many processes at once: all get the same.

    Raises:
        ConfigInvalid: The state directory cannot be used.
    """
    directory = state_dir / "audit" / repository_id
    path = directory / "writer"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _WRITER_ID.fullmatch(path.read_text(encoding="latin-1")):
            path.unlink()  # spoilt by a power cut: a new chain begins
        if not path.exists():
            fresh = directory / f"writer.{clock.random_bytes(8).hex()}"
            fresh.write_text(clock.random_bytes(16).hex(), encoding="ascii")
            with suppress(FileExistsError):  # another process was first
                os.link(fresh, path)
            fresh.unlink()
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise unusable(STATE, state_dir, error) from error
