"""The state of the owner log at one reader: who may write what, and what of it counts. Pure.

Without memory all branches of a fork count: a certificate of any, a revocation of any. With a remembered head the
branches through it count. Off these only a revocation counts, and only on a branch that no key signed which the
counting ones have retired: otherwise anybody who finds a retired key could revoke every writer. A revocation is for
ever: a later certificate does not lift it, a later revocation on the same branch corrects its list, and of two branches
only the commits that both accept are accepted. tests/models/trust explores these rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from farshore.crypto import recipient_id
from farshore.model import Signature
from farshore.signing import SignedKind, VerifyKey, verify
from farshore.trust.actions import (
    Action,
    AddRecipient,
    Certificate,
    NameSlots,
    RequireFeatures,
    Revoked,
    Right,
    SetPolicy,
    StartEpoch,
    combined,
    revocations_of,
)
from farshore.trust.log_entry import START, Era, LogEntry, LogHead, LogTree, RefusedEntry

ActionT = TypeVar("ActionT", NameSlots, RequireFeatures, SetPolicy, StartEpoch)


class Judgment(StrEnum):
    """Whether what a signer signed counts, or why not."""

    ACCEPTED = "accepted"
    UNKNOWN_SIGNER = "unknown-signer"
    NO_RIGHT = "no-right"
    NOT_ITS_SOURCE = "not-its-source"
    REVOKED = "revoked"
    LIST_MISSING = "list-missing"  # of a revoked signer: what is accepted of it cannot be read, so nothing is
    ROLLED_BACK = "rolled-back"  # the log lacks the entry that this host remembers, so nobody's right is known


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate, the entry that made it, and the fingerprint under which its signer signs by it."""

    certificate: Certificate
    entry: LogHead
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Recipient:
    """From this entry of the log on, data keys are sealed to this public key; `root`: as `AddRecipient` has it."""

    public_key: bytes
    root: int
    entry: LogHead
    made_utc: datetime

    @property
    def id(self) -> str:
        """The id in names of data keys."""
        return recipient_id(self.public_key).hex()


@dataclass(frozen=True, slots=True)
class TrustState:
    """The owner log as one reader sees it.

    `head`: the entry to remember from now on; None before the first. `owner`: the key in force after it. `owners`: the
    keys in force after each branch that counts, one unless the log is forked. `certificates`: of each signer, in their
    order. `slots`: the hashes of those in use, in the order in which to try them. `forked`: numbers of two valid
    entries, to be reported. `may_write`: no fork is undecided.
    """

    head: LogHead | None
    owner: VerifyKey
    owners: tuple[VerifyKey, ...]
    heads: frozenset[LogHead]
    forked: tuple[int, ...]
    rolled_back: bool
    may_write: bool
    refused: tuple[RefusedEntry, ...]
    recipients: tuple[Recipient, ...] = ()
    domains: Mapping[str, tuple[StartEpoch, ...]] = field(default_factory=dict)
    slots: tuple[str, ...] = ()
    certificates: Mapping[str, tuple[Certified, ...]] = field(default_factory=dict)
    revocations: Mapping[str, Revoked] = field(default_factory=dict)
    policy: SetPolicy | None = None
    must_understand: frozenset[str] = frozenset()
    must_understand_to_write: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()

    def certificate(self, signer: str) -> Certified | None:
        """Return the newest certificate of a signer, revoked or not."""
        certified = self.certificates.get(signer, ())
        return certified[-1] if certified else None

    def holds(self, kind: SignedKind, signature: Signature, *, subject: str, digest: bytes) -> bool:
        """Whether the certified signer that a signature names made it, revoked or not.

        Under any fingerprint that the repository had when an entry certified that signer.
        """
        certified = self.certificates.get(signature.signer, ())
        return any(
            verify(certified[-1].certificate.key, kind, signature, fingerprint=one, subject=subject, digest=digest)
            for one in dict.fromkeys(one.fingerprint for one in reversed(certified))
        )

    def readers_of(self, domain: str, epoch: int) -> tuple[bytes, ...]:
        """Return the public keys that data keys of an epoch are sealed to beside the repository's."""
        found = (one.readers for one in self.domains.get(domain, ()) if one.epoch == epoch)
        return tuple(dict.fromkeys(reader for readers in found for reader in readers))

    def newest_epoch(self, domain: str) -> StartEpoch:
        """Return the newest epoch of a domain that the log has."""
        return max(self.domains[domain], key=lambda one: one.epoch)

    @property
    def recipient(self) -> bytes:
        """The public key that data keys are sealed to now; empty before the log names one."""
        return self.recipients[-1].public_key if self.recipients else b""

    @property
    def ed25519_keys(self) -> frozenset[bytes]:
        """The first keys of all signers that were ever certified, 32 bytes each."""
        return frozenset(certified[-1].certificate.key.ed25519 for certified in self.certificates.values())

    def may(self, signer: str, right: str) -> bool:
        """Whether a signer has a right now, by its newest certificate; never once it is revoked."""
        newest = self.certificate(signer)
        return newest is not None and right in newest.certificate.rights and signer not in self.revocations

    def ever_might(self, signer: str, *rights: str) -> bool:
        """Whether any certificate gave a signer one of these rights, though it was narrowed or revoked since.

        For decisions that others may have acted on: these stay, or two parties would see two decisions.
        """
        return not self.rights_ever(signer).isdisjoint(rights)

    def rights_ever(self, signer: str) -> frozenset[str]:
        """Return every right that some certificate gave a signer, revoked or not; a revocation cuts by position."""
        return frozenset(right for one in self.certificates_ever(signer) for right in one.rights)

    def certificates_ever(self, signer: str) -> tuple[Certificate, ...]:
        """Return every certificate of a signer in its order, whether it was revoked or not."""
        return tuple(one.certificate for one in self.certificates.get(signer, ()))

    def source_names(self) -> dict[str, str]:
        """Return the names of sources that certificates give, by id; revoked certificates too. Needs no key."""
        known: dict[str, str] = {}
        for certified in self.certificates.values():
            for one in certified:
                if isinstance(one.certificate.sources, Mapping):
                    known |= one.certificate.sources
        return known

    def knows(self, head: LogHead | None) -> bool:
        """Whether the log has the entry that some object names as the newest its maker knew."""
        return head is None or head in self.heads

    def judge_commit(self, signer: str, commit_hash: str, source_id: str) -> Judgment:
        """Return whether a commit counts, whose signature holds and whose stored bytes have this hash.

        Any certificate of the signer allows it, so that a narrower one refuses nothing that is stored.
        """
        certificates = [one.certificate for one in self.certificates.get(signer, ())]
        if self.rolled_back:
            return Judgment.ROLLED_BACK
        if not certificates:
            return Judgment.UNKNOWN_SIGNER
        writing = [one for one in certificates if Right.BACKUP in one.rights]
        if not writing:
            return Judgment.NO_RIGHT
        if not any(one.allows_source(source_id) for one in writing):
            return Judgment.NOT_ITS_SOURCE
        return self._judge_named(signer, commit_hash)

    def judge_word(self, signer: str, word_hash: str, *rights: str) -> Judgment:
        """Return whether a verdict or a note counts, whose signature holds: where one certificate has all these rights.

        Of a revoked signer those that the revocation names.
        """
        certificates = [one.certificate for one in self.certificates.get(signer, ())]
        if self.rolled_back:
            return Judgment.ROLLED_BACK
        if not certificates:
            return Judgment.UNKNOWN_SIGNER
        if not any(one.rights.issuperset(rights) for one in certificates):
            return Judgment.NO_RIGHT
        return self._judge_named(signer, word_hash)

    def _judge_named(self, signer: str, object_hash: str) -> Judgment:
        """Return whether a revocation leaves a commit or a word of a signer: only what it names."""
        revoked = self.revocations.get(signer)
        if revoked is None:
            return Judgment.ACCEPTED
        if revoked.commits is None:
            return Judgment.LIST_MISSING
        return Judgment.ACCEPTED if object_hash in revoked.commits else Judgment.REVOKED

    def judge_seal(self, signer: str, chain: str, sequence: int, seal_hash: str) -> Judgment:
        """Return whether a seal counts, whose signature holds and whose stored bytes have this hash.

        Which tables it may speak for, `may` decides. Of a revoked signer the last accepted seal of each chain counts
        with those before it. Their hashes are not in the log: the caller follows the chain from the last one
        backwards, and no other seal of a lower number counts.
        """
        certificates = [one.certificate for one in self.certificates.get(signer, ())]
        if self.rolled_back:
            return Judgment.ROLLED_BACK
        if not certificates:
            return Judgment.UNKNOWN_SIGNER
        if not any(one.rights for one in certificates):
            return Judgment.NO_RIGHT
        revoked = self.revocations.get(signer)
        if revoked is None:
            return Judgment.ACCEPTED
        last, last_hash = revoked.chains.get(chain, (-1, ""))
        accepted = sequence < last or (sequence == last and seal_hash == last_hash)
        return Judgment.ACCEPTED if accepted else Judgment.REVOKED

    def expires(self, now_utc: datetime, days: float) -> list[Certified]:
        """Return the newest certificates, not revoked, that end within so long or have ended; the soonest first.

        To warn only: expiry refuses neither a backup nor a restore.
        """
        newest = [one for signer in self.certificates if (one := self.certificate(signer))]
        ending = [
            one
            for one in newest
            if one.certificate.signer not in self.revocations
            and one.certificate.not_after_utc <= now_utc + timedelta(days=days)
        ]
        return sorted(ending, key=lambda one: (one.certificate.not_after_utc, one.certificate.signer))


def read_log(
    eras: Sequence[Era],
    entries: Mapping[str, bytes],
    remembered: LogHead | None = None,
    accepted: Mapping[str, bytes] | None = None,
) -> TrustState:
    """Return what the entries of all reachable replicas say together, to a host with this memory.

    A log that lacks the remembered entry accepts nothing. Where an older replica is all that is left, a person decides
    to read it without memory.

    Args:
        eras: Those of the header: `log_entry.eras_of`.
        entries: By name; what is no valid entry is refused and reported.
        accepted: Lists of accepted commits, by the hash that a revocation names.
    """
    tree = LogTree(eras, entries)
    heads = frozenset(entry.head for entry in tree.entries.values())
    if remembered is not None and remembered not in heads:
        return TrustState(
            head=remembered,
            owner=eras[-1].owner,
            owners=(),
            heads=heads,
            forked=tree.forked(),
            rolled_back=True,
            may_write=False,
            refused=tuple(tree.refused),
        )
    anchor = START if remembered is None else remembered.hash
    last = tree.last_undivided(anchor)
    leaves = [leaf for leaf in tree.leaves() if anchor == START or anchor in {e.head.hash for e in tree.path(leaf)}]
    paths = [tree.path(leaf) for leaf in leaves]
    on_path = list({entry.head.hash: entry for path in paths for entry in path}.values())
    on_path.sort(key=lambda entry: (entry.head.number, entry.head.hash))
    lists = [revocations_of(_all_actions(path), accepted or {}) for path in paths]
    lists += [revocations_of(entry.actions, accepted or {}) for entry in _heard_off_path(tree, on_path, last)]
    owners = {tree.owner_after(leaf).signer_id: tree.owner_after(leaf) for leaf in leaves}
    features = _actions(on_path, RequireFeatures)
    domains: dict[str, tuple[StartEpoch, ...]] = {}
    for epoch in _actions(on_path, StartEpoch):
        domains[epoch.domain] = (*domains.get(epoch.domain, ()), epoch)
    return TrustState(
        head=tree.head_of(last),
        owner=tree.owner_after(last),
        owners=tuple(owners.values()),
        heads=heads,
        forked=tree.forked(),
        rolled_back=False,
        may_write=not tree.following(last),
        refused=tuple(tree.refused),
        recipients=_recipients(on_path),
        slots=_slots(paths),
        domains=domains,
        certificates=_certificates(tree, on_path),
        revocations=combined(lists),
        policy=next(reversed(_actions(on_path, SetPolicy)), None),
        must_understand=frozenset(name for one in features for name in one.must_understand),
        must_understand_to_write=frozenset(name for one in features for name in one.must_understand_to_write),
        unknown=tuple(f"{entry.head.name}: {what}" for entry in on_path for what in entry.unknown),
    )


def _heard_off_path(tree: LogTree, on_path: Iterable[LogEntry], last: str) -> list[LogEntry]:
    """Return the entries off the counting branches on whose branch no retired key signed."""
    counting = {entry.head.hash for entry in on_path}
    current = tree.owner_after(last).signer_id
    retired = {tree.signer_of(entry).signer_id for entry in tree.path(last)} - {current}
    heard = []
    for entry in tree.entries.values():
        if entry.head.hash not in counting:
            branch = [one for one in tree.path(entry.head.hash) if one.head.hash not in counting]
            if not any(tree.signer_of(one).signer_id in retired for one in branch):
                heard.append(entry)
    return heard


def _all_actions(entries: Iterable[LogEntry]) -> list[Action]:
    return [action for entry in entries for action in entry.actions]


def _actions(entries: Iterable[LogEntry], kind: type[ActionT]) -> list[ActionT]:
    return [action for action in _all_actions(entries) if isinstance(action, kind)]


def _slots(paths: Iterable[Iterable[LogEntry]]) -> tuple[str, ...]:
    """Return the slots in use: of each branch the last list."""
    lists = [_actions(path, NameSlots) for path in paths]
    return tuple(dict.fromkeys(slot for found in lists if found for slot in found[-1].slots))


def _recipients(entries: Iterable[LogEntry]) -> tuple[Recipient, ...]:
    return tuple(
        Recipient(action.public_key, action.root, entry.head, entry.made_utc)
        for entry in entries
        for action in entry.actions
        if isinstance(action, AddRecipient)
    )


def _certificates(tree: LogTree, entries: Iterable[LogEntry]) -> dict[str, tuple[Certified, ...]]:
    found: dict[str, tuple[Certified, ...]] = {}
    for entry in entries:
        for action in entry.actions:
            if isinstance(action, Certificate):
                found[action.signer] = (
                    *found.get(action.signer, ()),
                    Certified(action, entry.head, tree.fingerprint_of(entry)),
                )
    return found
