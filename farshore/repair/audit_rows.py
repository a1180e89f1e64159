"""Repairs as audit rows. Apart from what reads the tables: a restore writes these, and loads no SQL engine."""

from __future__ import annotations

from datetime import datetime

from farshore.audit.rows import AuditRow, CopyRow, RepairRow
from farshore.format import names
from farshore.repair.outcome import Repair
from farshore.replicas.repository import Replica


def repair_rows(one: Repair, replica: Replica, finished_utc: datetime, *, run_id: str, engine: str) -> list[AuditRow]:
    """Return the rows of one repair: what was found and done, and the copy that is there now."""
    rows: list[AuditRow] = [
        RepairRow(
            replica=one.replica, object=one.object, found=one.found, action=one.action, source_replica=one.source,
            method=one.method, bytes=one.bytes, blake3=one.blake3, blake3_found=one.blake3_found,
            snapshot_ids=one.snapshots, detail=one.detail, error_code=one.error_code, run_id=run_id, engine=engine,
        )
    ]  # fmt: skip
    if one.mended and not one.object.startswith(names.AUDIT):
        rows.append(
            CopyRow(
                object=one.object, replica=one.replica, region=replica.region,
                provider=replica.store.capabilities.kind, state="acknowledged", bytes=one.bytes,
                checksum=replica.meter.sent_checksum(one.object), acknowledged_utc=finished_utc,
                run_id=run_id, engine=engine,
            )
        )  # fmt: skip
    return rows
