"""One wrong bit in an object of each kind: what notices it, and what is lost where no second copy is. Pure."""

from __future__ import annotations

from farshore.config import Config, HolderKind
from farshore.model import dataclass
from farshore.plan.judging import NAME_A_HOLDER, LossVerdict, SimulatedLoss
from farshore.plan.losses import LossKind, key_holders
from farshore.plan.replicas import place_replicas


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """One kind of object in a repository, and what a wrong bit in its only copy costs."""

    name: str
    lost: str  # with no other copy
    verdict: LossVerdict  # with no other copy


OBJECT_KINDS = (
    ObjectKind("header", "the repository does not open", LossVerdict.NOTHING),
    ObjectKind("slot", "whose slot it is cannot open the repository", LossVerdict.PARTIAL),
    ObjectKind("data-key", "what one run stored cannot be read", LossVerdict.PARTIAL),
    ObjectKind("pack", "files with a chunk in that segment, in every snapshot that has it", LossVerdict.PARTIAL),
    ObjectKind("index", "nothing: packs name their chunks themselves", LossVerdict.UNHARMED),
    ObjectKind("manifest", "one snapshot", LossVerdict.PARTIAL),
    ObjectKind("needs", "one snapshot, until its needs are known again", LossVerdict.PARTIAL),
    ObjectKind("commit", "one snapshot is no longer listed", LossVerdict.PARTIAL),
    ObjectKind("lease", "nothing: a run that is at work may have to be run again", LossVerdict.UNHARMED),
    ObjectKind("audit", "rows of one audit file; the chain shows which", LossVerdict.PARTIAL),
)


def simulate_flipped_bits(config: Config) -> tuple[SimulatedLoss, ...]:
    """Return what one flipped bit costs, in one object of each kind at any one replica.

    Every object is checked by a hash or an authenticated seal when it is read, so a wrong bit is noticed and never
    handed on; a copy elsewhere is read in its place.
    """
    copies = tuple(one.replica for one in place_replicas(config))
    holders = key_holders(config)
    slots = sum(one.kind is HolderKind.RECIPIENT for one in holders.values())
    slots += any(one.kind is HolderKind.PASSPHRASE for one in holders.values())
    found: list[SimulatedLoss] = []
    for kind in OBJECT_KINDS:
        name = f"{LossKind.BIT}:{kind.name}"
        verdict, notes, changes = (
            LossVerdict.UNHARMED,
            ["noticed when it is read; read from another replica"],
            list[str](),
        )
        if len(copies) < 2:
            verdict, notes = kind.verdict, [f"noticed when it is read; lost: {kind.lost}"]
            if kind.name == "slot" and slots < 2:
                verdict = LossVerdict.NOTHING
            if verdict is not LossVerdict.UNHARMED:
                changes = ["add a second replica: a single copy has nothing to be repaired from"]
        if not holders:
            verdict, changes = LossVerdict.NOTHING, [NAME_A_HOLDER]
        found.append(
            SimulatedLoss(
                loss=name,
                kind=LossKind.BIT.value,
                subject=kind.name,
                verdict=verdict,
                is_accepted=name in config.placement.accepted,
                survives=copies,
                gone=(),
                is_quorum_possible=sum(not one.offline for one in place_replicas(config)) >= config.repository.quorum,
                is_restorable=verdict is not LossVerdict.NOTHING,
                opens_with=tuple(holders),
                is_newest_held=verdict is LossVerdict.UNHARMED,
                sources=(),
                notes=tuple(notes),
                changes=tuple(changes),
            )
        )
    return tuple(found)
