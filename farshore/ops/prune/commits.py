"""Every commit that one replica lists, read without any bound: for a prune, one that is left unread would be garbage.

Refused is not garbage: a commit that was signed under a certificate that ever was in the owner log is needed until it
is forgotten. One that no certificate signed is foreign: shown, and no reason to keep or to stop. A damaged one looks
like a planted one, unless something else knows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from farshore import limits
from farshore.catalog import list_commit_names
from farshore.catalog.commit_cache import cached_commits, keep_commits, refused_before, remember_refused
from farshore.catalog.signed_commits import Refusal, Refused, SignedCommit, judge, read_signed
from farshore.errors import FormatTooNew, ObjectCorrupt, StateUnknown
from farshore.format.commit import CommitHead
from farshore.format.names import CommitName
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker

_READS_OF_DAMAGED = 2


@dataclass
class ReplicaCommits:
    """The commits of a replica by their hash. `accepted`: those that count; `foreign`: names that nobody signed.

    `damaged`: names whose bytes do not hash to them, each read twice.
    """

    heads: dict[str, CommitHead] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    foreign: list[CommitName] = field(default_factory=list)
    damaged: list[CommitName] = field(default_factory=list)

    @property
    def strange(self) -> int:
        """How many names are of no commit that anybody certified has signed, as far as it can be known."""
        return len(self.foreign) + len(self.damaged)

    def add(self, repository: Repository, signed: SignedCommit) -> None:
        """Add a commit whose signature holds."""
        self.heads[signed.head.hash] = signed.head
        if judge(repository, signed.head) is None:
            self.accepted.add(signed.head.hash)


class CommitReader:
    """Reads the commits of one replica, each once.

    Raises:
        FarshoreError: The replica cannot be listed or read now, or has a commit of a later version.
    """

    def __init__(self, repository: Repository, replica: Replica) -> None:
        self._repository = repository
        self._replica = replica
        self._checker = SignatureChecker.of(repository)
        self.found = ReplicaCommits()
        self._read: set[CommitName] = set()

    def read(self) -> list[str]:
        """List the replica, and read what is new; return the hashes of those."""
        listed = [one for one in list_commit_names(self._replica) if one not in self._read]
        before = set(self.found.heads)
        known = cached_commits(self._repository, listed)
        for signed in known.values():
            self.found.add(self._repository, signed)
        refused = {one: why for one, why in refused_before(self._repository, listed).items() if one not in known}
        self.found.foreign += refused
        self._fetch([one for one in listed if one not in known and one not in refused])
        self._read.update(listed)
        return [one for one in self.found.heads if one not in before]

    def _fetch(self, wanted: Iterable[CommitName]) -> None:
        fetched: list[SignedCommit] = []
        foreign: dict[CommitName, Refused] = {}
        with ThreadPoolExecutor(limits.STORE_CONNECTIONS) as pool:
            for name, result in pool.map(lambda one: (one, self.read_one(one)), wanted):
                if isinstance(result, SignedCommit):
                    fetched.append(result)
                    self.found.add(self._repository, result)
                elif result is None:
                    self.found.damaged.append(name)
                else:
                    foreign[name] = result
                    self.found.foreign.append(name)
        keep_commits(self._repository, fetched)
        remember_refused(self._repository, foreign)

    def read_one(self, name: CommitName) -> SignedCommit | Refused | None:
        """Return a commit; `Refused` where nobody certified signed it, None where its bytes are not those of its name.

        Raises:
            FormatTooNew: It is of a later version, so what it needs is not known.
        """
        for _ in range(_READS_OF_DAMAGED):  # a damaged answer must hide no commit
            try:
                data = self._replica.store.get(name.name, bytes_max=limits.COMMIT_BYTES_MAX)
                return self.judge(name, data)
            except ObjectCorrupt:
                continue
        return None

    def judge(self, name: CommitName, stored: bytes) -> SignedCommit | Refused:
        """Return a commit by its stored bytes, or why there is none in them. Raises as `read_one` and `read_signed`."""
        signed = read_signed(self._repository, name, stored)
        if isinstance(signed, Refused) and signed.reason is Refusal.UNKNOWN_SIGNER:
            if not self._checker.read_again():
                raise StateUnknown(f"the owner log cannot be read, so it is not known who signed {name.name}")
            signed = read_signed(self._repository, name, stored)
        if isinstance(signed, Refused) and signed.reason is Refusal.TOO_NEW:
            raise FormatTooNew(f"{name.name} is of a later version, so what it needs is not known here")
        return signed
