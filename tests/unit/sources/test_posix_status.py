"""Numbers that a file system can hold and a snapshot cannot: the file is kept, and its owner told (trial F2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.format.manifest import ManifestRow, rows_to_table, table_to_rows
from farshore.model import EntryKind
from farshore.sources.directory.metadata import MetadataReader
from farshore.sources.directory.walking_protocol import COUNT, RECORD, encode_names
from farshore.sources.posix_status import EARLIEST_NS, LATEST_NS, KnownStatus, fit, what_is_lost

REGULAR = 0o100644
TIMES = st.integers(-(2**63) * 10**9, 2**63 * 10**9)  # what a count of seconds in 64 bits can say
UNSIGNED = st.integers(0, 2**64 - 1)
IDS = st.integers(-1, 2**32 - 1)
STATUSES = st.builds(
    KnownStatus,
    st.just(REGULAR),
    IDS,
    IDS,
    UNSIGNED,
    st.integers(-1, 2**63 - 1),
    TIMES,
    TIMES,
    UNSIGNED,
    UNSIGNED,
    UNSIGNED,
)


@settings(deadline=None)
@given(status=STATUSES)
def test_whatever_a_file_system_says_a_manifest_holds(status: KnownStatus) -> None:
    """Trial F2: of no name may the numbers stop the backup of all others."""
    reported: list[tuple[bytes, str, str]] = []
    reader = MetadataReader(report=lambda *problem: reported.append(problem))
    entry = reader.entry(b"f", EntryKind.FILE, fit(status))
    assert list(table_to_rows(rows_to_table([ManifestRow(entry)]))) == [ManifestRow(entry)]
    if status == fit(status):
        assert (entry.uid, entry.gid, entry.size, entry.mtime_ns) == (
            status.st_uid,
            status.st_gid,
            status.st_size,
            status.st_mtime_ns,
        )


@settings(deadline=None)
@given(status=STATUSES.filter(lambda status: status.st_nlink < 2**63 and status.st_size >= 0))
def test_a_walking_process_tells_what_the_backup_itself_would(status: KnownStatus) -> None:
    reported: list[tuple[bytes, str, str]] = []
    reader = MetadataReader(report=lambda *problem: reported.append(problem))
    here = reader.entry(b"f", EntryKind.FILE, status, listed=True)
    count, record, path, _ = encode_names(
        [(b"f", EntryKind.FILE, status, b"")], lambda *problem: reported.append(problem)
    )
    *numbers, _, _ = RECORD.unpack(record)
    assert COUNT.unpack(count) == (1,)
    assert reader.entry(path, EntryKind.FILE, KnownStatus(*numbers), listed=True) == here
    assert len(reported) == 2 * bool(what_is_lost(status))
    assert reported[:1] == reported[1:]


@pytest.mark.parametrize(
    ("time_ns", "kept_ns", "reported"),
    [
        (LATEST_NS, LATEST_NS, ""),
        (EARLIEST_NS, EARLIEST_NS, ""),
        (LATEST_NS + 1, LATEST_NS, "its time (in the year 2262) is kept as the latest that a snapshot can hold"),
        (
            9_246_182_400 * 10**9,
            LATEST_NS,
            "its time (in the year 2263) is kept as the latest that a snapshot can hold",
        ),
        (
            -14_831_769_600 * 10**9,
            EARLIEST_NS,
            "its time (in the year 1500) is kept as the earliest that a snapshot can hold",
        ),
        (
            -(10**12) * 10**9,
            EARLIEST_NS,
            "its time (in the year -29719) is kept as the earliest that a snapshot can hold",
        ),
    ],
)
def test_a_time_is_kept_as_the_nearest_there_is(time_ns: int, kept_ns: int, reported: str) -> None:
    status = KnownStatus(REGULAR, 0, 0, 1, 3, time_ns, time_ns, 1, 1, 0)
    assert (fit(status).st_mtime_ns, fit(status).st_ctime_ns) == (kept_ns, kept_ns)
    assert what_is_lost(status) == reported
