"""What single commands make of results: listings, verdicts, exit codes."""

from __future__ import annotations

from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore.cli.backup import known_source, worse
from farshore.cli.diff import SIGNS
from farshore.cli.init import recipient_text
from farshore.cli.ls import is_listed, long_line
from farshore.cli.restore import refuse_occupied
from farshore.cli.status import exit_code_of, state_of, state_shown
from farshore.cli.verify import format_damage
from farshore.config import Config, RepositoryConfig, SqliteConfig
from farshore.errors import ConfigInvalid, SourceMissing, TargetFailed, TargetNotEmpty
from farshore.model import DamagedObject, Entry, EntryKind
from farshore.ops.ask.source_states import SourceState
from farshore.results import ReplicaStatus

WHEN_NS = int(datetime(2026, 11, 21, 5, 0, tzinfo=UTC).timestamp()) * 10**9 + 999


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            Entry(path=b"a", kind=EntryKind.FILE, mode=0o644, user="ann", group="staff", size=12, mtime_ns=WHEN_NS),
            "-rw-r--r--  ann       staff               12  2026-11-21T05:00:00Z  a",
        ),
        (
            Entry(path=b"", kind=EntryKind.DIRECTORY, mode=0o1777, uid=0, gid=12345, mtime_ns=WHEN_NS),
            "drwxrwxrwt  0         12345                0  2026-11-21T05:00:00Z  .",
        ),
        (
            Entry(path=b"l", kind=EntryKind.SYMLINK, mode=0o777, target=b"\xff\n", mtime_ns=-1),
            "lrwxrwxrwx  0         0                    0  1969-12-31T23:59:59Z  l -> \\xff\\n",
        ),
        (
            Entry(path=b"h", kind=EntryKind.HARDLINK, mode=0o4755, target=b"a", mtime_ns=WHEN_NS),
            "-rwsr-xr-x  0         0                    0  2026-11-21T05:00:00Z  h = a",
        ),
        (
            Entry(path=b"null", kind=EntryKind.CHARACTER_DEVICE, mode=0o666, rdev=(1 << 8) | 3, mtime_ns=WHEN_NS),
            "crw-rw-rw-  0         0                  1,3  2026-11-21T05:00:00Z  null",
        ),
    ],
)
def test_a_long_line_reads_like_ls(entry: Entry, line: str) -> None:
    assert long_line(entry) == line


def test_every_kind_of_entry_has_a_letter() -> None:
    assert all(long_line(Entry(path=b"x", kind=kind)) for kind in EntryKind)


def test_a_listing_shows_one_level_unless_asked_for_more() -> None:
    paths = [(b"", "directory"), (b"a", "directory"), (b"a/b", "directory"), (b"a/b/c", "file"), (b"z", "file")]
    entries = [Entry(path=path, kind=EntryKind(kind)) for path, kind in paths]

    def listed(under: bytes, *, recursive: bool = False) -> list[bytes]:
        below = [entry for entry in entries if not under or entry.path == under or entry.path.startswith(under + b"/")]
        return [entry.path for entry in below if is_listed(entry, under, recursive=recursive)]

    assert listed(b"") == [b"a", b"z"]
    assert listed(b"a") == [b"a/b"]
    assert listed(b"a", recursive=True) == [b"a", b"a/b", b"a/b/c"]
    assert listed(b"", recursive=True) == [path for path, _ in paths]
    assert is_listed(entries[4], b"z", recursive=False)


@pytest.mark.parametrize(
    ("codes", "worst"),
    [((0, 0), 0), ((0, 3), 3), ((3, 20), 20), ((22, 11), 22), ((63, 1), 1), ((1, 3), 1), ((21, 3), 21)],
)
def test_the_worst_of_several_exit_codes(codes: tuple[int, int], worst: int) -> None:
    assert worse(*codes) == worst
    assert worse(*reversed(codes)) == worst


def replica(
    name: str = "a", *, reachable: bool = True, snapshots: int = 1, behind: int = 0, clean: bool | None = None
) -> ReplicaStatus:
    return ReplicaStatus(
        replica=name, url="file:///x", region="", reachable=reachable, snapshots=snapshots, behind=behind,
        last_check_clean=clean,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("replicas", "overdue", "code"),
    [
        ([replica(), replica(clean=True)], [], 0),
        ([replica(behind=2), replica()], [], 3),
        ([replica(behind=2), replica(reachable=False)], [], 20),
        ([replica(snapshots=0, behind=2), replica()], [], 84),
        ([replica(snapshots=0), replica(snapshots=0)], [], 3),
        ([replica(reachable=False)], [SourceState("s", allowed=timedelta(1))], 80),
        ([replica()], [SourceState("s", age=timedelta(1), allowed=timedelta(2), incomplete=1)], 3),
        ([replica()], [SourceState("s", age=timedelta(1), allowed=timedelta(2), shrunken=True)], 3),
        ([replica(reachable=False)], [SourceState("s", age=timedelta(9), allowed=timedelta(2), incomplete=3)], 85),
        ([replica()], [SourceState("s", allowed=timedelta(1)), SourceState("t", misdated=True)], 36),
        ([replaced(replica(), clock_skew_s=-301.0)], [], 36),
        ([replaced(replica(), clock_skew_s=299.0)], [], 0),
        ([replica(clean=False), replica(reachable=False)], [SourceState("s", allowed=timedelta(1))], 62),
    ],
)
def test_the_exit_code_of_status_is_the_gravest_state(
    replicas: list[ReplicaStatus], overdue: list[SourceState], code: int
) -> None:
    assert exit_code_of(replicas, overdue) == code


def test_a_replica_is_in_one_state() -> None:
    """Trial F10: a replica that lists nothing is not merely behind."""
    assert state_of(replica(snapshots=0, behind=1)) == "empty"
    assert state_of(replica(reachable=False, behind=1)) == "unreachable"
    assert state_of(replica(clean=False, behind=1)) == "damaged"
    assert state_of(replica(clean=True, behind=1)) == "behind"
    assert (state_of(replica(clean=None)), state_shown(replica(clean=None))) == ("level", "in sync")
    assert state_shown(replica(clean=True, behind=1)) == "behind"


@pytest.mark.parametrize(
    ("age", "allowed", "overdue"),
    [
        (timedelta(hours=1), None, False),
        (timedelta(hours=1), timedelta(hours=1), False),
        (timedelta(hours=2), timedelta(hours=1), True),
        (None, timedelta(hours=1), True),
        (None, None, False),
    ],
)
def test_a_source_is_overdue_past_its_limit_or_without_a_snapshot(
    age: timedelta | None, allowed: timedelta | None, overdue: bool
) -> None:
    assert SourceState("s", age=age, allowed=allowed).overdue is overdue


def test_a_standby_that_is_behind_is_reported_by_its_data() -> None:
    """Trial D12: a copy of a standby that was cut off was fresh."""
    latest, hour = datetime(2026, 11, 21, 5, 0, tzinfo=UTC), timedelta(hours=1)
    behind = SourceState("s", latest, latest - timedelta(hours=29), timedelta(hours=30), hour)
    unknown = SourceState("s", latest, None, None, hour)
    level = SourceState("s", latest, latest, timedelta(minutes=2), hour)
    assert [(one.state, one.overdue, one.behind) for one in (behind, unknown, level)] == [
        ("overdue", True, True),
        ("unknown", True, False),
        ("fresh", False, False),
    ]


def test_damage_is_reported_with_what_it_touches() -> None:
    damaged = DamagedObject(
        replica="vault",
        name="packs/ab/abcd",
        code="altered",
        detail="its bytes hash to another name",
        snapshots=("f" * 32,),
        paths=tuple(b"p%d" % number for number in range(25)),
        paths_total=1200,
    )

    lines = format_damage(damaged)

    assert lines[0] == "vault: packs/ab/abcd is altered: its bytes hash to another name"
    assert lines[1] == "  snapshots: ffffffffffff"
    assert lines[2] == "  path: p0"
    assert lines[-1] == "  and 1,180 more paths"
    assert format_damage(DamagedObject("a", "packs/x", "missing", ""))[-1] == "  no snapshot needs it"


def test_an_unknown_source_names_the_nearest() -> None:
    config = Config(
        repository=RepositoryConfig(quorum=1),
        replicas={},
        sources={"ledger": SqliteConfig(name="ledger", path=Path("/x"))},
        state_dir=Path("/s"),
    )

    assert known_source(config, "ledger") == "ledger"
    with pytest.raises(SourceMissing, match="no source is called 'leger'") as caught:
        known_source(config, "leger")
    assert caught.value.hint == "Did you mean ledger? Configured are: ledger."


def test_a_recipient_is_text_or_a_file_that_holds_it(tmp_path: Path) -> None:
    text = "farshore-recipient-1:abc="
    (tmp_path / "r").write_text(f"# safe\n{text}\n")
    (tmp_path / "empty").touch()

    assert recipient_text(text) == text
    assert recipient_text(str(tmp_path / "r")) == text
    with pytest.raises(ConfigInvalid, match="holds no recipient"):
        recipient_text(str(tmp_path / "empty"))
    with pytest.raises(ConfigInvalid, match="neither a recipient nor a file"):
        recipient_text("somebody")


def test_an_occupied_target_is_refused_before_anything_else(tmp_path: Path) -> None:
    refuse_occupied(tmp_path)
    refuse_occupied(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(TargetNotEmpty):
        refuse_occupied(tmp_path)
    with pytest.raises(TargetFailed, match="Not a directory"):
        refuse_occupied(tmp_path / "file")


def test_every_kind_of_change_has_a_sign() -> None:
    assert set(SIGNS) == {"added", "removed", "modified", "metadata"}
