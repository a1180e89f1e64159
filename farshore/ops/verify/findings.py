"""The findings of a verify at one replica: its listing, its commit records, and the damaged objects."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from blake3 import blake3

from farshore import limits
from farshore.audit.rows import Against, ProofRow, ProofState
from farshore.check_results import CheckMethod, ReplicaReading
from farshore.errors import BucketNotFound, Corrupt, FarshoreError, NotFound
from farshore.format.commit import CommitHead
from farshore.format.names import object_bytes_max
from farshore.format.needs import Needs
from farshore.model import DamagedObject
from farshore.replicas.repository import Replica
from farshore.run import Run


def proof_row(run: Run, replica: str, name: str, state: ProofState, size: int, checksum: str, detail: str) -> ProofRow:
    """Return the row of a pack that was read."""
    return ProofRow(
        run_id=run.run_id,
        replica=replica,
        object=name,
        method=CheckMethod.READ,
        state=state,
        against=Against.NAME,
        checksum=checksum,
        bytes=size,
        checked_utc=run.clock.now_utc(),
        detail=detail,
    )


@dataclass
class ReplicaCheck:
    """The findings at one replica. Filled by one thread."""

    replica: Replica
    draw: bytes = b""  # of this check: decides which of too many objects are read
    forgotten: Collection[str] = ()  # hashes of commits that count no more
    sizes: dict[str, int] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)  # snapshots with a commit there that counts, or is damaged
    commits: list[CommitHead] = field(default_factory=list)  # those that count
    needs: dict[str, Needs] = field(default_factory=dict)
    damaged: dict[str, DamagedObject] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # a full page map is named by the snapshots of many nights
    put_utc: dict[str, datetime] = field(default_factory=dict)  # of packs, where content is read
    stored_utc: dict[str, datetime] = field(default_factory=dict)  # of commits, by hash, where the replica reports it
    archived: set[str] = field(default_factory=set)  # packs that would have to be warmed to be read
    reading: ReplicaReading | None = None
    objects: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # objects that do not count, with the reason
    details: dict[str, str] = field(default_factory=dict)  # of refused objects, where there is more to say
    claims: dict[str, tuple[ProofState, str]] = field(default_factory=dict)  # named by a signer, and not listed here
    claimed_evidence: set[str] = field(default_factory=set)  # damaged by the word of revoked signers alone
    cut: set[str] = field(default_factory=set)  # of the damaged ones, those that were deleted at all replicas
    unread: int = 0  # names that nothing signed names, and were too many to be read
    bytes_read: int = 0
    error: FarshoreError | None = None  # why no more of it was seen

    def blame(self, name: str, code: ProofState, detail: str, snapshot: str = "") -> None:
        """Note a damaged object; a second finding adds the snapshot it touches."""
        found = self.damaged.get(name) or DamagedObject(self.replica.name, name, code, detail)
        if snapshot and snapshot not in found.snapshots:
            found = replace(found, snapshots=(*found.snapshots, snapshot))
        self.damaged[name] = found

    def note_refused(self, reasons: Mapping[str, str], unread: int = 0) -> None:
        """Note objects that do not count, each with the reason, and how many names were left unread."""
        self.refused.update(reasons)
        self.unread += unread

    def choose(self, listed: Iterable[str], known: Container[str]) -> list[str]:
        """Return the objects of one kind to read: those that are known, and of all others a bounded number by chance.

        Anybody who may put objects can list any number of the others. Those that are left out are counted as unread.
        """
        every = list(listed)
        chosen = [name for name in every if name in known]
        others = [name for name in every if name not in known]
        number = min(len(others), max(limits.UNKNOWN_OBJECTS_MAX, 2 * len(chosen)))
        enough = max(limits.UNKNOWN_BYTES_MAX, sum(self.bytes_of(name) for name in chosen))
        if number < len(others) or sum(map(self.bytes_of, others)) > enough:
            others.sort(key=lambda name: blake3(self.draw + name.encode(errors="surrogateescape")).digest())
        drawn: list[str] = []
        size = 0
        for name in others[:number]:
            if size >= enough:
                break
            drawn.append(name)
            size += self.bytes_of(name)
        self.unread += len(others) - len(drawn)
        return chosen + drawn

    def bytes_of(self, name: str) -> int:
        """Return how many bytes are read of a listed object at most."""
        return min(self.sizes.get(name, 0), object_bytes_max(name))

    def read(self, name: str, *touched: str, part: tuple[int, int | None] = (0, None)) -> bytes | None:
        """Return an object's bytes, or a part of them; None where it is missing or damaged, which is then noted."""
        try:
            data = self.replica.store.get(name, *part, bytes_max=object_bytes_max(name))
        except BucketNotFound:  # the whole replica is away, and says nothing of its objects
            raise
        except (NotFound, Corrupt) as error:
            code = ProofState.MISSING if isinstance(error, NotFound) else ProofState.ALTERED
            for snapshot in touched or ("",):
                self.blame(name, code, str(error), snapshot)
            return None
        self.bytes_read += len(data)
        return data
