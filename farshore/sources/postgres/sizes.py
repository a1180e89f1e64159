"""Check relation files that end within a page: cut, unless the server was just extending one.

A page is added by one write, and the kernel may show the file's size in the middle of it. The log of the backup makes
such a file whole; so a second look at the same file decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from farshore.errors import SourceChanged, SourceCorrupt
from farshore.sources.postgres.connection import Server

_ASKED_MAX = 100  # files; the first that is damaged ends the backup
_RELATION = re.compile(
    r"(?:global|base/(?P<base>\d+)|pg_tblspc/(?P<space>\d+)/PG_[^/]+/(?P<inside>\d+))/(?P<number>\d+)(?:_(?P<fork>\w+))?.*"
)
_GLOBAL, _DEFAULT = "1664", "1663"
_NAME_OF_DATABASE = "SELECT datname FROM pg_database WHERE oid = {}"
_PATIENCE = "SELECT set_config('lock_timeout', '5s', false)"  # an application may hold the table for long
_DAMAGED_HINT = (
    "The file was cut, or the end of a page was never written, as on a full disk. Find the table with pg_amcheck or "
    "SELECT pg_filenode_relation(...), save what it holds, and have it rewritten (VACUUM FULL, REINDEX)."
)
_UNSURE_HINT = (
    "Run again: the server may just have been writing there. If it says the same of the same file again, the file is "
    "damaged."
)


def check_sizes(server: Server, odd: Sequence[tuple[bytes, int]], block_bytes: int) -> None:
    """Check files again that ended within a page.

    Args:
        odd: Path and size of each, as they were sent.
    Raises:
        SourceCorrupt: One still does.
        SourceChanged: This role may not read sizes, so it stays unknown; run again.
    """
    for path, size in odd[:_ASKED_MAX]:
        said = (
            f"{server.place}: {path.decode()!r} has {size} bytes, which is no multiple of a page of {block_bytes} bytes"
        )
        now = _size_now(server, path.decode())
        if now is None:
            raise SourceChanged(said, _UNSURE_HINT)
        if now % block_bytes:
            raise SourceCorrupt(said, _DAMAGED_HINT)


def _size_now(server: Server, path: str) -> int | None:
    """Return the size of a file, or of all files of its relation together; 0 if it is gone; None if unknown."""
    by_path = f"SELECT coalesce((pg_stat_file('{path}', true)).size, 0)::text"
    answer = server.ask([by_path]).get(by_path)
    if answer is None:
        found = _RELATION.fullmatch(path)
        answer = _ask_of_relation(server, found) if found else None
    return int(answer[0]) if answer else None


def _ask_of_relation(server: Server, found: re.Match[str]) -> list[str] | None:
    """Ask for the size of a relation, which every role may that may connect to its database."""
    database = found["base"] or found["inside"]
    name = ""
    if database:
        sql = _NAME_OF_DATABASE.format(database)
        answer = server.ask([sql]).get(sql)
        if not answer:
            return ["0"] if answer == [] else None
        name = answer[0]
    space = found["space"] or (_DEFAULT if database else _GLOBAL)
    relation = f"pg_filenode_relation({space}, {found['number']})"
    sql = f"SELECT coalesce(pg_relation_size({relation}, '{found['fork'] or 'main'}'), 0)::text"
    return server.ask([_PATIENCE, sql], database=name).get(sql)
