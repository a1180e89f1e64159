"""Which snapshots there are, in which order, and which of them a person means.

Reads listings and commits, never a manifest. The order is that of `farshore.trust.order`: of the signed chain of a
source, with times as caps alone. docs/reference/format.md, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import TypeVar

from farshore.catalog import ListedCommits, list_commits
from farshore.errors import SnapshotUnknown
from farshore.format.commit import Commit, CommitHead
from farshore.model import PromisedLock, SnapshotInfo, SnapshotState, data_moment, dataclass
from farshore.replicas import unasked_error
from farshore.replicas.repository import Repository
from farshore.trust.log_entry import LogHead
from farshore.trust.order import SKEW, Link, Place, SourceOrder, order_source

LATEST = "latest"
_ID_DIGITS = frozenset("0123456789abcdef")
_PREFIX_MIN = 4
Info = TypeVar("Info", bound=SnapshotInfo)


def order_commits(repository: Repository, found: ListedCommits, *, by_stores: bool = False) -> dict[str, SourceOrder]:
    """Return by source the order of its commits that count, of domains whose keys are not at hand too.

    Args:
        by_stores: This host's clock caps only those whose time no store reports.
    """
    of_source: dict[str, list[Link]] = {}
    now_utc = repository.clock.now_utc()
    for one, head in found.heads.items():
        ahead = not repository.trust.knows(LogHead(*head.log))
        stored_utc = found.stored_utc.get(one, now_utc if by_stores else None)
        link = Link(one, head.snapshot, head.sequence, head.parent_commit, head.committed_utc, stored_utc, ahead)
        of_source.setdefault(head.source_id, []).append(link)
    cap_utc = datetime.max.replace(tzinfo=UTC) - SKEW if by_stores else now_utc
    return {source_id: order_source(links, cap_utc) for source_id, links in of_source.items()}


def places_of(repository: Repository, listed: ListedCommits) -> dict[str, Place]:
    """Return the place of each commit that counts; where none of a source may be its newest, all are sound.

    Then stores have another time altogether, for instance after they were unpacked without times.
    """
    places: dict[str, Place] = {}
    for order in order_commits(repository, listed).values():
        any_sound = Place.SOUND in order.places.values()
        places.update(order.places if any_sound else dict.fromkeys(order.places, Place.SOUND))
    return places


def _position(head: CommitHead) -> tuple[int, datetime, str, str]:
    return head.sequence, head.committed_utc, head.snapshot, head.hash


def in_order(commits: Iterable[Commit]) -> list[Commit]:
    """Return commits of any sources, oldest first: each source in its own order, sources among each other by time.

    A commit dated later than one that follows it has the place of that one.
    """
    of_source: dict[str, list[Commit]] = {}
    for commit in commits:
        of_source.setdefault(commit.source_id, []).append(commit)
    placed: list[tuple[datetime, str, int, Commit]] = []
    for source_id, own in of_source.items():
        own.sort(key=_position)
        moment = own[-1].committed_utc
        for at in range(len(own) - 1, -1, -1):
            moment = min(moment, own[at].committed_utc)
            placed.append((moment, source_id, at, own[at]))
    placed.sort(key=lambda one: one[:3])
    return [one[3] for one in placed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(SnapshotInfo):
    """A snapshot with the commit that its listing read, so that nothing reads that again."""

    commit: Commit = field(repr=False, compare=False)


def commits_with_holders(repository: Repository, source: str | None = None) -> list[tuple[Commit, tuple[str, ...]]]:
    """Return every committed snapshot, oldest first, with the reachable replicas that list it.

    A commit damaged at one replica is read from another that lists it.

    Raises:
        FarshoreError: No replica could be listed; an unreachable repository is not an empty one.
    """
    found = _listed(repository, source)
    return [(commit, found.holders[commit.hash]) for commit in in_order(found.commits.values())]


def list_snapshots(
    repository: Repository, source: str | None = None, *, include_refused: bool = False
) -> list[Snapshot]:
    """Return the committed snapshots, oldest first, whose details the keys at hand open.

    Those that do not count, cannot be opened or were not read are noted at the repository.

    Args:
        include_refused: Those too that do not count, as far as they can be read.
    """
    found = _listed(repository, source, include_refused=include_refused)
    places = _places(repository, found)
    refused = {
        one.name.hash: one for one in found.refused if include_refused and one.commit and _is_of(one.commit, source)
    }
    commits = {**{one: why.commit for one, why in refused.items() if why.commit}, **found.commits}
    return [
        _info(commit, found.holders[commit.hash], places[commit.hash])
        if commit.hash not in refused
        else replace(_info(commit, refused[commit.hash].replicas), refused=refused[commit.hash].reason.value)
        for commit in in_order(commits.values())
    ]


def resolve_snapshot(repository: Repository, selector: str, *, include_refused: bool = False) -> Snapshot:
    """Return the snapshot that text means: an id or unique prefix of one, SOURCE, SOURCE@latest or SOURCE@TIME.

    SOURCE is its last complete snapshot, SOURCE@latest its last one, complete or not. SOURCE@TIME is the newest
    complete one that began at or before an ISO time, UTC unless it says otherwise. Last is the last that was committed;
    one that is misdated or forked is named by its id alone, as long as there are others. SOURCE is a name, HOST:NAME
    where hosts have each a source of that name, or the id of a source.

    Args:
        include_refused: An id may also be that of a snapshot that does not count.

    Raises:
        SnapshotUnknown: None, or more than one.
    """
    everything = list_snapshots(repository, include_refused=include_refused)
    snapshots = [one for one in everything if not one.refused]
    name, at, time = selector.rpartition("@")
    of_source = _of_source(repository, snapshots, selector)
    if of_source:
        return _last_complete(selector, trusted(of_source))
    if at and time == LATEST and (of_source := _of_source(repository, snapshots, name)):
        return trusted(of_source)[-1]
    if at:
        return _before(_of_source(repository, snapshots, name), name, time)
    if len(selector) >= _PREFIX_MIN and _ID_DIGITS.issuperset(selector):
        matching = [one for one in everything if one.snapshot_id.startswith(selector)]
        if len(matching) > 1:
            listed = ", ".join(one.snapshot_id for one in matching)
            raise SnapshotUnknown(f"{selector} begins more than one snapshot: {listed}", "Give more digits.")
        if matching:
            return matching[0]
    if selector and _ID_DIGITS.issuperset(selector) and len(selector) < _PREFIX_MIN:
        raise SnapshotUnknown(
            f"no source is named {selector}, and the beginning of an id has at least {_PREFIX_MIN} digits",
            "Give more digits of the id; 'farshore snapshots' lists them.",
        )
    sources = ", ".join(sorted({one.source for one in snapshots})) or "none"
    name, colon, path = selector.rpartition(":")
    raise SnapshotUnknown(
        f"no snapshot or source is named {selector} (sources with snapshots: {sources})",
        f"HOST:NAME is the source of a host, SNAPSHOT:/PATH a path: for that, write {name}:/{path}." if colon else None,
    )


def _of_source(repository: Repository, snapshots: Sequence[Snapshot], text: str) -> list[Snapshot]:
    """Return the snapshots of the source that text means; none where there is no such source.

    Raises:
        SnapshotUnknown: Sources of several hosts bear that name.
    """
    named = [one for one in snapshots if text in (one.source, one.source_id)]
    if not named and ":" in text:
        host, _, name = text.partition(":")
        named = [one for one in snapshots if one.source == name and host_of(repository, one.commit) == host]
    ids = {one.source_id: host_of(repository, one.commit) for one in named}
    if len(ids) > 1:
        listed = ", ".join(sorted(f"{host}:{named[0].source} ({source_id})" for source_id, host in ids.items()))
        raise SnapshotUnknown(
            f"more than one source is named {text}: {listed}", "Name one as HOST:NAME, or by the id of the source."
        )
    return named


def host_of(repository: Repository, head: CommitHead) -> str:
    """Return the host whose certificate signed a commit."""
    certified = repository.trust.certificate(head.signer)
    return certified.certificate.host if certified else ""


def trusted(of_source: Sequence[Info]) -> list[Info]:
    """Return the snapshots of one source that may be its newest, in their order; all where none may.

    Then stores, or this host, have another time altogether, and the order in which they were committed still holds.
    """
    return [one for one in of_source if one.sound] or list(of_source)


def latest_snapshot_per_replica(repository: Repository) -> dict[str, dict[str, datetime]]:
    """Return the moment of the data in the newest good snapshot, by replica that could be listed, and source.

    Good is one that is complete and may be the newest of its source.
    Needs a writer's keys at least. A replica that is not in the answer is unknown, not empty.

    Raises:
        FarshoreError: No replica could be listed.
    """
    found = list_commits(repository)
    latest: dict[str, dict[str, datetime]] = {name: {} for name in repository.replicas if name not in found.failed}
    if not latest:
        raise unasked_error({**repository.unreachable, **found.failed})
    places = _places(repository, found)
    for one, commit in found.commits.items():
        data_utc = data_moment(commit.started_utc, commit.facts)
        if commit.state is not SnapshotState.COMPLETE or data_utc is None:
            continue
        if places[one] is not Place.SOUND:
            continue
        for replica in found.holders[one]:
            if replica in latest:
                latest[replica][commit.source] = max(data_utc, latest[replica].get(commit.source, data_utc))
    return latest


def _before(of_source: list[Snapshot], source: str, text: str) -> Snapshot:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SnapshotUnknown(
            f"{text!r} is not a time", "Write it like 2026-01-31T04:00 or 2026-01-31T04:00+02:00."
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    matching = [one for one in trusted(of_source) if one.started_utc <= moment]
    if not matching:
        raise SnapshotUnknown(f"{source} has no snapshot from {moment:%Y-%m-%d %H:%M:%S %Z} or before")
    # A run that took longer may commit after one that read a newer state.
    return _last_complete(source, sorted(matching, key=lambda one: one.started_utc))


def _last_complete(source: str, snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return the last complete one of these snapshots, and which later ones it was chosen over."""
    complete = [at for at, one in enumerate(snapshots) if one.complete]
    if not complete:
        last = snapshots[-1]
        raise SnapshotUnknown(
            f"{source} has no complete snapshot; the last one, {last.snapshot_id[:12]}, lacks something that the "
            "source had",
            f"To use it all the same, name it by its id, or as {source}@{LATEST}.",
        )
    later = tuple(one.snapshot_id for one in snapshots[complete[-1] + 1 :])
    return replace(snapshots[complete[-1]], passed_over=later)


def _listed(repository: Repository, source: str | None, *, include_refused: bool = False) -> ListedCommits:
    """List the commits of a source, by its name or id, or all."""
    ids = repository.source_ids(source) if source else ()
    found = list_commits(repository, ids[0] if len(ids) == 1 else None, include_refused=include_refused)
    if source:
        found = found.only({*ids, *(head.source_id for head in found.heads.values() if _is_of(head, source))})
    if found.failed and len(found.failed) == len(repository.replicas):
        raise unasked_error({**repository.unreachable, **found.failed})
    return found


def _is_of(head: CommitHead, source: str | None) -> bool:
    named = isinstance(head, Commit) and head.source == source
    return source is None or named or head.source_id == source


def _places(repository: Repository, found: ListedCommits) -> Mapping[str, Place]:
    orders = order_commits(repository, found).values()
    return {one: place for order in orders for one, place in order.places.items()}


def _info(commit: Commit, replicas: tuple[str, ...], place: Place = Place.SOUND) -> Snapshot:
    return Snapshot(
        snapshot_id=commit.snapshot,
        source_id=commit.source_id,
        source=commit.source,
        kind=commit.kind,
        identity=commit.identity,
        started_utc=commit.started_utc,
        committed_utc=commit.committed_utc,
        counts=commit.counts,
        replicas=replicas,
        facts=tuple(sorted(commit.facts.items())),
        locks=tuple(
            PromisedLock(name, commit.locks[name].mode, commit.locks[name].until_utc)
            for name in replicas
            if name in commit.locks
        ),
        state=commit.state,
        sequence=commit.sequence,
        parent=commit.parent,
        misdated=place is Place.MISDATED,
        forked=place is Place.FORKED,
        ahead=place is Place.AHEAD,
        tags=commit.tags,
        commit=commit,
    )
