"""Results as Markdown pages for Prefect's artifacts. Pure.

Names of files stay out: the Prefect server is not trusted with them; `farshore verify` and `farshore ls` show them to
everybody who holds a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from farshore.check_results import CheckedReplica, ReplicaProof, ReplicaReading, VerifyResult
from farshore.limits import KIB
from farshore.model import DamagedObject
from farshore.ops.prune.outcome import PruneResult
from farshore.plural import count_of
from farshore.repair.outcome import HealedState, HealResult
from farshore.results import BackupResult, RestoreResult

DAMAGED_ROWS_MAX = 200  # a page is for reading; the audit table `checks` has every row


def backup_page(result: BackupResult) -> str:
    """Return the result of a backup as a page."""
    counts = result.counts
    held = sum(outcome.committed for outcome in result.replicas)
    elapsed = _seconds(result.started_utc, result.finished_utc)
    outcome_line = (
        "Done already, by an earlier attempt at the same moment."
        if result.already_done
        else f"**Held by {held} of {len(result.replicas)} replicas**, read back from each, in {elapsed}. "
        f"The quorum is {result.quorum}."
    )
    replicas = [
        (
            outcome.replica,
            "yes" if outcome.committed else "**no**",
            bytes_text(outcome.bytes_sent),
            f"{outcome.objects_sent:,}",
            f"{outcome.requests:,}",
            f"{outcome.error} ({outcome.error_code})" if outcome.error_code else "",
        )
        for outcome in result.replicas
    ]
    numbers = [
        ("entries", f"{counts.entries:,}"),
        ("of these unchanged and not read", f"{counts.entries_unchanged:,}"),
        ("size of the source", bytes_text(counts.bytes_total)),
        ("read from the source", bytes_text(counts.bytes_read)),
        ("new content", bytes_text(counts.bytes_new)),
        ("stored, at each replica", bytes_text(counts.bytes_stored)),
        ("problems with single entries", f"{counts.problems:,}"),
    ]
    problems = [(code, f"{count:,}") for code, count in Counter(p.code for p in result.problems).most_common()]
    return _page(
        f"Backup of {result.source}",
        outcome_line,
        f"Snapshot `{result.snapshot_id}`, run `{result.run_id}`.",
        *_doubts(result),
        _table(("replica", "holds it", "sent", "objects", "requests", "trouble"), replicas, right=(2, 3, 4)),
        _table(("what", "how much"), numbers, right=(1,)),
        _table(("problem", "entries"), problems, right=(1,)) if problems else "",
    )


def _doubts(result: BackupResult) -> list[str]:
    """Return why the snapshot may be no good one."""
    found: list[str] = []
    if not result.complete:
        found.append(
            f"**INCOMPLETE**: it lacks what {result.counts.lacking:,} problems name. "
            "The last complete snapshot stays the last good one."
        )
    if before := result.shrunken_from:
        found.append(
            f"**The source has shrunken**: {result.counts.entries:,} of {before.entries:,} entries and "
            f"{bytes_text(result.counts.bytes_total)} of {bytes_text(before.bytes_total)} are left."
        )
    return found


def restore_page(result: RestoreResult) -> str:
    """Return the result of a restore as a page."""
    numbers = [
        ("entries", f"{result.entries:,}"),
        ("files", f"{result.files:,}"),
        ("content", bytes_text(result.bytes_restored)),
        ("time", _seconds(result.started_utc, result.finished_utc)),
        ("read from", ", ".join(result.replicas)),
        ("bad objects, read from another replica", f"{len(result.fell_over):,}"),
        ("of these mended", f"{sum(one.mended for one in result.repairs):,}"),
        ("problems with single entries", f"{len(result.problems):,}"),
    ]
    return _page(
        f"Restore of {result.source}",
        f"Snapshot `{result.snapshot_id}` into `{result.target}`. Every byte was checked against its hash.",
        _table(("what", "how much"), numbers, right=(1,)),
        _damaged_table(result.fell_over),
    )


def heal_page(result: HealResult) -> str:
    """Return the result of a heal as a page."""
    replicas = [
        (
            one.replica,
            one.state if one.state is HealedState.IN_SYNC else f"**{one.state}**",
            f"{one.copied:,}",
            f"{one.replaced:,}",
            f"{one.open:,}",
            bytes_text(one.bytes_copied),
            f"{one.error} ({one.error_code})" if one.error_code else "",
        )
        for one in result.replicas
    ]
    repairs = [
        (one.replica, f"`{one.object}`", one.found, one.action, one.detail)
        for one in result.repairs
        if one.found != "missing" or one.open
    ]
    said = "**Every replica is in sync.**" if result.in_sync else "**Not every replica is in sync.**"
    if result.in_sync and not result.changed:
        said += " There was nothing to do."
    return _page(
        "Heal",
        f"{said} It elapsed {_seconds(result.started_utc, result.finished_utc)}{', without a key' * result.keyless}.",
        f"Run `{result.run_id}`.",
        _table(("replica", "state", "copied", "replaced", "open", "bytes", "trouble"), replicas, right=(2, 3, 4, 5)),
        _table(("replica", "object", "found", "action", "detail"), repairs[:DAMAGED_ROWS_MAX]) if repairs else "",
    )


def prune_page(result: PruneResult) -> str:
    """Return the result of a prune as a page."""
    replicas = [
        (
            one.replica,
            one.state.value if one.done else f"**{one.state.value}**",
            f"{one.freed.objects:,}",
            bytes_text(one.freed.bytes),
            bytes_text(one.locked.bytes),
            f"{len(one.waits_for):,}",
            f"{one.error} ({one.error_code})" if one.error_code else "",
        )
        for one in result.replicas
    ]
    said = "**Done.**" if result.done else "**Not done at every replica.** The next prune goes on."
    return _page(
        "Prune",
        f"{said} It elapsed {_seconds(result.started_utc, result.finished_utc)}.",
        f"Run `{result.run_id}`.",
        _table(
            ("replica", "state", "deleted", "bytes", "locked", "waits for", "trouble"), replicas, right=(2, 3, 4, 5)
        ),
    )


def verify_page(result: VerifyResult) -> str:
    """Return the result of a verify as a page."""
    damage = f"**{count_of(len(result.damaged), 'object is', 'objects are')} damaged or missing.**"
    return _page(
        f"Verify of {', '.join(result.replicas)}",
        damage if result.damaged else "**Nothing is damaged.**" if result.clean else "**Too little was seen.**",
        f"{result.objects:,} objects of {result.snapshots:,} snapshots checked, {bytes_text(result.bytes_read)} read, "
        f"{_seconds(result.started_utc, result.finished_utc)}.",
        _checks_table(result.checks),
        _damaged_table(result.damaged),
        _proofs_table(result.proofs),
        _readings_table(result.readings),
    )


def bytes_text(count: int) -> str:
    """Return a count of bytes for people."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < KIB:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= KIB
    return f"{size:,.2f} TiB"


def _checks_table(checks: Sequence[CheckedReplica]) -> str:
    rows = [(one.replica, one.state, f"{one.snapshots:,}", f"{one.behind:,}", one.error_code) for one in checks]
    return _table(("replica", "check", "snapshots", "behind", "trouble"), rows, right=(2, 3)) if rows else ""


def _damaged_table(damaged: Sequence[DamagedObject]) -> str:
    if not damaged:
        return ""
    rows = [
        (found.replica, f"`{found.name}`", found.code, str(len(found.snapshots)), f"{found.paths_total:,}")
        for found in damaged[:DAMAGED_ROWS_MAX]
    ]
    if len(damaged) > len(rows):
        rows.append(("...", f"and {len(damaged) - len(rows):,} more", "", "", ""))
    return _table(("replica", "object", "what is wrong", "snapshots touched", "paths touched"), rows, right=(3, 4))


def _proofs_table(proofs: Sequence[ReplicaProof]) -> str:
    if not proofs:
        return ""
    rows = [
        (one.replica, f"{one.objects:,}", f"{one.proven:,}", f"{one.unproven + one.audit_unproven:,}",
         f"{one.unrecorded:,}", f"{one.foreign:,}", "checksums" if one.tells_checksums else "sizes alone")
        for one in proofs
    ]  # fmt: skip
    header = ("replica", "objects", "proven", "unproven", "unrecorded", "foreign", "by")
    return _table(header, rows, right=(1, 2, 3, 4, 5))


def _readings_table(readings: Sequence[ReplicaReading]) -> str:
    if not readings:
        return ""
    rows = [
        (one.replica, f"{one.packs:,}", f"{one.packs_read:,}", f"{one.packs_never_read:,}", _day(one.oldest_read_utc))
        for one in readings
    ]
    header = ("replica", "packs", "read now", "never read yet", "the others read since")
    return _table(header, rows, right=(1, 2, 3))


def _day(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d") if moment else "-"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a Markdown table; columns in `right` are aligned there."""
    rules = ["---:" if column in right else "---" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (header, rules, *rows))


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def _seconds(started: datetime, finished: datetime) -> str:
    return f"{(finished - started).total_seconds():,.1f} s"
