"""The objects of a rewrite for the snapshots of one domain: its data key, packs, and runs of manifests and of needs.

Runs are written anew once, however many snapshots share one, so snapshots share the new ones too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.needs import read_needs_runs
from farshore.catalog.verified_objects import open_verified
from farshore.crypto import recipient_id
from farshore.errors import SnapshotProtected
from farshore.format import names
from farshore.format.commit import Commit, RunRef
from farshore.format.manifest import ManifestReader, ManifestWriter
from farshore.format.needs import NeededKey, Needs, encode_needs, join_needs
from farshore.format.removing import rows_left
from farshore.host_resources import CACHE, open_new_file
from farshore.ops.rewrite.plan import RunKey, Work
from farshore.ops.rewrite.publish import Publisher
from farshore.replicas.reader import ReplicaReader
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey, seal_data_key
from farshore.sealed.sealed_object import SealedKind, SealedWriter

RUNS_MAX = 10  # of one role, as a reader has it


@dataclass
class Runs:
    """Writes runs anew and puts them. One thread.

    `added`: needs of every new snapshot, beside the remaining needs of the one that it replaces.
    """

    repository: Repository
    reader: ReplicaReader
    keys: KeySet
    data_key: DataKey
    publisher: Publisher
    spool: Path
    work: Work
    added: Needs
    manifests: dict[RunKey, RunRef | None] = field(default_factory=dict)
    needs: dict[str, Needs] = field(default_factory=dict)
    refs: dict[bytes, RunRef] = field(default_factory=dict)  # of needs that were put, by their bytes

    def manifest_of(self, commit: Commit) -> tuple[RunRef, ...]:
        """Return the runs of the manifest without what is removed, which are there then.

        Raises:
            SnapshotProtected: Nothing is left of the first.
        """
        if commit.hash not in self.work.removed:
            return commit.manifest
        found: list[RunRef] = []
        for at, ref in enumerate(commit.manifest):
            key = (ref.blake3, at == 0)
            if key not in self.work.runs:
                found.append(ref)
                continue
            if key not in self.manifests:
                self.manifests[key] = self._rewrite(ref, first=at == 0)
            made = self.manifests[key]
            if made is None and at == 0:
                raise SnapshotProtected(f"nothing would be left of snapshot {commit.snapshot[:12]} of {commit.source}")
            found += [made] if made is not None else []
        return tuple(found)

    def _rewrite(self, ref: RunRef, *, first: bool) -> RunRef | None:
        """Put what is left of a run; None where nothing is."""
        run = ManifestReader(open_verified(self.repository, self.reader, ref, SealedKind.MANIFEST))
        path = self.spool / f"run-{len(self.manifests)}"
        with open_new_file(path, CACHE) as file:
            sealed = SealedWriter(
                sink=file, secret=self.data_key.secret, key_id=self.data_key.key_id,
                salt=self.repository.clock.random_bytes(32), kind=SealedKind.MANIFEST, name=names.RUNS,
                repository_id=self.keys.repository_id,
            )  # fmt: skip
            writer = ManifestWriter(sealed)
            for table in rows_left(run, self.work.removal, first=first):
                writer.add_slice(table)
            writer.close()
            made = RunRef(sealed.finish(), sealed.sealed_bytes)
        if writer.entries:
            self.publisher.put(WrittenObject(made.name, ObjectKind.MANIFEST, made.bytes, made.blake3), path)
        path.unlink()
        return made if writer.entries else None

    def needs_of(self, commit: Commit) -> tuple[tuple[RunRef, ...], Needs]:
        """Return the runs of the needs of a new snapshot, which are there then, and all that they name."""
        earlier = read_needs_runs(self.repository, self.reader, commit)
        left = []
        for run in earlier:
            if run.ref.blake3 not in self.needs:
                packs = tuple(pack for pack in run.needs.packs if pack.pack_id not in self.work.dirty)
                self.needs[run.ref.blake3] = Needs(packs, run.needs.data_keys, run.needs.fragments)
            left.append(self.needs[run.ref.blake3])
        together = join_needs([*left, self.added])
        if len(left) + 1 > RUNS_MAX:
            return (self._put_needs(together),), together
        refs = [
            run.ref if after == run.needs else self._put_needs(after)
            for run, after in zip(earlier, left, strict=True)
            if after != Needs()
        ]
        if self.added != Needs() or not refs:
            refs.append(self._put_needs(self.added))
        return tuple(dict.fromkeys(refs)), together

    def _put_needs(self, needs: Needs) -> RunRef:
        body = encode_needs(needs)
        if body not in self.refs:
            made = RunRef(names.hash_of(body), len(body))
            self.publisher.put_small(made.name, ObjectKind.NEEDS, body, made.blake3)
            self.refs[body] = made
        return self.refs[body]


def put_data_key(keys: KeySet, data_key: DataKey, publisher: Publisher) -> tuple[NeededKey, ...]:
    """Put the data key of a run, for each who reads what it seals; ahead of everything that needs it."""
    found: list[NeededKey] = []
    for public_key in (keys.public_key, *keys.domain.readers):
        sealed = seal_data_key(keys, data_key, public_key)
        key = NeededKey(data_key.key_id.hex(), recipient_id(public_key).hex(), names.hash_of(sealed))
        publisher.put_small(key.name, ObjectKind.DATA_KEY, sealed, key.blake3)
        found.append(key)
    return tuple(sorted(found))
