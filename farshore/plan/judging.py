"""The outcome of a loss: replicas left, whether backups go on, who can restore what, and what to change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from farshore.config import Config, HolderConfig, format_duration
from farshore.model import dataclass
from farshore.plan.losses import Loss, LossKind, key_holders
from farshore.plan.replicas import PlacedReplica, place_replicas
from farshore.plan.rules import interval_of
from farshore.plural import count_of

NAME_A_HOLDER = (
    "let somebody off this host open the repository (farshore key recipient add or passphrase add), "
    "and name them under [holders]"
)
Newest = Mapping[str, Mapping[str, datetime]]  # replica -> source -> when its newest snapshot there began


@dataclass(frozen=True, slots=True)
class SourceLoss:
    """The latest state that one source loses, if the source itself is lost at the same moment."""

    source: str
    rpo: timedelta | None  # by plan; None where it is not known, or nothing can be restored
    newest_utc: datetime | None = None  # that a replica holds which is left; only when replicas were asked
    age: timedelta | None = None  # of that snapshot


class LossVerdict(StrEnum):
    """What one loss leaves."""

    UNHARMED = "unharmed"
    SURVIVES = "survives"
    DEGRADED = "degraded"
    PARTIAL = "partial"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class SimulatedLoss:
    """One loss and what is left."""

    loss: str  # kind, or kind:subject
    kind: str
    subject: str
    verdict: LossVerdict
    is_accepted: bool
    survives: tuple[str, ...]  # replicas whose objects are left
    gone: tuple[str, ...]
    is_quorum_possible: bool  # whether new backups can reach their quorum with what is left
    is_restorable: bool
    opens_with: tuple[str, ...]  # key holders left
    is_newest_held: bool  # whether the quorum alone makes sure that what is left holds the newest snapshot
    sources: tuple[SourceLoss, ...]
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def leaves_nothing(self) -> bool:
        """Whether nothing can be restored, and the plan does not accept that."""
        return self.verdict is LossVerdict.NOTHING and not self.is_accepted


@dataclass(frozen=True, slots=True)
class _Left:
    """Replicas and keys that are left after one loss."""

    config: Config
    loss: Loss
    replicas: tuple[PlacedReplica, ...]
    holders: Mapping[str, HolderConfig]

    @property
    def writable(self) -> int:
        return sum(not one.offline and one.replica not in self.loss.cut_off for one in self.replicas)

    @property
    def is_restorable(self) -> bool:
        return bool(self.replicas) and bool(self.holders)

    @property
    def is_quorum_possible(self) -> bool:
        """A host that is gone is followed by another, which somebody with a key must enroll."""
        has_writer = bool(self.holders) or not self.loss.includes_host
        return has_writer and self.writable >= self.config.repository.quorum

    @property
    def is_newest_held(self) -> bool:
        """A snapshot counts when a quorum holds it: fewer lost replicas than that cannot be all that hold it."""
        return bool(self.replicas) and len(self.loss.gone) < self.config.repository.quorum


def simulate(
    config: Config, losses: Sequence[Loss], *, newest: Newest | None = None, now_utc: datetime | None = None
) -> tuple[SimulatedLoss, ...]:
    """Return what is left after each loss alone.

    Args:
        newest: The newest snapshots of each replica, where they were asked; `now_utc` goes with it.
    """
    placed, holders = place_replicas(config), key_holders(config)
    found: list[SimulatedLoss] = []
    for loss in losses:
        left = _Left(
            config=config,
            loss=loss,
            replicas=tuple(one for one in placed if one.replica not in loss.gone),
            holders={name: one for name, one in holders.items() if name not in loss.keys_gone},
        )
        found.append(
            SimulatedLoss(
                loss=loss.name,
                kind=loss.kind.value,
                subject=loss.subject,
                verdict=_verdict(left),
                is_accepted=loss.name in config.placement.accepted,
                survives=tuple(one.replica for one in left.replicas),
                gone=tuple(one.replica for one in placed if one.replica in loss.gone),
                is_quorum_possible=left.is_quorum_possible,
                is_restorable=left.is_restorable,
                opens_with=tuple(left.holders),
                is_newest_held=left.is_newest_held,
                sources=source_losses(config, left.replicas if left.is_restorable else (), left, newest, now_utc),
                notes=tuple(_notes(left)),
                changes=tuple(_changes(left)),
            )
        )
    return tuple(found)


def _verdict(left: _Left) -> LossVerdict:
    if not left.is_restorable:
        return LossVerdict.NOTHING
    if not left.is_quorum_possible:
        return LossVerdict.DEGRADED
    loss = left.loss
    touched = loss.gone or loss.cut_off or loss.keys_gone or loss.includes_host
    return LossVerdict.SURVIVES if touched else LossVerdict.UNHARMED


def source_losses(
    config: Config, replicas: Sequence[PlacedReplica], left: _Left, newest: Newest | None, now_utc: datetime | None
) -> tuple[SourceLoss, ...]:
    """Return for each source how much of it a restore from these replicas would lack."""
    found: list[SourceLoss] = []
    for source in config.sources.values():
        interval = interval_of(source.schedule, source.rpo)
        times = [(newest or {}).get(one.replica, {}).get(source.name) for one in replicas]
        latest = max((moment for moment in times if moment), default=None)
        age = now_utc - latest if latest and now_utc else None
        found.append(SourceLoss(source.name, _planned_rpo(interval, replicas, left), latest, age))
    return tuple(found)


def _planned_rpo(interval: timedelta | None, replicas: Sequence[PlacedReplica], left: _Left) -> timedelta | None:
    """Return the age of the newest snapshot at the most current replica: an offline one is as old as its last visit."""
    if interval is None or not replicas:
        return None
    if left.is_newest_held or any(not one.offline for one in replicas):
        return interval
    visits = [one.synced_every for one in replicas if one.synced_every]
    return interval + min(visits) if visits else None


def _notes(left: _Left) -> list[str]:
    """Return what a person should know that is no mistake of the plan."""
    loss, notes = left.loss, list[str]()
    repository = left.config.repository
    if loss.includes_host and left.holders:
        notes.append("a new host is enrolled by a key holder: farshore key enroll")
    if loss.kind is LossKind.RANSOMWARE and (repository.passphrase or repository.identity):
        notes.append("an intruder on this host reads every backup, because it holds a key that reads")
    if loss.kind in (LossKind.RANSOMWARE, LossKind.LOGIN):
        notes.extend(_protection_notes(left))
    if left.is_restorable and not left.is_newest_held:
        notes.append(
            "what is left holds the newest snapshot only if it was in sync: the quorum alone does not ensure it"
        )
    return notes


def _protection_notes(left: _Left) -> list[str]:
    """Return what the protection of replicas that the operator reached is worth."""
    every = left.loss.kind is LossKind.RANSOMWARE
    reached = [one for one in left.replicas if not one.offline and (every or one.replica in left.loss.cut_off)]
    notes = [
        f"{one.replica} keeps what is younger than its lock of "
        f"{count_of(left.config.replicas[one.replica].immutable_days, 'day')}"
        for one in reached
        if one.immutable
    ]
    versioned = [one.replica for one in reached if one.versioned and not one.immutable]
    if versioned:
        notes.append(f"bring back the versions from before at {', '.join(versioned)}, by the provider's own means")
    return notes


def _changes(left: _Left) -> list[str]:
    """Return what would make the plan outlive this loss."""
    changes: list[str] = []
    if not left.replicas:
        changes.append(_another_replica(left.loss))
    if not left.holders:
        kind = {"passphrase": "recipient", "recipient": "passphrase"}.get(left.loss.subject, "")
        is_kind = left.loss.kind is LossKind.HOLDER_KIND and bool(kind)
        changes.append(f"add a holder of another kind: a {kind}" if is_kind else NAME_A_HOLDER)
    quorum = left.config.repository.quorum
    if left.is_restorable and left.writable < quorum:
        missing = quorum - left.writable
        more = count_of(missing, "more replica")
        lower = f", or lower repository.quorum to {left.writable} meanwhile" if left.writable else ""
        changes.append(f"to back up on after it: {more} {_outside(left.loss)}{lower}")
    online = sum(not one.offline for one in place_replicas(left.config))
    if left.is_restorable and not left.is_newest_held and len(left.loss.gone) < online:
        needed = len(left.loss.gone) + 1
        changes.append(f"repository.quorum = {needed}, so that a snapshot counts only when one outside holds it")
    for source in left.config.sources.values():
        interval = interval_of(source.schedule, source.rpo)
        rpo = _planned_rpo(interval, left.replicas, left)
        if left.is_restorable and source.rpo and interval and rpo and rpo > max(source.rpo, interval):
            said = f"{format_duration(rpo)} instead of {format_duration(source.rpo)}"
            changes.append(f"{source.name} loses up to {said}: bring the offline copy up to date more often")
    return changes


def _another_replica(loss: Loss) -> str:
    if loss.kind in (LossKind.RANSOMWARE, LossKind.LOGIN):
        return "make at least one replica immutable, versioned or offline, so that the writer cannot delete it"
    return f"add a replica {_outside(loss)}"


def _outside(loss: Loss) -> str:
    return {
        LossKind.PROVIDER: f"at another provider than {loss.subject}",
        LossKind.REGION: f"in another region than {loss.subject}",
        LossKind.JURISDICTION: f"outside the jurisdiction {loss.subject}",
        LossKind.ACCOUNT: f"in another account than {loss.subject}",
        LossKind.LOGIN: f"with another login than {loss.subject}",
        LossKind.WRITER_HOST: "off the writer's host",
        LossKind.RANSOMWARE: "that the writer cannot delete (immutable or versioned)",
    }.get(loss.kind, "that is always connected")
