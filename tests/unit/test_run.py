from __future__ import annotations

from datetime import timedelta

from farshore.results import Progress
from farshore.run import Run
from tests.doubles.clock import FixedClock


def test_a_run_starts_now_under_an_id_of_its_own() -> None:
    clock = FixedClock()
    before = clock.now_utc()
    first = Run.start(clock)
    clock.advance(60)
    second = Run.start(clock)
    assert first.started_utc == before
    assert second.started_utc - first.started_utc >= timedelta(seconds=60)
    assert len(bytes.fromhex(first.run_id)) == 16
    assert first.run_id != second.run_id


def test_a_run_says_who_started_it_and_reports_to_it() -> None:
    reported: list[Progress] = []
    run = Run.start(FixedClock(), engine="prefect", flow_run_id="flow-7", progress=reported.append)
    run.progress(Progress("seal"))
    assert (run.engine, run.flow_run_id) == ("prefect", "flow-7")
    assert reported == [Progress("seal")]
    by_hand = Run.start(FixedClock())
    assert (by_hand.engine, by_hand.flow_run_id) == ("cli", "")
    by_hand.progress(Progress("seal"))  # reports to nobody
