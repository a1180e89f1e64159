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
from farshore.audit.rights import may_claim, may_speak
from farshore.audit.rows import Claim
from farshore.audit.seals import Seal, SealedFile, decode_seal
from farshore.errors import Corrupt, FormatTooNew, NotFound, ObjectCorrupt
from farshore.format.names import hash_of
from farshore.trust import Judgment, TrustState
from farshore.trust.actions import Certificate

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
    broken-chain, cut, unsealed-file. `refused`: why an object is none of the evidence, though it is what its name says:
    somebody planted it, or its signer was revoked. Then nothing is damaged. Empty for everything else.
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

    `overreaching`: files that only signers name who may not speak for their table.
    """

    seals: Mapping[str, Seal]
    refused: Mapping[str, Judgment]
    files: Mapping[str, CountedFile]
    overreaching: frozenset[str]


def open_seal(name: str, data: bytes, authority: Authority) -> Seal | SealFinding:
    """Return the seal of that name whose signature holds, or why there is none. Whether it counts `count_seals` says.

    The answer for given bytes never changes, so a host remembers it; but for a signer that is certified later.
    """
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


def count_seals(seals: Iterable[Seal], trust: TrustState, *, at: Collection[str] | None = None) -> Counted:
    """Return what counts, by the owner log as it is now, of seals whose signatures hold.

    The place where it is decided what is used of the audit tables.

    Args:
        at: The hashes of those that one replica lists. The others only show what the last accepted seal of a revoked
            signer follows, and are in no answer.
    """
    by_hash = {seal.hash: seal for seal in seals}
    reached: dict[tuple[str, str], frozenset[str]] = {}
    counted: dict[str, Seal] = {}
    refused: dict[str, Judgment] = {}
    for seal in by_hash.values():
        if at is not None and seal.hash not in at:
            continue
        judgment = trust.judge_seal(seal.signer, seal.chain, seal.sequence, seal.hash)
        if judgment is Judgment.ACCEPTED and seal.signer in trust.revocations:
            chain = (seal.signer, seal.chain)
            if chain not in reached:
                reached[chain] = _reached(by_hash, trust.revocations[seal.signer].chains.get(seal.chain))
            judgment = Judgment.ACCEPTED if seal.hash in reached[chain] else Judgment.REVOKED
        if judgment is Judgment.ACCEPTED:
            counted[seal.hash] = seal
        else:
            refused[seal.hash] = judgment
    files, overreaching = _files(counted.values(), trust)
    return Counted(counted, refused, files, overreaching)


def _files(seals: Iterable[Seal], trust: TrustState) -> tuple[dict[str, CountedFile], frozenset[str]]:
    """Return the files that seals name whose signer may speak for the table, and those that only others name."""
    files: dict[str, CountedFile] = {}
    overreaching: set[str] = set()
    by_table: dict[tuple[str, str | None], bool] = {}
    for seal in seals:
        certificates = trust.certificates_ever(seal.signer)
        for file in seal.files:
            place = (seal.signer, names.table_of(file.name))
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
    for chain_id, head in (heads or {}).items():
        chains[chain_id].head = head
    for chain_id, chain in sorted(chains.items()):
        signers = frozenset(seal.signer for links in chain.links.values() for seal in links)
        findings += [replace(one, signers=signers) for one in _check_chain(chain_id, chain)]
    sealed = _sealed(counted.seals.values())
    for name, by_file in sorted(sealed.items()):
        if finding := _check_file(name, by_file, files.get(name), read):
            findings.append(replace(finding, signers=frozenset().union(*by_file.values())))
    if settled:
        unsealed = sorted(name for name in files if name not in sealed and not _is_by_itself(name))
        findings += [SealFinding("unsealed-file", name, "no good seal names it") for name in unsealed]
    return findings


@dataclass
class _Chain:
    """The seals of one chain at one replica that count, by sequence, and the places of bad ones."""

    links: dict[int, list[Seal]] = field(default_factory=dict)
    spoilt: set[int] = field(default_factory=set)
    head: tuple[int, str] = (0, "")


def _reached(seals: Mapping[str, Seal], last: tuple[int, str] | None) -> frozenset[str]:
    """Return the seals that the last accepted one follows, and itself."""
    found: set[str] = set()
    seal = seals.get(last[1]) if last else None
    while seal is not None and seal.hash not in found:
        found.add(seal.hash)
        seal = seals.get(seal.previous)
    return frozenset(found)


def _check_chain(chain_id: str, chain: _Chain) -> list[SealFinding]:
    findings = []
    last, last_hash = chain.head
    end = max([*chain.links, last])
    places = [*chain.links, *(sequence for sequence in chain.spoilt if sequence <= end), end + 1]
    before = 0
    for sequence in sorted(set(places)):
        links = chain.links.get(sequence, [])
        if sequence > before + 1:
            missing = names.seal_subject(chain_id, before + 1)
            count = sequence - before - 1
            findings.append(SealFinding("missing-seal", missing, f"{count} missing in a row, the first of them named"))
        if len(links) > 1:
            findings.append(SealFinding("forked", links[0].name, f"{len(links)} seals claim one place of the chain"))
        earlier = {one.hash for one in chain.links.get(sequence - 1, [])} if sequence > 1 else {""}
        findings += [
            SealFinding("broken-chain", one.name, "does not follow the seal before it")
            for one in links
            if earlier and one.previous not in earlier
        ]
        before = sequence
    if last_hash and last in chain.links and last_hash not in {one.hash for one in chain.links[last]}:
        name = names.seal_name(chain_id, last, last_hash)
        findings.append(SealFinding("missing-seal", name, "another seal has its place"))
    return findings


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
