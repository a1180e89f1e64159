"""The result of a probe: a verdict per check, figures, and objects that stay. Frozen values, no I/O."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from farshore.model import dataclass


class Verdict(StrEnum):
    """How a check ended, from best to worst."""

    OK = "ok"
    NOTE = "note"  # nothing to change: it is not switched on, or the service does not say
    SKIPPED = "skipped"  # could not be tried here
    WARNING = "warning"  # works, and a person should change something
    FAILED = "failed"  # Farshore relies on it
    UNSAFE = "unsafe"  # two writers of one name both won: objects can be lost unnoticed


_GRAVITY = tuple(Verdict)


class Role(StrEnum):
    """The purpose of the credential, which decides the rights that it should have."""

    WRITER = "writer"  # backups: list, read, create; no delete, no overwrite
    MAINTAINER = "maintainer"  # also deletes
    READER = "reader"  # restores: list and read


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict. `hint` says what to change, where there is something."""

    check: str
    verdict: Verdict
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: the median of `samples`. `unit` is `ms` or `MB/s`."""

    name: str
    median: float
    unit: str
    samples: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The outcome of one probe of one replica."""

    replica: str
    url: str
    kind: str
    role: Role
    prefix: str  # below the replica's own: where the probe worked
    started_utc: datetime
    finished_utc: datetime
    findings: tuple[Finding, ...]
    figures: tuple[Figure, ...] = ()
    objects_left: int = 0
    left: tuple[str, ...] = ()  # names of the first of them

    @property
    def verdict(self) -> Verdict:
        """The worst of all findings; those that could not be tried do not count."""
        counted = [finding.verdict for finding in self.findings if finding.verdict is not Verdict.SKIPPED]
        return max(counted, key=_GRAVITY.index, default=Verdict.SKIPPED)


def judge(check: str, problems: list[str], good: str, hint: str = "") -> Finding:
    """Return FAILED with the first problems, or OK with what was seen to hold."""
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        return Finding(check, Verdict.FAILED, "; ".join(problems[:3]) + more, hint)
    return Finding(check, Verdict.OK, good)
