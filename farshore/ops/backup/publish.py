"""The objects that a run makes, in the order that keeps every listing honest, on their way to the fan-out.

Data key, packs, index fragments after their packs, then a run of the manifest, of the page map and of needs; of a
source that did not change none of them. Runs are sealed into spool files on this host, because neither their size nor
the hash that names them is known before the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from farshore import limits
from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.base_snapshot import MadeBase
from farshore.catalog.data_keys import find_key_names
from farshore.catalog.inventory import Inventory
from farshore.catalog.next_needs import NeedsRun, plan_needs
from farshore.catalog.next_runs import (
    KeptRun,
    LocalFile,
    merge_manifests,
    merge_page_maps,
    page_map_bytes,
    plan_runs,
)
from farshore.clock import Clock
from farshore.crypto import recipient_id
from farshore.errors import READ_ERRORS, ObjectCorrupt
from farshore.format import names
from farshore.format.bounded_parquet import File
from farshore.format.commit import RunRef
from farshore.format.fragments import FragmentEntry
from farshore.format.needs import NeededFragment, NeededKey, NeededPack, Needs, join_needs
from farshore.format.page_maps import PageMap
from farshore.host_resources import CACHE, open_new_file
from farshore.replicas.fanout import Fanout
from farshore.replicas.repository import Repository
from farshore.replicas.upload import Upload
from farshore.sealed import KeySet
from farshore.sealed.data_key import DataKey, seal_data_key
from farshore.sealed.fragments import make_fragment
from farshore.sealed.packs import SealedPack
from farshore.sealed.sealed_object import SealedKind, SealedWriter

CHANGES = "changes"  # a run of what differs from the snapshot before
_MERGED = "merged"  # that and newer runs of the snapshot before in one
_MERGED_PAGES = "merged-pages"  # likewise of its page map
_KINDS = {
    names.MANIFEST: SealedKind.MANIFEST,
    names.PAGES: SealedKind.PAGES,
    CHANGES: SealedKind.MANIFEST,
    _MERGED: SealedKind.MANIFEST,
    _MERGED_PAGES: SealedKind.PAGES,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChangedPages:
    """The rows that a run wrote of its page map: those that differ from the snapshot before.

    `stored`: pages whose hash is in them. `total`: pages of which the snapshot has one, where those before are counted.
    """

    rows: int
    stored: int
    total: int


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
        self._fragments: list[NeededFragment] = []
        self.made: list[WrittenObject] = []
        self._sealed: dict[str, LocalFile] = {}  # by role
        self._key_sent = False
        self.manifest_runs: tuple[KeptRun, ...] = ()
        self.pages_runs: tuple[KeptRun, ...] = ()
        self._pages_count = 0
        self.needs = Needs()
        self.needs_body = b""  # of the run that it sent, empty where it sent none
        self._needs_runs: tuple[RunRef, ...] = ()

    def send_pack(self, pack: SealedPack) -> None:
        """Send a pack; and when packs are many, or their footers large, the index fragment that names them."""
        self._send_data_key()
        pack_id = pack.pack_id.hex()
        self._pack_sizes[pack_id] = len(pack.body)
        self._unindexed.append(pack.entry)
        self.made.append(WrittenObject(names.pack(pack_id), ObjectKind.PACK, len(pack.body), pack_id))
        self._fanout.offer(Upload(names.pack(pack_id), pack.body, len(pack.body), barrier=False))
        footers_bytes = sum(len(one.sealed_footer) for one in self._unindexed)
        if len(self._unindexed) >= limits.FRAGMENT_PACKS_MAX or footers_bytes >= limits.FRAGMENT_FOOTERS_BYTES:
            self._send_fragment()

    @contextmanager
    def open_files(self, *, changes: bool) -> Iterator[Mapping[str, SealedWriter]]:
        """Open the sealed spool files of all entries, of changed pages and, where asked for, of changed entries."""
        with ExitStack() as stack:
            roles = [names.MANIFEST, names.PAGES, *([CHANGES] if changes else [])]
            yield {role: stack.enter_context(self._sealing(role)) for role in roles}

    @contextmanager
    def _sealing(self, role: str) -> Iterator[SealedWriter]:
        path = self.spool / role
        with open_new_file(path, CACHE) as file:
            writer = SealedWriter(
                sink=file, secret=self._data_key.secret, key_id=self._data_key.key_id,
                salt=self._clock.random_bytes(32), kind=_KINDS[role], name=names.RUNS,
                repository_id=self._keys.repository_id,
            )  # fmt: skip
            yield writer
            self._sealed[role] = LocalFile(RunRef(writer.finish(), writer.sealed_bytes), writer.key, path)

    def finish_manifest(self, repository: Repository, earlier: Sequence[KeptRun], *, changed: bool) -> None:
        """Send the last fragment, and a run of the manifest where something changed.

        Args:
            earlier: The runs of the snapshot before that this one may name again; none for a run of all entries.
            changed: Whether anything did since then.
        """
        self._send_fragment()
        entries = self._sealed[names.MANIFEST]
        changes = self._sealed.get(CHANGES)
        planned = plan_runs(
            [run.ref for run in earlier],
            changes_bytes=changes.ref.bytes if changes is not None and changed else 0,
            full_bytes=entries.ref.bytes,
        )
        kept, new = list(earlier[: planned.kept]), entries if planned.new else None
        if kept and planned.new and changes is not None:
            merged = [run.local for run in earlier[planned.kept :]]
            new = self._merge(repository, [one for one in merged if one is not None], changes) if merged else changes
            if new is None:  # a file of this host is damaged
                kept, new = [], entries
        if new is not None:
            kept.append(KeptRun(new.ref, self._data_key.key_id.hex(), new))
            self._send_run(names.MANIFEST, new)
        self.manifest_runs = tuple(kept)

    def _merge(self, repository: Repository, runs: Sequence[LocalFile], changes: LocalFile) -> LocalFile | None:
        try:
            with self._sealing(_MERGED) as sink:
                merge_manifests(repository, [*runs, changes], sink)
        except (ObjectCorrupt, OSError) as trouble:
            _log.warning("runs of the last manifest cannot be merged, so all entries are written: %s", trouble)
            return None
        return self._sealed[_MERGED]

    def finish_pages(
        self, repository: Repository, before: PageMap | None, earlier: Sequence[KeptRun], changed: ChangedPages
    ) -> None:
        """Send a run of the page map where pages changed.

        Args:
            before: The page map of the snapshot before.
            earlier: Its runs, where this snapshot may name them again.
            changed: Its rows.
        """
        changes = self._sealed[names.PAGES]
        if before is None or before.broken:
            self._set_pages([], changes if changed.stored else None, changed.stored)
            return
        planned = plan_runs(
            [run.ref for run in earlier],
            changes_bytes=changes.ref.bytes if changed.rows else 0,
            full_bytes=page_map_bytes(changed.total),
        )
        kept = list(earlier[: planned.kept])
        if not planned.new or (kept and not planned.merged):
            self._set_pages(kept, changes if planned.new else None, changed.total)
            return
        pages = self._merge_pages(repository, before.files[len(kept) :], changes, all_runs=not kept)
        if pages is None:
            self._set_pages([], changes if changed.stored else None, changed.stored)
            return
        new = self._sealed[_MERGED_PAGES] if kept or pages else None
        self._set_pages(kept, new, changed.total if kept else pages)

    def _merge_pages(
        self, repository: Repository, runs: Sequence[File], changes: LocalFile, *, all_runs: bool
    ) -> int | None:
        """Return the pages of the merged run; None where a run cannot be read now, or the spool has no room."""
        try:
            with self._sealing(_MERGED_PAGES) as sink:
                files = [*runs, changes.open(repository, SealedKind.PAGES)]
                return merge_page_maps(files, sink, all_runs=all_runs)
        except OSError as error:
            trouble: Exception = error
        except READ_ERRORS as error:
            trouble = error
        _log.warning("the last page map cannot be merged, so the next backup compares with less: %s", trouble)
        return None

    def _set_pages(self, kept: list[KeptRun], new: LocalFile | None, pages: int) -> None:
        if new is not None:
            kept.append(KeptRun(new.ref, self._data_key.key_id.hex(), new))
            self._send_run(names.PAGES, new)
        self.pages_runs, self._pages_count = tuple(kept), pages

    def made_base(self) -> MadeBase:
        """Return what the next run compares with. Each key opens its own object and nothing else.

        This host keeps them after the run. With the data key a thief of its disk would read the run's content.
        """
        return MadeBase(
            entries=self._sealed[names.MANIFEST],
            runs=self.manifest_runs,
            pages_runs=self.pages_runs,
            pages_count=self._pages_count,
        )

    @property
    def kept_files(self) -> dict[str, Path]:
        """Files of this host with runs of earlier snapshots that the commit names, by their names."""
        runs = (*self.manifest_runs, *self.pages_runs)
        return {run.ref.name: run.local.file for run in runs if run.local is not None}

    @property
    def data_key_id(self) -> str:
        """The id of the run's data key; empty where it sealed nothing that was sent."""
        return self._data_key.key_id.hex() if self._key_sent else ""

    @property
    def runs(self) -> dict[str, tuple[RunRef, ...]]:
        """The runs that the commit names, by role."""
        runs = {names.MANIFEST: tuple(run.ref for run in self.manifest_runs), names.NEEDS: self._needs_runs}
        return runs | ({names.PAGES: tuple(run.ref for run in self.pages_runs)} if self.pages_runs else {})

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
        opened_by = {run.key_id for run in (*self.manifest_runs, *self.pages_runs)}
        earlier_keys = (origins | opened_by) - {self.key_object.key_id}
        data_keys = find_key_names(repository, at_work, earlier_keys)
        if self._key_sent:
            data_keys += self._sealed_keys
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

    def _send_data_key(self) -> None:
        """Send the run's data key, for each who reads it, ahead of everything that needs it."""
        if not self._key_sent:
            self._key_sent = True
            for key, sealed in self._sealed_keys.items():
                self._send_small(key.name, ObjectKind.DATA_KEY, sealed)

    def _send_run(self, role: str, made: LocalFile) -> None:
        self._send_data_key()
        self.made.append(WrittenObject(made.ref.name, ObjectKind(role), made.ref.bytes, made.ref.blake3))
        self._fanout.offer(Upload(made.ref.name, made.file, made.ref.bytes, barrier=True))

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
