"""The second process of a race, a worker of `race.SecondProcess`.

Credentials are read from standard input, never from an argument or a variable, which others on the machine could read.
Orders are frames of JSON: `{"open": {...}, "writers": n}`, then for each race `{"race": {...}}` and `{"go": true}`.
Each has one answer, a frame of JSON too.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import IO

from farshore.clock import SystemClock
from farshore.errors import FarshoreError
from farshore.frames import read_frame, write_frame
from farshore.ops.probe.racing import Race, Writers
from farshore.stores import open_store


def serve(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Do what is ordered until there are no more orders."""
    writers: Writers | None = None
    clock = SystemClock()

    def answer(said: object) -> None:
        write_frame(answers, b"A", json.dumps(said).encode())

    while (frame := read_frame(orders)) is not None:
        order = json.loads(frame[1])
        try:
            if "open" in order:
                stores = [open_store(**order["open"], clock=clock) for _ in range(order["writers"])]
                writers = Writers(tag="second", stores=stores, clock=clock)
                writers.warm("probe")
            elif writers is not None and "race" in order:
                writers.begin(Race(**order["race"]))
            elif writers is not None:
                writers.release()
                answer({"outcomes": [dataclasses.asdict(outcome) for outcome in writers.outcomes()]})
                continue
            answer({"ready": True})
        except FarshoreError as error:
            answer({"error": f"{error.code}: {error.message}"})


def main() -> None:
    """Serve on standard input and output."""
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
