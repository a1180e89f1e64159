"""How old the data of a standby is: a backup made today of one that is cut off from its primary holds yesterday's data.

The answer to each question is a moment whose data the standby certainly has, by the clock of its primary; the latest
counts. A primary without writes has no transactions to date by: there it is the moment of the last message of a stream
that is replayed to its end, which members of pg_monitor may read.
"""

from __future__ import annotations

from farshore.model import UNKNOWN_MOMENT
from farshore.sources.postgres.connection import Server

_LAST_TRANSACTION = (
    "SELECT to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
)
_LAST_CHECKPOINT = (
    "SELECT to_char(checkpoint_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM pg_control_checkpoint()"
)
_LAST_WORD = (
    "SELECT to_char(last_msg_send_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM pg_stat_wal_receiver"
    " WHERE status = 'streaming' AND latest_end_lsn <= pg_last_wal_replay_lsn()"
)


def read_data_moment(server: Server) -> str:
    """Return the moment, to the second, up to which a standby has the data of its primary; `unknown` if there is none.

    Read before the backup, whose end is later, so the snapshot may hold more. Never raises.
    """
    answers = server.ask([_LAST_TRANSACTION, _LAST_CHECKPOINT, _LAST_WORD])
    moments = [value for answer in answers.values() for value in answer if value[:1].isdigit()]
    return max(moments, default=UNKNOWN_MOMENT)
