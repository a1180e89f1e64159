"""What folding audit files saves: `python -m tests.benchmarks.folding` (`make bench-folding`; `--days 35` is short).

One source, backed up each quarter of an hour and unchanged, at three replicas in memory. The rows of a run are those
that a real backup of an unchanged source wrote, with its ids and times anew; each run's are sealed and sent as that
backup did. `sql` and `status` are asked before and after, by a host with a cache and by one without.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from farshore.access.query import run_query
from farshore.access.unlock import Need
from farshore.audit import names, run_rows
from farshore.audit.fold import FoldOptions, fold_tables
from farshore.audit.rows import TABLE_OF_ROW, AuditRow
from farshore.audit.seals import Seal, SealedFile, SeenHeads, make_seal
from farshore.audit.tables import Stamp, encode_rows
from farshore.format.names import hash_of
from farshore.ops.ask.status import repository_status
from farshore.run import Run
from tests.benchmarks.machine import describe_machine
from tests.property.living_tree import ShiftedClock
from tests.unit.ops.domain_hosts import HOSTS, host
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

EVERY_S = 900.0
_SQL = "SELECT source, count(*), sum(bytes_stored) FROM snapshots GROUP BY source"
_DIGITS = 32  # from here on a text of hex digits is an id or a hash


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args(arguments).days
    with tempfile.TemporaryDirectory() as scratch:
        print(describe_machine(Path(scratch)), flush=True)
        measure(Path(scratch), days)


def measure(root: Path, days: int) -> None:
    """Live some days, fold, and say what changed."""
    clock = ShiftedClock()
    engine = Engine(root / "host", clock=clock).initialize()
    now = clock.now_utc()
    month = (now.replace(day=1, hour=0) + timedelta(days=31 + days)).replace(day=1)  # it begins a day before the end
    clock.advance((month - now).total_seconds() - (days - 1) * 86400.0)
    writer = host(engine, "db1")
    rows, commit = capture(writer)
    started_s = time.perf_counter()
    runs = live(engine, writer, clock, rows, commit, days)
    print(f"{runs} runs in {days} days, written in {time.perf_counter() - started_s:.0f} s", flush=True)
    report(engine, root, runs, "as written")
    print(f"memory of this process at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    timed("fold", lambda: fold(engine, FoldOptions(grace=timedelta(days=7))))
    clock.advance(8 * 86400.0)
    timed("sweep", lambda: fold(engine, FoldOptions(grace=timedelta(days=7))))
    print(f"memory of this process at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    report(engine, root, runs, "folded")
    share(engine)


def share(engine: Engine) -> None:
    """Print the bytes that each folded run has: of the fold's files, of its seal, and of the daily seals that stay."""
    objects = engine.objects("a", names.AUDIT)
    seals = {name: json.loads(data.partition(b"\n")[0]) for name, data in objects.items() if names.parse_seal(name)}
    for name, value in seals.items():
        if "fold" not in value or len(value["fold"]["seals"]) < 96:  # of the source, not of the host that maintains
            continue
        fold = value["fold"]
        places = {(fold["chain_id"], at) for at in fold["kept"]}
        kept = sum(len(objects[one]) for one, each in seals.items() if (each["chain_id"], each["sequence"]) in places)
        parts = {"rows": sum(file["bytes"] for file in value["files"]), "fold": len(objects[name]), "daily": kept}
        runs = len(fold["seals"])
        print(f"{runs} folded runs: {sum(parts.values()) / runs:.0f} bytes each, "
              + ", ".join(f"{part} {size / runs:.0f}" for part, size in parts.items()))  # fmt: skip


def capture(engine: Engine) -> tuple[list[AuditRow], str]:
    """Return the rows of a backup that finds nothing changed, and the hash of its commit."""
    tree = TreeSource(clock=engine.clock, name=HOSTS["db1"])
    tree.file(b"a", b"the same every time" * 50)
    found: list[Any] = []
    real = run_rows.record

    def record(repository: Any, run_id: str, rows: Any, **more: Any) -> Any:
        kept = list(rows)
        found[:] = [kept, more.get("commits", ())]
        return real(repository, run_id, kept, **more)

    run_rows.record = record
    try:
        for _ in range(4):
            engine.clock.wait_s(EVERY_S)
            engine.backup(tree)
    finally:
        run_rows.record = real
    rows, commits = found
    return rows, next(iter(commits)).hash


def live(engine: Engine, writer: Engine, clock: ShiftedClock, rows: list[AuditRow], commit: str, days: int) -> int:
    """Seal the rows of each run in a chain of the writer's, as its recorder does."""
    count = int(days * 86400 / EVERY_S)
    again = Again(clock, {})
    with writer.opened(Need.WRITE) as repository:
        key = repository.keys.signing_key if repository.keys is not None else None
        head, fingerprint = repository.trust.head, repository.header.fingerprint
        assert key is not None
        assert head is not None
        repository_id = repository.repository_id
    shelves = [engine.shelf(name) for name in ("a", "b", "c")]
    last, day = Seal(names.chain_id(key.signer_id, b"12345678"), 0, "", "", clock.now_utc(), (), head), ""
    uncovered: list[str] = []
    for _ in range(count):
        clock.advance(EVERY_S)
        again = Again(clock, again.names)
        fresh = [again.row(row) for row in rows]
        now_utc = clock.now_utc()
        today = now_utc.date()
        files = {}
        for table in ("runs", "needs", "copies"):
            of_table = [row for row in fresh if TABLE_OF_ROW[type(row)] == table]
            data = encode_rows(table, of_table, Stamp(repository_id, now_utc))
            files[names.file_name(table, today, fresh[0].run_id, data)] = data
        made = again.value(commit)
        covers = (*uncovered, made) if day != str(today) else None
        heads = SeenHeads({fresh[0].source_id: made})
        sealed = tuple(SealedFile(name, len(data), hash_of(data)) for name, data in files.items())
        seal = Seal(last.chain, last.sequence + 1, last.hash, fresh[0].run_id, now_utc, sealed, head, heads, covers)
        last, data = make_seal(seal, key, fingerprint)
        uncovered = [] if covers is not None else [*uncovered, made, last.hash]
        day = str(today)
        for shelf in shelves:
            shelf.objects |= {name: (data, now_utc) for name, data in {**files, last.name: data}.items()}
    return count


class Again:
    """Rows with other ids, hashes and times. What a run dropped is what the run before it made."""

    def __init__(self, clock: ShiftedClock, before: dict[str, str]) -> None:
        self._clock, self._before = clock, before
        self.names: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def row(self, row: AuditRow) -> Any:
        """Return the same row of another run."""
        fields = {name: getattr(row, name) for name in row.__dataclass_fields__}
        kind = fields.get("object", "").rpartition("/")[0].split("/")[0]
        if str(fields.get("change", "")) == "made":
            self.names[kind] = self.value(fields["object"])
        fresh = {name: value if name == "source_id" else self.value(value) for name, value in fields.items()}
        if str(fields.get("change", "")) == "dropped":
            fresh["object"] = self._before.get(kind, fields["object"])
        return replace(row, **fresh)

    def value(self, value: Any) -> Any:
        """Return another id for an id, and this moment for a moment."""
        if type(value) is str:
            head, slash, tail = value.rpartition("/")
            if len(tail) >= _DIGITS and not tail.strip("0123456789abcdef"):
                if tail not in self._made:
                    self._made[tail] = self._clock.random_bytes(len(tail) // 2).hex()
                return f"{head}{slash}{self._made[tail]}"
            return value
        if hasattr(value, "isoformat"):
            return self._clock.now_utc()
        if hasattr(value, "__dataclass_fields__"):
            return replace(value, **{name: self.value(getattr(value, name)) for name in value.__dataclass_fields__})
        return value


def report(engine: Engine, root: Path, runs: int, when: str) -> None:
    """Print bytes, objects, and what two questions take."""
    objects = {one: data for one, data in engine.objects("a", names.AUDIT).items() if not names.parse_delta(one)}
    total = sum(map(len, objects.values()))
    seals = sum(len(data) for name, data in objects.items() if names.parse_seal(name))
    print(
        f"{when}: {len(objects)} objects, {total} bytes: {total / runs:.0f} a run, of which seals {seals / runs:.0f}; "
        f"{len(objects) / runs:.2f} objects a run", flush=True,
    )  # fmt: skip
    fresh = engine.at(f"fresh-{when.replace(' ', '-')}")
    for one, label in ((engine, "with a cache"), (fresh, "without"), (fresh, "without, again")):
        timed(f"sql, {when}, {label}", partial(ask, one))
        timed(f"status, {when}, {label}", partial(look, one))


def ask(engine: Engine) -> str:
    """Ask a question of the tables."""
    result = run_query(engine.config, _SQL, clock=engine.clock)
    return str(getattr(result, "rows", ""))


def look(engine: Engine) -> str:
    """Ask for the status."""
    repository_status(engine.config, clock=engine.clock)
    return ""


def fold(engine: Engine, options: FoldOptions) -> str:
    """Fold and sweep."""
    with engine.opened(Need.READ) as repository:
        result = fold_tables(repository, options, Run.start(engine.clock))
    assert result.done, result
    return " ".join(f"{one.month}: {one.seals} seals, {one.files_before} files, {one.bytes_before} bytes into "
                    f"{one.files} files, {one.bytes} bytes, {one.rows} rows;" for one in result.months) + (
        f" {max(one.deleted for one in result.replicas)} objects deleted")  # fmt: skip


def timed(label: str, act: Callable[[], str]) -> None:
    """Print how long something takes, and what it says."""
    started_s = time.perf_counter()
    said = act()
    print(f"  {label}: {time.perf_counter() - started_s:.2f} s  {said}"[:400], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
