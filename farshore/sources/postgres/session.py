"""Settings of every session at a PostgreSQL server, whatever server, role or environment say. Pure.

They are in the first message of a connection, so that they hold before any command, and in replication mode, which has
no SET. They override those of a role or a database. PGOPTIONS and the options of a service file do not reach the
server: libpq reads them only where a connection string gives none.
"""

from __future__ import annotations

from collections.abc import Mapping

# The server reports files it leaves out by warnings alone.
WARNINGS = ("client_min_messages", "warning")
_SETTINGS = (
    WARNINGS,
    ("search_path", "pg_catalog"),  # nobody's own pg_database goes before the catalog's
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_user_timeout", "0"),  # a stream that waits for a slow replica is no dead peer; keepalives find that one
    ("default_transaction_isolation", "read committed"),  # a standby refuses serializable, a deferrable one waits
    ("default_transaction_deferrable", "off"),
    ("exit_on_error", "off"),  # no slot left is no reason to go
)
_SINCE = (("transaction_timeout", "0", 170000),)

_PARAMETERS = {
    "client_encoding": "UTF8",
    "application_name": "farshore",
}
_DEFAULTS = {
    "keepalives": "1",  # a peer that vanished is noticed in a minute, a silent one only by the limit on silence
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


def plan_parameters(given: Mapping[str, str], *, connect_timeout_s: int) -> dict[str, str]:
    """Return all parameters of a connection but its options, from those of the connection string."""
    return {"connect_timeout": str(connect_timeout_s)} | _DEFAULTS | dict(given) | _PARAMETERS


def plan_options(given: str, version: int) -> str:
    """Return the options of a session: those of the connection string, and behind them, so that they win, our own.

    Args:
        version: Of the server, 0 where it is not known; an older one refuses settings that it does not know.
    """
    settings = [*_SETTINGS, *((name, value) for name, value, since in _SINCE if version >= since)]
    own = " ".join(f"-c {name}={_escaped(value)}" for name, value in settings)
    return f"{given} {own}".lstrip()


def _escaped(value: str) -> str:
    return value.replace(" ", "\\ ")
