"""Judge an object by the size and checksum that its provider reports. Pure; decision 0010."""

from __future__ import annotations

from collections.abc import Mapping

from farshore.audit.rows import Against, ProofState
from farshore.model import dataclass
from farshore.ops.verify.remote.records import Recorded
from farshore.stores.base import ObjectInfo


@dataclass(frozen=True, slots=True)
class Verdict:
    """`against`: what it was compared with. `silent`: put with a checksum, and the provider reports none."""

    state: ProofState
    against: Against = Against.NOTHING
    detail: str = ""
    silent: bool = False

    @property
    def damaged(self) -> bool:
        """Whether the object is damaged."""
        return self.state in (ProofState.MISSING, ProofState.TRUNCATED, ProofState.ALTERED)


def judge(
    replica: str, info: ObjectInfo, record: Recorded | None, peers: Mapping[str, ObjectInfo], algorithm: str
) -> Verdict:
    """Return the verdict on an object by the report of one replica.

    Args:
        peers: The entries of the other replicas under the same name.
        algorithm: Of the checksums that this replica's service keeps; empty where it keeps none.
    """
    if record is not None and record.bytes is not None and info.size != record.bytes:
        state = ProofState.TRUNCATED if info.size < record.bytes else ProofState.ALTERED
        return Verdict(state, Against.SENT, f"it has {info.size:,} bytes, not {record.bytes:,}")
    if record is not None and info.checksum:
        for against, known in (
            (Against.SENT, record.sent),
            (Against.PROOF, record.proof),
            (Against.REPORTED, _reported(record)),
        ):
            wanted = {one for one in known if _algorithm(one) == _algorithm(info.checksum)}
            if len(wanted) == 1:
                return _compared(info, wanted.pop(), against)
    if record is not None and not info.checksum and record.reported and record.reported.get(replica):
        detail = (
            f"its provider gave {record.reported[replica]} when it was put and gives no checksum now: it was put anew"
        )
        return Verdict(ProofState.ALTERED, Against.REPORTED, detail)
    verdict = _by_peers(info, peers, known_size=record is not None and record.bytes is not None)
    if verdict is not None:
        return verdict
    if info.checksum:
        return Verdict(ProofState.UNPROVEN, Against.NOTHING, "its expected checksum is not known")
    sent = record is not None and any(_algorithm(one) == algorithm for one in record.sent) if algorithm else False
    put_here = record is not None and record.expected is not None and record.expected.get(replica) is False
    detail = f"its provider reports no {algorithm} of it" if algorithm else "its store has no checksums"
    return Verdict(ProofState.UNPROVEN, Against.NOTHING, detail, silent=bool(sent and put_here))


def _compared(info: ObjectInfo, wanted: str, against: Against) -> Verdict:
    if info.checksum == wanted:
        return Verdict(ProofState.OK, against)
    return Verdict(ProofState.ALTERED, against, f"its provider reports {info.checksum}, not {wanted}")


def _by_peers(info: ObjectInfo, peers: Mapping[str, ObjectInfo], *, known_size: bool) -> Verdict | None:
    """Compare with the other replicas where no record decides; None where they report nothing to compare with."""
    if not known_size:
        other = next((f"{name} has {one.size:,}" for name, one in peers.items() if one.size != info.size), "")
        if other:
            detail = f"it has {info.size:,} bytes and {other}; no record says which is right"
            return Verdict(ProofState.ALTERED, Against.PEER, detail)
    alike = [(name, one) for name, one in peers.items() if _algorithm(one.checksum) == _algorithm(info.checksum) != ""]
    if not alike:
        return None
    differing = next((name for name, one in alike if one.checksum != info.checksum), "")
    if differing:
        return Verdict(
            ProofState.ALTERED, Against.PEER, f"{differing} reports another checksum; no record says which is right"
        )
    return Verdict(ProofState.OK, Against.PEER)


def _reported(record: Recorded) -> list[str]:
    return list(record.reported.values()) if record.reported else []


def _algorithm(checksum: str) -> str:
    return checksum.partition(":")[0]
