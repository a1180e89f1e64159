"""The golden repository of format version 1 opens, lists, verifies and restores, for ever; damage is named.

Every damage has a name, and what must come of it: the error of opening, the findings of verify, the outcome of
restores. The committed files are only ever copied.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.contents import iterate_rows
from farshore.catalog.snapshots import Snapshot, list_snapshots, resolve_snapshot
from farshore.check_results import VerifyResult
from farshore.errors import (
    FarshoreError,
    FeatureMissing,
    FormatTooNew,
    HeaderDamaged,
    ObjectCorrupt,
    ObjectNotFound,
    ObjectTooLarge,
    RepositoryMismatch,
    RepositoryMissing,
    RestoreIncomplete,
    SnapshotUnknown,
    WrongPassphrase,
)
from farshore.format import encode_canonical, names
from farshore.format.extents import decode_extents
from farshore.format.header import check_of, decode_header
from farshore.model import HOLE
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.verify.verify import verify_repository
from farshore.replicas.repository import Repository
from farshore.run import Run
from tests.golden.regenerate import (
    PASSPHRASE,
    STARTED_UTC,
    change_tree,
    configure,
    describe_row,
    golden_tree,
    make_database,
)
from tests.unit.ops.engine import flipped, tree
from tests.unit.replicas.clocks import StillClock

VERSION_1 = Path(__file__).parent / "v1"
EXPECTED: dict[str, Any] = json.loads((VERSION_1 / "expected.json").read_text(encoding="ascii"))
FINGERPRINT = blake3((VERSION_1 / "replica/farshore.json").read_bytes()).hexdigest()
COMMIT = "commit"
LATER_S = 365 * 86400.0


@dataclass
class Golden:
    """A copy of the golden repository, and objects in it by what they are."""

    root: Path
    clock: StillClock = field(default_factory=lambda: StillClock(moment_utc=STARTED_UTC, seed=7))

    @property
    def replica(self) -> Path:
        return self.root / "replica"

    def open(self, need: Need = Need.READ) -> Repository:
        config = configure(self.root, state_dir=self.root / "state")
        quick = replace(  # Argon2 is slow on purpose; an identity needs the fingerprint that was written down
            config, repository=replace(config.repository, passphrase=None, fingerprint=FINGERPRINT)
        )
        return open_repository(quick, need=need, clock=self.clock)

    def named(self, prefix: str, ending: str = "") -> list[Path]:
        """Objects in order of name; of snapshots, those of `home` from old to new."""
        found = [path for path in sorted((self.replica / prefix).rglob("*")) if path.is_file()]
        return [path for path in found if path.name.endswith(ending)]

    def of_snapshot(self, number: int, role: str) -> Path:
        """The commit of a snapshot, or the newest run of a role that it names."""
        wanted = EXPECTED["snapshots"][number]["snapshot"]
        (path,) = [path for path in self.named("snapshots") if path.name.startswith(f"{wanted}-")]
        if role == COMMIT:
            return path
        commit = json.loads((VERSION_1 / "replica" / path.relative_to(self.replica)).read_bytes().split(b"\n")[0])
        return self.replica / names.run(commit["runs"][role][-1]["blake3"])

    def packs(self) -> list[Path]:
        """Packs by size: the last holds the first snapshot of `home`, the one before it the second."""
        return sorted(self.named("packs"), key=lambda path: path.stat().st_size)

    def verify(self) -> VerifyResult:
        with self.open() as repository:
            return verify_repository(repository, read_data_percent=100.0, run=Run.start(self.clock))

    def restore(self, number: int) -> dict[bytes, bytes | None]:
        target = self.root / f"restored-{number}"
        with self.open() as repository:
            restore_snapshot(repository, self._snapshot(repository, number), target, run=Run.start(self.clock))
        return tree(target)

    @staticmethod
    def _snapshot(repository: Repository, number: int) -> Snapshot:
        return resolve_snapshot(repository, EXPECTED["snapshots"][number]["snapshot"])


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    shutil.copytree(VERSION_1, tmp_path / "v1")
    for path in (tmp_path / "v1").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / "v1/identity.json").chmod(0o600)  # Git keeps no modes
    copy = Golden(tmp_path / "v1")
    copy.clock.advance(LATER_S)
    return copy


@pytest.fixture(scope="module")
def contents() -> list[dict[bytes, bytes | None]]:
    """What the two snapshots of `home` must restore to."""
    clock = StillClock(moment_utc=STARTED_UTC)
    source = golden_tree(clock)
    first = source.contents()
    change_tree(source, clock)
    return [first, source.contents()]


@pytest.fixture(autouse=True, scope="module")
def committed_files_are_never_touched() -> Iterator[None]:
    def state() -> dict[str, str]:
        files = [path for path in VERSION_1.rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    yield
    assert state() == before


def test_its_objects_are_those_that_were_made() -> None:
    objects = [path for path in (VERSION_1 / "replica").rglob("*") if path.is_file()]
    hashes = {
        str(path.relative_to(VERSION_1 / "replica")): hashlib.sha256(path.read_bytes()).hexdigest() for path in objects
    }
    assert hashes == EXPECTED["objects"]
    assert sum(path.stat().st_size for path in VERSION_1.rglob("*") if path.is_file()) < 400_000


def test_the_passphrase_opens_it(golden: Golden) -> None:
    (golden.root / "identity.json").unlink()
    config = configure(golden.root, state_dir=golden.root / "state")
    config = replace(config, repository=replace(config.repository, identity=None))
    with open_repository(config, need=Need.READ, clock=golden.clock) as repository:
        assert repository.repository_id == EXPECTED["repository"]
        assert repository.reading_keys().can_read
    with pytest.raises(WrongPassphrase):
        open_repository(replace(config, environment={"GOLDEN": PASSPHRASE + " "}), need=Need.READ, clock=golden.clock)


def test_every_entry_is_listed_as_it_was(golden: Golden) -> None:
    with golden.open() as repository:
        snapshots = list_snapshots(repository)
        assert [one.snapshot_id for one in snapshots] == [one["snapshot"] for one in EXPECTED["snapshots"]]
        for one, expected in zip(snapshots, EXPECTED["snapshots"], strict=True):
            assert (one.source, one.kind) == (expected["source"], expected["kind"])
            assert one.started_utc.isoformat() == expected["started_utc"]
            assert [describe_row(row) for row in iterate_rows(repository, one)] == expected["entries"]


def test_it_verifies_clean(golden: Golden) -> None:
    result = golden.verify()
    assert result.clean, result.damaged
    assert result.snapshots == 3


def test_every_snapshot_restores(golden: Golden, tmp_path: Path, contents: list[dict[bytes, bytes | None]]) -> None:
    assert [golden.restore(0), golden.restore(1)] == contents
    restored = golden.restore(2)
    path = tmp_path / "restored.db"
    path.write_bytes(restored[b"ledger.db"] or b"")
    make_database(tmp_path / "original.db")
    queries = [sqlite3.connect(name) for name in (path, tmp_path / "original.db")]
    rows = [database.execute("SELECT * FROM ledger").fetchall() for database in queries]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 50
    for database in queries:
        database.close()


def test_metadata_is_restored(golden: Golden) -> None:
    golden.restore(0)
    top = golden.root / "restored-0"
    assert (top / "documents" / "script").stat().st_mode & 0o7777 == 0o4755
    assert (top / "documents").stat().st_mode & 0o7777 == 0o2750
    assert (top / "fifo").is_fifo()
    assert (top / "zz-second-name").samefile(top / "documents" / "letter.txt")
    assert (top / "sparse").stat().st_blocks * 512 < 1_000_000
    for entry in EXPECTED["snapshots"][0]["entries"]:
        if entry["kind"] == "file":
            path = Path(str(top)) / bytes.fromhex(entry["path"]).decode("utf-8", "surrogateescape")
            assert path.stat().st_mtime_ns == entry["mtime_ns"]


def test_a_backup_into_it_finds_every_chunk(golden: Golden) -> None:
    """Ids of chunks and cut points are promises: with other ones everything would be stored a second time."""
    clock = StillClock(moment_utc=STARTED_UTC)
    source = golden_tree(clock)
    source.name = "again"
    golden.clock.moment_utc = datetime.now(UTC)  # the directory stamps what is put with the real time
    with golden.open() as repository:
        result = run_backup(repository, source, run=Run.start(golden.clock))
    assert result.counts.bytes_new == 0
    assert result.counts.bytes_read > 2_000_000
    assert golden.verify().clean


def test_only_changed_pages_were_stored(golden: Golden) -> None:
    """By file and exactly, because the keys of the repository decide how long the last chunk of the log is."""
    with golden.open() as repository:
        first, second = list_snapshots(repository)[:2]
        before, after = (
            {row.entry.path: decode_extents(row.extents) for row in iterate_rows(repository, one)}
            for one in (first, second)
        )
    known = {HOLE, *(extent.chunk for extents in before.values() for extent in extents)}
    new = {
        path: sum(one.length for one in extents if one.chunk not in known) for path, extents in after.items() if extents
    }
    assert first.counts.bytes_new > 2_000_000
    assert second.counts.bytes_new == sum(new.values())
    assert new.pop(b"disk.img") == 3 * 4096
    assert new.pop(b"large.log") == after[b"large.log"][-1].length
    assert sum(new.values()) < 6_000, "small files"


def test_a_feature_that_may_be_ignored_is(golden: Golden) -> None:
    """What signatures and fingerprint cover is another header, though; so it is only read."""
    alter(header, rewritten(lambda one: one["features"].update(may_ignore=["tides"])))(golden)
    assert decode_header(header(golden).read_bytes(), "here").may_ignore == ("tides",)


# --- damage ----------------------------------------------------------------------------------------------------------

Apply = Callable[[Golden], None]


@dataclass(frozen=True)
class Damage:
    """What is done to a copy, and what must come of it.

    `opens`: the error of opening. `finds`: what verify says, as (start of the object's name, code). `restores`: for
    each of the two snapshots of `home`, the error of restoring it, or None when it comes back whole.
    """

    apply: Apply
    opens: type[FarshoreError] | None = None
    finds: frozenset[tuple[str, str]] = frozenset()
    restores: tuple[type[FarshoreError] | None, type[FarshoreError] | None] = (None, None)


def alter(pick: Callable[[Golden], Path], change: Callable[[bytes], bytes]) -> Apply:
    def apply(golden: Golden) -> None:
        path = pick(golden)
        path.write_bytes(change(path.read_bytes()))

    return apply


def lose(pick: Callable[[Golden], Path]) -> Apply:
    return lambda golden: pick(golden).unlink()


def swap(one: Callable[[Golden], Path], other: Callable[[Golden], Path]) -> Apply:
    def apply(golden: Golden) -> None:
        first, second = one(golden), other(golden)  # found before anything changes: packs are told apart by size
        first_bytes, second_bytes = first.read_bytes(), second.read_bytes()
        first.write_bytes(second_bytes)
        second.write_bytes(first_bytes)

    return apply


def each(*parts: Apply) -> Apply:
    def apply(golden: Golden) -> None:
        for part in parts:
            part(golden)

    return apply


def header(golden: Golden) -> Path:
    return golden.replica / names.HEADER


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """A header or slot as a later or hostile writer would make it, with a check that holds."""

    def rewrite(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return encode_canonical({**value, "check": check_of(value)})

    return rewrite


def flip(at: int | None = None) -> Callable[[bytes], bytes]:
    return lambda data: flipped(data, (len(data) // 2 if at is None else at) % len(data))


def cut(data: bytes) -> bytes:
    return data[:-5]


def first_pack(golden: Golden) -> Path:
    return golden.packs()[-1]


def second_pack(golden: Golden) -> Path:
    return golden.packs()[-2]


def manifest(number: int) -> Callable[[Golden], Path]:
    return lambda golden: golden.of_snapshot(number, names.MANIFEST)


def role(number: int, which: str) -> Callable[[Golden], Path]:
    return lambda golden: golden.of_snapshot(number, which)


def passphrase_slot(golden: Golden) -> Path:
    return slot_of(golden, "passphrase")[0]


def slot_of(golden: Golden, kind: str) -> list[Path]:
    """The slots of a reader of one kind."""
    marks = (f'"kind":"{kind}"'.encode(), b'"role":"reader"')
    return [path for path in golden.named("keys/slots") if all(mark in path.read_bytes() for mark in marks)]


def every_slot(change: Callable[[bytes], bytes] | None) -> Callable[[Golden], None]:
    def apply(golden: Golden) -> None:
        for path in golden.named("keys/slots"):
            data = path.read_bytes()
            path.unlink()
            if change is not None:
                path.write_bytes(change(data))

    return apply


def of_later_version(data: bytes) -> bytes:
    return data.replace(b'"version":1', b'"version":2')


def data_key(number: int) -> Callable[[Golden], Path]:
    """The data key of a snapshot's run, as its manifest's header names it."""

    def pick(golden: Golden) -> Path:
        key_id = golden.of_snapshot(number, names.MANIFEST).read_bytes()[8:24].hex()
        (path,) = golden.named(f"keys/data/{key_id}")
        return path

    return pick


def every_fragment(golden: Golden) -> None:
    for path in golden.named("index"):
        path.unlink()


def overwrite_leases(golden: Golden) -> None:
    for path in golden.named("leases"):
        path.write_bytes(b"x")


def add_foreign_objects(golden: Golden) -> None:
    for name in ("README", "packs/x", "index/y", "snapshots/z"):
        (golden.replica / name).write_bytes(b"not one of ours")


def found(*pairs: tuple[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(pairs)


DAMAGES = {
    # the header and the key slots
    "header-missing": Damage(lose(header), RepositoryMissing),
    "header-empty": Damage(alter(header, lambda _: b""), HeaderDamaged),
    "header-not-json": Damage(alter(header, lambda data: data[:100]), HeaderDamaged),
    "header-flipped": Damage(alter(header, flip(60)), HeaderDamaged),
    "header-of-a-newer-version": Damage(alter(header, rewritten(lambda one: one.update(version=2))), FormatTooNew),
    "header-with-a-feature-that-must-be-understood": Damage(
        alter(header, rewritten(lambda one: one["features"].update(must_understand=["erasure-coding"]))), FeatureMissing
    ),
    "header-with-another-cutter": Damage(
        alter(header, rewritten(lambda one: one["chunking"].update(algorithm="rabin"))), FeatureMissing
    ),
    "header-exchanged": Damage(
        alter(header, rewritten(lambda one: one["owner"].update(ed25519=base64.b64encode(bytes(32)).decode()))),
        RepositoryMismatch,
    ),
    "slots-missing": Damage(every_slot(None), HeaderDamaged),
    "slots-flipped": Damage(every_slot(flip()), HeaderDamaged),
    "log-missing": Damage(lose(lambda one: one.named("keys/log")[0]), HeaderDamaged),
    "log-flipped": Damage(alter(lambda one: one.named("keys/log")[0], flip()), HeaderDamaged),
    "slot-flipped": Damage(alter(passphrase_slot, flip()), finds=found(("keys/slots/", "altered"))),
    "slot-of-a-newer-version": Damage(
        alter(passphrase_slot, of_later_version),
        finds=found(("keys/slots/", "altered")),
    ),
    # packs
    "pack-missing": Damage(
        lose(first_pack), finds=found(("packs/", "missing")), restores=(RestoreIncomplete, RestoreIncomplete)
    ),
    "pack-of-one-snapshot-missing": Damage(
        lose(second_pack), finds=found(("packs/", "missing")), restores=(None, RestoreIncomplete)
    ),
    "pack-truncated": Damage(alter(first_pack, cut), finds=found(("packs/", "truncated"))),
    "pack-truncated-to-its-header": Damage(
        alter(first_pack, lambda data: data[:56]),
        finds=found(("packs/", "truncated")),
        restores=(RestoreIncomplete, RestoreIncomplete),
    ),
    "pack-empty": Damage(
        alter(first_pack, lambda _: b""),
        finds=found(("packs/", "truncated")),
        restores=(RestoreIncomplete, RestoreIncomplete),
    ),
    "pack-extended": Damage(alter(first_pack, lambda data: data + b"x"), finds=found(("packs/", "truncated"))),
    "pack-header-flipped": Damage(alter(first_pack, flip(0)), finds=found(("packs/", "altered"))),
    "segment-flipped": Damage(
        alter(first_pack, flip(1000)),
        finds=found(("packs/", "altered")),
        restores=(RestoreIncomplete, RestoreIncomplete),
    ),
    "footer-flipped": Damage(alter(first_pack, flip(-100)), finds=found(("packs/", "altered"))),
    "footer-flipped-and-no-fragment": Damage(
        each(alter(first_pack, flip(-100)), every_fragment),
        finds=found(("packs/", "altered"), ("runs/", "undecodable")),  # its chunks are in no pack that opens
        restores=(RestoreIncomplete, RestoreIncomplete),
    ),
    "packs-swapped": Damage(
        swap(first_pack, second_pack),
        finds=found(("packs/", "truncated")),
        restores=(RestoreIncomplete, RestoreIncomplete),
    ),
    # the index
    "fragments-missing": Damage(every_fragment),
    "fragment-flipped": Damage(alter(lambda one: one.named("index")[0], flip()), finds=found(("index/", "altered"))),
    "fragment-of-a-newer-version": Damage(
        alter(lambda one: one.named("index")[0], flip(4)), finds=found(("index/", "altered"))
    ),
    "fragment-truncated": Damage(alter(lambda one: one.named("index")[0], cut), finds=found(("index/", "altered"))),
    # the objects of a snapshot
    "manifest-missing": Damage(
        lose(manifest(1)), finds=found(("runs/", "missing")), restores=(None, ObjectNotFound)
    ),
    "manifest-flipped": Damage(
        alter(manifest(1), flip()), finds=found(("runs/", "altered")), restores=(None, ObjectCorrupt)
    ),
    "manifest-truncated": Damage(
        alter(manifest(1), cut), finds=found(("runs/", "truncated")), restores=(None, ObjectCorrupt)
    ),
    "manifests-swapped": Damage(
        swap(manifest(0), manifest(1)),
        finds=found(("runs/", "truncated")),
        restores=(ObjectTooLarge, ObjectCorrupt),
    ),
    "pages-flipped": Damage(alter(role(0, names.PAGES), flip()), finds=found(("runs/", "altered"))),
    "pages-missing": Damage(lose(role(0, names.PAGES)), finds=found(("runs/", "missing"))),
    "needs-missing": Damage(
        lose(role(1, names.NEEDS)), finds=found(("runs/", "missing")), restores=(None, ObjectNotFound)
    ),
    "needs-flipped": Damage(
        alter(role(1, names.NEEDS), flip()), finds=found(("runs/", "altered")), restores=(None, ObjectCorrupt)
    ),
    "commit-missing": Damage(  # a seal names it
        lose(role(1, COMMIT)), finds=found(("snapshots/", "missing")), restores=(None, SnapshotUnknown)
    ),
    "commit-flipped": Damage(
        alter(role(1, COMMIT), flip()),
        finds=found(("snapshots/", "altered")),
        restores=(None, SnapshotUnknown),
    ),
    "commit-of-a-newer-version": Damage(
        alter(role(1, COMMIT), flip(4)),
        finds=found(("snapshots/", "altered")),
        restores=(None, SnapshotUnknown),
    ),
    "commits-swapped": Damage(
        swap(role(0, COMMIT), role(1, COMMIT)),
        finds=found(("snapshots/", "altered")),
        restores=(SnapshotUnknown, SnapshotUnknown),
    ),
    # data keys: the second snapshot needs both
    "data-key-missing": Damage(
        lose(data_key(1)), finds=found(("keys/data/", "missing")), restores=(None, ObjectNotFound)
    ),
    "data-key-flipped": Damage(
        alter(data_key(1), flip()), finds=found(("keys/data/", "altered")), restores=(None, ObjectCorrupt)
    ),
    "earlier-data-key-flipped": Damage(
        alter(data_key(0), flip(5)), finds=found(("keys/data/", "altered")), restores=(ObjectCorrupt, RestoreIncomplete)
    ),
    "data-keys-swapped": Damage(
        swap(data_key(0), data_key(1)),
        finds=found(("keys/data/", "altered")),
        restores=(ObjectCorrupt, ObjectCorrupt),
    ),
    # the rest
    "leases-overwritten": Damage(overwrite_leases),
    "audit-file-flipped": Damage(
        alter(lambda one: one.named("audit/runs")[0], flip()), finds=found(("audit/runs/", "altered"))
    ),
    "audit-file-missing": Damage(
        lose(lambda one: one.named("audit/needs")[0]), finds=found(("audit/needs/", "missing"))
    ),
    "audit-seal-flipped": Damage(
        alter(lambda one: one.named("audit/_seals")[0], flip()), finds=found(("audit/_seals/", "altered"))
    ),
    "audit-seal-missing": Damage(
        lose(lambda one: one.named("audit/_seals")[1]), finds=found(("audit/_seals/", "missing"))
    ),
    "foreign-objects": Damage(add_foreign_objects),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(golden: Golden, name: str, contents: list[dict[bytes, bytes | None]]) -> None:
    damage = DAMAGES[name]
    damage.apply(golden)
    if damage.opens is not None:
        with pytest.raises(damage.opens) as caught:
            golden.open()
        assert type(caught.value) is damage.opens
        return
    for number, error in enumerate(damage.restores):
        shutil.rmtree(golden.root / "state", ignore_errors=True)
        if error is None:
            assert golden.restore(number) == contents[number]
            continue
        with pytest.raises(error) as failed:
            golden.restore(number)
        assert type(failed.value) is error
        partly = tree(golden.root / f"restored-{number}") if (golden.root / f"restored-{number}").exists() else {}
        assert partly.items() <= contents[number].items()  # never a wrong byte
        assert len(partly) < len(contents[number])
    shutil.rmtree(golden.root / "state", ignore_errors=True)
    result = golden.verify()
    reported = {(one.name, one.code) for one in result.damaged}
    assert {(_start_of(at, damage.finds), code) for at, code in reported} == damage.finds, reported


def _start_of(name: str, finds: frozenset[tuple[str, str]]) -> str:
    return next((start for start, _ in finds if name.startswith(start)), name)
