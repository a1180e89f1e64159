"""The second process of a race: `python -m farshore.ops.probe.racer`, told what to do line by line.

Credentials come on standard input, never as an argument or a variable, where others on the machine could read them.
Lines are JSON: `{"open": {...}, "writers": n}`, then for each race `{"race": {...}}` and `{"go": true}`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TextIO

from farshore.clock import SystemClock
from farshore.errors import FarshoreError
from farshore.ops.probe.racing import Race, Writers
from farshore.stores.opening import open_store


def race_as_told(orders: TextIO, answers: TextIO) -> None:
    """Do what the lines say until they end."""
    writers: Writers | None = None
    clock = SystemClock()

    def answer(said: object) -> None:
        answers.write(f"{json.dumps(said)}\n")
        answers.flush()

    for line in orders:
        order = json.loads(line)
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


if __name__ == "__main__":
    race_as_told(sys.stdin, sys.stdout)
