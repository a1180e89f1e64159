"""How far a long operation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long operation is. Figures only ever grow within one stage."""

    stage: str  # scan | seal | replicate:<name> | commit | restore | verify:<name>
    entries: int = 0
    bytes_done: int = 0
    bytes_total: int = 0  # 0 when it is not known
    detail: str = ""
    extra: tuple[tuple[str, str], ...] = field(default=())


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """Report to nobody."""
