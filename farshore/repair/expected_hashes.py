"""Expected hashes for objects whose name does not carry one, and which objects each snapshot needs.

With the index key the commit records can be opened: each has the hashes of its manifest, needs and page map, and the
needs name every pack and data key. Without any key (the replicator) the audit tables say the same, because the run
that made a snapshot recorded the hash of every object and which ones the snapshot needs; or two replicas agree on an
object and outvote the rest. An object without any expected hash is not spread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from blake3 import blake3

from farshore.audit import questions
from farshore.audit.cached_query import ask_rows, query_all
from farshore.catalog.commits import ListedCommits, commit_name, list_commits
from farshore.catalog.needs import NeededObject, objects_of, own_objects, read_needs
from farshore.errors import CACHED_READ_ERRORS, READ_ERRORS, ObjectCorrupt
from farshore.extras import require_extra
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.format.records import Commit, ObjectRef, decode_commit
from farshore.index import ABSENT
from farshore.repair.object_kinds import kind_of
from farshore.repair.replica_listing import Expected, Union
from farshore.replicas.object_pieces import check_digest, hash_pieces, read_pieces
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.sealed_object import SealedKind, open_object


class ExpectedHashes(Protocol):
    """Hashes, sizes and needs that are known from other objects or rows."""

    def expected(self, union: Union) -> Expected:
        """Return sizes, lost objects and the objects to spread."""
        ...

    def check(self, name: str, data: bytes) -> None:
        """Raise `ObjectCorrupt` unless these bytes have the hash that is expected of a snapshot's object."""
        ...

    def digest(self, name: str) -> str:
        """Return the hash that a snapshot's object must have, or an empty text where only `check` can decide."""
        ...

    def blocked(self, bad: Collection[str], commits: Collection[str]) -> Mapping[str, str]:
        """Return which of these commit records must not be put while `bad` objects are not whole, each with one."""
        ...

    def touched(self, bad: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the snapshots that need each of these objects, as far as it is known."""
        ...


class FromCommits:
    """Hashes from commit records, with the index key. Reads every record, and the needs of one snapshot at a time."""

    def __init__(self, repository: Repository, union: Union) -> None:
        self._repository = repository
        self._keys = repository.writing_keys()
        self._listed = _known(list_commits(repository), union)
        self._refs: dict[str, ObjectRef] = {}
        self._record_of: dict[str, Commit] = {}
        self._understood: set[str] = set()  # commit records whose needs were read, of those last asked about
        for commit in self._listed.commits.values():
            self._record_of[commit_name(commit)] = commit
            self._refs.update({ref.name: ref for ref in commit.objects.values()})

    def expected(self, union: Union) -> Expected:
        sizes = {name: ref.bytes for name, ref in self._refs.items()}
        lost = {ref.name: ref.bytes for ref in self._refs.values() if not union.sizes(ref.name)}
        for _, needed in self._needs():
            packs = [one for one in needed if one.kind is Kind.PACK]
            rows = union.packs.find([one.name.rpartition("/")[2] for one in packs])
            for one, row in zip(packs, rows, strict=True):
                size = one.size or 0
                if row == ABSENT:
                    lost[one.name] = size
                elif any(union.packs.bytes_at(replica, int(row)) not in (ABSENT, size) for replica in union.replicas):
                    sizes[one.name] = size
            others = (one for one in needed if one.kind is not Kind.PACK)
            lost.update({one.name: one.size or 0 for one in others if not union.sizes(one.name)})
        unread = {name for name in union.others if kind_of(name) is Kind.COMMIT and name not in self._record_of}
        return Expected(sizes=sizes, lost=lost, parts={*self._refs, *self._record_of, *unread})

    def check(self, name: str, data: bytes) -> None:
        if kind_of(name) is not Kind.COMMIT:
            check_digest(name, blake3(data).hexdigest(), self.digest(name))
            return
        payload = open_object(
            data, secret=self._keys.index_key, kind=SealedKind.COMMIT, name=name, repository_id=self._keys.repository_id
        )
        if commit_name(decode_commit(payload)) != name:
            raise ObjectCorrupt(f"{name} names another snapshot")

    def digest(self, name: str) -> str:
        ref = self._refs.get(name)
        return ref.blake3 if ref else ""

    def blocked(self, bad: Collection[str], commits: Collection[str]) -> Mapping[str, str]:
        if not bad:
            return {}
        found: dict[str, str] = {}
        chosen = {name: self._record_of[name] for name in commits if name in self._record_of}
        for name, needed in self._needs(chosen.values()):
            damaged = next((one.name for one in needed if one.name in bad), "")
            if damaged:
                found[name] = damaged
        read = self._understood
        found.update({name: names.NEEDS for name in chosen if name not in read})
        return found

    def touched(self, bad: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, needed in self._needs() if bad else ():
            for one in needed:
                if one.name in bad:
                    found[one.name] = (*found.get(one.name, ()), self._record_of[name].snapshot)
        return found

    def _needs(self, commits: Collection[Commit] | None = None) -> Iterator[tuple[str, list[NeededObject]]]:
        """Yield for each commit record every object that its snapshot needs besides.

        A snapshot whose needs no replica has whole yields only its own objects, and is not in `_understood`.
        """
        recipient = self._keys.recipient_id.hex()
        self._understood = set()
        for commit in self._listed.commits.values() if commits is None else commits:
            name = commit_name(commit)
            needed = list(own_objects(commit))
            for replica in self._holders(commit):
                try:
                    needs = read_needs(self._repository, replica, commit)
                except CACHED_READ_ERRORS:
                    continue
                needed = [one for one in objects_of(commit, needs, recipient) if one.kind is not Kind.COMMIT]
                self._understood.add(name)
                break
            yield name, needed

    def _holders(self, commit: Commit) -> list[Replica]:
        replicas = self._repository.replicas
        first = [replicas[name] for name in self._listed.holders.get(commit.snapshot, ()) if name in replicas]
        return first + [replica for replica in replicas.values() if replica not in first]


class FromAuditRows:
    """Hashes without any key: from the rows that runs wrote, else from replicas that agree."""

    def __init__(self, repository: Repository, union: Union) -> None:
        self._repository = repository
        self._union = union
        self._commits = {name for name in union.others if kind_of(name) is Kind.COMMIT}
        require_extra("sql")  # else sound objects would be called unproven
        self._refs = self._recorded()

    def expected(self, union: Union) -> Expected:
        spread = set(self._commits)
        committed = {name.rpartition("/")[0] for name in self._commits}
        for name in union.others:
            parsed = names.parse_snapshot_object(name)
            if parsed is not None and (name.rpartition("/")[0] in committed or name in self._refs):
                spread.add(name)
        sizes = {name: self._refs[name].bytes for name in spread if name in self._refs}
        lost = {name: 0 for name in self._needed() if kind_of(name) is not None and not union.sizes(name)}
        return Expected(sizes=sizes, lost=lost, parts=spread | set(lost))

    def check(self, name: str, data: bytes) -> None:
        check_digest(name, blake3(data).hexdigest(), self.digest(name))

    def digest(self, name: str) -> str:
        if name not in self._refs:
            agreed = self._agreed(name)
            if not agreed:
                raise ObjectCorrupt(
                    f"nothing vouches for {name}: no audit row tells its hash, and no two replicas agree on it",
                    "Run 'farshore heal' where the passphrase, an identity or a credential is.",
                )
            self._refs[name] = ObjectRef(name, 0, agreed)
        return self._refs[name].blake3

    def blocked(self, bad: Collection[str], commits: Collection[str]) -> Mapping[str, str]:
        """Without keys every object counts as needed by every snapshot, but for those whose needs are in the rows."""
        if not bad:
            return {}
        known = {snapshot for _, snapshot in self._lineage([questions.SNAPSHOTS_WITH_LINEAGE])}
        needing = {snapshot: name for name, snapshot in self._lineage(questions.snapshots_needing(sorted(bad)))}
        found: dict[str, str] = {}
        for name in commits:
            snapshot = name.split("/")[2]
            if snapshot in needing or snapshot not in known:
                found[name] = needing.get(snapshot) or next(iter(bad))
        return found

    def touched(self, bad: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, snapshot in self._lineage(questions.snapshots_needing(sorted(bad))):
            found[name] = (*found.get(name, ()), snapshot)
        return found

    def _recorded(self) -> dict[str, ObjectRef]:
        """Return the size and hash that rows have of snapshots' objects.

        One replica after the other, by hand, because mostly the first has all of them and the others are not asked.
        """
        wanted = {name for name in self._union.others if name.startswith(names.SNAPSHOTS)}
        found: dict[str, ObjectRef] = {}
        for replica in self._repository.replicas.values():
            for name, size, digest in ask_rows(self._repository, replica.name, questions.SNAPSHOT_OBJECTS) or ():
                found.setdefault(str(name), ObjectRef(str(name), int(str(size)), str(digest)))
            if wanted <= found.keys():
                break
        return found

    def _needed(self) -> Iterator[str]:
        snapshots = sorted(name.split("/")[2] for name in self._commits)
        yield from dict.fromkeys(name for name, _ in self._lineage(questions.needed_by(snapshots)))

    def _lineage(self, statements: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield (object, snapshot) as the rows of all replicas together have them, each once for every statement."""
        for sql in statements:
            answers = query_all(self._repository, sql).values()
            yield from {(str(name), str(snapshot)) for table in answers for name, snapshot in table.rows}

    def _agreed(self, name: str) -> str:
        """Return the hash that two replicas or more, and most of those that answer, give for an object.

        Asked by hand: an object of any size is read to its end, on which no bound of a question fits; each request has
        the time-outs of its store.
        """
        digests: list[str] = []
        for replica in self._union.sizes(name):
            opened = self._repository.replicas.get(replica)
            if opened is None:
                continue
            try:
                digests.append(hash_pieces(name, read_pieces(opened.store, name, self._union.sizes(name)[replica])))
            except READ_ERRORS:
                continue
        most = max(set(digests), key=digests.count, default="")
        return most if digests.count(most) > max(1, len(digests) // 2) else ""


def _known(listed: ListedCommits, union: Union) -> ListedCommits:
    """Leave out snapshots committed since the replicas were listed: their objects are in no listing, and not lost."""
    commits = {one: commit for one, commit in listed.commits.items() if union.sizes(commit_name(commit))}
    return replace(listed, commits=commits)
