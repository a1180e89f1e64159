"""A PostgreSQL cluster as a source: a physical base backup over the replication protocol, streamed without staging.

The snapshot is a data directory that starts: relation files, the WAL from the backup's start to its end, the label, and
the server's `backup_manifest`, so that pg_verifybackup works on a restored copy. PostgreSQL 15 and later.

Verified during the stream, before there is a snapshot:
1. The server checks the data checksum of every page it sends (where they are on) and says so in its last answer.
2. Every file's size and CRC-32C are compared with the server's manifest, and that with its own SHA-256.
3. Every WAL segment from start to end is there, whole, and holds the pages its name promises.

A temporary replication slot keeps that WAL at the server meanwhile; `max_slot_wal_keep_size` bounds what it may keep,
and the server drops it with the connection. `WAIT` is off: the WAL is in the stream, and waiting for the server's own
archiver would make a broken `archive_command` hang every backup.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from farshore.clock import Clock
from farshore.errors import SourceUnavailable
from farshore.limits import POSTGRES_SILENCE_S
from farshore.model import DATA_AS_OF
from farshore.sources.base import Capture
from farshore.sources.postgres.capture import PostgresCapture
from farshore.sources.postgres.catalog import read_catalog
from farshore.sources.postgres.configuration import read_configuration
from farshore.sources.postgres.connection import ReplicationSession, Server
from farshore.sources.postgres.facts import read_cluster, read_sql_facts
from farshore.sources.postgres.losses import explain_loss
from farshore.sources.postgres.manifest import CHECKSUM_ALGORITHM
from farshore.sources.postgres.sizes import check_sizes
from farshore.sources.postgres.standby import read_data_moment

_BASE_BACKUP = (
    "BASE_BACKUP (LABEL 'farshore', CHECKPOINT 'fast', WAL true, WAIT false, TABLESPACE_MAP false,"
    f" VERIFY_CHECKSUMS true, MANIFEST 'yes', MANIFEST_CHECKSUMS '{CHECKSUM_ALGORITHM}')"
)
_SLOT_ID_BYTES = 8


class PostgresSource:
    """One PostgreSQL cluster, with all its databases and tablespaces.

    Args:
        dsn: A libpq connection string or URI. It is kept in memory and in no message.
        silence_s: The longest wait for the next byte from the server; the first follows a checkpoint.
    """

    kind = "postgres"

    def __init__(self, *, name: str, dsn: str, clock: Clock, silence_s: float = POSTGRES_SILENCE_S) -> None:
        self._name = name
        self._dsn = dsn
        self._clock = clock
        self._silence_s = silence_s

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._name

    def check(self) -> None:
        """Connect for replication and read the server's version and settings.

        Raises:
            ConfigInvalid: The dsn cannot be read.
            SourceDenied: Wrong password, or a role or host that may not replicate.
            SourceUnsupported: Too old, or replication is switched off.
            SourceUnavailable: No answer, or no connection left.
        """
        server = Server(source=self._name, dsn=self._dsn)
        with self._session(server) as session:
            read_cluster(session, server.place)

    @contextlib.contextmanager
    def capture(self) -> Iterator[Capture]:
        """Start a base backup, after a fast checkpoint, and offer its stream; leaving ends it at the server too.

        Raises:
            As `check`, and SourceUnavailable if the server would not start a backup.
        """
        server = Server(source=self._name, dsn=self._dsn)
        with self._session(server) as session:
            cluster = read_cluster(session, server.place)
            facts = cluster.as_text() | read_sql_facts(server, cluster.version)
            if cluster.in_recovery:
                facts[DATA_AS_OF] = read_data_moment(server)
            facts["wal_kept_by"] = self._reserve_wal(session)
            before = read_catalog(server)
            started = session.start_copy(_BASE_BACKUP)
            if len(started) != 2 or not started[0]:
                raise SourceUnavailable(f"{server.place}: the server did not say where the backup starts")
            start_lsn = str(started[0][0][0])
            session.explain_loss = lambda: explain_loss(server, cluster, start_lsn, self._clock)
            capture = PostgresCapture(
                session=session,
                cluster=cluster,
                started=started,
                facts=facts,
                before=before,
                configuration=read_configuration(server),
                catalog_now=lambda: read_catalog(server),
                check_sizes=lambda odd: check_sizes(server, odd, cluster.block_bytes),
                clock=self._clock,
            )
            with contextlib.closing(capture):
                yield capture

    def _session(self, server: Server) -> ReplicationSession:
        return ReplicationSession(server=server, clock=self._clock, silence_s=self._silence_s)

    def _reserve_wal(self, session: ReplicationSession) -> str:
        """Make a slot that ends with the session. Without one the server itself fails the backup if WAL is removed."""
        slot = f"farshore_{self._clock.random_bytes(_SLOT_ID_BYTES).hex()}"
        try:
            session.run(f'CREATE_REPLICATION_SLOT "{slot}" TEMPORARY PHYSICAL (RESERVE_WAL)')
        except SourceUnavailable:  # no slot left, or none allowed
            return "nothing"
        return "temporary slot"
