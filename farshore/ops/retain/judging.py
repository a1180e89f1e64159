"""A verdict on each snapshot, by the rules of its source. Reads commits and the audit tables; changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from farshore.access.query import last_checks
from farshore.catalog import list_commits
from farshore.catalog.notes import Notes, SignedNote, newest_sound_utc, read_notes, with_tags
from farshore.catalog.shrinking import has_shrunken
from farshore.catalog.snapshots import Snapshot, list_snapshots, trusted
from farshore.config import Config, RetentionConfig
from farshore.errors import SnapshotUnknown
from farshore.format.note import Keep
from farshore.model import SourceId
from farshore.replicas.repository import Repository
from farshore.retention.rules import Reason, Verdict, Why, judge

UNTAGGED = "untagged"  # its rules keep tagged snapshots alone, and none has such a tag: probably misspelled
SHRUNKEN = "shrunken"  # the last snapshot has less than half of the last good one
LOOKED = "shrunken-accepted"  # a tag: somebody looked at a snapshot that is much smaller, and it is good


@dataclass(frozen=True, slots=True)
class JudgedSource:
    """One source: the rules that hold for it, and a verdict on each of its snapshots, oldest first.

    `stopped`: why it forgets nothing now, whatever the rules are. `doubtful`: its last snapshot, where that is much
    smaller than the last good one, and nobody has looked.
    """

    source: str
    source_id: SourceId
    rules: RetentionConfig
    verdicts: tuple[Verdict, ...]
    stopped: str = ""
    doubtful: Snapshot | None = None

    @property
    def going(self) -> tuple[Snapshot, ...]:
        """The snapshots that nothing keeps."""
        return tuple(one.snapshot for one in self.verdicts if not one.kept and isinstance(one.snapshot, Snapshot))


def judge_repository(
    repository: Repository,
    config: Config,
    *,
    sources: Collection[str] = (),
    tried: RetentionConfig | None = None,
    even_shrunken: bool = False,
) -> list[JudgedSource]:
    """Return the verdicts on the snapshots of each source, in order of name.

    A source that is no longer in the configuration keeps its rules as long as they are written there, and those for
    all otherwise.

    Args:
        sources: Names or ids; empty: all.
        tried: Rules instead of those of the configuration.
        even_shrunken: Somebody looked at sources that became much smaller.

    Raises:
        SnapshotUnknown: A source that was named has no snapshot.
        FarshoreError: No replica could be listed.
    """
    of_source: dict[SourceId, list[Snapshot]] = {}
    for one in list_snapshots(repository):
        of_source.setdefault(one.source_id, []).append(one)
    for name in sources:
        if not any(name in (found[0].source, source_id) for source_id, found in of_source.items()):
            raise SnapshotUnknown(f"there is no snapshot of a source {name}", "farshore snapshots lists them.")
    proven_utc = _proven_utc(repository)
    notes, newest_utc = read_notes(repository), newest_sound_utc(repository, list_commits(repository))
    return sorted(
        (
            _judge_source(
                with_tags(found, notes), tried or config.source_retention.get(found[0].source, config.retention),
                proven_utc, {one.snapshot_id: [*map(_reason, notes.keeping(one.commit, newest_utc))] for one in found},
                notes=notes, even_shrunken=even_shrunken,
            )
            for source_id, found in of_source.items()
            if not sources or found[0].source in sources or source_id in sources
        ),
        key=lambda one: (one.source, one.source_id),
    )  # fmt: skip


def _judge_source(
    found: Sequence[Snapshot],
    rules: RetentionConfig,
    proven_utc: datetime | None,
    kept: Mapping[str, Sequence[Reason]],
    *,
    notes: Notes,
    even_shrunken: bool,
) -> JudgedSource:
    doubtful = _doubtful(found, notes)
    stopped = SHRUNKEN if not even_shrunken and doubtful is not None else ""
    if rules.keep_tags and rules.keeps_tagged_alone and not any(set(rules.keep_tags) & set(one.tags) for one in found):
        stopped = UNTAGGED
    proven = [one.snapshot_id for one in found if proven_utc is not None and one.commit.made_utc <= proven_utc]
    verdicts = judge(found, rules, proven=proven, stopped=stopped, kept=kept)
    return JudgedSource(found[0].source, found[0].source_id, rules, tuple(verdicts), stopped, doubtful)


def _reason(note: SignedNote) -> Reason:
    """Return the reason that a pin or a hold is."""
    until = f"until {note.note.until_utc:%Y-%m-%d}" if note.note.until_utc else ""
    said = ": ".join(part for part in (until, note.details.reason if note.details else "") if part)
    return Reason(Why.HELD if note.note.keep is Keep.HOLD else Why.PINNED, said)


def _doubtful(snapshots: Sequence[Snapshot], notes: Notes) -> Snapshot | None:
    """Return the last snapshot where it is much smaller than the last good one, so older ones may be the good ones.

    Good is a complete one that is not itself much smaller than the good one before, or at which somebody looked: so a
    second small one after the first changes nothing, and a large one after it ends the doubt. A tag that the backup
    itself gave is nobody's look: a stolen host could give it to an empty snapshot.
    """
    good: Snapshot | None = None
    doubtful: Snapshot | None = None
    for one in trusted(snapshots):
        small = good is not None and has_shrunken(one.counts, good.counts) and not _is_accepted(one, notes)
        doubtful = one if small else None
        if one.complete and not small:
            good = one
    return doubtful


def _is_accepted(snapshot: Snapshot, notes: Notes) -> bool:
    return any(LOOKED in one.tags for one in notes.of(snapshot.commit))


def _proven_utc(repository: Repository) -> datetime | None:
    """Return up to when what was committed has been read back whole at some replica, by checks that found no damage."""
    checks = last_checks(repository, repository.configured).values()
    return max((one.all_read_since_utc for one in checks if one.clean and one.all_read_since_utc), default=None)
