"""Which seals count, and what a chain of them proves about the audit files. Pure: the caller reads and writes.

A seal counts where its signature holds, the owner log accepts its signer, and no revocation cuts it off; of a revoked
signer the last accepted seal of each chain counts, with those that it follows. A file counts where a seal that counts
names it, its signer has the right for the table, and its rows are about sources of that signer (`CountedFile.may_say`,
once its bytes are known). Everything else is reported, and never used.

An altered, replaced or removed file or seal shows, and so does a file that no seal covers. Two things a chain cannot
show by itself: that its newest seals were removed together with their files (the seals of others that were made since
carry its head, and so does the memory of a host), and what a holder of the signing key chose to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from farshore.audit import names
from farshore.audit.folds import Folded, count_folds, may_fold
from farshore.audit.rights import may_claim, may_speak
from farshore.audit.rows import Claim
from farshore.audit.seals import Seal, SealedFile, decode_seal
from farshore.errors import Corrupt, FormatTooNew, NotFound, ObjectCorrupt
from farshore.format import split_signed
from farshore.format.names import hash_of, object_bytes_max
from farshore.limits import SEAL_PARSED_BYTES_MAX
from farshore.signing import SignedKind
from farshore.trust import Judgment, TrustState
from farshore.trust.actions import Certificate

UNPROVEN = "lists seals that no daily seal of their chain here names, so nothing proves whose rows these are"
UNSIGNED = "unsigned"  # a reason, beside those of a judgment: its bytes are those of its name, and no seal


@dataclass(frozen=True, slots=True)
class Authority:
    """The judge of seals: the owner log, and the fingerprint that signatures name."""

    trust: TrustState
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class SealFinding:
    """Something wrong with the evidence.

    `code`: missing-file, altered-file, bad-seal, format-too-new, bad-signature, refused-seal, missing-seal, forked,
    broken-chain, cut, unsealed-file, unproven-fold. `refused`: why an object is none of the evidence, though it is what
    its name says: somebody planted it, or its signer was revoked. Then nothing is damaged. Empty for everything else.
    `source` and `commit`: of the snapshot that was cut off; empty for all else. `signers`: those by whose seals alone
    something is wrong.
    """

    code: str
    object: str
    detail: str
    refused: str = ""
    source: str = ""
    commit: str = ""
    signers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CountedFile:
    """An audit file that counts, and the certificates of each signer whose seals name it.

    `sealed`: as seals have it. A thief may seal the file of another with another size; whichever is right counts.
    `revoked`: every signer was revoked, so that it is not there is only claimed to be a loss.
    """

    sealed: tuple[SealedFile, ...]
    signers: tuple[tuple[Certificate, ...], ...]
    revoked: bool = False

    def is_whole(self, data: bytes) -> bool:
        """Whether these are bytes that somebody sealed."""
        return any(len(data) == one.bytes and hash_of(data) == one.blake3 for one in self.sealed)

    def may_say(self, table: str, claims: Collection[Claim]) -> bool:
        """Whether one of the signers may say all that the rows of the file claim."""
        return any(may_claim(certificates, table, claims) for certificates in self.signers)


@dataclass(frozen=True, slots=True)
class Counted:
    """The seals that count, by hash, and why others do not; the files that count, by name.

    `overreaching`: files that only signers name who may not speak for their table. `folded`: the folds that are used.
    `spare`: files that nobody misses, because a fold has their rows, or another fold has the place of theirs.
    """

    seals: Mapping[str, Seal]
    refused: Mapping[str, Judgment]
    files: Mapping[str, CountedFile]
    overreaching: frozenset[str]
    folded: Folded = field(default_factory=Folded)
    spare: frozenset[str] = frozenset()


def open_seal(name: str, data: bytes, authority: Authority) -> Seal | SealFinding:
    """Return the seal of that name whose signature holds, or why there is none. Whether it counts `count_seals` says.

    The answer for given bytes never changes, so a host remembers it; but for a signer that is certified later.
    """
    if len(data) > SEAL_PARSED_BYTES_MAX and (unsigned := _unsigned(name, data, authority)) is not None:
        return unsigned
    try:
        seal, text = decode_seal(name, data)
    except ObjectCorrupt as error:
        place = names.parse_seal(name)
        planted = place is not None and hash_of(data) == place.hash  # damage leaves no bytes that hash to a name
        return SealFinding("bad-seal", name, error.message, UNSIGNED if planted else "")
    except FormatTooNew as error:
        return SealFinding(error.code, name, error.message)
    if authority.trust.certificate(seal.signer) is None:
        detail = "was not signed by anybody whom the owner certified"
        return SealFinding("bad-signature", name, detail, Judgment.UNKNOWN_SIGNER.value)
    if not authority.trust.holds(seal.kind, text.signature, subject=seal.subject, digest=text.digest):
        return SealFinding("bad-signature", name, "its signature does not hold", UNSIGNED)
    return seal


def _unsigned(name: str, data: bytes, authority: Authority) -> SealFinding | None:
    """Return a finding where no certified signer signed the bytes of a name; they are not parsed, for they are many."""
    place = names.parse_seal(name)
    if place is None or hash_of(data) != place.hash:
        return None
    try:
        body, signature = split_signed(data, name, object_bytes_max(name))
    except ObjectCorrupt as error:
        return SealFinding("bad-seal", name, error.message, UNSIGNED)
    kind = SignedKind.DAILY_SEAL if signature.ml_dsa_65 else SignedKind.SEAL
    subject, digest = names.seal_subject(place.chain, place.sequence), bytes.fromhex(hash_of(body))
    if authority.trust.holds(kind, signature, subject=subject, digest=digest):
        return None
    return SealFinding("bad-signature", name, "its signature does not hold", UNSIGNED)


def count_seals(seals: Iterable[Seal], trust: TrustState, *, at: Collection[str] | None = None) -> Counted:
    """Return what counts, by the owner log as it is now, of seals whose signatures hold.

    The place where it is decided what is used of the audit tables.

    Args:
        at: The hashes of those that one replica lists. The others only show what the last accepted seal of a revoked
            signer follows, and are in no answer.
    """
    judged = _Judged({seal.hash: seal for seal in seals}, trust)
    counted: dict[str, Seal] = {}
    refused: dict[str, Judgment] = {}
    witnesses: list[Seal] = []
    for seal in judged.by_hash.values():
        judgment = judged.judge(seal.signer, seal.chain, seal.sequence, seal.hash)
        if judgment is Judgment.ACCEPTED:
            witnesses.append(seal)
        if at is not None and seal.hash not in at:
            continue
        if judgment is Judgment.ACCEPTED:
            counted[seal.hash] = seal
        else:
            refused[seal.hash] = judgment
    folded = count_folds(counted, witnesses, trust, lambda *place: judged.judge(*place) is Judgment.ACCEPTED)
    files, overreaching = _files(counted.values(), folded, trust)
    spare = {
        file.name
        for seal in counted.values()
        if (seal.hash in folded.emptied and seal.fold is None) or seal.hash in folded.shadowed
        for file in seal.files
    }
    return Counted(counted, refused, files, overreaching, folded, frozenset(spare - files.keys()))


class _Judged:
    """The judgment on seals, of those that one host knows."""

    def __init__(self, by_hash: Mapping[str, Seal], trust: TrustState) -> None:
        self.by_hash = by_hash
        self._trust = trust
        self._before: dict[str, str] | None = None
        self._reached: dict[tuple[str, str], frozenset[str]] = {}

    def judge(self, signer: str, chain: str, sequence: int, seal_hash: str) -> Judgment:
        """Return whether the seal of this place and hash counts; it may be one that a fold names alone."""
        trust = self._trust
        judgment = trust.judge_seal(signer, chain, sequence, seal_hash)
        if judgment is Judgment.ACCEPTED and signer in trust.revocations:
            if (signer, chain) not in self._reached:
                last = trust.revocations[signer].chains.get(chain)
                self._reached[signer, chain] = _reached(self._links(), last[1] if last else "")
            return Judgment.ACCEPTED if seal_hash in self._reached[signer, chain] else Judgment.REVOKED
        return judgment

    def _links(self) -> Mapping[str, str]:
        """Return the seal before each: as it says itself, and of one that is not known, as a fold says."""
        if self._before is None:
            self._before = {}
            for seal in self.by_hash.values():
                if seal.fold is not None and may_fold(self._trust, seal.signer):
                    self._before |= zip(seal.fold.seals, (seal.fold.previous, *seal.fold.seals), strict=False)
            self._before |= {seal.hash: seal.previous for seal in self.by_hash.values()}
        return self._before


def _files(seals: Iterable[Seal], folded: Folded, trust: TrustState) -> tuple[dict[str, CountedFile], frozenset[str]]:
    """Return the files that seals name whose signer may speak for the table, and those that only others name.

    Those of a fold are said by the signer of its chain, as far as anybody may ask.
    """
    files: dict[str, CountedFile] = {}
    overreaching: set[str] = set()
    by_table: dict[tuple[str, str | None], bool] = {}
    for seal in seals:
        if not _has_files(seal, folded):
            continue
        signer = folded.origins.get(seal.hash, seal.signer)
        certificates = trust.certificates_ever(signer)
        for file in seal.files:
            place = (signer, names.table_of(file.name))
            if place not in by_table:
                by_table[place] = may_speak(certificates, file.name)
            if by_table[place]:
                before = files.get(file.name) or CountedFile((), (), revoked=True)
                files[file.name] = CountedFile(
                    before.sealed if file in before.sealed else (*before.sealed, file),
                    before.signers if certificates in before.signers else (*before.signers, certificates),
                    before.revoked and seal.signer in trust.revocations,
                )
            elif place[1]:
                overreaching.add(file.name)
    return files, frozenset(overreaching - files.keys())


def missing_heads(seals: Iterable[Seal], present: Collection[str], trust: TrustState) -> list[SealFinding]:
    """Return the heads that seals which count name, and that no replica has: the chain of another one was cut.

    Args:
        present: The hashes of all seals and commits that replicas list.
    """
    found: dict[str, SealFinding] = {}
    for seal in sorted(seals, key=lambda one: (one.chain, one.sequence)):
        if seal.signer in trust.revocations:
            continue  # it could name heads that nobody ever made
        for chain, (sequence, last) in seal.heads.chains.items():
            if last not in present:
                name = names.seal_name(chain, sequence, last)
                found[name] = SealFinding("cut", name, f"seal {seal.sequence} of chain {seal.chain} names it")
        for source, commit in seal.heads.sources.items():
            if commit not in present:
                detail = f"seal {seal.sequence} of chain {seal.chain} names it"
                found[commit] = SealFinding(
                    "cut", f"snapshots/{source}/*-{commit}", detail, source=source, commit=commit
                )
    return [found[one] for one in sorted(found)]


def verify_seals(
    seals: Iterable[tuple[str, bytes]],
    authority: Authority,
    files: Mapping[str, int],
    read: Callable[[str], bytes] | None = None,
    *,
    heads: Mapping[str, tuple[int, str]] | None = None,
    settled: bool = False,
) -> list[SealFinding]:
    """Return everything that is wrong with the evidence at one replica; an empty list when it holds.

    Args:
        seals: Name and bytes of every object below `audit/_seals/`.
        files: Name and size of every object below `audit/`. List them after the seals were read: a run that is at work
            puts its files first.
        read: Gives the bytes of a file, to compare them too; without it names and sizes are compared.
        heads: Sequence and hash of the newest seal that is known of each chain, from elsewhere than this replica.
        settled: Report files that no good seal names, too. A run that is at work, or was killed and has not been
            followed by another one of its host, leaves such files, so this is for when there is none.
    Raises:
        FarshoreError: As `read` did, but for NotFound and Corrupt, which are findings.
    """
    findings: list[SealFinding] = []
    opened: list[Seal] = []
    chains: dict[str, _Chain] = defaultdict(_Chain)
    for name, data in seals:
        seal = open_seal(name, data, authority)
        if isinstance(seal, Seal):
            opened.append(seal)
            continue
        findings.append(seal)
        place = names.parse_seal(name)
        if place is not None and not seal.refused:  # what was planted in a place does not hide that a seal is missing
            chains[place.chain].spoilt.add(place.sequence)
    counted = count_seals(opened, authority.trust)
    for seal in opened:
        if seal.hash in counted.refused:
            reason = counted.refused[seal.hash].value
            findings.append(SealFinding("refused-seal", seal.name, f"counts no more: {reason}", reason))
        else:
            chains[seal.chain].links.setdefault(seal.sequence, []).append(seal)
    for chain_id, places in counted.folded.superseded.items():
        chains[chain_id].folded = places
    findings += [SealFinding("unproven-fold", counted.seals[one].name, UNPROVEN) for one in counted.folded.unproven]
    for chain_id, head in (heads or {}).items():
        chains[chain_id].head = head
    for chain_id, chain in sorted(chains.items()):
        signers = frozenset(seal.signer for links in chain.links.values() for seal in links)
        findings += [replace(one, signers=signers) for one in _check_chain(chain_id, chain)]
    sealed = _sealed(one for one in counted.seals.values() if _has_files(one, counted.folded))
    for name, by_file in sorted(sealed.items()):
        if finding := _check_file(name, by_file, files.get(name), read):
            findings.append(replace(finding, signers=frozenset().union(*by_file.values())))
    if settled:
        known = sealed.keys() | counted.spare
        unsealed = sorted(name for name in files if name not in known and not _is_by_itself(name))
        findings += [SealFinding("unsealed-file", name, "no good seal names it") for name in unsealed]
    return findings


@dataclass
class _Chain:
    """The seals of one chain at one replica that count, by sequence, and the places of bad ones."""

    links: dict[int, list[Seal]] = field(default_factory=dict)
    spoilt: set[int] = field(default_factory=set)
    head: tuple[int, str] = (0, "")
    folded: Mapping[int, str] = field(default_factory=dict)

    def hashes(self, sequence: int) -> set[str]:
        """Return the hashes of the seals of one place, those that a fold names included."""
        return {one.hash for one in self.links.get(sequence, [])} | {self.folded.get(sequence, "")} - {""}


def _reached(before: Mapping[str, str], last: str) -> frozenset[str]:
    """Return the seals that the last accepted one follows, and itself."""
    found: set[str] = set()
    while last in before and last not in found:
        found.add(last)
        last = before[last]
    return frozenset(found)


def _check_chain(chain_id: str, chain: _Chain) -> list[SealFinding]:
    findings = []
    last, last_hash = chain.head
    end = max([*chain.links, *chain.folded, last])
    places = [*chain.links, *chain.folded, *(sequence for sequence in chain.spoilt if sequence <= end), end + 1]
    before = 0
    for sequence in sorted(set(places)):
        links = chain.links.get(sequence, [])
        if sequence > before + 1:
            missing = names.seal_subject(chain_id, before + 1)
            count = sequence - before - 1
            findings.append(SealFinding("missing-seal", missing, f"{count} missing in a row, the first of them named"))
        if links and len(chain.hashes(sequence)) > 1:
            count = len(chain.hashes(sequence))
            findings.append(SealFinding("forked", links[0].name, f"{count} seals claim one place of the chain"))
        earlier = chain.hashes(sequence - 1) if sequence > 1 else {""}
        findings += [
            SealFinding("broken-chain", one.name, "does not follow the seal before it")
            for one in links
            if earlier and one.previous not in earlier
        ]
        before = sequence
    there = chain.hashes(last)
    if last_hash and there and last_hash not in there:
        name = names.seal_name(chain_id, last, last_hash)
        findings.append(SealFinding("missing-seal", name, "another seal has its place"))
    return findings


def _has_files(seal: Seal, folded: Folded) -> bool:
    """Whether a replica must have the files of a seal: no fold replaces them, and another has not its place."""
    return seal.hash in folded.folds or (seal.fold is None and seal.hash not in folded.emptied)


def _is_by_itself(name: str) -> bool:
    """Whether no seal names an object below `audit/`: it is one, or of a Delta log."""
    return name.startswith(names.SEALS) or names.parse_delta(name) is not None


def _sealed(seals: Iterable[Seal]) -> dict[str, dict[SealedFile, set[str]]]:
    """Return who sealed what under each name of a file."""
    found: dict[str, dict[SealedFile, set[str]]] = defaultdict(lambda: defaultdict(set))
    for seal in seals:
        for file in seal.files:
            found[file.name][file].add(seal.signer)
    return found


def _check_file(
    name: str, sealed: Collection[SealedFile], size: int | None, read: Callable[[str], bytes] | None
) -> SealFinding | None:
    if size is None:
        return SealFinding("missing-file", name, "a seal names it and the replica does not have it")
    fitting = {file.blake3 for file in sealed if file.bytes == size}
    if not fitting:
        said = " or ".join(sorted({str(file.bytes) for file in sealed}))
        return SealFinding("altered-file", name, f"has {size} bytes where {said} were sealed")
    if read is None:
        return None
    try:
        whole = hash_of(read(name)) in fitting
    except NotFound:
        return SealFinding("missing-file", name, "it is listed and cannot be read")
    except Corrupt as error:
        return SealFinding("altered-file", name, error.message)
    return None if whole else SealFinding("altered-file", name, "has other bytes than were sealed")
