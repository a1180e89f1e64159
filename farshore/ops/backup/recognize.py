"""Compare the marks of a source with those of its last snapshot. Pure. Decision 0013."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from farshore.errors import SourceMoved
from farshore.format.commit import Commit

# A group has changed where both sides have some mark of it, and none is the same.
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "host": ("host", "machine"),
    "file system": ("file_system", "file_system_id"),
    "directory or file": ("path", "inode"),
    "application id of the database": ("application_id",),
    "system identifier of the cluster": ("system_identifier",),
}
_HOST = _GROUPS["host"]


def check_marks(source: str, marks: Mapping[str, str], commits: Iterable[Commit], hosts: Sequence[str]) -> None:
    """Compare the marks of a source with those of its last snapshot that has any.

    Args:
        commits: Its snapshots, oldest first.
        hosts: Names, or patterns of names, of the hosts that share it; each is then compared with its own last one.

    Raises:
        SourceMoved: It is another one.
    """
    earlier = [one for one in commits if one.marks]
    if hosts:
        if "host" not in marks:
            return  # a container of who knows which of them
        _check_named(source, marks, hosts)
        earlier = [one for one in earlier if not changed_groups(marks, one.marks, ["host"])]
    if not earlier:
        return
    last = earlier[-1]
    changed = changed_groups(marks, last.marks, _GROUPS)
    if changed:
        differences = "; ".join(
            f"{group}: {_shown(last.marks, group)} then, {_shown(marks, group)} now" for group in changed
        )
        raise SourceMoved(
            f"this is not what the last snapshot of {source}, from {last.started_utc:%Y-%m-%d %H:%M} UTC, was made of "
            f"({differences})",
            _hint(changed),
        )


def changed_groups(now: Mapping[str, str], before: Mapping[str, str], groups: Iterable[str]) -> list[str]:
    """Return which of these groups differ: both sides have marks of them in common, and none is the same."""
    changed: list[str] = []
    for group in groups:
        common = [name for name in _GROUPS[group] if now.get(name) and before.get(name)]
        if common and all(now[name] != before[name] for name in common):
            changed.append(group)
    return changed


def _check_named(source: str, marks: Mapping[str, str], hosts: Sequence[str]) -> None:
    host = marks["host"]
    if not any(fnmatchcase(host, pattern) for pattern in hosts):
        raise SourceMoved(
            f"{source} is shared by {', '.join(hosts)}, and this host is {host}",
            "Add the host to hosts of this source, or give what is backed up here a name of its own.",
        )


def _hint(changed: Sequence[str]) -> str | None:
    if changed == ["host"]:
        return (
            "Two hosts under one name hide each other's backups: give each a source of its own, or list them in hosts. "
            "If this host has replaced the other, back up once with --accept-new."
        )
    return None


def _shown(marks: Mapping[str, str], group: str) -> str:
    return next(marks[name] for name in _GROUPS[group] if name in marks)
