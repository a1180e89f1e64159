"""Statements may only read, and only once. Pure parsing, no data."""

from __future__ import annotations

import re

from farshore.errors import QueryInvalid
from farshore.extras import needed_extra

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+|\([^)]*\)\s*)?", re.IGNORECASE)
_FIRST_WORD = re.compile(r"[\s(]*(SELECT|WITH|FROM|VALUES|TABLE|SHOW|DESCRIBE|SUMMARIZE|EXPLAIN)\b", re.IGNORECASE)
_FILE_FUNCTION = re.compile(r"\b(read_\w+|scan_\w+|file|url|s3|remote|executable)\s*\(", re.IGNORECASE)
# These build a table's name at run time, and files are fetched by the names that stand in the statement.
_BUILT_NAME = re.compile(r"\bquery(_table)?\"?\s*\(", re.IGNORECASE)
_HINT = "Ask one question: SELECT, WITH, FROM, SHOW, DESCRIBE, SUMMARIZE or EXPLAIN."


def check_read_only(sql: str, engine: str) -> None:
    """Raise QueryInvalid unless `sql` is one statement that only reads.

    For DuckDB its own parser judges. The other engines have dialects of their own, so there the first word is judged,
    a second statement and functions that read files are refused, and the engine's own switches do the rest.

    Raises:
        QueryInvalid: It is not.
        ExtraMissing: It is for DuckDB, which is not installed.
    """
    if engine != "duckdb":
        bare = _COMMENTS.sub(" ", sql).strip().removesuffix(";")
        if not _FIRST_WORD.match(bare) or ";" in bare or _FILE_FUNCTION.search(bare):
            raise QueryInvalid("only one reading statement over the audit tables is allowed", _HINT)
        return
    if _BUILT_NAME.search(_COMMENTS.sub(" ", sql)):
        raise QueryInvalid("query() and query_table() are not allowed: tables are to be named in the statement", _HINT)
    kinds = _kinds(sql)
    if kinds == ["EXPLAIN"]:
        # EXPLAIN ANALYZE runs what it explains.
        kinds = _kinds(_EXPLAIN.sub("", _COMMENTS.sub(" ", sql), count=1))
    if kinds != ["SELECT"]:
        raise QueryInvalid("only one reading statement over the audit tables is allowed", _HINT)


def _kinds(sql: str) -> list[str]:
    """Return the kind of each statement, by DuckDB's name for it."""
    with needed_extra("sql"):
        import duckdb

    try:
        return [statement.type.name for statement in duckdb.extract_statements(sql)]
    except duckdb.Error as error:
        raise QueryInvalid(str(error).strip(), _HINT) from error
