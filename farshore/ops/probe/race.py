"""The check that everything depends on: of many writers of one name exactly one wins."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from farshore.errors import FarshoreError, ObjectNotFound
from farshore.limits import LIST_PAGE_OBJECTS
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.racing import Outcome, Race, Writers, body_of
from farshore.ops.probe.verdicts import Finding, Verdict
from farshore.workers import close_all, spawn

_MODULE = "farshore.ops.probe.racer"
_ORDER = b"O"
WRITERS = 8  # threads of this process, each with connections of its own
SECOND_WRITERS = 4  # of the second process
ROUNDS = 5
ROUNDS_IN_PARTS = 3
_BODY_BYTES = 20_000
_SECOND_WAIT_S = 300.0  # a second process that is silent for longer is ended
_UNSAFE_HINT = "Do not keep a replica here: the service ignores or breaks the condition of a put."
_UNSAFE_PARTS_HINT = (
    "The service breaks the condition where an object in parts is completed. Farshore sends objects above 64 MiB like "
    "that, which only manifests of very large sources are: two writers of one name could both believe they made it."
)


class SecondProcess:
    """Writers in another process, as another host would be. A context; ends the process."""

    def __init__(self, opening: dict[str, Any]) -> None:
        self._opening = opening

    def __enter__(self) -> SecondProcess:
        self._worker = spawn(_MODULE, opens_stores=True)
        self._watch = threading.Timer(_SECOND_WAIT_S, self._worker.process.kill)
        self._watch.daemon = True
        self._watch.start()
        self._failure = str(self.order({"open": self._opening, "writers": SECOND_WRITERS}).get("error", ""))
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        self._worker.process.kill()
        close_all([self._worker])

    @property
    def failure(self) -> str:
        """Why it does not participate, or empty."""
        return self._failure

    def order(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one order and return its answer."""
        self._worker.send(_ORDER, json.dumps(message).encode())
        frame = self._worker.receive()
        if frame is None:
            return {"error": "the second process ended"}
        answer: dict[str, Any] = json.loads(frame[1])
        return answer


def conditional_put(scope: ProbePrefix) -> Iterator[Finding]:
    """Race for names with small objects, each put by one request."""
    yield _race(scope, "conditional-put", ROUNDS, _BODY_BYTES, 0)


def conditional_parts(scope: ProbePrefix) -> Iterator[Finding]:
    """Race for names with objects in parts, where the condition is checked at the end."""
    if scope.capability is None:
        yield Finding("conditional-parts", Verdict.SKIPPED, "objects are not sent in parts here")
        return
    part_bytes = scope.capability.part_bytes_min
    finding = _race(scope, "conditional-parts", ROUNDS_IN_PARTS, part_bytes + 1000, part_bytes)
    yield finding


def _race(scope: ProbePrefix, check: str, rounds: int, size: int, part_bytes: int) -> Finding:
    seen: list[Outcome] = []
    with ExitStack() as stack:
        second = stack.enter_context(SecondProcess(scope.second)) if scope.second else None
        if second is not None and second.failure:
            return Finding(check, Verdict.FAILED, f"the second process cannot participate: {second.failure}")
        stores = [scope.bare(LIST_PAGE_OBJECTS) for _ in range(WRITERS)]
        writers = Writers(tag="first", stores=stores, clock=scope.clock)
        stack.callback(writers.close)
        writers.warm(scope.name(f"{check}-warm"))
        for number in range(1, rounds + 1):
            race = Race(scope.name(f"{check}-{number}"), size, part_bytes)
            outcomes = _run(race, writers, second)
            if trouble := _judged(scope, race, outcomes, f"round {number} of {rounds}"):
                return Finding(check, *trouble)
            seen += outcomes
    who = f"{WRITERS} connections of this process" + (f" and {SECOND_WRITERS} of a second one" if second else "")
    erred = sum(bool(outcome.error) for outcome in seen)
    more = f"; {erred} attempts ended in passing errors" if erred else ""
    return Finding(check, Verdict.OK, f"exactly one winner of {who}, {rounds} times{more}")


def _run(race: Race, writers: Writers, second: SecondProcess | None) -> list[Outcome]:
    """Run one race; both processes are at their last step before either is let go."""
    if second is None:
        writers.begin(race)
        writers.release()
        return writers.outcomes()
    begun = second.order({"race": asdict(race)})
    writers.begin(race)
    answers: list[dict[str, Any]] = []
    there = threading.Thread(target=lambda: answers.append(second.order({"go": True})))
    there.start()
    writers.release()
    there.join()
    outcomes = writers.outcomes()
    if "error" in (*begun, *answers[0]):
        error = begun.get("error") or answers[0].get("error")
        return [*outcomes, Outcome("second", won=False, error=str(error))]
    return [*outcomes, *(Outcome(**one) for one in answers[0]["outcomes"])]


def _judged(scope: ProbePrefix, race: Race, outcomes: list[Outcome], when: str) -> tuple[Verdict, str, str] | None:
    """Return what is wrong with the outcome of one race, or None."""
    winners = [outcome.writer for outcome in outcomes if outcome.won]
    if len(winners) > 1:
        return (
            Verdict.UNSAFE,
            f"{len(winners)} of {len(outcomes)} writers of one name won in {when}",
            _UNSAFE_HINT if not race.part_bytes else _UNSAFE_PARTS_HINT,
        )
    if not winners:
        errors = sorted({outcome.error for outcome in outcomes if outcome.error})
        return (
            Verdict.FAILED,
            f"no writer won in {when}: {errors[0] if errors else 'each of them got the answer that the name exists'}",
            "",
        )
    try:
        kept = scope.other.get(race.name)
    except ObjectNotFound:
        return Verdict.UNSAFE, f"the winner's object is not there in {when}", _UNSAFE_HINT
    except FarshoreError as error:
        return Verdict.FAILED, error.message, error.hint
    if kept != body_of(winners[0], race.size):
        return Verdict.UNSAFE, f"a writer that lost replaced the winner's object in {when}", _UNSAFE_HINT
    return None
