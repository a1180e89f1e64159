"""Map answers of PostgreSQL to errors, by SQLSTATE; by text only where libpq gives nothing else.

Messages of the server may be in any language and go to the reader as they are, without any secret.
"""

from __future__ import annotations

import re

from farshore.errors import FarshoreError, SourceCorrupt, SourceDenied, SourceUnavailable, SourceUnsupported

DATA_CORRUPTED = "XX001"
_INDEX_CORRUPTED = "XX002"
_SYNTAX_ERROR = "42601"
_INSUFFICIENT_PRIVILEGE = "42501"
_AUTHORIZATION_CLASS = "28"
_FILE_CLASS = "58"  # trouble of the server with its own files
_ENDED_BY_ADMINISTRATOR = "57P01"  # also by the server itself, to invalidate a slot
_WAL_READERS = ("CheckXLogRemoved", "perform_base_backup")  # of the server: they miss WAL that was removed meanwhile
_HEADER_WRITERS = ("_tarWriteHeader", "tarCreateHeader")  # of the server: they refuse names that tar cannot hold
_FEATURE_NOT_SUPPORTED = "0A000"

_SAID_DENIED = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "authentication failed",
    "must be superuser or replication role",
    "permission denied to start WAL sender",
    "is not permitted to log in",
)
_SAID_NO_ROLE = re.compile(r'role "[^"]*" does not exist')
_SAID_SENDERS = "max_wal_senders"
_SAID_OLD = "unrecognized configuration parameter"  # one that each session sets, and every supported server knows
_SAID_POOL = "unsupported startup parameter"
_SAID_NO_SENDERS = re.compile(r"max_wal_senders.*\D0\)")
_PREFIXES = re.compile(r"^connection (?:failed|is bad): (?:connection to server (?:at|on) .*? failed: )?")
_SECRET_CHARACTERS_MIN = 3  # a shorter "secret" would only blot out ordinary letters

GRANT_HINT = (
    "A backup connects as a role that may replicate: CREATE ROLE farshore LOGIN REPLICATION PASSWORD '...'; or "
    "ALTER ROLE ... REPLICATION; and pg_hba.conf needs a line for the database name 'replication'. "
    "Check the password too. See docs/sources/postgres.md."
)
SENDERS_HINT = "Set wal_level = replica and max_wal_senders = 10 (the defaults) and restart the server."
BUSY_HINT = "All of the server's WAL senders are in use; wait for one, or raise max_wal_senders."
FILE_DENIED_HINT = (
    "The user that PostgreSQL itself runs as cannot read this file. It makes no such file in its data directory: move "
    "it elsewhere, or give it to that user (chown, chmod)."
)
FILE_HINT = "PostgreSQL has trouble with a file of its own; look at its disk and its log."
WAL_HINT = (
    "The server removed WAL that the backup needs. Let it keep a slot for the backup (max_replication_slots, "
    "max_slot_wal_keep_size), or more WAL (wal_keep_size)."
)
NAME_HINT = (
    "PostgreSQL sends no file whose path below the data directory has 100 bytes or more. It makes no such name itself: "
    "rename what the message names, or move it out of the data directory. If it is a link, a tablespace's location has "
    "100 bytes or more: move the tablespace to a shorter one."
)
LOST_HINT = (
    "The server's log says why. It ends a connection when it is stopped or restarted, when an administrator or a "
    "time-out of the network does, or when the backup needs more WAL than max_slot_wal_keep_size lets it keep."
)
POOL_HINT = "Connect to the server itself, past any connection pool: a backup must see the server's warnings."
VERSION_HINT = "PostgreSQL 15 or later is needed for a base backup in one stream."


def redact(text: str, secret: str) -> str:
    """Return one line of text without the password, should a server ever repeat it."""
    line = " ".join(text.split())
    return line.replace(secret, "***") if len(secret) >= _SECRET_CHARACTERS_MIN else line


def error_of_answer(
    place: str, sqlstate: str, text: str, *, function: str = "", sending: bool = False
) -> FarshoreError:
    """Return the error for a command that the server refused or broke off.

    Args:
        place: The source and the server, for the message.
        sqlstate: Of the answer; empty when the connection was lost.
        text: The server's or libpq's words, without any secret.
        function: Of the server, that said so.
        sending: Whether the server was sending the backup: then the role was allowed to start one.
    """
    said = f"{place}: {text}"
    if sqlstate in (DATA_CORRUPTED, _INDEX_CORRUPTED):
        return SourceCorrupt(said, "Find the damaged relation with pg_amcheck or pg_checksums; no snapshot was made.")
    if sending and function in _HEADER_WRITERS:
        return SourceUnsupported(said, NAME_HINT)
    if sqlstate == _INSUFFICIENT_PRIVILEGE and sending:
        return SourceDenied(said, FILE_DENIED_HINT)
    if sqlstate == _INSUFFICIENT_PRIVILEGE or sqlstate.startswith(_AUTHORIZATION_CLASS):
        return SourceDenied(said, GRANT_HINT)
    if sqlstate in (_SYNTAX_ERROR, _FEATURE_NOT_SUPPORTED):
        return SourceUnsupported(said, VERSION_HINT)
    if not sending:
        return SourceUnavailable(said)
    if function in _WAL_READERS:
        return SourceUnavailable(said, WAL_HINT)
    return SourceUnavailable(said, FILE_HINT if sqlstate.startswith(_FILE_CLASS) else LOST_HINT)


def is_loss(sqlstate: str) -> bool:
    """Return whether an answer only says that the connection is gone, and not why."""
    return sqlstate in ("", _ENDED_BY_ADMINISTRATOR)


def error_of_connecting(place: str, text: str, *, needs_password: bool) -> FarshoreError:
    """Return the error for a connection that was not made; libpq gives no SQLSTATE there, only text."""
    said = f"{place}: {_PREFIXES.sub('', text)}"
    if _SAID_NO_SENDERS.search(text):
        return SourceUnsupported(said, SENDERS_HINT)
    if _SAID_OLD in text:
        return SourceUnsupported(said, VERSION_HINT)
    if _SAID_POOL in text:
        return SourceUnsupported(said, POOL_HINT)
    if needs_password or _SAID_NO_ROLE.search(text) or any(words in text for words in _SAID_DENIED):
        return SourceDenied(said, GRANT_HINT)
    if _SAID_SENDERS in text:
        return SourceUnavailable(said, BUSY_HINT)
    return SourceUnavailable(said)
