"""Deletions at local servers, in batches as a prune sends them and one by one: objects a second, and requests.

    python -m tests.benchmarks.deletions [OBJECTS]

Servers run on this machine, so a request costs no distance: over a network the difference is larger. `needed` is the
requests that listings and deletions need: a page for each thousand names, a batch for as many as the service takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from math import ceil
from urllib.parse import urlsplit

from farshore import limits
from farshore.clock import SystemClock
from farshore.ops.prune.sweep import Sweeper
from farshore.replicas.repository import Replica
from farshore.stores.azure.store import AzureStore
from farshore.stores.base import Capabilities, Store
from farshore.stores.one_by_one import heads_of
from farshore.stores.s3.store import S3Store
from farshore.stores.traffic import CountsRequests
from farshore.stores.wrappers import WrappingStore
from farshore.stores.wrappers.metered import MeteredStore
from farshore.stores.wrappers.retrying import RetryingStore
from infra.local.azurite import AzuriteServer
from infra.local.seaweedfs import SeaweedServer

OBJECTS = 2000
REQUESTS_MAX = 1.2  # times those that listings and deletions need
_PUTS_AT_ONCE = 16


class OneByOne(WrappingStore):
    """The same store, without requests for many objects."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._store.capabilities, delete_batch=1)

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        return heads_of(self._store.head, names)


def stores(stack: ExitStack) -> Iterator[tuple[str, Store, bool]]:
    """Yield stores at local servers: a word for each, and whether objects of one name differ there."""
    s3 = stack.enter_context(SeaweedServer())
    s3.create_locked_bucket("versioned")
    for bucket in ("plain", "versioned"):
        if bucket == "plain":
            s3.create_bucket(bucket)
        store = S3Store(bucket=bucket, prefix="x", endpoint=s3.address, credentials=dict(s3.credentials))
        yield f"S3, {bucket}", store, bucket == "versioned"
    azure = stack.enter_context(AzuriteServer())
    azure.create_bucket("bench")
    parts = urlsplit(azure.url("bench", "x"))
    container = AzureStore(
        container=parts.netloc, prefix="x", endpoint=azure.address, credentials=dict(azure.credentials)
    )
    yield "Azure", container, True


def measure(name: str, store: Store, *, distinguishes: bool, objects: int, wrap: Callable[[Store], Store]) -> bool:
    """Put objects, list and delete them, print the cost; whether the requests are within the bar."""
    with ThreadPoolExecutor(_PUTS_AT_ONCE) as pool:
        list(pool.map(lambda at: store.put(f"packs/{at % 256:02x}/{os.urandom(32).hex()}", b"x" * 100), range(objects)))
    assert isinstance(store, CountsRequests)
    before, begun = sum(store.request_counter.counts().values()), time.perf_counter()
    replica = Replica("bench", "", store.url, RetryingStore(wrap(store), clock=SystemClock()), MeteredStore(store))
    sweeper = Sweeper(replica, may_go_on=lambda: True, distinguishes=distinguishes, on_batch=lambda _: None)
    infos = list(store.list("packs/"))
    sweeper.delete(infos)
    seconds, requests = time.perf_counter() - begun, sum(store.request_counter.counts().values()) - before
    assert sweeper.done.freed.objects == len(infos) == objects
    versions = ceil(objects / limits.LIST_PAGE_OBJECTS) if distinguishes and not infos[0].seen else 0
    pages = ceil(objects / limits.LIST_PAGE_OBJECTS) + versions
    needed = pages + ceil(objects / store.capabilities.delete_batch)
    kind = "one by one" if wrap is OneByOne else "in batches"
    print(f"{name:14} {kind:11} {objects / seconds:8.0f} objects/s {requests:6} requests, needed {needed}", flush=True)
    return wrap is OneByOne or requests <= max(REQUESTS_MAX * needed, needed + 2)


def main(words: list[str]) -> int:
    """Measure each store both ways; 1 where a bar does not hold."""
    held = True
    with ExitStack() as stack:
        for name, store, distinguishes in stores(stack):
            for wrap in (lambda inner: inner, OneByOne):
                held &= measure(
                    name, store, distinguishes=distinguishes, objects=int(words[0]) if words else OBJECTS, wrap=wrap
                )
    print("the bar holds" if held else f"more than {REQUESTS_MAX} times the requests")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
