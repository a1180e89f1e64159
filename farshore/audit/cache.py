"""The local copy of those audit files of one replica that count. They are immutable, so each is fetched once.

    <cache_dir>/audit/<repository id>/<replica>/<table>/date=YYYY-MM-DD/*.parquet
    <cache_dir>/audit/<repository id>/<replica>/_columns/<table>/…      an empty file of each table

One folder per replica, so that another replica does not hide files that one has lost or altered. Processes may share a
cache: a file appears whole, by a rename, after its content was checked. A file that counts no more is removed: engines
read all that is in the folder of a table.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from farshore.audit import names
from farshore.audit.chain import CountedFile
from farshore.audit.evidence import Evidence
from farshore.audit.rights import claim_columns
from farshore.audit.rows import SCHEMA_VERSION, Claim
from farshore.audit.schema import PARTITION_COLUMN, TABLES
from farshore.audit.seal_cache import SealCache
from farshore.audit.tables import claims_in, decode_groups, encode_empty
from farshore.errors import ConfigInvalid, FarshoreError, ObjectCorrupt, ObjectNotFound
from farshore.format.names import object_bytes_max
from farshore.host_resources import CACHE, unusable
from farshore.limits import AUDIT_DOWNLOADS, AUDIT_FILE_BYTES_MAX
from farshore.plural import count_of
from farshore.stores.base import ObjectInfo, Store

# Apart from the real files, because some engines answer min(date) from the names of files, empty or not.
_COLUMNS_FILE = f"date=1970-01-01/{SCHEMA_VERSION}.parquet"


@dataclass(frozen=True, slots=True)
class Synced:
    """The result of a sync: `root` holds a folder per table; `damaged` says per table what is wrong at the replica.

    `unused`: names of files that are there and are not used, because nobody vouches for them who may say their rows.
    """

    root: Path
    damaged: dict[str, FarshoreError]
    unused: tuple[str, ...] = ()


def cache_root(cache_dir: Path, repository_id: str, replica: str) -> Path:
    """Return the folder of one replica of one repository.

    Raises:
        ConfigInvalid: A folder on the way has the name of a partition, which engines would read as ours.
    """
    if any(part.startswith(f"{PARTITION_COLUMN}=") for part in cache_dir.absolute().parts):
        raise ConfigInvalid(
            f"the cache directory {cache_dir} lies below a folder called {PARTITION_COLUMN}=…",
            "Point it at a directory of another name.",
        )
    return cache_dir.absolute() / "audit" / repository_id / f"_{quote(replica, safe='')}"


def columns_file(root: Path, table: str) -> Path:
    """Return the empty file of a table, by which engines know the columns of a table that has no file yet."""
    return root / "_columns" / table / _COLUMNS_FILE


def data_files(root: Path, table: str) -> str | None:
    """Return the pattern that matches the files of a table, or None when there is none."""
    if next((root / table).glob("date=*/*.parquet"), None) is None:
        return None
    return f"{glob.escape(str(root / table))}/date=*/*.parquet"


def sync_tables(store: Store, root: Path, tables: Iterable[str], replica: str, evidence: Evidence | None) -> Synced:
    """Fetch the files of `tables` that count and are not here yet; every other table gets its columns.

    A file that is damaged, or that a seal names and that is gone, is no failure of the sync: its table is reported.
    `evidence` was read before, or files that a run put meanwhile would look lost; None where there are no `tables`.

    Raises:
        StoreUnavailable, StoreDenied, BucketNotFound: As the store said; what was fetched is kept.
        StoreFull, ConfigInvalid: The cache directory has no space or cannot be used.
    """
    try:
        for table in TABLES:
            (root / table).mkdir(parents=True, exist_ok=True)
            if not columns_file(root, table).exists():
                _write(columns_file(root, table), encode_empty(table))
        if evidence is None:
            return Synced(root, {})
        damaged = {}
        unused: list[str] = []
        with ThreadPoolExecutor(AUDIT_DOWNLOADS, thread_name_prefix="audit") as threads:
            for table in sorted(set(tables)):
                syncing = _Syncing(store, root, table, replica, evidence)
                trouble = syncing.sync(threads)
                unused += syncing.unused
                if trouble:
                    damaged[table] = trouble
        evidence.cache.save()
        return Synced(root, damaged, tuple(unused))
    except OSError as error:
        raise unusable(CACHE, root, error) from error


def drop_damaged(root: Path, tables: Iterable[str], cache: SealCache) -> bool:
    """Remove local files that cannot be read; return whether there were any.

    One that is as it was fetched was sealed like that by its signer: `cache` has it refused from now on.
    """
    found = False
    for name, path in local_files(root, tables):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # another process has just dropped it
        if names.is_whole(name, data):
            try:
                for _ in decode_groups(names.table_of(name) or "", name, data):
                    pass
                continue
            except ObjectCorrupt:
                cache.claims[name] = None
                cache.changed = True
        path.unlink(missing_ok=True)
        found = True
    cache.save()
    return found


def local_files(root: Path, tables: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield name and place of the files of tables that are here: after a sync, those that count at the replica."""
    for table in sorted(set(tables)):
        for path in sorted((root / table).glob("date=*/*.parquet")):
            yield f"{names.AUDIT}{table}/{path.parent.name}/{path.name}", path


@dataclass
class _Syncing:
    """One table of one replica."""

    store: Store
    root: Path
    table: str
    replica: str
    evidence: Evidence
    unused: list[str] = field(default_factory=list)

    def sync(self, threads: ThreadPoolExecutor) -> FarshoreError | None:
        """Make the local folder hold the files that count; return what is wrong with them at the replica."""
        listed = {info.name: info for info in self.store.list(f"{names.AUDIT}{self.table}/")}
        listed = {name: info for name, info in listed.items() if names.table_of(name)}
        counted = {name: one for name, one in self.evidence.counted.files.items() if names.table_of(name) == self.table}
        present = _present(self.root, self.table)
        wanted = [
            (info, counted[name])
            for name, info in listed.items()
            if name in counted and present.get(name) != info.size and self.evidence.may_count(name)
        ]
        troubles = [one for one in threads.map(lambda each: self._fetch(*each), wanted) if one]
        refused = {name for name in counted if name in listed and self._claims_more(name)}
        self.unused = sorted(listed.keys() - (counted.keys() - refused) - self.evidence.counted.spare)
        lost = (present.keys() & self.evidence.known) - counted.keys() - listed.keys()
        for name in present.keys() - (counted.keys() - refused) - lost:
            _local(self.root, name).unlink(missing_ok=True)
        missing = {name for name in counted.keys() - listed.keys() if not counted[name].revoked}
        gone = sorted(missing | lost)  # of `lost` the seal is gone, too
        if gone:
            # An audit file is never deleted, so its absence is damage and not an answer of fewer rows.
            troubles.append(
                ObjectNotFound(
                    f"{count_of(len(gone), 'audit file of it is', 'audit files of it are')} gone, first {gone[0]}"
                    f"{_sealed_by(counted.get(gone[0]))}",
                    "Query another replica with --replica, and run 'farshore verify' on this one.",
                )
            )
        if not troubles:
            return None
        first = troubles[0]
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        return type(first)(
            f"table {self.table} at replica {self.replica}: {first.message}{more}",
            "Query another replica with --replica; the other tables of this one can be queried.",
        )

    def _claims_more(self, name: str) -> bool:
        """Whether a file has rows that nobody who sealed it may say, or no rows of its table."""
        if name not in self.evidence.cache.claims and claim_columns(self.table):
            try:
                self._learn(name, _local(self.root, name).read_bytes())
            except OSError:
                return False  # it is not here, or cannot be read: that is reported in another place
        return not self.evidence.may_count(name)

    def _learn(self, name: str, data: bytes) -> None:
        claims: tuple[Claim, ...] | None
        try:
            claims = tuple(claims_in(self.table, name, data))
        except ObjectCorrupt:
            claims = None  # its signer sealed bytes that are no rows, which is no damage of the replica
        if claims is None or claim_columns(self.table):
            self.evidence.cache.claims[name] = claims
            self.evidence.cache.changed = True

    def _fetch(self, info: ObjectInfo, one: CountedFile) -> FarshoreError | None:
        if info.size > AUDIT_FILE_BYTES_MAX:
            return ObjectCorrupt(f"audit file {info.name} has {info.size} bytes, more than any of ours")
        try:
            data = self.store.get(info.name, bytes_max=object_bytes_max(info.name))
            if len(data) != info.size:
                raise ObjectCorrupt(f"audit file {info.name} has {len(data)} bytes where {info.size} were listed")
            if not one.is_whole(data):
                raise ObjectCorrupt(f"audit file {info.name} does not have the bytes that were sealed")
            self._learn(info.name, data)
            if not self.evidence.may_count(info.name):
                return None
        except (ObjectCorrupt, ObjectNotFound) as error:
            return error
        _write(_local(self.root, info.name), data)
        return None


def _sealed_by(one: CountedFile | None) -> str:
    """Return who says that a file was there, as the end of a message."""
    hosts = sorted({certificates[-1].host for certificates in one.signers}) if one else []
    return f" (sealed by {', '.join(hosts)})" if hosts else ""


def _local(root: Path, name: str) -> Path:
    return root / name.removeprefix(names.AUDIT)


def _present(root: Path, table: str) -> dict[str, int]:
    found = {}
    for folder in sorted((root / table).glob("date=*")):
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{names.AUDIT}{table}/{folder.name}/{entry.name}"
                if names.table_of(name):
                    with suppress(FileNotFoundError):  # another process may have dropped a spoilt one
                        found[name] = entry.stat().st_size
    return found


def _write(path: Path, data: bytes) -> None:
    # Not synced to disk: a file cut short by a power cut differs in size from the listing and is fetched again.
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_bytes(data)
    fresh.replace(path)
