"""The table and the picture of a simulated year."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_WEEK = 7
_COMMANDS = ("snapshots", "status", "sql", "verify", "prune")
_KINDS = ("audit", "leases", "index", "runs", "packs", "keys", "forgotten", "plans", "snapshots")


@dataclass(frozen=True, slots=True)
class Day:
    """One simulated day. `objects` and `bytes`: at the first replica, by the first part of the name.

    `requests`: of a backup to one replica, the median; `backup_s`: of the hourly source, the median.
    """

    number: int
    away: str
    snapshots: int
    objects: dict[str, int]
    bytes: dict[str, int]
    requests: float
    backup_s: float
    commands_s: dict[str, float]

    def __str__(self) -> str:
        commands = " ".join(f"{name} {value:.2f}" for name, value in self.commands_s.items())
        total = sum(self.bytes.values()) / 1e6
        kinds = " ".join(f"{kind} {self.objects.get(kind, 0)}" for kind in _KINDS)
        return (
            f"day {self.number:3} {self.away or '-'} | {total:.1f} MB, {sum(self.objects.values())} objects: {kinds}"
            f" | backup {self.backup_s:.2f} s, {self.requests:.0f} requests | {commands}"
        )


def publish(days: Sequence[Day], restored: int, into: Path) -> str:
    """Write `years.md` and `years.png`; return the table."""
    into.mkdir(parents=True, exist_ok=True)
    text = f"{_table(days)}\n{restored} kept snapshots were restored at the end.\n"
    (into / "years.md").write_text(text, encoding="utf-8")
    _draw(days, into / "years.png")
    return text


def _table(days: Sequence[Day]) -> str:
    heads = ["day", "snapshots", "MB", "MB without audit", *_KINDS[:-1], "requests", "backup s", *_COMMANDS]
    rows = [heads, ["---:"] * len(heads)]
    shown = [one for one in days if one.number % _WEEK == _WEEK - 1] or list(days)
    for day in shown:
        total, audit = sum(day.bytes.values()), day.bytes.get("audit", 0)
        rows.append([
            str(day.number + 1), str(day.snapshots), f"{total / 1e6:.1f}",
            f"{(total - audit) / 1e6:.1f}",
            *(str(day.objects.get(kind, 0)) for kind in _KINDS[:-1]),
            f"{day.requests:.0f}", f"{day.backup_s:.2f}", *(f"{day.commands_s[name]:.2f}" for name in _COMMANDS),
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _draw(days: Sequence[Day], path: Path) -> None:
    """Write the picture as PNG: bytes, objects, requests and seconds against the day."""
    figure = Figure(figsize=(9.2, 6.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    (sizes, objects), (requests, seconds) = figure.subplots(2, 2)
    at = [day.number + 1 for day in days]
    panels: list[tuple[object, str, dict[str, Callable[[Day], float]]]] = [
        (sizes, "MB at one replica", {
            "all": lambda day: sum(day.bytes.values()) / 1e6, "audit": lambda day: day.bytes.get("audit", 0) / 1e6,
        }),
        (objects, "objects at one replica", {
            kind: lambda day, kind=kind: day.objects.get(kind, 0) for kind in _KINDS  # type: ignore[misc]
        }),
        (requests, "requests of a backup to one replica", {"median": lambda day: day.requests}),
        (seconds, "seconds", {
            "backup": lambda day: day.backup_s,
            **{name: lambda day, name=name: day.commands_s[name] for name in _COMMANDS},  # type: ignore[misc]
        }),
    ]  # fmt: skip
    for axes, title, lines in panels:
        for label, value in lines.items():
            axes.plot(at, [value(day) for day in days], label=label)  # type: ignore[attr-defined]
        axes.set_title(title, fontsize=9)  # type: ignore[attr-defined]
        axes.set_ylim(bottom=0)  # type: ignore[attr-defined]
        axes.legend(fontsize=7)  # type: ignore[attr-defined]
    figure.savefig(path, facecolor="white", metadata={"Software": None})
