"""Trial N11: what moves is shown while it moves, before any object or stage is done."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest

from farshore.cli.output import Output
from farshore.cli.progress import LineReporter, LiveReporter
from farshore.cli.wire import Rate, Wire, time_left
from farshore.clock import SystemClock
from farshore.results import Progress
from tests.doubles.clock import FixedClock

MIB = 1 << 20
WAIT_S = 30.0


class Terminal(io.StringIO):
    """A stream that is a terminal of a fixed width."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Line:
    """A line to one replica, of which the test says how much has passed."""

    def __init__(self) -> None:
        self.came_in = 0
        self.went_out = 0

    def moved(self) -> dict[str, tuple[int, int]]:
        return {"oslo": (self.came_in, self.went_out)}


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    latest = rate.of(0, 0.0)
    assert latest == 0.0
    assert rate.of(10, 1.0) == 10.0
    for second in range(2, 40):
        latest = rate.of(10 + 100 * (second - 1), float(second))
    assert latest == pytest.approx(100.0)
    assert rate.of(10 + 100 * 38, 100.0) < 100.0  # it stands, and the rate goes down


def test_bytes_under_way_are_reported_by_replica_and_direction() -> None:
    line, clock = Line(), FixedClock()
    line.came_in = 5 * MIB  # of before
    wire = Wire(line.moved, clock)
    assert wire.describe() == ""
    clock.advance(1)
    line.came_in += 2 * MIB
    assert wire.describe() == "from oslo 2.0 MiB at 2.0 MiB/s"
    line.went_out += MIB
    clock.advance(1)
    assert "to oslo 1.0 MiB" in wire.describe()


def test_what_moves_for_a_stage_is_known_by_its_name() -> None:
    line = Line()
    wire = Wire(line.moved, FixedClock())
    line.came_in, line.went_out = 7, 5
    assert [wire.bytes_of(stage) for stage in ("restore", "verify:oslo", "heal:oslo", "replicate:oslo")] == [7, 7, 5, 5]
    assert [wire.bytes_of(stage) for stage in ("seal", "commit", "verify:elsewhere", "lock:oslo")] == [None] * 4


def test_the_time_left_is_reported_where_it_can_be() -> None:
    assert time_left(50, 100, 10.0) == "5.0 s left"
    assert time_left(0, 0, 10.0) == ""
    assert time_left(0, 100, 0.0) == ""
    assert time_left(100, 100, 10.0) == ""


def shown(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())


def await_text(stream: io.StringIO, pattern: str) -> None:
    ends_s = time.monotonic() + WAIT_S
    while not re.search(pattern, shown(stream)):
        assert time.monotonic() < ends_s, shown(stream)[-2000:]
        time.sleep(0.05)


def test_a_bar_moves_before_any_object_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    line, stream = Line(), Terminal()
    output = Output(stdout=io.StringIO(), stderr=stream)
    with LiveReporter(output=output, clock=SystemClock(), moved=line.moved) as reporter:
        await_text(stream, "waiting for the first bytes")
        reporter(Progress("restore", bytes_total=100 * MIB))
        line.came_in = 40 * MIB
        await_text(stream, r"restore.*40\.0 MiB of 100 MiB \(40%\)")
        await_text(stream, r"from oslo 40\.0 MiB at .*/s")
        line.came_in = 70 * MIB
        await_text(stream, r"70\.0 MiB of 100 MiB \(70%\), [0-9.]+ s left")
        line.came_in = 120 * MIB
        await_text(stream, r"99\.0 MiB of 100 MiB \(99%\)")  # never all of it before the engine says so
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_lines_come_also_where_no_stage_reports() -> None:
    line, stream = Line(), io.StringIO()
    output = Output(stdout=io.StringIO(), stderr=stream)
    with LineReporter(output=output, clock=SystemClock(), every_s=0.05, moved=line.moved) as reporter:
        line.came_in = MIB
        await_text(stream, r"(?m)^from oslo 1\.0 MiB at .*/s$")
        reporter(Progress("restore", bytes_total=4 * MIB))
        await_text(stream, r"(?m)^restore 0 B of 4\.0 MiB \(0%\); from oslo 1\.0 MiB at")
