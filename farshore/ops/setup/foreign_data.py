"""Contents of a place before a repository is made in it: data of others, or a repository above or below it.

A repository beside other data is deleted, locked and listed with it, and two repositories one inside the other list
each other's objects as their own.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from farshore.access.open_replica import open_bare_store
from farshore.clock import Clock
from farshore.config import Config, ReplicaConfig
from farshore.errors import OPENING_ERRORS, READ_ERRORS, ConfigInvalid, NotFound, RepositoryExists
from farshore.format import names
from farshore.limits import LIST_PAGE_OBJECTS
from farshore.plural import count_of
from farshore.stores.base import Store

_OURS = (
    names.LOG,
    names.ACCEPTED,
    names.SLOTS,
    names.DATA_KEYS,
    names.PACKS,
    names.FRAGMENTS,
    names.SNAPSHOTS,
    names.RUNS,
    names.LEASES,
    names.PLANS,
    names.FORGOTTEN,
    names.UNFORGOTTEN,
    names.VERDICTS,
    names.NOTES,
    names.APPROVALS,
    *names.LATER,
    names.AUDIT,
    "probe/",
)
_PARENTS_MAX = 16  # of a prefix, asked for a header: deeper ones nobody has
_OPTION = "--force-foreign-data"


def require_own_place(config: Config, replica: ReplicaConfig, clock: Clock) -> None:
    """Refuse a place that holds other data, or is above or below a repository. Changes nothing.

    Reads one page of a listing, and asks for the header that each prefix above may have; where the credential may not
    ask that, nothing is known of it.

    Raises:
        RepositoryExists: A repository is above or below.
        ConfigInvalid: It holds data of others.
        StoreUnavailable, StoreDenied, BucketNotFound: It cannot be listed.
    """
    for url in _above(replica.url):
        if _has_header(config, replace(replica, url=url), clock):
            raise RepositoryExists(f"{replica.name} ({replica.url}) lies inside the repository at {url}", _ELSEWHERE)
    store = open_bare_store(config, replica, clock)
    try:
        foreign = _foreign_names(store)
    finally:
        store.close()
    inner = next((name for name in foreign if name.endswith(f"/{names.HEADER}")), "")
    if inner:
        where = inner.removesuffix(names.HEADER)
        raise RepositoryExists(f"{replica.name} ({replica.url}) has a repository inside it, at {where}", _ELSEWHERE)
    if foreign:
        listed = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        counted = f"at least {len(foreign)} objects" if len(foreign) > 3 else count_of(len(foreign), "object")
        raise ConfigInvalid(
            f"{replica.name} ({replica.url}) holds {counted} of others: {listed}",
            f"Choose an empty bucket, directory or prefix, such as {replica.url.rstrip('/')}/farshore; {_OPTION} makes "
            "the repository beside them.",
        )


_ELSEWHERE = f"Choose an empty bucket, directory or prefix beside it; {_OPTION} makes it all the same."


def _foreign_names(store: Store) -> list[str]:
    """Return names that no repository and no probe makes, of the first page."""
    listed = (info.name for info in itertools.islice(store.list(), LIST_PAGE_OBJECTS))
    return [name for name in listed if not name.startswith(_OURS)]


def _has_header(config: Config, place: ReplicaConfig, clock: Clock) -> bool:
    try:
        store = open_bare_store(config, place, clock)
    except OPENING_ERRORS:
        return False
    try:
        store.head(names.HEADER)
    except NotFound:
        return False
    except READ_ERRORS:
        return False  # a credential of this prefix alone
    finally:
        store.close()
    return True


def _above(url: str) -> Iterator[str]:
    """Yield the URLs above this one, the nearest first; the bucket's own is the last."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for _ in range(_PARENTS_MAX):
        if not path or path == "/":
            return
        path = posixpath.dirname(path)
        if parts.scheme == "file" and path == "/":
            return
        yield urlunsplit(parts._replace(path=path.rstrip("/")))
