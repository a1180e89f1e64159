"""Whose packs and index fragments count, and whose packs a new snapshot may reuse. docs/reference/format.md, 11.

To read, nobody has to be believed: a pack proves itself by its name, a chunk by its id. To reuse a chunk that nobody
reads now is to believe who packed it. So a run reuses packs of its own party alone, which are those of its own key and
of keys for the same sources; and of others in its domain as far as the configuration says. A pack that a verify found
to be bad is reused by nobody.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.catalog.verdicts import NO_VERDICTS, Verdicts
from farshore.config import Dedupe
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.fragments import SUBJECT, Fragment, FragmentEntry, decode_signature
from farshore.format.pack import key_tag_of
from farshore.model import Signature
from farshore.replicas.repository import Repository
from farshore.sealed.fragments import OpenedFragment
from farshore.sealed.packs import SUBJECT as PACK_SUBJECT
from farshore.signing import SignedKind
from farshore.trust.actions import Right

_MAKING = frozenset({Right.BACKUP, Right.HEAL, Right.MAINTAIN})  # any of these allows packs and fragments
Table = npt.NDArray[Any]


def is_made_here(repository: Repository, kind: SignedKind, signature: Signature, subject: str, digest: bytes) -> bool:
    """Whether somebody signed this who may make packs and fragments, revoked or not. Needs no key."""
    holds = repository.trust.holds
    return may_make(repository, signature.signer) and holds(kind, signature, subject=subject, digest=digest)


def may_make(repository: Repository, signer: str) -> bool:
    """Whether the owner certified a signer, revoked or not, to make packs and fragments. Needs no key."""
    return any(_MAKING & one.certificate.rights for one in repository.trust.certificates.get(signer, ()))


class PackTrust:
    """The judgment of one run. Safe from many threads.

    Args:
        needed: Packs that accepted commits need: of a revoked key only these are reused.
        verdicts: Which packs a reader has proved by reading them, and which ones are bad.
    """

    def __init__(
        self, repository: Repository, *, needed: Collection[bytes] = (), verdicts: Verdicts = NO_VERDICTS
    ) -> None:
        self._repository = repository
        self._trust = repository.trust
        self._keys = repository.writing_keys()
        self._dedupe = repository.dedupe
        self._needed = frozenset(needed)
        self._verdicts = verdicts
        self._party, self._domain = self._signers()

    @property
    def moment(self) -> str:
        """The state of the log that these judgments are of: another one may judge otherwise."""
        return self._trust.head.hash if self._trust.head else ""

    def counts(self, fragment: Fragment) -> bool:
        """Whether a certified signer made a fragment, revoked or not: its packs prove themselves."""
        return self._holds(SignedKind.FRAGMENT, fragment.signature, SUBJECT, fragment.digest)

    def made_fragment(self, data: bytes) -> bool:
        """Whether the bytes of a fragment are signed by somebody who may make one; its tables are not read.

        Raises:
            ObjectCorrupt: They are too few for a signature.
        """
        signature, digest = decode_signature(data)
        return self._holds(SignedKind.FRAGMENT, signature, SUBJECT, digest)

    def may_hide(self, fragment: Fragment) -> bool:
        """Whether a fragment that counts is believed to have all packs of those that it supersedes.

        A false list would hide packs, whose chunks would be stored once more. So only the own party is believed, and
        maintainers, who may delete packs anyway.
        """
        signer = fragment.signature.signer
        if self.is_own(signer):
            return True
        made = [one.certificate for one in self._trust.certificates.get(signer, ())]
        return signer not in self._trust.revocations and any(Right.MAINTAIN in one.rights for one in made)

    def maker(self, one: FragmentEntry | Fragment) -> str:
        """Return who made a pack or fragment, as the end of a message."""
        signer = one.signature.signer
        if not (self.counts(one) if isinstance(one, Fragment) else self.is_signed(one)):
            return "(it is signed by nobody who may make packs)"
        return f"(it is signed by {self._trust.certificates[signer][-1].certificate.host}, key {signer})"

    def is_own(self, signer: str) -> bool:
        """Whether a signer is of the own party."""
        return signer in self._party

    def is_reusable(self, entry: FragmentEntry) -> bool:
        """Whether a new snapshot may reuse the chunks of a pack, which its entry proves."""
        (believed,) = self._believed(np.frombuffer(entry.pack_id, PACK_ID_DTYPE))
        return self._may_reuse(entry, entry.pack_id, *believed) and self.is_signed(entry)

    def reusable(self, opened: OpenedFragment) -> Table:
        """Return for each pack of a fragment that counts whether it is reusable: one signature for all of one hand.

        The signer of a fragment answers for its own packs in it: a holder of the key could have signed each.
        """
        hand = opened.fragment.signature.signer if opened.fragment else ""
        rows = zip(opened.entries, opened.pack_ids, self._believed(opened.pack_ids), strict=True)
        return np.array(
            [
                self._may_reuse(one, pack_id.tobytes(), *believed)
                and (one.signature.signer == hand or self.is_signed(one))
                for one, pack_id, believed in rows
            ],
            bool,
        )

    def _believed(self, pack_ids: Table) -> list[tuple[bool, bool]]:
        """Return for each pack whether it is quarantined, and whether a reader has proved it."""
        bad, proven = self._verdicts.bad(pack_ids), self._verdicts.proven.among(pack_ids)
        return list(zip(bad.tolist(), proven.tolist(), strict=True))

    def _may_reuse(self, entry: FragmentEntry, pack_id: bytes, bad: bool, proven: bool) -> bool:  # noqa: FBT001
        signer = entry.signature.signer
        if bad or key_tag_of(entry.header) != self._keys.own:
            return False
        if signer in self._trust.revocations and pack_id not in self._needed:
            return False
        if signer in self._party:
            return True
        believed = proven if self._dedupe is Dedupe.PROVEN else self._dedupe is Dedupe.DOMAIN
        return signer in self._domain and believed

    def is_signed(self, entry: FragmentEntry) -> bool:
        """Whether somebody signed a pack who may make one."""
        return self._holds(SignedKind.PACK, entry.signature, PACK_SUBJECT, entry.signed_digest)

    def _holds(self, kind: SignedKind, signature: Signature, subject: str, digest: bytes) -> bool:
        return is_made_here(self._repository, kind, signature, subject, digest)

    def _signers(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the signers of the own party, and those of the own domain."""
        signing_key = self._keys.signing_key
        own = self._trust.certificate(signing_key.signer_id) if signing_key else None
        if own is None:
            return frozenset(), frozenset()
        mine = own.certificate
        newest = [one[-1].certificate for one in self._trust.certificates.values()]
        domain = [one for one in newest if one.domain == mine.domain]
        party = [one for one in domain if one.signer == mine.signer or (one.sources and one.sources == mine.sources)]
        return frozenset(one.signer for one in party), frozenset(one.signer for one in domain)
