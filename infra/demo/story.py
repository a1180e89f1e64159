"""The story, step by step: backup, change, backup, disaster, verify, restore, compare, ask."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infra.demo.compare import compare_databases, compare_directories, compare_ledgers
from infra.demo.diary import DemoFailed, Diary, format_table
from infra.demo.disaster import delete_bucket, flip_bytes
from infra.demo.sample import change_home, change_ledger
from infra.demo.world import DATABASE, PREFIX, SOURCES, World
from infra.local.postgres import PostgresServer

MIB = 2**20
PATHS_SHOWN = 3  # of each damaged object; the command itself names more
LINE_SHOWN = 150
EXIT_WARNINGS = 3
EXIT_VERIFY_FAILED = 62

_QUERIES = (
    (
        "the last good backup of each source",
        (
            "SELECT source, left(snapshot_id, 12) AS snapshot, committed_utc, replicas_committed "
            "FROM last_good_backup ORDER BY source"
        ),
    ),
    (
        "the complete copies of each snapshot",
        (
            "SELECT source, left(snapshot_id, 12) AS snapshot, "
            "string_agg(replica, ', ' ORDER BY replica) AS complete_at "
            "FROM copies_per_snapshot WHERE complete GROUP BY ALL ORDER BY ALL"
        ),
    ),
    (
        "what the damage touches",
        (
            "SELECT replica, state, source, count(DISTINCT object) AS objects, "
            "count(DISTINCT snapshot_id) AS snapshots "
            "FROM damage_impact GROUP BY ALL ORDER BY ALL"
        ),
    ),
)


def show_story(diary: Diary, world: World) -> None:
    """Run every step.

    Raises:
        DemoFailed: A step did not come out as it must.
    """
    with diary.step("start servers and make sample data") as step:
        world.start_servers()
        step.said = "three clouds' APIs, PostgreSQL, Prefect; nothing leaves this machine"
    with diary.step("farshore init; prefect deploy; start a worker") as step:
        world.write_config()
        world.run_at_once((lambda: world.programs.farshore("init"), world.deploy))
        step.said = "one repository at four replicas, quorum 2; five deployments"
    known: dict[str, list[str]] = {source: [] for source in SOURCES}
    with diary.step("back up three sources by the Prefect flow") as step:
        step.said = _back_up(diary, world, known)
    with diary.step("change all three sources") as step:
        _change(diary, world)
        step.said = "a little of each"
    with diary.step("back up again") as step:
        step.said = _back_up(diary, world, known)
    with diary.step("farshore diff: what changed") as step:
        step.said = _show_differences(diary, world, known)
    with diary.step("DISASTER: a bucket deleted, bytes flipped in another") as step:
        diary.say(delete_bucket(world.gcs, "iowa"))
        flipped = flip_bytes(world.s3, "frankfurt", PREFIX)
        diary.say(f"{len(flipped)} packs at frankfurt have other bytes, and the sizes they had")
        step.said = f"iowa gone, {len(flipped)} packs ruined at frankfurt"
        if not flipped:
            raise DemoFailed("there was nothing at frankfurt to ruin")
    with diary.step("farshore verify --read-data") as step:
        step.said = _verify(diary, world, flipped)
    _restore_and_compare(diary, world)
    with diary.step("farshore sql: ask the audit tables") as step:
        for title, query in _QUERIES:
            answer = world.programs.farshore("sql", query)
            diary.say(f"\n{title}:\n{answer.stdout}")
            if len(answer.stdout.splitlines()) < 2:
                raise DemoFailed(f"no answer to: {title}")
        step.said = "three questions answered from the Parquet in a replica"


def _back_up(diary: Diary, world: World, known: dict[str, list[str]]) -> str:
    """Back every source up at the same time; add the new snapshots to `known`, by source."""
    with ThreadPoolExecutor(len(SOURCES)) as threads:
        for source, run in [(source, threads.submit(_run_backup, world, source)) for source in SOURCES]:
            diary.say(f"{source}: {run.result()}")
    before = {snapshot for snapshots in known.values() for snapshot in snapshots}
    made = [record for record in world.programs.records("snapshots") if record["snapshot_id"] not in before]
    for record in made:
        known[str(record["source"])].append(str(record["snapshot_id"]))
        counts = record["counts"]
        diary.say(
            f"{record['source']}: {counts['entries']:,} entries, {counts['bytes_total'] / MIB:,.1f} MiB; "
            f"read {counts['bytes_read'] / MIB:,.1f}, new {counts['bytes_new'] / MIB:,.1f}, "
            f"stored {counts['bytes_stored'] / MIB:,.1f} MiB at each of {', '.join(record['replicas'])}"
        )
        if len(record["replicas"]) != 4:
            raise DemoFailed(f"the snapshot of {record['source']} is not at all four replicas")
    if len(made) != len(SOURCES):
        raise DemoFailed(f"{len(made)} snapshots were made instead of {len(SOURCES)}")
    stored = sum(record["counts"]["bytes_stored"] for record in made) / MIB
    return f"3 snapshots at 4 replicas each, {stored:,.1f} MiB stored at each"


def _run_backup(world: World, source: str) -> str:
    """Ask for one run of a deployment and wait for its end; return the last thing that is said of it."""
    done = world.programs.prefect("deployment", "run", f"backup/{source}", "--watch", "--watch-interval", "1")
    return done.stdout.strip().splitlines()[-1].strip()


def _change(diary: Diary, world: World) -> None:
    world.shop.run_pgbench(DATABASE, transactions=500, clients=2)
    diary.say("shop: 1,000 transactions by pgbench")
    diary.say(f"ledger: {change_ledger(world.ledger)}")
    diary.say(f"home: {change_home(world.home)}")


def _show_differences(diary: Diary, world: World, known: dict[str, list[str]]) -> str:
    with ThreadPoolExecutor(len(SOURCES)) as threads:
        running = {source: threads.submit(world.programs.records, "diff", *known[source]) for source in SOURCES}
    said = []
    for source, diff in running.items():
        kinds = [str(change["change"]) for change in diff.result()]
        reported = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("added", "removed", "modified", "metadata"))
        diary.say(f"{source}: {reported}")
        said.append(f"{source} {len(kinds)}")
    return "entries that differ: " + ", ".join(said)


def _verify(diary: Diary, world: World, flipped: list[str]) -> str:
    done = world.programs.farshore("verify", "--read-data", expect={EXIT_VERIFY_FAILED})
    lines = (done.stdout + done.stderr).splitlines()
    diary.say(_shortened(lines))
    missed = [name for name in flipped if not any("frankfurt" in line and name in line for line in lines)]
    if missed:
        raise DemoFailed(f"verify did not find {missed[0]}")
    if not any("iowa" in line for line in lines):
        raise DemoFailed("verify did not miss iowa")
    return f"exit code {EXIT_VERIFY_FAILED}; all {len(flipped)} ruined packs named with what they touch"


def _shortened(lines: list[str]) -> str:
    """Return what verify said with a few paths of each object only."""
    shown: list[str] = []
    paths = 0
    for line in lines:
        paths = paths + 1 if line.startswith("  path:") else 0
        if paths <= PATHS_SHOWN:
            shown.append(line if len(line) <= LINE_SHOWN else f"{line[:LINE_SHOWN]}...")
        elif paths == PATHS_SHOWN + 1:
            shown.append("  path: ...")
    return "\n".join(shown)


def _restore_and_compare(diary: Diary, world: World) -> None:
    checks: dict[str, Callable[[Path], str]] = {
        "shop": lambda place: _check_shop(world, place),
        "ledger": lambda place: compare_ledgers(world.ledger, next(place.rglob("ledger.db"))),
        "home": lambda place: compare_directories(world.home, place, leave_out=".cache"),
    }
    for source, check in checks.items():
        with diary.step(f"farshore restore {source}, and compare it") as step:
            place = world.restored / source
            _restore(diary, world, source, "--target", place)
            step.said = check(place)
    with diary.step("farshore restore home --replica vault, and compare it") as step:
        place = world.restored / "home-from-vault"
        _restore(diary, world, "home", "--target", place, "--replica", "vault")
        step.said = checks["home"](place)


def _restore(diary: Diary, world: World, *arguments: str | Path) -> None:
    done = world.programs.farshore("restore", *arguments, expect={0, EXIT_WARNINGS})
    diary.say(done.stdout.strip())
    if done.returncode == EXIT_WARNINGS:
        warnings = [line for line in done.stderr.splitlines() if "read from another replica" in line]
        diary.say(f"{len(warnings)} damaged or missing objects were read from another replica")


def _check_shop(world: World, place: Path) -> str:
    restored = PostgresServer(data=place)
    world.start(restored)
    said = compare_databases(world.shop, restored, DATABASE)
    restored.run("pg_amcheck", ["--database", DATABASE, "--install-missing", "--heapallindexed", "--parent-check"])
    return f"{said}; the restored server at port {restored.port} passes pg_amcheck"


def _state_of(replica: dict[str, Any]) -> str:
    if not replica["reachable"]:
        return f"{replica['error_code']}"
    return f"{replica['snapshots']} snapshots; last check {'clean' if replica['last_check_clean'] else 'found damage'}"


def pieces(world: World) -> str:
    """Return where everything is, as a table."""
    rows = [
        (str(record["replica"]), str(record["url"]), _state_of(record))
        for record in world.programs.records("status", expect=range(256))
        if record["type"] == "replica"
    ]
    rows += [(f"restored {path.name}", str(path), "") for path in sorted(world.restored.iterdir())]
    rows += [
        ("farshore.toml", str(world.config), ""),
        ("Prefect UI", world.prefect.address, "every run with its tasks"),
    ]
    return format_table(("piece", "where", ""), rows)
