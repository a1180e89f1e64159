"""Collects the audit rows of runs, seals them into the writer's chain, and gives them to every replica."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from farshore.audit import names
from farshore.audit.folds import Fold
from farshore.audit.outbox import Flush, Head, Outbox
from farshore.audit.own_chain import MadeCommit, Sealer, chain_dir, changed_heads, head_after, left_out
from farshore.audit.privacy import without_paths
from farshore.audit.rows import TABLE_OF_ROW, AuditRow
from farshore.audit.schema import TABLES
from farshore.audit.seals import Seal, SealedFile, decode_seal, make_seal, signature_holds
from farshore.audit.tables import Stamp, encode_rows
from farshore.clock import Clock
from farshore.errors import (
    Bug,
    Conflict,
    Corrupt,
    FarshoreError,
    NotFound,
    ObjectCorrupt,
    StoreUnavailable,
    Unsupported,
)
from farshore.format.names import hash_of, object_bytes_max
from farshore.limits import AUDIT_FILE_ROWS_MAX, AUDIT_SEALS_UNNAMED_MAX
from farshore.replicas import FirstBug, LifeSign, ask_all
from farshore.replicas.put_all import put_together
from farshore.stores.base import AsksAhead, Store

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class AuditWritten:
    """The outcome of writing the audit rows of one run.

    `objects`: the names of the run's audit files and seals. `replicas`: by name, empty where the replica now has
    everything, else `code: message`; what it lacks is kept on this host and sent with the next flush. `head`: the
    chain, and sequence and hash of the seal that this flush made; empty where it made none.
    `daily`: it is the daily seal of its chain.
    """

    objects: tuple[str, ...]
    replicas: dict[str, str]
    head: tuple[str, int, str] = ("", 0, "")
    daily: bool = False

    @property
    def failed(self) -> tuple[str, ...]:
        """The replicas that lack something."""
        return tuple(name for name, error in self.replicas.items() if error)


@dataclass
class _Run:
    """The rows of one run that are not sealed yet, and the names of its objects that are."""

    rows: dict[str, list[AuditRow]] = field(default_factory=lambda: defaultdict(list))
    encoded: list[tuple[str, bytes]] = field(default_factory=list)
    commits: list[MadeCommit] = field(default_factory=list)
    objects: tuple[str, ...] = ()
    head: tuple[str, int, str] = ("", 0, "")
    daily: bool = False
    fold: Fold | None = None


class AuditRecorder:
    """Holds rows until `flush`, then writes them to all replicas. Safe for use from many threads.

    Args:
        stores: The replicas that are open, by name; a retry within one request is their wrappers' business.
        chain_id: That of this host and signer, see `own_chain.open_chain_id`.
        state_dir: The host's state directory; everything is below `audit/<repository id>/<chain id>` in it.
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
        sealer: Sealer,
        chain_id: str,
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
        self._sealer = sealer
        self._chain_id = chain_id
        self._outbox = Outbox(chain_dir(state_dir, repository_id, chain_id))
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

    def add_commit(self, run_id: str, commit: MadeCommit) -> None:
        """Have the next daily seal cover a commit of this signer, whose needs are in rows of this run."""
        with self._lock:
            self._runs[run_id].commits.append(commit)

    def add_fold(self, run_id: str, fold: Fold, files: Iterable[tuple[str, bytes]]) -> None:
        """Have the next seal be that of a fold, over these files by name and no rows: call `flush` right after it."""
        with self._lock:
            run = self._runs[run_id]
            if run.encoded or any(run.rows.values()):
                raise Bug("a fold was added beside rows")
            run.fold = fold
            run.encoded += files

    def ask_ahead(self) -> None:
        """Have services look for a seal of this chain that this host does not know, which `flush` waits for."""
        known = self._outbox.head()
        for store in self._stores.values() if known is not None else ():
            if known is not None and isinstance(store, AsksAhead):
                store.ask_ahead((names.seal_subject(self._chain_id, known.sequence + 1),))

    def move(self, chain_id: str, state_dir: Path) -> None:
        """Seal what is not sealed yet into another chain, where the first one's place cannot be kept."""
        self._chain_id = chain_id
        self._outbox = Outbox(chain_dir(state_dir, self._repository_id, chain_id))
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
            if run.encoded or run.fold is not None:
                self._seal(run_id, run)
        made = run or _Run()
        return AuditWritten(made.objects, self._send(), made.head, made.daily)

    def _encode(self, run: _Run, run_id: str, table: str, rows: list[AuditRow]) -> None:
        recorded_utc = self._clock.now_utc()
        data = encode_rows(table, rows, Stamp(self._repository_id, recorded_utc))
        with self._lock:
            run.encoded.append((names.file_name(table, recorded_utc.date(), run_id, data), data))

    def _seal(self, run_id: str, run: _Run) -> None:
        with self._outbox.locked():
            with self._lock:
                files = list(run.encoded)
            if not files and run.fold is None:
                return  # another thread has just sealed them
            with self._lock:
                commits = tuple(run.commits)
            before, now_utc = self._sure_head(), self._clock.now_utc()
            covers = self._covers(before, now_utc, [one.hash for one in commits])
            # A daily seal has all heads: the seal that had one first may have been deleted together with what it named.
            heads = changed_heads(before if covers is None else Head(), self._sealer.seen, self._chain_id)
            unsigned = Seal(
                chain=self._chain_id,
                sequence=before.sequence + 1,
                previous=before.digest,
                run_id=run_id,
                sealed_utc=now_utc,
                files=tuple(SealedFile(name, len(data), hash_of(data)) for name, data in files),
                log=self._sealer.log,
                heads=heads,
                covers=covers,
                fold=run.fold,
            )
            seal, stored = make_seal(unsigned, self._sealer.key, self._sealer.fingerprint)
            files.append((seal.name, stored))
            self._outbox.add(head_after(before, seal, commits, self._sealer), files, self._replicas)
        with self._lock:
            del run.encoded[: len(files) - 1]
            del run.commits[: len(commits)]
            run.fold = None
            run.objects += tuple(name for name, _ in files)
            run.head = (seal.chain, seal.sequence, seal.hash)
            run.daily = covers is not None

    def _covers(self, before: Head, now_utc: datetime, commits: Collection[str]) -> tuple[str, ...] | None:
        """Return what the seal covers where it is the first of its UTC day, which is signed by both algorithms."""
        if before.daily == now_utc.date().isoformat():
            return None
        uncovered = before.uncovered
        if uncovered is None:
            uncovered = tuple(self._uncovered_at_replicas(before))
        return tuple(sorted({*uncovered, *commits, *left_out(before, self._sealer, now_utc)}))

    def _sure_head(self) -> Head:
        # A host that lost its state, or was set back to an older one, would seal two flushes at one place.
        known = self._outbox.head()
        if self._head_is_sure and known is not None:
            return known
        if known is None or self._is_anywhere(names.seal_subject(self._chain_id, known.sequence + 1)):
            known = self._head_at_replicas(known or Head(uncovered=None))
        self._head_is_sure = True
        return known

    def _is_anywhere(self, subject: str) -> bool:
        def has_seal(replica: str) -> bool:
            return any(True for _ in self._stores[replica].list(subject))

        answers, _ = self._ask_all(has_seal)  # of replicas that are away or deny it, what this host knows has to do
        return any(answers.values())

    def _head_at_replicas(self, known: Head) -> Head:
        heads, failed = self._ask_all(lambda replica: self._newest_seal(self._stores[replica], known.sequence))
        if failed and not heads:
            first = next(iter(failed.values()))
            raise StoreUnavailable(f"no replica says which audit seal was the last of this host: {first}")
        return max([known, *heads.values()], key=lambda head: head.sequence)

    def _newest_seal(self, store: Store, after: int) -> Head:
        """Return the newest seal of this chain at a replica; anybody may have put others under its names."""
        listed = [names.parse_seal(info.name) for info in store.list(names.seals_of_chain(self._chain_id))]
        later = [one for one in listed if one and one.sequence > after]
        for place in sorted(later, key=lambda one: one.sequence, reverse=True)[:AUDIT_SEALS_UNNAMED_MAX]:
            seal = self._own_seal(store, place.name)
            if seal is not None:
                return Head(seal.sequence, seal.hash, uncovered=None)
        if len(later) > AUDIT_SEALS_UNNAMED_MAX:
            raise ObjectCorrupt(f"too many objects that are no seals have names of chain {self._chain_id}")
        return Head(uncovered=None)

    def _own_seal(self, store: Store, name: str) -> Seal | None:
        key = self._sealer.key.verify_key
        try:
            seal, text = decode_seal(name, store.get(name, bytes_max=object_bytes_max(name)))
        except (Corrupt, NotFound, Unsupported):
            return None
        fingerprints = (self._sealer.fingerprint, *self._sealer.past)
        own = seal.signer == key.signer_id
        return seal if own and any(signature_holds(seal, text, key, one) for one in fingerprints) else None

    def _find_own_seal(self, name: str) -> Seal | None:
        answers, _ = self._ask_all(lambda replica: self._own_seal(self._stores[replica], name))
        return next((one for one in answers.values() if one is not None), None)

    def _uncovered_at_replicas(self, head: Head) -> list[str]:
        """Return the seals of this chain since its newest daily seal, as far as the replicas show them."""
        found: list[str] = []
        sequence, seal_hash = head.sequence, head.digest
        while sequence:
            name = names.seal_name(self._chain_id, sequence, seal_hash)
            seal = self._find_own_seal(name)
            if seal is None or seal.covers is not None:
                break
            found.append(seal.hash)
            sequence, seal_hash = seal.sequence - 1, seal.previous
        return found

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
                self._put(replica, store, flush)
            except FileNotFoundError:
                continue  # another process of this host has just sent it
            except FarshoreError as error:
                trouble = f"{error.code}: {error.message}"
                if not isinstance(error, Conflict):
                    break  # this replica is away: the rows stay for the next flush
                # Other bytes are there under a name of ours: no retry can mend that, and verify reports it.
            flush.done(replica)
        return trouble

    def _put(self, replica: str, store: Store, flush: Flush) -> None:
        """Put the files of a flush, and then the seal that names them."""
        *files, (seal, seal_path) = flush.contents()
        paths, alive = dict(files), self._alive
        put_together(
            store, paths, lambda name: store.put(name, paths[name].read_bytes()), clock=self._clock,
            alive=(lambda _: alive(replica)) if alive is not None else None, first_bug=self._first_bug,
        )  # fmt: skip
        store.put(seal, seal_path.read_bytes())
