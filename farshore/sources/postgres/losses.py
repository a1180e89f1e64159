"""Explain why a server closed the connection in the middle of a backup, which it seldom says there.

A server that invalidates a slot, because more WAL was written than it may keep, ends the backup without a word while
its socket is full. The state that a new connection reads shows it.
"""

from __future__ import annotations

from farshore.clock import Clock
from farshore.errors import FarshoreError, SourceUnavailable
from farshore.limits import CONNECT_TIMEOUT_S
from farshore.sources.postgres.connection import ReplicationSession, Server
from farshore.sources.postgres.facts import Cluster
from farshore.sources.postgres.wal import decode_lsn

_SLOT_HINT = (
    "Raise max_slot_wal_keep_size at the server above the WAL that is written during a backup, or set it to -1; or "
    "back up when less is written."
)
_GONE_HINT = (
    "The server was stopped, restarted or cannot be reached any more; its log says which. Run again when it answers."
)


def explain_loss(server: Server, cluster: Cluster, start_lsn: str, clock: Clock) -> FarshoreError | None:
    """Return the error that explains a connection the server closed, by its state; None if unknown. Never raises."""
    try:
        with ReplicationSession(server=server, clock=clock, silence_s=CONNECT_TIMEOUT_S) as session:
            now = session.run("IDENTIFY_SYSTEM")[0][2] or ""
        written = decode_lsn(now) - decode_lsn(start_lsn)
    except FarshoreError as error:
        if not isinstance(error, SourceUnavailable):
            return None
        return SourceUnavailable(f"{error.message} (after the connection of the backup was closed)", _GONE_HINT)
    kept = cluster.slot_keeps_bytes
    if kept < 0 or written <= kept:
        return None
    return SourceUnavailable(
        f"{server.place}: the server ended the backup, for {written >> 20} MiB of WAL were written since it began and "
        f"max_slot_wal_keep_size lets it keep {kept >> 20} MiB",
        _SLOT_HINT,
    )
