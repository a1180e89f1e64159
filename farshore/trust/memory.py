"""The memory of this host of a repository, so that nobody can show it an older one, or another one, unnoticed.

One file for each repository, `trust/<repository id>.json` in the state directory: canonical JSON with the hash of its
content. It holds no secret; anybody who can write it can make this host forget.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path

from farshore import limits
from farshore.errors import FormatTooNew, KeyFileDamaged, ObjectCorrupt, RepositoryMismatch
from farshore.format import JsonObject, decode_object, encode_canonical, is_hex
from farshore.format.header import check_holds, check_of
from farshore.model import dataclass
from farshore.trust.log_entry import LogHead

FORMAT = "farshore-memory"
VERSION = 1


@dataclass(frozen=True, slots=True)
class NewestSnapshot:
    """A snapshot of a source that this host saw or made, with the hash and the signer of its commit."""

    sequence: int
    snapshot: str
    commit: str
    signer: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The newest things that were seen.

    By source id, `newest` is the newest snapshot that any listing showed, and `own` the last one that this host made: a
    thief's snapshot may be newer for a while, and hides no loss of the host's. `chains`: by chain id, sequence and hash
    of the newest seal. `fingerprint`: of the repository, 64 hex digits. `places`: the URLs of its replicas, as they
    were configured.
    """

    fingerprint: str
    head: LogHead | None = None
    newest: Mapping[str, NewestSnapshot] = field(default_factory=dict)
    own: Mapping[str, NewestSnapshot] = field(default_factory=dict)
    chains: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    places: frozenset[str] = frozenset()


def known_at(state_dir: Path, places: Collection[str]) -> dict[str, Memory]:
    """Return by repository id what this host remembers of repositories that had a replica at one of these URLs.

    Raises:
        KeyFileDamaged, FormatTooNew: As `read_memory`, of any file.
    """
    found: dict[str, Memory] = {}
    try:
        files = sorted(path_of(state_dir, "").parent.glob("*.json"))
    except OSError:  # a state directory that this user may not enter, of which opening the repository warns
        return found
    for path in files:
        memory = read_memory(state_dir, path.stem)
        if memory is not None and memory.places & set(places):
            found[path.stem] = memory
    return found


def leave_places(state_dir: Path, places: Collection[str]) -> None:
    """Remember that no repository is at these URLs any more, because a person makes a new one there.

    Raises:
        KeyFileDamaged: As `read_memory`, of any file.
        OSError: It cannot be written.
    """
    for repository_id in known_at(state_dir, places):
        path = path_of(state_dir, repository_id)
        with _locked(path.parent):
            memory = read_memory(state_dir, repository_id)
            if memory is not None:
                _replace(path, _encode(replace(memory, places=memory.places - set(places)), repository_id))


def read_memory(state_dir: Path, repository_id: str) -> Memory | None:
    """Return what this host remembers of a repository; None where it never saw it.

    Raises:
        KeyFileDamaged: The file is there and is not what was written; it never counts as none.
        FormatTooNew: A later version wrote it.
    """
    path = path_of(state_dir, repository_id)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(path, error.strerror or "it cannot be read") from error
    try:
        return _decode(data, repository_id)
    except (ObjectCorrupt, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, str(error)) from error


def remember(
    state_dir: Path,
    repository_id: str,
    seen: Memory,
    *,
    read_with: Memory | None = None,
    dropped: Collection[str] = (),
    past: Collection[bytes] = (),
) -> Memory:
    """Add what was seen now to what is remembered, durably, and return all of it.

    The head of the log moves only from the one with which the log was read: of two processes that were shown two
    branches the first decides, however long the other's is. Of each other thing the higher number stays, and of two
    with one number the first that was seen. Safe from several processes at once; a crash leaves the old file or the new
    one.

    Args:
        read_with: The memory with which the log was read.
        dropped: Hashes of commits that count no more, refused or forgotten since.
        past: Fingerprints that the repository had before, by a header that something vouches for; what is remembered
            under one of them goes on under the new one.

    Raises:
        RepositoryMismatch: The host remembers this repository with another fingerprint.
        KeyFileDamaged: As `read_memory`.
        OSError: It cannot be written.
    """
    path = path_of(state_dir, repository_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path.parent):
        before = read_memory(state_dir, repository_id)
        if before is not None and before.head != (read_with.head if read_with is not None else None):
            seen = replace(seen, head=before.head)  # another process was first; the next reading goes by its branch
        after = seen if before is None else forward(_under(seen.fingerprint, before, past), seen, dropped)
        if after != before:
            _replace(path, _encode(after, repository_id))
        return after


def _under(fingerprint: str, memory: Memory, past: Collection[bytes]) -> Memory:
    known = bytes.fromhex(memory.fingerprint) in past
    return replace(memory, fingerprint=fingerprint) if known else memory


def replace_head(
    state_dir: Path, repository_id: str, fingerprint: str, head: LogHead | None, past: Collection[bytes] = ()
) -> Memory:
    """Remember this entry of the log, whatever was remembered of the log; for a person who decided it.

    Args:
        past: As in `remember`.

    Raises:
        RepositoryMismatch, KeyFileDamaged, OSError: As `remember`.
    """
    path = path_of(state_dir, repository_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(path.parent):
        seen = Memory(fingerprint)
        before = _under(fingerprint, read_memory(state_dir, repository_id) or seen, past)
        after = replace(forward(before, seen), head=head)
        _replace(path, _encode(after, repository_id))
        return after


def forward(before: Memory, seen: Memory, dropped: Collection[str] = ()) -> Memory:
    """Return what is remembered after both: the higher number of each, but for commits that are dropped."""
    if before.fingerprint != seen.fingerprint:
        raise RepositoryMismatch(
            f"this host knows the repository by fingerprint {before.fingerprint}, and now it has {seen.fingerprint}",
            "Somebody shows another repository under its id. Nothing of it was believed; compare with the fingerprint "
            "that 'farshore init' printed.",
        )
    head = seen.head if seen.head and (before.head is None or seen.head.number > before.head.number) else before.head
    newest = _higher(before.newest, seen.newest, dropped)
    own = _higher(before.own, seen.own, dropped)
    chains = dict(before.chains)
    for chain, last in seen.chains.items():
        if chain not in chains or last[0] > chains[chain][0]:
            chains[chain] = last
    return Memory(before.fingerprint, head, newest, own, chains, before.places | seen.places)


def _higher(
    before: Mapping[str, NewestSnapshot], seen: Mapping[str, NewestSnapshot], dropped: Collection[str]
) -> dict[str, NewestSnapshot]:
    found = {source_id: one for source_id, one in before.items() if one.commit not in dropped}
    for source_id, one in seen.items():
        if source_id not in found or one.sequence > found[source_id].sequence:
            found[source_id] = one
    return found


def path_of(state_dir: Path, repository_id: str) -> Path:
    """Return the file of a repository."""
    return state_dir / "trust" / f"{repository_id}.json"


def _encode(memory: Memory, repository_id: str) -> bytes:
    value: JsonObject = {
        "format": FORMAT,
        "version": VERSION,
        "repository": repository_id,
        "fingerprint": memory.fingerprint,
        "log": [memory.head.number, memory.head.hash] if memory.head else None,
        "newest": _encode_snapshots(memory.newest),
        "own": _encode_snapshots(memory.own),
        "chains": {chain: list(last) for chain, last in memory.chains.items()},
        "places": sorted(memory.places),
    }
    return encode_canonical({**value, "check": check_of(value)})


def _decode(data: bytes, repository_id: str) -> Memory:
    value = decode_object(data, "it")
    if value.get("format") != FORMAT or not check_holds(value):
        raise ObjectCorrupt("its check does not hold")
    if int(value["version"]) > VERSION:
        raise FormatTooNew(f"what this host remembers of {repository_id} has version {value['version']}")
    if value["repository"] != repository_id or not is_hex(value["fingerprint"], 32):
        raise ObjectCorrupt("it is about another repository")
    return Memory(
        fingerprint=value["fingerprint"],
        head=LogHead(_sequence(value["log"][0]), str(value["log"][1])) if value["log"] else None,
        newest=_decode_snapshots(value["newest"]),
        own=_decode_snapshots(value["own"]),
        chains={chain: (_sequence(last[0]), str(last[1])) for chain, last in value["chains"].items()},
        places=frozenset(str(place) for place in value["places"]),
    )


def _encode_snapshots(snapshots: Mapping[str, NewestSnapshot]) -> JsonObject:
    return {
        source_id: {"sequence": one.sequence, "snapshot": one.snapshot, "commit": one.commit, "signer": one.signer}
        for source_id, one in snapshots.items()
    }


def _decode_snapshots(value: JsonObject) -> dict[str, NewestSnapshot]:
    return {
        source_id: NewestSnapshot(
            _sequence(one["sequence"]), str(one["snapshot"]), str(one["commit"]), str(one["signer"])
        )
        for source_id, one in value.items()
    }


def _sequence(value: object) -> int:
    if type(value) is not int or not 0 <= value <= limits.SEQUENCE_MAX:
        raise ObjectCorrupt(f"{value!r} is no sequence")
    return value


def _damaged(path: Path, why: str) -> KeyFileDamaged:
    return KeyFileDamaged(
        f"{path}, what this host remembers of the repository, is damaged: {why}",
        "Without it nobody notices that replicas show an older state. Put it back from a backup of this host; else "
        "compare fingerprint and newest snapshots with what another host knows, and only then remove the file.",
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)  # the name of a new file
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
