"""The objects that a run makes, in the order that keeps every listing honest, on their way to the fan-out.

Data key, packs, index fragments after their packs, then manifest, page map and needs. Manifest and page map are sealed
into spool files on this host, because their size is not known before the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from blake3 import blake3

from farshore import limits
from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.full_page_map import FullPageMap
from farshore.catalog.inventory import Inventory
from farshore.clock import Clock
from farshore.format import names
from farshore.format.fragments import FragmentEntry
from farshore.format.records import Needs, ObjectRef, encode_needs
from farshore.host_resources import CACHE, open_new_file
from farshore.replicas.fanout import Fanout
from farshore.replicas.upload import Upload
from farshore.sealed.data_key import DataKey, seal_data_key
from farshore.sealed.fragments import make_fragment
from farshore.sealed.keys import KeySet
from farshore.sealed.packs import SealedPack
from farshore.sealed.sealed_object import SealedKind, SealedWriter, seal_object

_KINDS = {names.MANIFEST: SealedKind.MANIFEST, names.PAGES: SealedKind.PAGES}


class ObjectPublisher:
    """Objects of one run. Used by the sealing thread alone."""

    def __init__(self, *, fanout: Fanout, keys: KeySet, data_key: DataKey, clock: Clock, spool: Path) -> None:
        self._fanout = fanout
        self._keys = keys
        self._data_key = data_key
        self._clock = clock
        self.spool = spool
        self._unindexed: list[FragmentEntry] = []
        self._pack_sizes: dict[str, int] = {}
        self._writers: dict[str, SealedWriter] = {}
        self._names: dict[str, str] = {}
        self.made: list[WrittenObject] = []
        self.refs: dict[str, ObjectRef] = {}
        self.files: dict[str, Path] = {}
        self.needs = Needs((), ())
        self.needs_body = b""
        self.pages_base: FullPageMap | None = None

    def start(self) -> None:
        """Send the run's data key ahead of everything that needs it."""
        name = names.data_key(self._data_key.key_id.hex(), self._keys.recipient_id.hex())
        self._send_small(name, ObjectKind.DATA_KEY, seal_data_key(self._keys, self._data_key))

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
    def open_files(self, source_id: str, snapshot_id: str) -> Iterator[tuple[SealedWriter, SealedWriter]]:
        """Open the sealed spool files of manifest and page map."""
        with ExitStack() as stack:
            for role, kind in _KINDS.items():
                self._names[role] = names.snapshot_object(source_id, snapshot_id, role)
                self.files[role] = self.spool / role
                file = stack.enter_context(open_new_file(self.files[role], CACHE))
                self._writers[role] = SealedWriter(
                    sink=file, secret=self._data_key.secret, key_id=self._data_key.key_id,
                    salt=self._clock.random_bytes(32), kind=kind, name=self._names[role],
                    repository_id=self._keys.repository_id,
                )  # fmt: skip
            self._names[names.NEEDS] = names.snapshot_object(source_id, snapshot_id, names.NEEDS)
            yield self._writers[names.MANIFEST], self._writers[names.PAGES]
            for role, writer in self._writers.items():
                digest = writer.finish()
                self.refs[role] = ObjectRef(self._names[role], writer.sealed_bytes, digest)

    def finish(self, *, has_pages: bool, pages_base: FullPageMap | None) -> None:
        """Send the last fragment, the manifest, and the page map where there is one.

        Args:
            pages_base: The base of a page map that is a difference. The commit record names it and needs its data
                key; it is an object of an earlier run.
        """
        self._send_fragment()
        self.pages_base = pages_base
        if not has_pages and pages_base is None:
            del self.refs[names.PAGES]
            self.files.pop(names.PAGES).unlink()
        for role, ref in self.refs.items():
            self.made.append(WrittenObject(ref.name, ObjectKind(role), ref.bytes, ref.blake3))
            self._fanout.offer(Upload(ref.name, self.files[role], ref.bytes, barrier=True))
        if pages_base is not None:
            self.refs[names.PAGES_BASE] = pages_base.ref

    def write_needs(self, inventory: Inventory, reused: list[str]) -> None:
        """Send the list of packs and data keys that the snapshot needs."""
        known = [packed for packed in inventory.footers(reused) if packed is not None]
        packs = [*self._pack_sizes.items(), *((packed.pack_id.hex(), packed.pack_bytes) for packed in known)]
        origins = {origin for packed in known for origin in packed.footer.origins}
        data_keys = {self._data_key.key_id.hex(), *(origin.key_id.hex() for origin in origins)}
        if self.pages_base is not None:
            data_keys.add(self.pages_base.data_key.key_id.hex())
        self.needs = Needs(tuple(sorted(packs)), tuple(sorted(data_keys)))
        name = self._names[names.NEEDS]
        body = seal_object(
            encode_needs(self.needs), secret=self._keys.index_key, key_id=self._keys.own,
            salt=self._clock.random_bytes(32), kind=SealedKind.NEEDS, name=name,
            repository_id=self._keys.repository_id, compress=True,
        )  # fmt: skip
        self._send_small(name, ObjectKind.NEEDS, body)
        self.needs_body = body
        self.refs[names.NEEDS] = ObjectRef(name, len(body), blake3(body).hexdigest())

    def _send_fragment(self) -> None:
        if self._unindexed:
            body = make_fragment(self._unindexed, self._keys)
            self._send_small(names.fragment(blake3(body).hexdigest()), ObjectKind.INDEX, body)
            self._unindexed = []

    def _send_small(self, name: str, kind: ObjectKind, body: bytes) -> None:
        self.made.append(WrittenObject(name, kind, len(body), blake3(body).hexdigest()))
        self._fanout.offer(Upload(name, body, len(body), barrier=True))
