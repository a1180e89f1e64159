from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farshore.audit import chain, names
from farshore.audit.chain import SealedFile, digest, make_seal, verify_seals
from farshore.errors import FarshoreError, FormatTooNew, ObjectCorrupt, ObjectNotFound
from farshore.format.records import encode_canonical

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
REPOSITORY = "ab" * 16
WRITER = "cd" * 16
MOMENT = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class Evidence:
    """A bucket's audit objects, to spoil."""

    seals: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def findings(
        self, key: bytes | None = KEY, heads: dict[str, int] | None = None, settled: bool = True
    ) -> list[tuple[str, str]]:
        sizes = {name: len(data) for name, data in (self.files | self.seals).items()}
        public = [chain.public_key_of(key)] if key else None
        found = verify_seals(self.seals.items(), public, sizes, self.files.__getitem__, heads=heads, settled=settled)
        return [(finding.code, finding.object) for finding in found]


def _name(writer: str, sequence: int) -> str:
    return f"audit/runs/date=2026-11-21/{writer[:4]}-{sequence}.parquet"


def _add(evidence: Evidence, sequence: int, previous: str, key: bytes | None = KEY, writer: str = WRITER) -> str:
    data = f"{writer} {sequence}".encode()
    name = _name(writer, sequence)
    evidence.files[name] = data
    seal = make_seal(
        repository_id=REPOSITORY,
        writer_id=writer,
        sequence=sequence,
        previous=previous,
        run_id="run",
        sealed_utc=MOMENT,
        files=[SealedFile(name, len(data), digest(data))],
        signing_key=key,
    )
    evidence.seals[names.seal_name(writer, sequence)] = seal
    return digest(seal)


@pytest.fixture
def evidence() -> Evidence:
    made = Evidence()
    for writer in (WRITER, "ef" * 16):
        previous = ""
        for sequence in range(1, 6):
            previous = _add(made, sequence, previous, writer=writer)
    return made


def test_whole_evidence_holds(evidence: Evidence) -> None:
    assert evidence.findings() == []
    assert evidence.findings(heads={WRITER: 5}) == []


def test_no_evidence_is_no_finding_unless_more_is_known() -> None:
    assert Evidence().findings() == []
    assert Evidence().findings(heads={WRITER: 2}) == [("missing-seal", names.seal_name(WRITER, 1))]


def test_a_missing_file(evidence: Evidence) -> None:
    del evidence.files[_name(WRITER, 2)]
    assert evidence.findings() == [("missing-file", _name(WRITER, 2))]


@pytest.mark.parametrize("data", [b"cut", bytes(len(WRITER) + 2)], ids=["size", "bytes"])
def test_an_altered_file(evidence: Evidence, data: bytes) -> None:
    evidence.files[_name(WRITER, 2)] = data
    assert evidence.findings() == [("altered-file", _name(WRITER, 2))]


def test_an_added_file(evidence: Evidence) -> None:
    evidence.files["audit/runs/date=2026-11-21/x.parquet"] = b"x"
    assert evidence.findings() == [("unsealed-file", "audit/runs/date=2026-11-21/x.parquet")]
    assert evidence.findings(settled=False) == []


@pytest.mark.parametrize(
    ("error", "code"), [(ObjectNotFound("gone"), "missing-file"), (ObjectCorrupt("cut"), "altered-file")]
)
def test_a_file_that_cannot_be_read(evidence: Evidence, error: FarshoreError, code: str) -> None:
    def read(name: str) -> bytes:
        if name == _name(WRITER, 4):
            raise error
        return evidence.files[name]

    sizes = {name: len(data) for name, data in evidence.files.items()}
    found = verify_seals(evidence.seals.items(), [chain.public_key_of(KEY)], sizes, read)
    assert [(finding.code, finding.object) for finding in found] == [(code, _name(WRITER, 4))]


def test_without_reading_only_sizes_tell(evidence: Evidence) -> None:
    sizes = {name: len(data) for name, data in evidence.files.items()} | {_name(WRITER, 2): 3}
    found = verify_seals(evidence.seals.items(), [chain.public_key_of(KEY)], sizes)
    assert [(finding.code, finding.object) for finding in found] == [("altered-file", _name(WRITER, 2))]


def test_a_removed_seal_leaves_a_gap_and_its_file_unsealed(evidence: Evidence) -> None:
    del evidence.seals[names.seal_name(WRITER, 3)]
    assert evidence.findings() == [
        ("missing-seal", names.seal_name(WRITER, 3)),
        ("unsealed-file", _name(WRITER, 3)),
    ]


def test_removed_newest_seals_show_only_to_who_knows_of_them(evidence: Evidence) -> None:
    for sequence in (4, 5):
        del evidence.seals[names.seal_name(WRITER, sequence)]
        del evidence.files[_name(WRITER, sequence)]
    assert evidence.findings() == []
    assert evidence.findings(heads={WRITER: 5}) == [("missing-seal", names.seal_name(WRITER, 4))]


def test_a_rewritten_history_breaks_the_chain(evidence: Evidence) -> None:
    seal = chain.decode_seal(names.seal_name(WRITER, 2), evidence.seals[names.seal_name(WRITER, 2)])
    _add(evidence, 3, digest(b"another history"))
    assert evidence.findings() == [
        ("broken-chain", names.seal_name(WRITER, 3)),
        ("broken-chain", names.seal_name(WRITER, 4)),
    ]
    assert seal.sequence == 2


def test_a_first_seal_that_claims_a_past(evidence: Evidence) -> None:
    _add(evidence, 1, "11" * 32, writer="99" * 16)
    assert evidence.findings() == [("broken-chain", names.seal_name("99" * 16, 1))]


@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["another key", "unsigned"])
def test_a_forged_seal_vouches_for_nothing(evidence: Evidence, key: bytes | None) -> None:
    forger = "99" * 16
    _add(evidence, 999_999_999_999, "", key=key, writer=forger)
    assert evidence.findings() == [
        ("bad-signature", names.seal_name(forger, 999_999_999_999)),
        ("unsealed-file", _name(forger, 999_999_999_999)),
    ]


def test_a_replaced_seal_is_a_bad_one_and_not_a_missing_one(evidence: Evidence) -> None:
    _add(evidence, 3, digest(evidence.seals[names.seal_name(WRITER, 2)]), key=OTHER_KEY)
    assert evidence.findings() == [
        ("bad-signature", names.seal_name(WRITER, 3)),
        ("unsealed-file", _name(WRITER, 3)),
    ]


def test_every_altered_byte_of_a_seal_is_found(evidence: Evidence) -> None:
    name = names.seal_name(WRITER, 3)
    data = evidence.seals[name]
    for offset in range(len(data)):
        evidence.seals[name] = data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]
        codes = {code for code, _ in evidence.findings()}
        assert codes & {"bad-seal", "bad-signature"}, offset


def test_a_seal_under_another_name(evidence: Evidence) -> None:
    name = names.seal_name(WRITER, 6)
    evidence.seals[name] = evidence.seals[names.seal_name(WRITER, 5)]
    assert evidence.findings() == [("bad-seal", name)]


def test_unsigned_seals_still_chain() -> None:
    evidence = Evidence()
    previous = _add(evidence, 1, "", key=None)
    _add(evidence, 2, previous, key=None)
    assert evidence.findings(key=None) == []
    _add(evidence, 1, "", key=KEY)
    assert evidence.findings(key=None) == [("broken-chain", names.seal_name(WRITER, 2))]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, encode_canonical({"kind": chain.SEAL_KIND, "version": 1})],
    ids=["empty", "list", "no keys", "no text", "deep", "few keys"],
)
def test_what_is_no_seal_is_refused(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match="damaged"):
        chain.decode_seal(names.seal_name(WRITER, 1), data)


def test_one_seal_has_one_form(evidence: Evidence) -> None:
    name = names.seal_name(WRITER, 1)
    loose = json.dumps(json.loads(evidence.seals[name]), indent=1).encode()
    with pytest.raises(ObjectCorrupt, match="canonical"):
        chain.decode_seal(name, loose)


def _with(data: bytes, **more: object) -> bytes:
    """Return a seal with other keys, signed as a program that knows them signs it."""
    body = {**json.loads(data), **more}
    del body["signature"]
    signature = Ed25519PrivateKey.from_private_bytes(KEY).sign(b"farshore audit seal 1\n" + encode_canonical(body))
    return encode_canonical({**body, "signature": signature.hex()})


def test_a_key_of_a_later_version_is_ignored_and_signed() -> None:
    evidence = Evidence()
    _add(evidence, 1, "")
    name = names.seal_name(WRITER, 1)
    evidence.seals[name] = _with(evidence.seals[name], comment="made by a later version")
    assert evidence.findings() == []
    evidence.seals[name] = evidence.seals[name].replace(b"a later", b"another")
    assert ("bad-signature", name) in evidence.findings()


def test_a_seal_of_a_later_version_is_too_new_and_neither_damaged_nor_good(evidence: Evidence) -> None:
    """Nor is the seal after it blamed, whose predecessor nobody can compare."""
    name = names.seal_name(WRITER, 3)
    evidence.seals[name] = _with(evidence.seals[name], version=2)
    with pytest.raises(FormatTooNew, match="has version 2; this Farshore knows 1"):
        chain.decode_seal(name, evidence.seals[name])
    assert evidence.findings(settled=False) == [("format-too-new", name)]
    evidence.seals[name] = json.dumps(json.loads(evidence.seals[name])).encode()
    assert evidence.findings(settled=False) == [("bad-seal", name)]


@pytest.mark.parametrize("more", [{"sequence": "1"}, {"sequence": 1.0}, {"sequence": True}, {"version": 1.0}], ids=str)
def test_a_number_of_a_seal_has_one_form(evidence: Evidence, more: dict[str, object]) -> None:
    name = names.seal_name(WRITER, 1)
    with pytest.raises(ObjectCorrupt):
        chain.decode_seal(name, _with(evidence.seals[name], **more))


def test_a_seal_is_the_same_when_made_again(evidence: Evidence) -> None:
    again = Evidence()
    _add(again, 1, "")
    assert again.seals[names.seal_name(WRITER, 1)] == evidence.seals[names.seal_name(WRITER, 1)]
