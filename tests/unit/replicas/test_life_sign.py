"""A replica that only trickles shows no sign of life."""

from __future__ import annotations

from farshore import limits
from farshore.replicas.repository import Replica
from farshore.stores.memory import MemoryStore
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.clock import FixedClock


def test_a_few_bytes_or_names_are_no_sign_and_many_are() -> None:
    store = MemoryStore(clock=FixedClock())
    store.put("large", bytes(limits.LIFE_SIGN_BYTES))
    for number in range(limits.LIFE_SIGN_OBJECTS):
        store.put(f"packs/{number:03}", b"")
    meter = MeteredStore(store)
    replica = Replica(name="a", region="", url="", store=meter, meter=meter)
    signs = [replica.life_sign()[1:]]
    for _ in zip(range(limits.LIFE_SIGN_OBJECTS - 1), listing := meter.list(), strict=False):
        signs.append(replica.life_sign()[1:])
    assert len(set(signs)) == 1
    next(listing)
    assert replica.life_sign()[1:] != signs[0]
    signs = [replica.life_sign()[1:]]
    for number in range(limits.LIFE_SIGN_BYTES - 1):
        meter.get("large", number, 1)
    assert replica.life_sign()[1:] == signs[0]
    meter.get("large", 0, 1)
    assert replica.life_sign()[1:] != signs[0]
