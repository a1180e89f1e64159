"""The schema section of docs/reference/audit.md, made from the schema. Pure."""

from __future__ import annotations

from farshore.audit.schema import PARTITION_COLUMN, TABLES, ColumnType, ListOf, Struct
from farshore.audit.views import VIEWS

START = "<!-- schema: made from farshore/audit/schema.py and views.py; do not edit by hand -->"
END = "<!-- end of schema -->"
_PARTITION = "The partition: the UTC day of `recorded_utc`; once folded, the first day of its month."


def render_schema() -> str:
    """Return the section in Markdown, with its start and end marks."""
    lines = [START, ""]
    for table in TABLES.values():
        lines += [f"### {table.name}", "", table.description, "", "| column | type | meaning |", "| --- | --- | --- |"]
        for column in table.columns:
            null = ", may be NULL" if column.nullable else ""
            lines.append(f"| `{column.name}` | {_type(column.type)}{null} | {column.description} |")
        lines += [
            f"| `{PARTITION_COLUMN}` | date | {_PARTITION} |",
            "",
        ]
    lines += ["### Views", "", "| view | what it tells |", "| --- | --- |"]
    lines += [f"| `{name}` | {view.description} |" for name, view in VIEWS.items()]
    return "\n".join([*lines, "", END])


def replace_schema(document: str) -> str:
    """Return the document with its schema section made anew. For the test that writes docs/reference/audit.md."""
    before, _, rest = document.partition(START)
    _, _, after = rest.partition(END)
    return before + render_schema() + after


def _type(column_type: ColumnType) -> str:
    if isinstance(column_type, ListOf):
        element = column_type.element
        if isinstance(element, Struct):
            return f"list of struct ({', '.join(f'{name} {kind}' for name, kind in element.fields)})"
        return f"list of {element}"
    return str(column_type)
