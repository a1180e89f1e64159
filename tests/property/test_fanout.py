"""Random paces and failures: a replica that finished has acknowledged every upload, with each barrier in its place."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.errors import FarshoreError, StoreDenied, StoreUnavailable
from farshore.replicas.fanout import Fanout
from farshore.replicas.upload import Spool, Upload
from farshore.replicas.upload_queue import QueueLimits
from farshore.stores.base import Body, PutOutcome
from farshore.stores.body import as_bytes
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from tests.doubles.clock import FixedClock

SIZE = 500


class MoodyStore(MemoryStore):
    """Takes its time, fails in passing, loses replies, and perhaps refuses for good from some put on."""

    def __init__(self, seed: int, pause_s: float, failing: float, refusing_from: int) -> None:
        super().__init__(clock=FixedClock())
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._failing = failing
        self.refusing_from = refusing_from
        self._mutex = threading.Lock()
        self._puts = 0
        self.begun: list[str] = []
        self.ended: list[str] = []  # acknowledged, in order

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        with self._mutex:
            self._puts += 1
            self.begun.append(name)
            mood, number = self._random.random(), self._puts
        time.sleep(self._pause_s * mood)
        if number >= self.refusing_from:
            raise StoreDenied("revoked")
        if mood < self._failing / 2:
            raise StoreUnavailable("failed")
        outcome = super().put(name, as_bytes(body), retention)
        if mood < self._failing:
            raise StoreUnavailable("its reply was lost")
        with self._mutex:
            self.ended.append(name)
        return outcome


stores = st.builds(
    MoodyStore,
    seed=st.integers(0, 10**6),
    pause_s=st.sampled_from([0.0, 0.0, 0.001, 0.004]),
    failing=st.sampled_from([0.0, 0.1, 0.4]),
    refusing_from=st.sampled_from([10**9, 10**9, 1, 7]),
)


@settings(max_examples=60, deadline=None)
@given(
    replicas=st.lists(stores, min_size=1, max_size=4),
    uploads=st.lists(st.booleans(), min_size=1, max_size=40),
    data=st.data(),
)
def test_who_finished_has_everything_in_order(
    replicas: list[MoodyStore], uploads: list[bool], data: st.DataObject
) -> None:
    names = [f"r{number}" for number in range(len(replicas))]
    quorum = data.draw(st.integers(1, len(names)), "quorum")
    spool_uploads = data.draw(st.sampled_from([0, 3, 1000]), "spool")
    offered = [
        Upload(f"{'b' if is_barrier else 'p'}/{number:03}", bytes([number]) * SIZE, SIZE, barrier=is_barrier)
        for number, is_barrier in enumerate(uploads)
    ]
    with tempfile.TemporaryDirectory() as place:
        queues = Fanout(
            replicas=names,
            clock=FixedClock(),
            quorum=quorum,
            queue_limits={name: QueueLimits(uploads=3, spool_bytes=spool_uploads * SIZE) for name in names},
            spool=Spool(Path(place), free_bytes_min=0),
            window_packs=2,
        )

        def send(name: str, store: MoodyStore) -> None:
            while True:
                try:
                    queues.drain(name, store)
                    return
                except FarshoreError as error:
                    if not error.retryable:
                        queues.drop(name, error)
                        return

        with ThreadPoolExecutor(len(names)) as pool:
            sending = [pool.submit(send, name, store) for name, store in zip(names, replicas, strict=True)]
            for upload in offered:
                queues.offer(upload)
            queues.end()
            for one in sending:
                one.result(timeout=60)
        finished = [store for name, store in zip(names, replicas, strict=True) if queues.finished(name)]
        reliable = sum(store.refusing_from > len(offered) * 1000 for store in replicas)
        # Where there is no room, others may have been left behind for one that kept up and then refused.
        refused_without_room = reliable < len(replicas) and spool_uploads < len(offered)
        assert refused_without_room or len(finished) >= min(quorum, reliable)
        for name, store in zip(names, replicas, strict=True):
            assert queues.finished(name) == (name in queues.at_work)
            if not queues.finished(name):
                assert queues.error_of(name) is not None
                continue
            assert {info.name for info in store.list()} == {upload.name for upload in offered}
            assert sorted(queues.acknowledged(name)) == sorted((upload.name, SIZE) for upload in offered)
            for upload in offered:
                assert store.get(upload.name) == upload.body
                if upload.barrier:
                    earlier = {one.name for one in offered[: offered.index(upload)]}
                    assert earlier <= set(store.ended[: store.ended.index(upload.name)])
                    later = {one.name for one in offered[offered.index(upload) + 1 :]}
                    assert not later & set(store.begun[: store.begun.index(upload.name)])
        if len(finished) == len(names):
            assert list(Path(place).iterdir()) == []
