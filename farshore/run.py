"""One run of one operation: its id, who started it and when, whom it reports to, and its clock."""

from __future__ import annotations

from datetime import datetime

from farshore.clock import Clock
from farshore.model import dataclass
from farshore.results import ProgressCallback, no_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one operation, as its audit rows name it and its caller follows it.

    Does not change; safe for use from many threads as far as `progress` is. A run belongs to one call of an operation:
    a second call with the same run would write its rows under the first one's id. It stays in this process.
    """

    run_id: str  # hex of 16 random bytes; joins the rows of every audit table
    engine: str  # cli | prefect: what ran it
    flow_run_id: str  # of the orchestrator; empty without one
    started_utc: datetime
    progress: ProgressCallback
    clock: Clock

    @staticmethod
    def start(
        clock: Clock, *, engine: str = "cli", flow_run_id: str = "", progress: ProgressCallback = no_progress
    ) -> Run:
        """Return a run that starts now, under a new id. Reads the time of `clock` once and 16 of its random bytes."""
        return Run(
            started_utc=clock.now_utc(),
            run_id=clock.random_bytes(16).hex(),
            engine=engine,
            flow_run_id=flow_run_id,
            progress=progress,
            clock=clock,
        )
