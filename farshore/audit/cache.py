"""The local copy of one replica's audit files. They are immutable, so each is fetched once and kept for ever.

    <cache_dir>/audit/<repository id>/<replica>/<table>/date=YYYY-MM-DD/*.parquet
    <cache_dir>/audit/<repository id>/<replica>/_columns/<table>/…      an empty file of each table

One folder per replica, so that another replica does not hide files that one has lost or altered. Processes may share a
cache: a file appears whole, by a rename, after its content was checked.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from farshore.audit import names
from farshore.audit.rows import SCHEMA_VERSION
from farshore.audit.schema import PARTITION_COLUMN, TABLES
from farshore.audit.tables import decode_table, encode_empty
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
    """The result of a sync: `root` holds a folder per table; `damaged` says per table what is wrong at the replica."""

    root: Path
    damaged: dict[str, FarshoreError]


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


def sync_tables(store: Store, root: Path, tables: Iterable[str], replica: str) -> Synced:
    """Fetch the files of `tables` that are not here yet; every other table gets its columns and stays as it is.

    A file that is damaged, or that was seen before and is now gone, is no failure of the sync: its table is reported.

    Raises:
        StoreUnavailable, StoreDenied, BucketNotFound: As the store said; what was fetched is kept.
        StoreFull, ConfigInvalid: The cache directory has no space or cannot be used.
    """
    try:
        for table in TABLES:
            (root / table).mkdir(parents=True, exist_ok=True)
            if not columns_file(root, table).exists():
                _write(columns_file(root, table), encode_empty(table))
        damaged = {}
        with ThreadPoolExecutor(AUDIT_DOWNLOADS, thread_name_prefix="audit") as threads:
            for table in sorted(set(tables)):
                trouble = _sync_table(store, root, table, replica, threads)
                if trouble:
                    damaged[table] = trouble
        return Synced(root, damaged)
    except OSError as error:
        raise unusable(CACHE, root, error) from error


def drop_damaged(root: Path, tables: Iterable[str]) -> bool:
    """Remove local files that are not as they were fetched; return whether there were any.

    Raises:
        ObjectCorrupt: A file is as it was fetched and yet cannot be read: somebody planted it.
    """
    found = False
    for name, path in _local_files(root, tables):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # another process has just dropped it
        if names.is_whole(name, data):
            decode_table(names.table_of(name) or "", name, data)
        else:
            path.unlink(missing_ok=True)
            found = True
    return found


def _local_files(root: Path, tables: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for table in sorted(set(tables)):
        for path in sorted((root / table).glob("date=*/*.parquet")):
            yield f"{names.AUDIT}{table}/{path.parent.name}/{path.name}", path


def _sync_table(
    store: Store, root: Path, table: str, replica: str, threads: ThreadPoolExecutor
) -> FarshoreError | None:
    listed = {info.name: info for info in store.list(f"{names.AUDIT}{table}/") if names.table_of(info.name)}
    present = _present(root, table)
    wanted = [info for name, info in listed.items() if present.get(name) != info.size]
    troubles = [trouble for trouble in threads.map(lambda info: _fetch(store, root, info), wanted) if trouble]
    gone = sorted(present.keys() - listed.keys())
    if gone:
        # An audit file is never deleted, so its absence is damage and not an answer of fewer rows.
        troubles.append(
            ObjectNotFound(
                f"{count_of(len(gone), 'audit file of it is', 'audit files of it are')} gone, first {gone[0]}",
                "Query another replica with --replica, and run 'farshore verify' on this one.",
            )
        )
    if not troubles:
        return None
    first = troubles[0]
    more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
    return type(first)(
        f"table {table} at replica {replica}: {first.message}{more}",
        "Query another replica with --replica; the other tables of this one can be queried.",
    )


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


def _fetch(store: Store, root: Path, info: ObjectInfo) -> FarshoreError | None:
    if info.size > AUDIT_FILE_BYTES_MAX:
        return ObjectCorrupt(f"audit file {info.name} has {info.size} bytes, more than any of ours")
    try:
        data = store.get(info.name, bytes_max=object_bytes_max(info.name))
        if len(data) != info.size:
            raise ObjectCorrupt(f"audit file {info.name} has {len(data)} bytes where {info.size} were listed")
        if not names.is_whole(info.name, data):
            raise ObjectCorrupt(f"audit file {info.name} does not have the bytes that its name promises")
    except (ObjectCorrupt, ObjectNotFound) as error:
        return error
    _write(root / info.name.removeprefix(names.AUDIT), data)
    return None


def _write(path: Path, data: bytes) -> None:
    # Not synced to disk: a file cut short by a power cut differs in size from the listing and is fetched again.
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_bytes(data)
    fresh.replace(path)
