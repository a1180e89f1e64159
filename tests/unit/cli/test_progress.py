"""Progress: paced, silent where asked, never on standard output unless as records."""

from __future__ import annotations

import argparse
import io
import json
import threading

import pytest

from farshore.cli import Invocation
from farshore.cli.output import Output
from farshore.cli.progress import LineReporter, LiveReporter, RecordReporter, SilentReporter, describe, reporter_for
from farshore.results import Progress
from tests.doubles.clock import FixedClock


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def make(*, json: bool = False, quiet: bool = False, progress: bool = False, terminal: bool = False) -> Invocation:
    return Invocation(
        arguments=argparse.Namespace(progress=progress),
        output=Output(stdout=io.StringIO(), stderr=Terminal() if terminal else io.StringIO(), json=json, quiet=quiet),
        environment={},
        clock=FixedClock(),
    )


def clock_of(invocation: Invocation) -> FixedClock:
    assert isinstance(invocation.clock, FixedClock)
    return invocation.clock


def said(stream: object) -> str:
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, LineReporter),
        ({"terminal": True}, LiveReporter),
        ({"quiet": True}, SilentReporter),
        ({"quiet": True, "terminal": True}, SilentReporter),
        ({"json": True, "terminal": True}, SilentReporter),
        ({"json": True, "progress": True}, RecordReporter),
    ],
)
def test_which_reporter_is_used(options: dict[str, bool], kind: type) -> None:
    assert type(reporter_for(make(**options))) is kind


def test_without_a_terminal_a_line_comes_every_ten_seconds_with_every_stage() -> None:
    invocation = make()
    with reporter_for(invocation) as report:
        report(Progress(stage="scan", entries=10))
        for step in range(25):
            clock_of(invocation).advance(1)
            report(Progress(stage="seal", bytes_done=step * 1024, bytes_total=25 * 1024))

    assert said(invocation.output.stderr).splitlines() == [
        "scan 10 entries; seal 9.0 KiB of 25.0 KiB (36%)",
        "scan 10 entries; seal 19.0 KiB of 25.0 KiB (76%)",
    ]
    assert said(invocation.output.stdout) == ""


def test_a_short_command_tells_no_progress_at_all() -> None:
    invocation = make()
    with reporter_for(invocation) as report:
        report(Progress(stage="seal", entries=1))

    assert said(invocation.output.stderr) == ""


def test_records_come_once_a_second_for_each_stage() -> None:
    invocation = make(json=True, progress=True)
    with reporter_for(invocation) as report:
        for _ in range(10):
            report(Progress(stage="seal", bytes_done=1))
            report(Progress(stage="replicate:a", bytes_done=2))
            clock_of(invocation).advance(0.25)

    records = [json.loads(line) for line in said(invocation.output.stdout).splitlines()]
    assert len(records) == 6
    assert {record["type"] for record in records} == {"progress"}
    assert {record["stage"] for record in records} == {"seal", "replicate:a"}


def test_the_live_display_takes_reports_from_many_threads_and_wipes_itself() -> None:
    invocation = make(terminal=True)
    with reporter_for(invocation) as report:

        def tell(stage: str) -> None:
            for count in range(200):
                report(Progress(stage=stage, bytes_done=count))

        stages = ("seal", "replicate:[a]", "replicate:b")
        threads = [threading.Thread(target=tell, args=(stage,)) for stage in stages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert said(invocation.output.stdout) == ""


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(stage="scan"), "scan begun"),
        (Progress(stage="commit", detail="reading back"), "commit reading back"),
        (Progress(stage="restore", bytes_done=5, bytes_total=4), "restore 5 B of 4 B (100%)"),
        (Progress(stage="verify:a", entries=1200, bytes_done=2048), "verify:a 2.0 KiB, 1,200 entries"),
        (Progress(stage="seal", detail="odd\x1b[2Jname"), r"seal odd\x1b[2Jname"),
    ],
)
def test_a_stage_in_words(progress: Progress, words: str) -> None:
    assert describe(progress) == words
