"""The golden repository `v1-parties`: many hosts, one revoked, and leases, plans and tombstones, by both readers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from blake3 import blake3

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.catalog.notes import kept_commits
from farshore.catalog.snapshots import list_snapshots
from farshore.catalog.tombstones import forgotten_commits
from farshore.catalog.verdicts import read_verdicts
from farshore.config import Config
from farshore.format import names
from farshore.format.note import Keep
from farshore.ops.backup.backup import run_backup
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.retain.approving import list_requests
from farshore.ops.verify.quarantine import lift_quarantine
from farshore.ops.verify.verify import verify_repository
from farshore.replicas.plans import read_condemned
from farshore.replicas.repository import Repository
from farshore.run import Run
from tests.golden.parties import LONG_AGO, REPLICA, SHARED_DOMAIN
from tests.golden.regenerate import MARKS, configure
from tests.golden.second_reader import Reader
from tests.golden.test_second_reader import HERE, expected_of, objects_of, open_as
from tests.golden.words import CONDEMNED_PACKS
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

PARTIES = HERE / "v1-parties"
MADE: dict[str, str] = expected_of(PARTIES)["made"]
OPEN_PLAN, CLOSED_PLAN = names.run("cd" * 32), names.pack("ab" * 32)
LISTED = ["clinic 1", "golden 2", "laptop-1 1", "laptop-1 2", "laptop-2 1", "till 1"]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return open_as(PARTIES, "identity")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    root = tmp_path / "copy"
    shutil.copytree(PARTIES, root)
    (root / "identity.json").chmod(0o600)
    return root


@pytest.fixture
def config(copy: Path) -> Config:
    made = configure(copy, state_dir=copy / "state")
    fingerprint = blake3((PARTIES / "replica/farshore.json").read_bytes()).hexdigest()
    return replace(made, repository=replace(made.repository, passphrase=None, fingerprint=fingerprint))


@pytest.fixture
def clock() -> StillClock:
    """The directory stamps what is put with the real time."""
    return StillClock(moment_utc=datetime.now(UTC), seed=9)


@pytest.fixture
def repository(config: Config, clock: StillClock) -> Iterator[Repository]:
    with open_repository(config, need=Need.READ, clock=clock) as opened:
        yield opened


def test_both_list_what_counts(reader: Reader, repository: Repository) -> None:
    """Not the snapshot that was forgotten, nor that of the thief; the one that was forgotten by mistake is there."""
    listed = sorted(MADE[one] for one in LISTED)
    assert sorted(one["snapshot"] for one in reader.commits()) == listed
    assert sorted(one.snapshot_id for one in list_snapshots(repository)) == listed


def test_both_refuse_what_a_revocation_cut_off(reader: Reader, repository: Repository) -> None:
    reader.commits()
    (refused,) = reader.refused
    assert MADE["till 2, refused"] in refused
    assert "a revocation cut it off" in refused
    list_snapshots(repository)
    assert [one.rpartition("/")[2].partition("-")[0] for one in repository.refused] == [MADE["till 2, refused"]]
    assert list(reader.trust.revocations) == [MADE["till"]]


def test_hosts_have_domains(reader: Reader) -> None:
    assert {domain for domain, _ in reader.trust.domains} == {"main", "clinic", SHARED_DOMAIN, "till"}
    of_host = {one["host"]: one["domain"] for found in reader.trust.certificates.values() for one in found}
    assert [of_host[host] for host in ("laptop-1", "laptop-2", "clinic")] == [SHARED_DOMAIN, SHARED_DOMAIN, "clinic"]
    assert {(one["source"], one["domain"]) for one in reader.commits()} == {
        ("records", "clinic"), ("home", "main"), ("mail", SHARED_DOMAIN), ("photos", SHARED_DOMAIN), ("sales", "till"),
    }  # fmt: skip


def test_both_know_what_is_forgotten_and_condemned(reader: Reader, repository: Repository) -> None:
    gone = {
        one.name.partition("-")[2]
        for name in ("golden 1", "golden 2, replaced")
        for one in (PARTIES / "replica/snapshots").glob(f"*/{MADE[name]}-*")
    }
    assert len(list((PARTIES / "replica/forgotten").glob("set-*"))) == 1
    assert reader.forgotten() == forgotten_commits(repository) == {*gone, names.hash_of(LONG_AGO)}
    for name in (MADE["golden 1"], MADE["clinic 1"]):
        assert list((PARTIES / "replica/forgotten").glob(f"{name}-*"))
    assert reader.condemned() == read_condemned(repository, repository.replicas[REPLICA]) == {
        OPEN_PLAN, *map(names.pack, CONDEMNED_PACKS),
    }  # fmt: skip
    assert {one.name for one in (PARTIES / "replica/plans/1").iterdir()} == {"open", "condemned", "closed"}


def test_both_know_what_notes_keep(reader: Reader, repository: Repository) -> None:
    """One hold was lifted as the approver agreed; another one by a note that nobody agreed to, so it is in force."""
    kept = kept_commits(repository, list_commits(repository))
    commits = {one.commit.hash: one.snapshot_id for one in list_snapshots(repository)}
    assert {commits[one]: [note.note.keep for note in found] for one, found in kept.items()} == {
        MADE["golden 2"]: [Keep.PIN], MADE["clinic 1"]: [Keep.HOLD], MADE["laptop-2 1"]: [Keep.HOLD],
    }  # fmt: skip
    assert {one: [note["hash"] for note in found] for one, found in reader.keeping().items()} == {
        one: [note.hash for note in found] for one, found in kept.items()
    }


def test_both_know_what_approvers_agreed_to(reader: Reader, repository: Repository) -> None:
    (request,) = list_requests(repository)
    assert (request.request, request.granted, request.hosts) == (MADE["request"], True, ("approver",))
    assert reader.trust.policy["approvers"] == [MADE["approver"]]
    (held,) = request.objects or tuple(one.snapshot for one in request.snapshots)
    assert held == MADE["till 1"]


def test_a_rewritten_snapshot_has_the_place_of_the_one_before(
    reader: Reader, repository: Repository, tmp_path: Path
) -> None:
    (one,) = [one for one in list_snapshots(repository) if one.source == "home"]
    assert (one.snapshot_id, one.sequence, one.sound) == (MADE["golden 2"], 2, True)
    assert one.commit.replaces is not None
    assert list((PARTIES / "replica/snapshots").glob(f"*/{MADE['golden 2, replaced']}-{one.commit.replaces.commit}"))
    (read,) = [one for one in reader.commits() if one["source"] == "home"]
    assert read["replaces"]["commit"] == one.commit.replaces.commit
    reader.restore(read, tmp_path / "home")
    assert sorted(one.name for one in (tmp_path / "home/documents").iterdir()) == ["own", "shared"]


def test_a_proven_pack_of_the_other_host_is_reused_and_a_lying_one_quarantined(
    reader: Reader, repository: Repository
) -> None:
    found = read_verdicts(repository)
    assert [one.hex() for one in found.quarantined] == [MADE["quarantined pack"]]
    by_id = {one["snapshot"]: reader.needs(one) for one in reader.commits()}
    theirs = {pack for pack, _, _ in by_id[MADE["laptop-2 1"]].packs}
    assert theirs & {pack for pack, _, _ in by_id[MADE["laptop-1 2"]].packs}
    assert all(bytes.fromhex(one) in found.proven for one in theirs)
    proven, quarantined = reader.verdicts()
    assert quarantined == {MADE["quarantined pack"]}
    assert theirs <= proven
    assert len(proven) == len(found.proven)


def test_both_know_what_left_quarantine(copy: Path, repository: Repository, clock: StillClock) -> None:
    proven, quarantined = open_as(copy, "identity").verdicts()
    assert MADE["pack that left quarantine"] not in quarantined
    before = proven
    lift_quarantine(repository, [MADE["quarantined pack"]], reason="a", run=Run.start(clock))
    assert open_as(copy, "identity").verdicts() == (before, set())
    assert not read_verdicts(repository).quarantined


def test_ends_decide(reader: Reader) -> None:
    """The broken lease has no commit; the committing one has it in its end, until somebody puts it."""
    broken, committing = (reader.decision(MADE[one]) for one in ("broken lease", "committing lease"))
    assert broken is not None
    assert committing is not None
    assert (broken["state"], committing["state"]) == ("broken", "committing")
    assert broken["signer"] != committing["signer"]
    others = [one.name for one in (PARTIES / "replica/leases").iterdir() if one.name not in MADE.values()]
    assert {end["state"] for one in others if (end := reader.decision(one))} == {"committing", "ended"}
    assert len(others) == len(LISTED) + 2 + 2  # of the rewrite, and of the snapshot that it made


def test_verify_finds_no_damage_and_names_what_is_refused(repository: Repository) -> None:
    result = verify_repository(repository, read_data_percent=100.0, run=Run.start(repository.clock))
    assert result.clean, result.damaged
    assert [(one.name.partition("/")[0], one.reason) for one in result.refused] == [
        ("audit", "revoked"), ("packs", "quarantined"), ("snapshots", "revoked"),
    ]  # fmt: skip
    assert MADE["quarantined pack"] in result.refused[1].name
    assert MADE["till 2, refused"] in result.refused[2].name


def test_the_next_backup_finishes_what_a_dead_one_promised(repository: Repository, copy: Path) -> None:
    """Its packs are not taken for garbage, and the broken lease commits nothing."""
    tree = TreeSource(name="home", clock=repository.clock, marks={**MARKS, "path": "/srv/home"})
    tree.file(b"new", b"new")
    result = run_backup(repository, tree, run=Run.start(repository.clock))
    assert [one.committed for one in result.replicas] == [True]
    reader = open_as(copy, "identity")
    newest = [one for one in reader.commits() if one["source"] == "mail"]
    assert [one["sequence"] for one in newest] == [1, 2, 3]
    assert newest[2]["lease"] == MADE["committing lease"]
    reader.restore(newest[2], copy / "restored")
    assert [one["sequence"] for one in reader.commits() if one["source"] == "photos"] == [1]
    assert [one["sequence"] for one in reader.commits() if one["source"] == "home"] == [2, 3]
    assert sum(len(objects_of(reader, one)) for one in newest) > 0


def test_heal_finishes_a_commit_and_changes_nothing_that_is_good(config: Config, clock: StillClock, copy: Path) -> None:
    before = {path: path.read_bytes() for path in (copy / "replica").rglob("*") if path.is_file()}
    with open_context(config, keyless=False, clock=clock) as context:
        result = heal_repository(context, HealOptions(read_data=True), run=Run.start(clock))
    assert {path: path.read_bytes() for path in before} == before
    (finished,) = [one.object for one in result.repairs if one.mended]
    assert finished.startswith("snapshots/")
    (commit,) = [one for one in open_as(copy, "identity").commits() if one["hash"] == finished[-64:]]
    assert (commit["source"], commit["lease"]) == ("mail", MADE["committing lease"])
