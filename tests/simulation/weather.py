"""What goes wrong in one history, how often: drawn from its seed. A history has a few kinds of trouble, not all."""

from __future__ import annotations

import random
from dataclasses import dataclass

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
SUSPENSIONS_S = (30.0, 20 * MINUTE_S, 7 * HOUR_S, 3 * DAY_S, 40 * DAY_S)
CLOCK_STEPS_S = (-2 * DAY_S, -2 * HOUR_S, -100.0, 100.0, 2 * HOUR_S, 2 * DAY_S)
AWAY_S = (HOUR_S, 2 * DAY_S, 20 * DAY_S)


@dataclass(frozen=True)
class Weather:
    """Shares of calls that meet trouble, and how time passes."""

    turn: float = 0.1  # another process may go on
    step_s: float = 0.05  # that a call needs
    fail: float = 0.0  # nothing is done
    lose_reply: float = 0.0  # it is done, and the caller hears an error
    late: float = 0.0  # the caller hears an error, and it is done minutes to days later
    suspend: float = 0.0
    kill: float = 0.0
    clock_step: float = 0.0
    page: int = 1000  # objects of a listing before other processes may go on
    away: int = 0  # how often a replica is out of reach for a while
    old_caches: int = 0  # how often a host's cache is put back to an earlier state
    liar: bool = False  # the listings of one replica lack objects, from the first call on

    @staticmethod
    def drawn(chance: random.Random) -> Weather:
        """Draw the weather of a history."""

        def some(rates: tuple[float, ...], share: float = 0.4) -> float:
            return chance.choice(rates) if chance.random() < share else 0.0

        return Weather(
            turn=chance.choice((0.02, 0.1, 0.3, 1.0)),
            step_s=chance.choice((0.01, 0.2, 3.0)),
            fail=some((0.003, 0.03)),
            lose_reply=some((0.003, 0.03)),
            late=some((0.003, 0.02), 0.3),
            suspend=some((0.002, 0.01), 0.6),
            kill=some((0.001, 0.005), 0.5),
            clock_step=some((0.002, 0.01), 0.3),
            page=chance.choice((1000, 7, 2)),
            away=chance.choice((0, 0, 1, 2)),
            old_caches=chance.choice((0, 0, 1)),
            liar=chance.random() < 0.05,
        )
