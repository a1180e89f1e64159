"""A wrapper that refuses every change: what restore, verify and status open a replica with."""

from __future__ import annotations

from collections.abc import Callable

from farshore.errors import StoreReadOnly
from farshore.stores.base import check_name
from farshore.stores.wrappers.base import Answer, WrappingStore

_READS = frozenset({"get", "head", "lock_state", "now_utc"})  # a verb that is not named here is refused
_REFUSALS = {
    "put": "{} was not written",
    "delete": "{} was not deleted",
    "extend_lock": "{} was not locked",
    "set_hold": "the hold on {} was not changed",
    "warm": "{} was not warmed",
}


class ReadOnlyStore(WrappingStore):
    """The same store, with every change answered by `StoreReadOnly` before anything is sent."""

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        if verb in _READS:
            return request()
        refusal = _REFUSALS.get(verb, "{} was not changed").format(check_name(name))
        raise StoreReadOnly(f"{self.url} is open for reading only, so {refusal}")
