"""Facts about a PostgreSQL server, to judge later whether a restore fits: versions, positions, collations.

Facts that a backup depends on are read in replication mode, which every role that may back up can do. Those that need
SQL use an ordinary connection where the role may make one, and are left out where it may not.
"""

from __future__ import annotations

import re

from farshore.errors import SourceCorrupt, SourceDenied, SourceUnsupported
from farshore.model import dataclass
from farshore.sources.postgres.connection import ReplicationSession, Server
from farshore.sources.postgres.errors import SENDERS_HINT, VERSION_HINT

_VERSION_MIN = 150000  # older servers send each tablespace in a COPY of its own, and no such manifest
_UNITS = {"": 1, "B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_SIZE = re.compile(r"(\d+)\s*([kMGT]?B)?")
_FACT_CHARACTERS_MAX = 400  # facts are in every commit record; a cluster may have thousands of databases

_BUILD = "SELECT version()"
# Names of databases stay out: facts are read by more people than the data.
_DATABASES = (
    "SELECT DISTINCT pg_encoding_to_char(encoding) || ' ' || datlocprovider::text || ':'"
    " || coalesce({locale}, datcollate) || coalesce(' ' || datcollversion, '')"
    " FROM pg_database WHERE datallowconn ORDER BY 1"
)
_COLLATION_LIBRARIES = (
    "SELECT DISTINCT collprovider::text || ':' || collversion FROM pg_collation WHERE collversion IS NOT NULL"
    " AND (collprovider = 'c' OR collname = 'und-x-icu') ORDER BY 1"
)
_STALE_COLLATIONS = (
    "SELECT count(*)::text FROM pg_database WHERE datallowconn AND datcollversion IS DISTINCT FROM"
    " pg_database_collation_actual_version(oid)"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The facts that a backup of one cluster depends on."""

    version: int
    version_text: str
    system_identifier: int
    timeline: int
    block_bytes: int
    wal_segment_bytes: int
    wal_page_bytes: int
    data_checksums: bool
    directory_mode: int
    in_recovery: bool
    slot_keeps_bytes: int = -1  # of WAL at most; -1: as much as a backup needs

    def as_text(self) -> dict[str, str]:
        """Return the facts as a commit record keeps them."""
        return {
            "server_version": self.version_text,
            "system_identifier": str(self.system_identifier),
            "block_bytes": str(self.block_bytes),
            "wal_segment_bytes": str(self.wal_segment_bytes),
            "data_checksums": "on" if self.data_checksums else "off",
            "taken_from": "standby" if self.in_recovery else "primary",
            "incremental_safe": incremental_safety(self.version),
        }


def read_cluster(session: ReplicationSession, place: str) -> Cluster:
    """Ask the server what it is.

    Raises:
        SourceUnsupported: It is too old, or writes too little WAL for a base backup.
        SourceCorrupt, SourceUnavailable: It gave no sensible answer.
    """
    if session.server_version < _VERSION_MIN:
        version = session.parameter("server_version") or str(session.server_version)
        raise SourceUnsupported(f"{place}: PostgreSQL {version} is too old", VERSION_HINT)
    session.check_settings()
    session.log_directory = _show_if_allowed(session, "log_directory")
    identity = session.run("IDENTIFY_SYSTEM")
    if _show(session, "wal_level") == "minimal":
        raise SourceUnsupported(f"{place}: wal_level is minimal", SENDERS_HINT)
    return Cluster(
        version=session.server_version,
        version_text=session.parameter("server_version"),
        system_identifier=int(identity[0][0] or 0),
        timeline=int(identity[0][1] or 0),
        block_bytes=decode_size(_show(session, "block_size")),
        wal_segment_bytes=decode_size(_show(session, "wal_segment_size")),
        wal_page_bytes=decode_size(_show(session, "wal_block_size")),
        data_checksums=_show(session, "data_checksums") == "on",
        directory_mode=int(_show(session, "data_directory_mode"), 8),
        in_recovery=session.parameter("in_hot_standby") == "on",
        slot_keeps_bytes=-1 if (kept := _show(session, "max_slot_wal_keep_size")) == "-1" else decode_size(kept),
    )


def decode_size(text: str) -> int:
    """Return the bytes that a setting such as `16MB` or `8192` means."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise SourceCorrupt(f"the server sent {text!r} as a size")
    return int(found[1]) * _UNITS[found[2] or ""]


def incremental_safety(version: int) -> str:
    """Return yes, no, unknown or not offered: is PostgreSQL's own incremental backup right in this version?

    17.10 and 18.4 combine such backups into clusters with wrong visibility maps, where index-only scans count dead rows
    and no tool of PostgreSQL notices; 18.6 is right. Our own differences do not depend on it.
    """
    major, minor = divmod(version, 10000)
    if major < 17:
        return "not offered"
    if major == 17:
        return "no" if minor <= 10 else "unknown"
    if major == 18:
        return "no" if minor <= 4 else ("yes" if minor >= 6 else "unknown")
    return "unknown"


def read_sql_facts(server: Server, version: int) -> dict[str, str]:
    """Return facts that need SQL, without those that this role may not read."""
    locale = {15: "daticulocale", 16: "daticulocale"}.get(version // 10000, "datlocale")
    questions = {
        "server_build": _BUILD,
        "databases": _DATABASES.format(locale=locale),
        "collation_libraries": _COLLATION_LIBRARIES,
        "databases_with_stale_collations": _STALE_COLLATIONS,
    }
    answers = server.ask(list(questions.values()))
    known = {name: answer for name, sql in questions.items() if (answer := answers.get(sql))}
    return {name: ", ".join(answer)[:_FACT_CHARACTERS_MAX] for name, answer in known.items()}


def _show(session: ReplicationSession, setting: str) -> str:
    return session.run(f"SHOW {setting}")[0][0] or ""


def _show_if_allowed(session: ReplicationSession, setting: str) -> str:
    """Return a setting that not every role may see, or nothing."""
    try:
        return _show(session, setting)
    except SourceDenied:
        return ""
