"""Checks of single objects: bytes read back, ranges are exact, objects never change. Contract tests run them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from farshore.errors import STORE_ERRORS, FarshoreError, ObjectNotFound, StoreConflict
from farshore.limits import MIB, MULTIPART_BYTES_MIN
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Finding, Verdict, judge
from farshore.stores.base import ANY_OBJECT, PutOutcome, Store

SEEN_ROUNDS = 10  # a store that is consistent by luck is caught by some of them
KNOWN_BODY = b"123456789"
KNOWN_CHECKSUMS = {  # the published check values of each algorithm for these nine bytes
    "crc64nvme": "crc64nvme:ae8b14860a799888",
    "crc32c": "crc32c:e3069283",
    "md5": "md5:25f9e794323b453885f5181f1b624d0b",
}
NAMES = (  # of the forms that the format makes
    "packs/0f/" + "0f" * 32,
    "audit/date=2026-01-02/ABCxyz_0.9-a=b/part-0.parquet",
    "snapshots/" + "a" * 32 + "/" + "b" * 32 + "/manifest",
    "deep/" + "/".join("d" * 20 for _ in range(16)),
)


def ranges(scope: ProbePrefix) -> Iterator[Finding]:
    """Ask for exact ranges, to the end, of nothing, and behind the end."""
    store, data = scope.store, scope.clock.random_bytes(10_000)
    name, empty = scope.name("ranges"), scope.name("ranges-empty")
    store.put(name, data)
    store.put(empty, b"")
    asked: list[tuple[int, int | None]] = [(0, 1), (0, 10_000), (9_999, 1), (5_000, 100), (0, 0), (17, 0), (10_000, 0)]
    asked += [(0, None), (4_000, None), (9_990, 100), (0, 1_000_000), (10_000, None), (10_000, 5), (50_000, 5)]
    problems: list[str] = []
    for offset, length in asked:
        expected = data[offset : None if length is None else offset + length]
        _compare(problems, store, name, offset, length, expected)
    for offset, length in ((0, 5), (3, None)):
        _compare(problems, store, empty, offset, length, b"")
    yield judge("ranges", problems, "exact, to the end, of nothing and behind the end")


def small_objects(scope: ProbePrefix) -> Iterator[Finding]:
    """Put nothing, one byte and more, and all forms of names that the format makes; read over other connections."""
    problems: list[str] = []
    for size in (0, 1, 1000, 1 * MIB):
        _round_trip(problems, scope, scope.name(f"size-{size}"), scope.clock.random_bytes(size))
    yield judge("sizes", problems, "empty, one byte, small and 1 MiB are read back as they were put")
    problems = []
    for number, stem in enumerate(NAMES):
        _round_trip(problems, scope, scope.name(stem), f"name {number}".encode())
    found = {info.name for info in scope.other.list(scope.prefix)}
    problems += [f"{stem} is not listed" for stem in NAMES if f"{scope.prefix}{stem}" not in found]
    yield judge("names", problems, "every form of name that Farshore makes is kept and listed")


def overwrite_refusal(scope: ProbePrefix) -> Iterator[Finding]:
    """Put other bytes under a name that exists: they must be refused, and the first bytes stay."""
    problems: list[str] = []
    for size in (3, 2 * MIB):
        name, first = scope.name(f"taken-{size}"), scope.clock.random_bytes(size)
        scope.store.put(name, first)
        for other in (b"", first[:-1], first[:-1] + bytes([first[-1] ^ 1]), first + b"x"):
            try:
                outcome = scope.store.put(name, other)
            except StoreConflict:
                continue
            problems.append(f"a second put of {len(other)} bytes was answered {outcome.value!r}")
        if scope.other.get(name) != first:
            problems.append("the first bytes were replaced")
        if scope.store.put(name, first) is not PutOutcome.PRESENT:
            problems.append("the same bytes again were not found to be there")
    hint = "Choose a service with conditional writes; this one replaces objects."
    yield judge("overwrite-refusal", problems, "other bytes under a taken name are refused, the same bytes found", hint)


def read_after_write(scope: ProbePrefix) -> Iterator[Finding]:
    """Look for each object over other connections as soon as its put is acknowledged."""
    problems: list[str] = []
    looks: dict[str, Callable[[str], object]] = {
        "get": scope.other.get,
        "head": scope.other.head,
        "list": lambda name: _listed(scope.other, name),
    }
    for number in range(SEEN_ROUNDS):
        name = scope.name(f"seen-{number}")
        scope.store.put(name, name.encode())
        for verb, look in looks.items():
            try:
                look(name)
            except ObjectNotFound:
                problems.append(f"object {number + 1} was not seen by {verb} after it was acknowledged")
    hint = "The service must be strongly consistent: commits rely on listings."
    yield judge("read-after-write", problems, f"{SEEN_ROUNDS} objects seen at once by get, head and list", hint)


def deletes(scope: ProbePrefix) -> Iterator[Finding]:
    """Delete, twice, and look for what was deleted."""
    if not scope.may_erase:
        yield Finding("delete", Verdict.SKIPPED, "the credential may not delete, which is right for a writer")
        return
    problems: list[str] = []
    name = scope.name("deleted")
    scope.store.put(name, b"x")
    scope.store.delete(name, ANY_OBJECT)
    scope.store.delete(name, ANY_OBJECT)
    scope.store.delete(scope.name("never-there"), ANY_OBJECT)
    for verb, look in (("get", scope.other.get), ("head", scope.other.head)):
        try:
            look(name)
            problems.append(f"a deleted object was still there for {verb}")
        except ObjectNotFound:
            continue
    if any(info.name == name for info in scope.other.list(name)):
        problems.append("a deleted object was still listed")
    try:
        scope.store.put(name, b"other bytes")
    except StoreConflict:
        problems.append("the name of a deleted object was not free")
    yield judge("delete", problems, "gone at once, and deleting twice equals once")
    if not problems:
        yield _deletes_seen(scope)


def _deletes_seen(scope: ProbePrefix) -> Finding:
    """Delete an object that was replaced since it was seen: the one that is there now must stay."""
    name = scope.name("seen-and-replaced")
    scope.store.put(name, b"x")
    seen = scope.store.head(name).seen
    if not seen:
        said = "objects have neither versions nor generations here, so it cannot be said which one is deleted"
        return Finding("delete-seen", Verdict.NOTE, said)
    scope.store.delete(name, ANY_OBJECT)
    scope.store.put(name, b"x")
    scope.store.delete(name, seen)
    try:
        scope.other.head(name)
    except ObjectNotFound:
        said = "a delete of the object that was seen deleted the one put since: the service ignores the condition"
        return Finding("delete-seen", Verdict.WARNING, said, "Nothing should be pruned here.")
    return Finding("delete-seen", Verdict.OK, "an object that was put since it was seen stays")


def checksums(scope: ProbePrefix) -> Iterator[Finding]:
    """Compare the checksum that the service reports, and send a wrong one."""
    algorithm = scope.store.capabilities.checksum
    if not algorithm:
        kind = scope.store.capabilities.kind
        yield Finding("checksums", Verdict.NOTE, f"a {kind} has none; every read is checked by Farshore's own hashes")
        return
    name = scope.name("checksum")
    scope.store.put(name, KNOWN_BODY)
    reported, right = scope.store.head(name).checksum, KNOWN_CHECKSUMS[algorithm]
    if not reported:
        hint = "Content can still be checked by reading it; `verify` cannot compare the provider's checksum."
        yield Finding("checksum-told", Verdict.WARNING, f"the service reports no {algorithm}", hint)
    else:
        problems = [] if reported == right else [f"the service reports {reported}, right is {right}"]
        yield judge("checksum-told", problems, f"the service reports the right {algorithm}")
    yield from _mislabeled(scope, algorithm)


def _mislabeled(scope: ProbePrefix, algorithm: str) -> Iterator[Finding]:
    """Put bytes with the checksum of others, as if the bytes had been damaged on their way."""
    if scope.capability is None:
        yield Finding("checksum-refusal", Verdict.SKIPPED, "a wrong checksum cannot be sent through this store")
        return
    name = scope.name("mislabeled")
    try:
        scope.capability.put_mislabeled(name, KNOWN_BODY)
    except STORE_ERRORS:
        problems = ["the refused bytes are there all the same"] if _exists(scope.other, name) else []
        yield judge("checksum-refusal", problems, f"bytes with a wrong {algorithm} are refused")
        return
    hint = "Bytes spoiled on their way in would be acknowledged; run 'farshore verify --read-data' on this replica."
    if algorithm == "crc32c":
        hint = "Farshore compares the checksum in each answer, so a put that was spoiled on its way fails all the same."
    yield Finding("checksum-refusal", Verdict.WARNING, f"bytes with a wrong {algorithm} were acknowledged", hint)


def large_object(scope: ProbePrefix) -> Iterator[Finding]:
    """Put an object that goes in parts as backups send it, and read it whole and across its parts."""
    block = scope.clock.random_bytes(MIB)
    data = block * (MULTIPART_BYTES_MIN // MIB) + b"the end"
    store, name = scope.store, scope.name("large")
    problems: list[str] = []
    store.put(name, data)
    if store.head(name).size != len(data):
        problems.append(f"{len(data)} bytes were put, {store.head(name).size} are reported")
    if scope.other.get(name, bytes_max=len(data)) != data:
        problems.append("other bytes were read back than were put")
    middle = MULTIPART_BYTES_MIN // 2
    _compare(problems, scope.other, name, middle - 10, 20, data[middle - 10 : middle + 10])
    _compare(problems, scope.other, name, len(data) - 7, None, b"the end")
    if store.put(name, data) is not PutOutcome.PRESENT:
        problems.append("the same bytes again were not found to be there")
    try:
        store.put(name, data[:-1] + b"!")
        problems.append("other bytes under the same name were not refused")
    except StoreConflict:
        pass
    yield judge("large-object", problems, f"{len(data) // MIB} MiB are read back whole and by range")


def _exists(store: Store, name: str) -> bool:
    try:
        store.head(name)
    except ObjectNotFound:
        return False
    return True


def _listed(store: Store, name: str) -> None:
    if not any(info.name == name for info in store.list(name)):
        raise ObjectNotFound(f"{name} is not listed")


def _round_trip(problems: list[str], scope: ProbePrefix, name: str, data: bytes) -> None:
    try:
        scope.store.put(name, data)
        info = scope.other.head(name)
        if info.size != len(data) or info.name != name:
            problems.append(f"{name}: reported as {info.name} of {info.size} bytes, {len(data)} were put")
        if scope.other.get(name, bytes_max=len(data)) != data:
            problems.append(f"{name}: other bytes were read back than were put")
    except FarshoreError as error:
        problems.append(error.message)


def _compare(problems: list[str], store: Store, name: str, offset: int, length: int | None, expected: bytes) -> None:
    try:
        found = store.get(name, offset, length)
    except FarshoreError as error:
        problems.append(error.message)
        return
    if found != expected:
        wanted = "the rest" if length is None else f"{length} bytes"
        problems.append(
            f"{wanted} from {offset}: got {len(found)} bytes, {len(expected)} are right, or others than those"
        )
