"""Seal one snapshot of a source: capture, compare, read, gather, and hand every object on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from farshore import limits
from farshore.audit.rows import ObjectKind
from farshore.catalog.compare import PreviousManifest, cut_paths
from farshore.catalog.manifest_changes import ManifestChanges
from farshore.format import names
from farshore.format.manifest import ManifestWriter
from farshore.format.page_maps import PagesWriter
from farshore.index import ChunkIndex
from farshore.model import Problem, SnapshotCounts
from farshore.ops.backup.earlier_runs import manifest_to_add_to, needs_to_add_to, pages_to_add_to
from farshore.ops.backup.pages.hashers import PageHashers
from farshore.ops.backup.pages.page_map_builder import PageMapBuilder
from farshore.ops.backup.pipeline.pack_chunks import ChunkPacker
from farshore.ops.backup.pipeline.read_file import ContentReader
from farshore.ops.backup.pipeline.readers import Readers
from farshore.ops.backup.pipeline.reading_protocol import ReaderSetup
from farshore.ops.backup.pipeline.snapshot_writer import SnapshotWriter
from farshore.ops.backup.prepare import RunState, require_quorum
from farshore.ops.backup.publish import CHANGES, ChangedPages
from farshore.ops.backup.recognize import check_marks
from farshore.replicas.repository import Repository
from farshore.results import ProgressCallback
from farshore.sealed.packs import SealedPack
from farshore.sealed.sealed_object import SealedWriter
from farshore.sources.base import (
    Capture,
    Listing,
    ListingCapture,
    MarkedCapture,
    NotingCapture,
    RootedCapture,
    SharedSource,
    Source,
)
from farshore.workers import processes_that_pay

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """The result of reading a source: counts, facts, problems of single entries, notes and marks."""

    counts: SnapshotCounts
    facts: dict[str, str]
    problems: list[Problem]
    notes: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)  # that identify the source


def seal_source(
    repository: Repository, source: Source, run: RunState, *, allow_empty: bool, accept_new: bool,
    progress: ProgressCallback,
) -> CaptureResult:  # fmt: skip
    """Read the source once and offer all its sealed objects to the fan-out. Blocks with its back-pressure.

    Raises:
        SourceMissing, SourceCorrupt, SourceUnavailable: The source failed; there is no snapshot.
        SourceMoved: It is another one than that of the last snapshot, and nobody accepted it.
        QuorumNotReached: Too few replicas are still at run.
    """
    keys = repository.writing_keys()
    previous_pages = run.base.pages if run.base else None
    earlier = manifest_to_add_to(repository, run)
    packer = _start_packer(repository, run)
    try:
        with run.publisher.open_files(changes=bool(earlier)) as files:
            manifest = ManifestWriter(files[names.MANIFEST])
            changes = _changes(run, files) if earlier else None
            page_rows = PagesWriter(files[names.PAGES])
            page_map = PageMapBuilder(writer=page_rows, previous=previous_pages, spool=run.publisher.spool)
            hashers = PageHashers(page_key=keys.page_key, processes=processes_that_pay(limits.HASHING_PROCESSES_MAX))
            with source.capture() as capture, closing(hashers):
                marks = _recognize(source, capture, run, accept_new=accept_new)
                writer = SnapshotWriter(
                    reader=ContentReader(keys=keys, sizes=repository.sizes, spool=run.publisher.spool, hashers=hashers),
                    packer=packer,
                    manifest=manifest,
                    changes=changes,
                    pages=page_map,
                    previous=_previous(run, run.inventory.index),
                    entries_before=run.entries_before,
                    progress=progress,
                    start_readers=lambda: _start_readers(repository, run, capture),
                )
                if not capture.ordered and run.base is not None and previous_pages is not None:
                    writer.load_previous_extents(run.base.manifest)
                facts = writer.run(capture, allow_empty=allow_empty, listings=_start_walkers(repository, run, capture))
                notes = tuple(capture.notes()) if isinstance(capture, NotingCapture) else ()
            manifest.close()
            page_rows.close()
            if changes is not None:
                changes.close()
        packer.finish()
    finally:
        packer.close()
    changed = changes is None or changes.rows > 0
    run.publisher.finish_manifest(repository, earlier, changed=changed)
    run.publisher.finish_pages(
        repository,
        previous_pages,
        pages_to_add_to(repository, run),
        ChangedPages(page_rows.rows, page_rows.pages, page_map.added_pages + (run.base.pages_count if run.base else 0)),
    )
    needed = run.publisher.exact_needs(repository, run.inventory, packer.reused_packs())
    run.publisher.write_needs(needed, needs_to_add_to(repository, run, needed))
    made = run.publisher.made
    counts = replace(
        writer.counts,
        bytes_stored=sum(item.bytes for item in made),
        packs_new=sum(item.kind is ObjectKind.PACK for item in made),
    )
    return CaptureResult(counts, facts, writer.problems, notes, marks)


def _recognize(source: Source, capture: Capture, run: RunState, *, accept_new: bool) -> dict[str, str]:
    """Return the marks of the source, after comparing them with those of its last snapshot."""
    marks = capture.marks() if isinstance(capture, MarkedCapture) else {}
    if not accept_new:
        hosts = source.hosts if isinstance(source, SharedSource) else ()
        check_marks(source.name, marks, run.commits.ordered, hosts)
    return marks


def _changes(run: RunState, files: Mapping[str, SealedWriter]) -> ManifestChanges | None:
    """Return what notes the changes since the snapshot before."""
    if run.base is None:
        return None
    return ManifestChanges(before=run.base.manifest, writer=ManifestWriter(files[CHANGES]))


def _start_packer(repository: Repository, run: RunState) -> ChunkPacker:
    def deliver(pack: SealedPack) -> None:
        require_quorum(repository, run.fanout, {})
        run.publisher.send_pack(pack)

    return ChunkPacker(
        index=run.inventory.index,
        keys=repository.writing_keys(),
        data_key=run.data_key,
        clock=repository.clock,
        deliver=deliver,
        await_room=run.fanout.await_room,
        uploads_are_bottleneck=lambda: run.fanout.uploads_are_bottleneck,
        segment_bytes=repository.backup_sizes.segment_bytes,
        pack_bytes=repository.backup_sizes.pack_bytes,
    )


def _previous(run: RunState, index: ChunkIndex) -> PreviousManifest | None:
    if run.base is None:
        return None
    started_ns = int(run.base.started_utc.timestamp() * 1e9)
    return PreviousManifest(reader=run.base.manifest, index=index, started_ns=started_ns)


def _start_walkers(repository: Repository, run: RunState, capture: Capture) -> Iterator[Listing] | None:
    """Return the listings of processes that walk the source; None where there can be none, or they do not pay."""
    processes = processes_that_pay(limits.WALKING_PROCESSES_MAX)
    if run.base is None or not processes or not isinstance(capture, ListingCapture):
        return None
    if run.base.manifest.entries < repository.backup_sizes.walking_processes_entries_min:
        return None
    try:
        cuts = cut_paths(run.base.manifest, repository.backup_sizes.walk_span_entries)
        return capture.listings(tuple(cuts), processes)
    except OSError as error:
        _log.warning("no process to walk the source could be started, so one thread does: %s", error)
        return None


def _start_readers(repository: Repository, run: RunState, capture: Capture) -> Readers | None:
    """Return processes that read small files beside this one; None where there can be none, or they do not pay."""
    processes = processes_that_pay(limits.READING_PROCESSES_MAX)
    if not processes or not isinstance(capture, RootedCapture):
        return None
    keys = repository.writing_keys()
    setup = ReaderSetup(
        sizes=repository.sizes,
        cut_seed=keys.cut_seed,
        chunk_key=keys.chunk_key,
        data_key=run.data_key,
        repository_id=keys.repository_id,
        settled_before_ns=capture.settled_before_ns,
    )
    try:
        return Readers(root=capture.root, setup=setup, processes=processes)
    except OSError as error:
        _log.warning("no process to read files could be started, so threads go on: %s", error)
        return None
