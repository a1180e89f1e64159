"""The objects that a run makes, in the order that keeps every listing honest, on their way to the fan-out.

Data key, packs, index fragments after their packs, then manifest, page map and needs. Manifest and page map are sealed
into spool files on this host, because neither their size nor the hash that names them is known before the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from farshore import limits
from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.data_keys import find_key_names
from farshore.catalog.full_page_map import FullPageMap
from farshore.catalog.inventory import Inventory
from farshore.catalog.next_needs import NeedsRun, plan_needs
from farshore.clock import Clock
from farshore.crypto import recipient_id
from farshore.format import names
from farshore.format.commit import RunRef
from farshore.format.fragments import FragmentEntry
from farshore.format.needs import NeededFragment, NeededKey, NeededPack, Needs, join_needs
from farshore.host_resources import CACHE, open_new_file
from farshore.replicas.fanout import Fanout
from farshore.replicas.repository import Repository
from farshore.replicas.upload import Upload
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey, seal_data_key
from farshore.sealed.fragments import make_fragment
from farshore.sealed.packs import SealedPack
from farshore.sealed.sealed_object import ObjectKey, SealedKind, SealedWriter

_KINDS = {names.MANIFEST: SealedKind.MANIFEST, names.PAGES: SealedKind.PAGES}


def seal_to_each(keys: KeySet, data_key: DataKey) -> dict[NeededKey, bytes]:
    """Return the objects of a data key: for the repository's recipient, and for those who read the domain alone."""
    found: dict[NeededKey, bytes] = {}
    for public_key in (keys.public_key, *keys.domain.readers):
        sealed = seal_data_key(keys, data_key, public_key)
        found[NeededKey(data_key.key_id.hex(), recipient_id(public_key).hex(), names.hash_of(sealed))] = sealed
    return found


class ObjectPublisher:
    """Objects of one run. Used by the sealing thread alone."""

    def __init__(self, *, fanout: Fanout, keys: KeySet, data_key: DataKey, clock: Clock, spool: Path) -> None:
        self._fanout = fanout
        self._keys = keys
        self._data_key = data_key
        self._sealed_keys = seal_to_each(keys, data_key)
        self.key_object = next(iter(self._sealed_keys))
        self._clock = clock
        self.spool = spool
        self._unindexed: list[FragmentEntry] = []
        self._pack_sizes: dict[str, int] = {}
        self._writers: dict[str, SealedWriter] = {}
        self._fragments: list[NeededFragment] = []
        self.made: list[WrittenObject] = []
        self.refs: dict[str, RunRef] = {}
        self.files: dict[str, Path] = {}
        self.needs = Needs()
        self.needs_body = b""  # of the run that it sent, empty where it sent none
        self._needs_runs: tuple[RunRef, ...] = ()
        self.pages_base: FullPageMap | None = None

    def start(self) -> None:
        """Send the run's data key, for each who reads it, ahead of everything that needs it."""
        for key, sealed in self._sealed_keys.items():
            self._send_small(key.name, ObjectKind.DATA_KEY, sealed)

    def send_pack(self, pack: SealedPack) -> None:
        """Send a pack; and when packs are many, or their footers large, the index fragment that names them."""
        pack_id = pack.pack_id.hex()
        self._pack_sizes[pack_id] = len(pack.body)
        self._unindexed.append(pack.entry)
        self.made.append(WrittenObject(names.pack(pack_id), ObjectKind.PACK, len(pack.body), pack_id))
        self._fanout.offer(Upload(names.pack(pack_id), pack.body, len(pack.body), barrier=False))
        footers_bytes = sum(len(one.sealed_footer) for one in self._unindexed)
        if len(self._unindexed) >= limits.FRAGMENT_PACKS_MAX or footers_bytes >= limits.FRAGMENT_FOOTERS_BYTES:
            self._send_fragment()

    @contextmanager
    def open_files(self) -> Iterator[tuple[SealedWriter, SealedWriter]]:
        """Open the sealed spool files of manifest and page map."""
        with ExitStack() as stack:
            for role, kind in _KINDS.items():
                self.files[role] = self.spool / role
                file = stack.enter_context(open_new_file(self.files[role], CACHE))
                self._writers[role] = SealedWriter(
                    sink=file, secret=self._data_key.secret, key_id=self._data_key.key_id,
                    salt=self._clock.random_bytes(32), kind=kind, name=names.RUNS,
                    repository_id=self._keys.repository_id,
                )  # fmt: skip
            yield self._writers[names.MANIFEST], self._writers[names.PAGES]
            for role, writer in self._writers.items():
                digest = writer.finish()
                self.refs[role] = RunRef(digest, writer.sealed_bytes)

    def finish(self, *, has_pages: bool, pages_base: FullPageMap | None) -> None:
        """Send the last fragment, the manifest, and the page map where there is one.

        Args:
            pages_base: The base of a page map that is a difference. The commit names it and needs its data key; it is
                an object of an earlier run.
        """
        self._send_fragment()
        self.pages_base = pages_base
        if not has_pages and pages_base is None:
            del self.refs[names.PAGES]
            self.files.pop(names.PAGES).unlink()
        for role, ref in self.refs.items():
            self.made.append(WrittenObject(ref.name, ObjectKind(role), ref.bytes, ref.blake3))
            self._fanout.offer(Upload(ref.name, self.files[role], ref.bytes, barrier=True))

    def object_keys(self) -> dict[str, ObjectKey]:
        """Return the keys of manifest and page map, by role; each opens its own object and nothing else.

        This host keeps them after the run. With the data key a thief of its disk would read the run's content.
        """
        return {role: self._writers[role].key for role in self.files}

    @property
    def kept_files(self) -> dict[str, Path]:
        """Files of this host with runs of earlier snapshots that the commit names, by their names."""
        return {self.pages_base.ref.name: self.pages_base.file} if self.pages_base is not None else {}

    @property
    def runs(self) -> dict[str, tuple[RunRef, ...]]:
        """The runs that the commit names, by role."""
        runs: dict[str, tuple[RunRef, ...]] = {role: (ref,) for role, ref in self.refs.items()}
        runs[names.NEEDS] = self._needs_runs
        if self.pages_base is not None:
            runs[names.PAGES] = (self.pages_base.ref, *runs[names.PAGES])
        return runs

    def exact_needs(self, repository: Repository, inventory: Inventory, reused: Sequence[NeededPack]) -> Needs:
        """Return all that the snapshot needs, and nothing else.

        Args:
            reused: Packs of earlier runs, with the segments that are used. Of its own packs the run uses all.

        Raises:
            ObjectNotFound: The data key of a pack that it reuses is nowhere.
        """
        pack_ids = [pack.pack_id for pack in reused]
        known = [packed for packed in inventory.footers(pack_ids) if packed is not None]
        packs = [*(NeededPack(pack_id, size) for pack_id, size in self._pack_sizes.items()), *reused]
        origins = {origin.key_id.hex() for packed in known for origin in packed.footer.origins}
        at_work = [repository.replicas[name] for name in self._fanout.at_work]
        data_keys = [*self._sealed_keys, *find_key_names(repository, at_work, origins - {self.key_object.key_id})]
        if self.pages_base is not None:
            data_keys.append(self.pages_base.key_object)
        fragments = [*self._fragments, *(NeededFragment(*one) for one in inventory.fragments_of(pack_ids))]
        return join_needs([Needs(tuple(packs), tuple(data_keys), tuple(fragments))])

    def write_needs(self, needed: Needs, earlier: Sequence[NeedsRun]) -> None:
        """Send a run of what is needed and the runs of an earlier snapshot do not name, where there is such.

        Args:
            earlier: Those runs. All that they name must be at the replicas.
        """
        planned = plan_needs(needed, earlier)
        self.needs, self.needs_body = planned.all, planned.body
        self._needs_runs = planned.kept
        if planned.body:
            made = RunRef(names.hash_of(planned.body), len(planned.body))
            self._needs_runs = (*planned.kept, made)
            self._send_small(made.name, ObjectKind.NEEDS, planned.body)

    def _send_fragment(self) -> None:
        if self._unindexed:
            body = make_fragment(self._unindexed, self._keys)
            fragment = NeededFragment(names.hash_of(body), len(body))
            self._fragments.append(fragment)
            self._send_small(names.fragment(fragment.blake3), ObjectKind.INDEX, body)
            self._unindexed = []

    def _send_small(self, name: str, kind: ObjectKind, body: bytes) -> None:
        self.made.append(WrittenObject(name, kind, len(body), names.hash_of(body)))
        self._fanout.offer(Upload(name, body, len(body), barrier=True))
