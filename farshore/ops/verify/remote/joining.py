"""Listings of several replicas and the records of the audit tables, joined by name as streams. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farshore.ops.verify.remote.records import Recorded
from farshore.stores.base import ObjectInfo

_RECORDS = ""  # no replica is called so


@dataclass(slots=True)
class Joined:
    """One name: its record in the rows, and its entry in each listing."""

    name: str
    record: Recorded | None = None
    listed: dict[str, ObjectInfo] = field(default_factory=dict)


def join(listings: Mapping[str, Iterator[ObjectInfo]], records: Iterator[Recorded]) -> Iterator[Joined]:
    """Yield every name that any listing or the records have, in order. All must be sorted by name."""

    def tagged(replica: str, infos: Iterator[ObjectInfo]) -> Iterator[tuple[str, str, ObjectInfo | Recorded]]:
        return ((info.name, replica, info) for info in infos)

    streams: list[Iterator[tuple[str, str, ObjectInfo | Recorded]]] = [
        ((record.name, _RECORDS, record) for record in records),
        *(tagged(replica, infos) for replica, infos in listings.items()),
    ]
    current: Joined | None = None
    for name, replica, item in heapq.merge(*streams, key=lambda one: one[:2]):
        if current is None or current.name != name:
            if current is not None:
                yield current
            current = Joined(name)
        if isinstance(item, Recorded):
            current.record = item
        else:
            current.listed[replica] = item
    if current is not None:
        yield current
