"""What an answer of PostgreSQL means for a backup, by SQLSTATE; text is only looked at where libpq gives nothing else.

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
_SAID_NO_SENDERS = re.compile(r"max_wal_senders.*\D0\)")
_PREFIXES = re.compile(r"^connection (?:failed|is bad): (?:connection to server (?:at|on) .*? failed: )?")
_SECRET_CHARACTERS_MIN = 3  # a shorter "secret" would only blot out ordinary letters

GRANT_HINT = (
    "A backup connects as a role that may replicate: CREATE ROLE farshore LOGIN REPLICATION PASSWORD '...'; or "
    "ALTER ROLE ... REPLICATION; and pg_hba.conf needs a line for the database name 'replication'. "
    "Check the password too. See docs/sources-postgres.md."
)
SENDERS_HINT = "Set wal_level = replica and max_wal_senders = 10 (the defaults) and restart the server."
BUSY_HINT = "All of the server's WAL senders are in use; wait for one, or raise max_wal_senders."
POOL_HINT = "Connect to the server itself, past any connection pool: a backup must see the server's warnings."
VERSION_HINT = "PostgreSQL 15 or later is needed for a base backup in one stream."


def redact(text: str, secret: str) -> str:
    """Return one line of text without the password, should a server ever repeat it."""
    line = " ".join(text.split())
    return line.replace(secret, "***") if len(secret) >= _SECRET_CHARACTERS_MIN else line


def error_of_answer(place: str, sqlstate: str, text: str) -> FarshoreError:
    """Return the error for a command that the server refused or broke off.

    Args:
        place: The source and the server, for the message.
        sqlstate: Of the answer; empty when the connection was lost.
        text: The server's or libpq's words, without any secret.
    """
    said = f"{place}: {text}"
    if sqlstate in (DATA_CORRUPTED, _INDEX_CORRUPTED):
        return SourceCorrupt(said, "Find the damaged relation with pg_amcheck or pg_checksums; no snapshot was made.")
    if sqlstate == _INSUFFICIENT_PRIVILEGE or sqlstate.startswith(_AUTHORIZATION_CLASS):
        return SourceDenied(said, GRANT_HINT)
    if sqlstate in (_SYNTAX_ERROR, _FEATURE_NOT_SUPPORTED):
        return SourceUnsupported(said, VERSION_HINT)
    return SourceUnavailable(said)


def error_of_connecting(place: str, text: str, *, needs_password: bool) -> FarshoreError:
    """Return the error for a connection that was not made; libpq tells no SQLSTATE there, only words."""
    said = f"{place}: {_PREFIXES.sub('', text)}"
    if _SAID_NO_SENDERS.search(text):
        return SourceUnsupported(said, SENDERS_HINT)
    if needs_password or _SAID_NO_ROLE.search(text) or any(words in text for words in _SAID_DENIED):
        return SourceDenied(said, GRANT_HINT)
    if _SAID_SENDERS in text:
        return SourceUnavailable(said, BUSY_HINT)
    return SourceUnavailable(said)
