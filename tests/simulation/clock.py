"""The clock of one process in a simulation: the time of all, wrong by what its host is. Random bytes of its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.simulation.threads import Scheduler

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class SimulatedClock:
    """Implements `Clock`. `offsets_s`: by host, how wrong its clock is; those of the services are right."""

    scheduler: Scheduler
    chance: random.Random
    host: str = ""
    offsets_s: Mapping[str, float] = field(default_factory=dict)

    def now_utc(self) -> datetime:
        off_s = self.offsets_s.get(self.host, 0.0)
        return EPOCH + timedelta(seconds=self.scheduler.now_s + off_s)

    def monotonic_s(self) -> float:
        return self.scheduler.now_s

    def random_bytes(self, count: int) -> bytes:
        return self.chance.randbytes(count)

    def jitter(self) -> float:
        return self.chance.random()

    def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
        if until is not None:
            return until.wait(seconds)
        self.scheduler.block(seconds)
        return False
