"""A wrapper that keeps what is put as its replica is configured: locked, and in a storage class."""

from __future__ import annotations

from collections.abc import Callable

from farshore.stores.base import Body, PutOutcome, Store
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import WrappingStore


class RetentionStore(WrappingStore):
    """The same store; a put without a retention gets the one of a rule.

    So no caller that puts an object at a replica (a backup, a heal, an audit row) can forget its lock.

    Args:
        retention_of: Returns the retention of an object of this name when it is put now.
    """

    def __init__(self, store: Store, retention_of: Callable[[str], ObjectRetention]) -> None:
        super().__init__(store)
        self._retention_of = retention_of

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        return self._store.put(name, body, self._retention_of(name) if retention is DEFAULT_RETENTION else retention)
