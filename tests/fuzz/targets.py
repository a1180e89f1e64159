"""What is fuzzed: the decoder of each kind of object, and good objects to begin with, from the golden repositories.

A new kind is one `Target` in `TARGETS`. A decoder gets any bytes and either returns or raises `Corrupt` or
`Unsupported`; anything else it raises, and more memory or time than a reader has, is a find.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from farshore import limits
from farshore.audit import names as audit_names
from farshore.audit.delta_log import IndexedFile, files_of, first_version
from farshore.audit.schema import TABLES
from farshore.audit.seals import Seal, SealedFile, SeenHeads, decode_seal, make_seal
from farshore.audit.tables import decode_table
from farshore.catalog.signed_commits import open_details
from farshore.compress import CODEC_ZSTD, compress, decompress_into, opens_to
from farshore.errors import Corrupt, KeyMissing, Unsupported
from farshore.format import JsonObject, decode_object, decode_signed, encode_canonical, names, tombstone_set
from farshore.format import approval as approval_format
from farshore.format import note as note_format
from farshore.format import pack as layout
from farshore.format.commit import CommitHead, decode_commit, decode_head, encode_details
from farshore.format.extents import decode_extents
from farshore.format.fragments import decode_fragment
from farshore.format.header import Header, check_of, decode_header, decode_later_header
from farshore.format.lease import EndState, Lease, LeaseEnd, decode_end, decode_lease, encode_end, encode_lease
from farshore.format.manifest import ManifestReader
from farshore.format.needs import MAGIC, decode_needs
from farshore.format.pack_id import hash_pack
from farshore.format.page_maps import PageMap
from farshore.format.plan import PlanPart, PlanState, decode_plan, encode_plan
from farshore.format.tombstone import (
    CounterTombstone,
    Tombstone,
    decode_counter,
    decode_tombstone,
    encode_counter,
    encode_tombstone,
)
from farshore.format.verdict import Verdict, decode_verdict, encode_verdict
from farshore.sealed import KeySet, keys_of_all, slots
from farshore.sealed.data_key import DataKey, check_data_key, open_data_key
from farshore.sealed.fragments import open_packs
from farshore.sealed.key_files import Credential, decode_credential, decode_identity, encode_credential
from farshore.sealed.packs import entry_of, open_footer
from farshore.sealed.sealed_object import (
    INDEX_KEY_ID,
    Checked,
    SealedKind,
    SealedReader,
    SealedWriter,
    key_id_of,
    open_object,
    seal_object,
)
from farshore.trust import read_log
from farshore.trust.actions import AcceptedList, decode_accepted, encode_accepted
from farshore.trust.later_header import make_later_header
from farshore.trust.log_entry import LogHead, decode_entry, eras_of
from tests.doubles.signers import FINGERPRINT, HEAD, chain_of, signing_key

GOLDEN = Path(__file__).parents[1] / "golden"
SMALL_BYTES = 200_000  # a larger sample is mutated too slowly to be worth it


@dataclass(frozen=True)
class Target:
    """A kind of object."""

    decode: Callable[[bytes], object]
    samples: Callable[[], Iterable[bytes]]  # good objects


@dataclass(frozen=True)
class Repository:
    """A golden repository, opened by hand."""

    root: Path
    header: Header
    keys: KeySet
    identity: bytes
    identity_file: bytes

    def objects(self, prefix: str, ending: str = "") -> Iterator[tuple[str, bytes]]:
        for path in sorted((self.root / "replica").rglob("*")):
            name = path.relative_to(self.root / "replica").as_posix()
            if path.is_file() and name.startswith(prefix) and name.endswith(ending):
                yield name, path.read_bytes()

    def opened(self, prefix: str, ending: str, kind: SealedKind, name: str = "") -> Iterator[bytes]:
        """Yield the payloads of objects sealed with the index key."""
        for found, data in self.objects(prefix, ending):
            yield open_object(
                data, secret=self.keys.index_key, kind=kind, name=name or found, repository_id=self.keys.repository_id
            )

    def data_keys(self) -> dict[bytes, DataKey]:
        found: dict[bytes, DataKey] = {}
        for name, data in self.objects(names.DATA_KEYS):
            key_id = bytes.fromhex(name.split("/")[2])
            found[key_id] = open_data_key(self.keys, key_id, data)
        return found

    def parquet(self, kind: SealedKind) -> Iterator[bytes]:
        """Yield the payloads of manifests or page maps."""
        return (payload for _, payload in self.runs(kind))

    def runs(self, kind: SealedKind) -> Iterator[tuple[str, bytes]]:
        """Yield manifests or page maps: the hash of each object, and its payload."""
        keys = self.data_keys()
        for _, data in self.objects(names.RUNS):
            if data.startswith(MAGIC) or data[5] != kind:
                continue
            reader = SealedReader(
                fetch=functools.partial(_cut, data), sealed_bytes=len(data), secret=keys[key_id_of(data)].secret,
                kind=kind, name=names.RUNS, repository_id=self.keys.repository_id,
            )  # fmt: skip
            yield names.hash_of(data), reader.read()


def _cut(data: bytes, offset: int, length: int, check: Callable[[bytes], Checked], /) -> Checked:
    return check(data[offset : offset + length])


@functools.cache
def repositories() -> tuple[Repository, ...]:
    """Return the golden repositories that this program opens."""
    found: list[Repository] = []
    for root in sorted(GOLDEN.glob("v*")):
        header = decode_header((root / "replica" / names.HEADER).read_bytes(), "golden")
        stored = (root / "identity.json").read_bytes()
        identity, _ = decode_identity(stored, "golden")
        for path in sorted((root / "replica" / names.SLOTS).iterdir()):
            opened = slots.open_slot(path.read_bytes(), header, identity=identity)
            if opened is not None and opened.private_keys:
                found.append(Repository(root, header, _reader(root, header, opened), identity, stored))
                break
    return tuple(found)


def _reader(root: Path, header: Header, opened: slots.SlotKeys) -> KeySet:
    entries = {f"{names.LOG}{path.name}": path.read_bytes() for path in (root / "replica" / names.LOG).iterdir()}
    trust = read_log(eras_of(header), entries)
    domains = keys_of_all(
        ((name, one.epoch, opened.roots[one.root]) for name, epochs in trust.domains.items() for one in epochs),
        header.repository_bytes,
    )
    return KeySet(
        header.repository_bytes, header.fingerprint, trust.recipient, domains, domains[0].tag,
        private_keys=opened.private_keys,
    )  # fmt: skip


def _objects(prefix: str, ending: str = "") -> Iterator[bytes]:
    return (data for one in repositories() for _, data in one.objects(prefix, ending))


def _checked_header(data: bytes) -> object:
    """Decode a header whose check holds, as everybody can make one."""
    try:
        body = json.loads(data)
        body["check"] = check_of({key: value for key, value in body.items() if key != "check"})
        data = encode_canonical(body)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # no JSON object, so it has no check
    return decode_header(data, "a place")


def _later_header(data: bytes) -> object:
    """Decode a header of a new owner whose check holds."""
    try:
        lines = data.split(b"\n")
        body = json.loads(lines[0])
        body["check"] = check_of({key: value for key, value in body.items() if key != "check"})
        data = b"\n".join([encode_canonical(body).rstrip(b"\n"), *lines[1:]])
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    return decode_later_header(data, "a place")


def _later_headers() -> Iterator[bytes]:
    for one in repositories():
        signer, head = signing_key(1), LogHead(1, "ab" * 32)
        yield make_later_header(
            one.header, signer, created_utc=one.header.created_utc, owner=signer.verify_key, head=head
        )[1]


def _slot(data: bytes) -> object:
    one = repositories()[0]
    return slots.describe_slot(data), slots.open_slot(data, one.header, identity=one.identity)


def _log_entry(data: bytes) -> object:
    """Decode the bytes under the name that they have, because anybody can give them that."""
    return decode_entry(names.log_entry(1, names.hash_of(data)), data)


def _data_key(data: bytes) -> object:
    check_data_key(data, "a data key")
    return open_data_key(repositories()[0].keys, bytes(16), data)


def _footers() -> Iterator[bytes]:
    for one in repositories():
        for _, data in one.objects(names.PACKS):
            entry = entry_of(data)
            yield open_footer(one.keys, entry.header, entry.sealed_footer)


def _pack(data: bytes) -> object:
    entry = entry_of(data)
    try:
        plain = open_footer(repositories()[0].keys, entry.header, entry.sealed_footer)
    except KeyMissing:  # another key tag: no damage, as far as anybody without these keys can see
        return None
    return hash_pack(data), layout.decode_footer(plain, layout.body_bytes_of(entry.header))


def _fragment(data: bytes) -> object:
    return open_packs(decode_fragment(data).entries, repositories()[0].keys)


def _manifest(data: bytes) -> object:
    count = 0
    for row in ManifestReader(io.BytesIO(data)).rows():
        with suppress(Corrupt):  # of one file, which is then left out
            decode_extents(row.extents)
        count += 1
    return count


def _page_map(data: bytes) -> object:
    pages = PageMap(io.BytesIO(data))
    return len(pages.paths()) + sum(row.pages for row in pages.merged(all_runs=True))


def _page_maps() -> Iterator[bytes]:
    for one in repositories():
        yield from one.parquet(SealedKind.PAGES)


def _sealed(data: bytes) -> object:
    one = repositories()[0]
    name = names.RUNS
    return open_object(
        data, secret=one.keys.index_key, kind=SealedKind.MANIFEST, name=name, repository_id=one.keys.repository_id
    )


def _sealed_samples() -> Iterator[bytes]:
    one = repositories()[0]
    for payload in (b"", b"x" * 1000, bytes(3 << 20)):
        for packed in (False, True):
            yield seal_object(
                payload, secret=one.keys.index_key, key_id=INDEX_KEY_ID, salt=bytes(32), kind=SealedKind.MANIFEST,
                name=names.RUNS, repository_id=one.keys.repository_id, compress=packed,
            )  # fmt: skip


def _packed_payload(data: bytes) -> object:
    """Decode a payload as only a holder of the key can seal it: what says that it is a zstd frame and is not."""
    one, sink, name = repositories()[0], io.BytesIO(), names.RUNS
    writer = SealedWriter(
        sink=sink, secret=one.keys.index_key, key_id=INDEX_KEY_ID, salt=bytes(32), kind=SealedKind.MANIFEST, name=name,
        repository_id=one.keys.repository_id, flags=1,
    )  # fmt: skip
    writer.write(data)
    writer.finish()
    return open_object(
        sink.getvalue(), secret=one.keys.index_key, kind=SealedKind.MANIFEST, name=name,
        repository_id=one.keys.repository_id,
    )  # fmt: skip


_SEGMENT = b"the same words again and again " * 4000


def _segment(data: bytes) -> object:
    raw = bytearray(len(_SEGMENT))
    with suppress(Corrupt):
        opens_to(CODEC_ZSTD, data, _SEGMENT)
    decompress_into(CODEC_ZSTD, data, memoryview(raw))
    return raw


def _texts() -> dict[str, tuple[Callable[[JsonObject, str], object], list[bytes]]]:
    """Return by kind the decoder of each small signed text, and good ones."""
    moment = datetime(2026, 11, 29, tzinfo=UTC)
    log, one, other = (3, "e" * 64), "a" * 32, "f" * 64
    lease = Lease(one, "b" * 32, "c" * 32, "i", "d" * 32, "host", 3, moment, moment, log)
    ends = [
        LeaseEnd(one, 0, EndState.COMMITTING, moment, log, commit=b"a commit"),
        LeaseEnd(one, 1, EndState.COMMITTING, moment, log, commits=(other,)),
    ]
    plan = PlanPart(1, PlanState.CONDEMNED, moment, log, (other,), ("packs/aa/x",))
    note = note_format.Note(one, other, "main", 1, note_format.Keep.PIN, moment, ("1" * 64,), moment, log)
    asked = approval_format.Asked(approval_format.Act.FORGET, (other,), 0, moment, one)
    approval = approval_format.Approval(asked, approves=True, reason="old", made_utc=moment, log=log)
    policy: dict[str, object] = {"action": "policy", "approvers": [one], "approvals": 1}
    changed = approval_format.Asked(
        approval_format.Act.POLICY, (names.hash_of(encode_canonical(policy)),), 0, moment, one
    )
    request = approval_format.Approval(changed, approves=False, reason="", made_utc=moment, log=log, policy=policy)
    verdict = Verdict((b"p" * 32,), (), (b"l" * 32,), (b"v" * 32,), "read", moment, log)
    tombstone = Tombstone(one, other, "too old", "keep 7", moment, log)
    counter = CounterTombstone(one, (other, "1" * 64), "needed", moment, log)
    folded = [
        tombstone_set.SignedStone(other, one, tombstone), tombstone_set.SignedStone("1" * 64, one, counter),
    ]  # fmt: skip
    return {
        "lease": (decode_lease, [encode_lease(lease)]),
        "lease-end": (decode_end, [encode_end(end) for end in ends]),
        "plan": (decode_plan, [encode_plan(plan)]),
        "tombstone": (decode_tombstone, [encode_tombstone(tombstone)]),
        "counter-tombstone": (decode_counter, [encode_counter(counter)]),
        "tombstone-set": (_tombstone_set, [tombstone_set.encode_set(folded, moment, log)]),
        "verdict": (decode_verdict, [encode_verdict(verdict)]),
        "note": (note_format.decode_note, [note_format.encode_note(note, b"sealed")]),
        "approval": (
            approval_format.decode_approval,
            [approval_format.encode_approval(made) for made in (approval, request)],
        ),
    }


def _tombstone_set(value: JsonObject, what: str) -> object:
    return list(tombstone_set.decode_set(value, what).stones())


def _text_target(kind: str) -> Target:
    decode, samples = _texts()[kind]
    return Target(lambda data: decode(decode_object(data, "a text"), "a text"), lambda: samples)


def _any_text(data: bytes) -> object:
    """Decode as each small text, because a name says which one it is, and a name may be wrong."""
    value = decode_object(data, "a text")
    read: list[object] = []
    for decode, _ in _texts().values():
        with suppress(Corrupt, Unsupported):
            read.append(decode(value, "a text"))
    return read


def _credentials() -> Iterator[bytes]:
    """Yield that of a writer with its domain's keys, and that of a maintainer."""
    for one in repositories():
        made = Credential(one.header.repository_id, one.header.fingerprint, "writer", signing_key(1), one.keys.domains)
        yield encode_credential(made)
        yield encode_credential(dataclasses.replace(made, role="maintainer", domains=(), index_roots=(bytes(32),)))


def _note_details() -> list[bytes]:
    return [note_format.encode_details(note_format.NoteDetails("before the migration", ("a", "k=v")))]


def _accepted(data: bytes) -> object:
    return decode_accepted(data, AcceptedList(names.hash_of(data), len(data) // 32))


def _delta_log(data: bytes) -> object:
    return files_of("runs", [("audit/runs/_delta_log/00000000000000000000.json", data)])


def _delta_logs() -> list[bytes]:
    moment = datetime(2026, 11, 29, tzinfo=UTC)
    file = IndexedFile(f"audit/runs/date=2026-11-29/{'a' * 32}-{'0' * 32}.parquet", 100, moment, "{}")
    return [first_version("runs", "a" * 32, [file], moment)]


def _audit_file(data: bytes) -> object:
    """Decode as each table, because a name says which one it is, and a name may be wrong."""
    rows = 0
    for table in TABLES:
        with suppress(Corrupt):
            rows += decode_table(table, "audit/file", data).num_rows
    return rows


def _seal(data: bytes) -> object:
    """Decode under the name that its bytes have, or nothing but the hash would ever be looked at."""
    return decode_seal(audit_names.seal_name(chain_of(1), 1, names.hash_of(data)), data)


def _seal_samples() -> Iterator[bytes]:
    file = SealedFile(f"audit/runs/date=2026-01-01/r-{'0' * 32}.parquet", 1, "0" * 64)
    for covers in (None, ("1" * 64,)):
        heads = SeenHeads({"2" * 32: "3" * 64}, {chain_of(2): (4, "5" * 64)})
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        seal = Seal(chain_of(1), 1, "", "run", moment, (file,), HEAD, heads, covers)
        yield make_seal(seal, signing_key(1), FINGERPRINT)[1]


def _payloads(prefix: str, ending: str, kind: SealedKind, name: str = "") -> Callable[[], Iterable[bytes]]:
    return lambda: (data for one in repositories() for data in one.opened(prefix, ending, kind, name))


def _parquet(kind: SealedKind) -> Callable[[], Iterable[bytes]]:
    return lambda: (data for one in repositories() for data in one.parquet(kind))


def _head(data: bytes) -> CommitHead:
    return decode_head(decode_signed(data, "a commit", limits.COMMIT_BYTES_MAX).value, "a commit")[0]


def _commit(data: bytes) -> object:
    """Decode a commit, and open what is sealed into it, as every holder of the index key can seal it."""
    text = decode_signed(data, "a commit", limits.COMMIT_BYTES_MAX)
    head, sealed = decode_head(text.value, "a commit")
    with suppress(KeyMissing):  # of a domain that is not there
        return open_details(repositories()[0].keys, head, sealed)
    return head


def _commit_details(data: bytes) -> object:
    return decode_commit(_head(next(iter(_objects(names.SNAPSHOTS)))), data, "a commit")


def _details() -> Iterator[bytes]:
    for one in repositories():
        for _, data in one.objects(names.SNAPSHOTS):
            head, sealed = decode_head(decode_signed(data, "a commit", limits.COMMIT_BYTES_MAX).value, "a commit")
            yield encode_details(open_details(one.keys, head, sealed))


def _needs() -> Iterator[bytes]:
    return (data for data in _objects(names.RUNS) if data.startswith(MAGIC))


TARGETS: dict[str, Target] = {
    "header": Target(lambda data: decode_header(data, "a place"), lambda: _objects(names.HEADER)),
    "checked-header": Target(_checked_header, lambda: _objects(names.HEADER)),
    "later-header": Target(_later_header, _later_headers),
    "log entry": Target(_log_entry, lambda: _objects(names.LOG)),
    "slot": Target(_slot, lambda: _objects(names.SLOTS)),
    "data-key": Target(_data_key, lambda: _objects(names.DATA_KEYS)),
    "pack": Target(_pack, lambda: _objects(names.PACKS)),
    "footer": Target(layout.decode_footer, _footers),
    "fragment": Target(_fragment, lambda: _objects(names.FRAGMENTS)),
    "segment": Target(_segment, lambda: [bytes(compress(_SEGMENT)[1])]),
    "sealed-object": Target(_sealed, _sealed_samples),
    "packed-payload": Target(_packed_payload, lambda: [bytes(compress(_SEGMENT)[1])]),
    "commit": Target(_commit, lambda: _objects(names.SNAPSHOTS)),
    "commit-details": Target(_commit_details, _details),
    "needs": Target(lambda data: decode_needs(data, "needs"), _needs),
    **{kind: _text_target(kind) for kind in _texts()},
    "any-text": Target(_any_text, lambda: [data for _, samples in _texts().values() for data in samples]),
    "note-details": Target(lambda data: note_format.decode_details(data, "a note"), _note_details),
    "accepted": Target(_accepted, lambda: [encode_accepted(["ab" * 32, "cd" * 32])[1]]),
    "manifest": Target(_manifest, _parquet(SealedKind.MANIFEST)),
    "page-map": Target(_page_map, _page_maps),
    "delta-log": Target(_delta_log, _delta_logs),
    "credential": Target(lambda data: decode_credential(data, "golden"), _credentials),
    "identity": Target(
        lambda data: decode_identity(data, "golden"), lambda: [one.identity_file for one in repositories()]
    ),
    "seal": Target(_seal, _seal_samples),
    "audit-file": Target(_audit_file, lambda: _objects(names.AUDIT, ".parquet")),
}
ALLOWED = (Corrupt, Unsupported)
OF_KIND: dict[str, tuple[str, ...]] = {  # what is fuzzed of each kind of object that `names.OBJECT_BYTES_MAX` has
    "header": ("header", "checked-header"), "slot": ("slot",), "owner log": ("log entry", "later-header"),
    "list of accepted commits": ("accepted",), "data key": ("data-key",), "pack": ("pack", "footer", "segment"),
    "fragment": ("fragment",), "commit": ("commit", "commit-details"),
    "manifest, pages, needs": (
        "sealed-object", "packed-payload", "manifest", "page-map", "needs",
    ),
    "end of a lease": ("lease-end",), "beat of a lease": ("lease",), "plan": ("plan",),
    "tombstone": ("tombstone", "counter-tombstone"), "set of tombstones": ("tombstone-set",),
    "verdict": ("verdict",), "note": ("note", "note-details"),
    "approval": ("approval",), "audit seal": ("seal",), "audit file": ("audit-file", "delta-log"),
}  # fmt: skip
