"""Listings that keep their promise of order."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.errors import StoreDenied
from farshore.stores.base import ObjectInfo


def in_order(found: Iterator[ObjectInfo], place: str) -> Iterator[ObjectInfo]:
    """Yield `found` as it comes, as long as it comes in order of name.

    S3, GCS and Azure list by code point. Some that speak their languages list folder by folder instead (`a/b` before
    `a-b`), and whoever merges two listings, or goes on behind the last name after a failure, would then miss objects.

    Raises:
        StoreDenied: A name came that sorts before its predecessor, or is the same.
    """
    last = ""
    for info in found:
        if info.name <= last:
            raise StoreDenied(
                f"list {place}: {info.name!r} came after {last!r}",
                "This service lists names out of order; use a prefix that holds nothing but this repository.",
            )
        last = info.name
        yield info
