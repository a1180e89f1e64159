"""Results of checks: values of verify and of its remote kind, for the command line, the flow and the audit rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from farshore.model import DamagedObject, DoubtedSnapshot, RefusedObject, ReplicaRequests, dataclass
from farshore.results import ReadRepaired


@dataclass(frozen=True, slots=True)
class ReplicaProof:
    """The result of a check by checksums at one replica. Nothing was read but the header and key slots."""

    replica: str
    tells_checksums: bool  # whether its kind of store has checksums at all; a directory has none
    objects: int  # listed
    damaged: int  # missing, truncated or altered; the result has the first thousand of them
    proven: int  # size and checksum are as they must be
    unproven: int  # the size is right or unknown, and so is the content. Audit files are counted apart
    audit_unproven: int  # likewise, of audit files and seals: the signed chain and their names prove more when read
    unrecorded: int  # objects of ours without an audit row: of a run at work, or of one that was killed
    foreign: int  # objects that are not ours
    at_work: bool  # a lease is live, so a backup or a heal is at work there
    listing_complete: bool  # every object of the rows was listed, or is really gone
    records_from: str  # the replica whose audit tables have the expected objects; empty where none could be read
    foreign_names: tuple[str, ...] = ()  # the first 20


class CheckMethod(StrEnum):
    """How a replica is checked."""

    LISTED = "listed"  # what it lists is what snapshots need
    READ = "read"  # also the content of some or all packs
    REMOTE = "remote"  # by the checksums of its provider
    SIZES = "sizes"  # likewise, where its kind of store has none


class Rotation(StrEnum):
    """How the packs that a run reads are chosen."""

    OLDEST_FIRST = "oldest-first"  # by what the audit tables tell
    BY_NAME = "by-name"  # a partition, where they cannot be read


@dataclass(frozen=True, slots=True)
class ReplicaReading:
    """The extent of a verify with data at one replica, and how long ago all of it was read."""

    replica: str
    packs: int  # at the replica
    packs_read: int  # by this run
    packs_never_read: int  # by this run or an earlier one, as far as the audit tables show
    oldest_read_utc: datetime | None  # no pack that was ever read was last read before; None where none was
    oldest_put_utc: datetime | None  # of those that were never read, as far as the replica reports
    runs_for_all: int  # of this share, until every pack was read
    rotation: Rotation
    packs_archived: int = 0  # that would have to be warmed to be read; not among `packs`


class CheckState(StrEnum):
    """The result of a check of one replica."""

    CLEAN = "clean"  # everything that its snapshots need is there and sound, as far as it was looked at
    BEHIND = "behind"  # likewise, and it lists fewer snapshots than others
    EMPTY = "empty"  # it lists no snapshot: there was nothing to check
    INCONCLUSIVE = "inconclusive"  # too little was seen to say
    NOT_ASKED = "not-asked"  # neither checked nor damaged
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class CheckedReplica:
    """The outcome of a check at one replica. `error_code` says why it was not asked, or not to its end."""

    replica: str
    state: CheckState
    snapshots: int = 0  # that it lists
    behind: int = 0  # snapshots that others list and it does not
    objects: int = 0
    damaged: int = 0
    error_code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The outcome of one verify over one or more replicas."""

    run_id: str
    replicas: tuple[str, ...]
    started_utc: datetime
    finished_utc: datetime
    snapshots: int
    objects: int  # checked, over all replicas
    bytes_read: int
    read_data_percent: float  # 0 when no content was read
    damaged: tuple[DamagedObject, ...] = ()
    repairs: tuple[ReadRepaired, ...] = ()  # what came of the damage, where it was to be mended
    requests: tuple[ReplicaRequests, ...] = ()  # of each replica that was reached
    readings: tuple[ReplicaReading, ...] = ()  # of each replica whose content was read
    method: CheckMethod = CheckMethod.LISTED
    proofs: tuple[ReplicaProof, ...] = ()  # of a remote check
    recorded: bool = True  # whether audit rows were written; a host without any key cannot sign them
    unrecorded: str = ""  # why audit rows could not be kept although there is a key
    checks: tuple[CheckedReplica, ...] = ()  # of every replica that was to be checked
    refused: tuple[RefusedObject, ...] = ()  # that do not count: no damage, and never used
    doubts: tuple[DoubtedSnapshot, ...] = ()  # snapshots that count, whatever replica holds them
    unread: Mapping[str, int] = field(default_factory=dict, hash=False)  # by replica, names that nothing signed names
    proven: int = 0  # packs that this run proved first: hosts that share a domain may reuse them
    cut: tuple[str, ...] = ()  # of the damaged objects, those that were deleted at all replicas
    quarantined: tuple[str, ...] = ()  # packs that this run found to lie: no backup reuses them any more

    @property
    def clean(self) -> bool:
        """Whether nothing was found, and enough was seen to say so: every replica was asked, and none was empty."""
        return not self.damaged and not self.inconclusive and not self.not_asked and not self.empty

    @property
    def not_asked(self) -> tuple[str, ...]:
        """Replicas that could not be asked, or not to the end."""
        return tuple(one.replica for one in self.checks if one.error_code)

    @property
    def empty(self) -> tuple[str, ...]:
        """Replicas that list no snapshot: nothing of them is clean."""
        return tuple(one.replica for one in self.checks if one.state is CheckState.EMPTY)

    @property
    def behind(self) -> tuple[str, ...]:
        """Replicas that list fewer snapshots than others, and not none."""
        return tuple(one.replica for one in self.checks if one.behind and one.snapshots)

    @property
    def inconclusive(self) -> tuple[str, ...]:
        """Replicas about which too little is known: a listing left something out, or no row names what must exist."""
        seen = [one for one in self.proofs if one.replica not in self.not_asked]
        return tuple(one.replica for one in seen if not one.listing_complete or not one.records_from)

    @property
    def unproven(self) -> int:
        """Objects without evidence of their content although their store reports checksums."""
        return sum(one.unproven for one in self.proofs if one.tells_checksums)

    @property
    def mended(self) -> bool:
        """Whether everything that was found is whole now."""
        whole = {(one.replica, one.name) for one in self.repairs if one.mended}
        return all((one.replica, one.name) in whole for one in self.damaged)
