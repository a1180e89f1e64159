from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from blake3 import blake3

from farshore.audit import chain, names
from farshore.audit.chain import SealFinding, count_seals, missing_heads, open_seal, verify_seals
from farshore.audit.seals import Seal, SealedFile, SeenHeads, decode_seal, make_seal
from farshore.errors import FarshoreError, FormatTooNew, ObjectCorrupt, ObjectNotFound
from farshore.format import encode_canonical, encode_signed
from farshore.format.names import hash_of
from farshore.signing import SignedKind, sign
from farshore.trust import Judgment, TrustState
from tests.doubles.signers import EVERY_RIGHT, FINGERPRINT, HEAD, Signers, chain_of, signing_key

CHAIN = chain_of(1)
MOMENT = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class Evidence:
    """A bucket's audit objects, to spoil."""

    seals: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    made: dict[tuple[str, int], Seal] = field(default_factory=dict)
    signers: Signers = field(default_factory=lambda: Signers({1: EVERY_RIGHT, 2: EVERY_RIGHT}))

    def findings(self, heads: dict[str, tuple[int, str]] | None = None, settled: bool = True) -> list[tuple[str, str]]:
        return [(finding.code, finding.object) for finding in self.found(heads, settled=settled)]

    def found(self, heads: dict[str, tuple[int, str]] | None = None, *, settled: bool = True) -> list[SealFinding]:
        sizes = {name: len(data) for name, data in (self.files | self.seals).items()}
        return verify_seals(
            self.seals.items(), self.signers.authority, sizes, self.files.__getitem__, heads=heads, settled=settled
        )

    def add(self, sequence: int, *, key: int = 1, chain_id: str = "", table: str = "runs", **more: object) -> Seal:
        chain_id = chain_id or chain_of(key)
        data = f"{key} {chain_id} {sequence} {more}".encode()
        name = names.file_name(table, MOMENT.date(), "run", data)
        self.files[name] = data
        before = self.made.get((chain_id, sequence - 1))
        values = {
            "chain": chain_id, "sequence": sequence, "previous": before.hash if before else "", "run_id": "run",
            "sealed_utc": MOMENT, "files": (SealedFile(name, len(data), hash_of(data)),), "log": HEAD,
        }  # fmt: skip
        seal, stored = make_seal(Seal(**(values | more)), signing_key(key), FINGERPRINT)  # type: ignore[arg-type]
        self.seals[seal.name] = stored
        self.made[chain_id, sequence] = seal
        return seal

    def lose(self, sequence: int, chain_id: str = CHAIN) -> Seal:
        seal = self.made[chain_id, sequence]
        del self.seals[seal.name]
        return seal

    def counted(self) -> chain.Counted:
        opened = [open_seal(name, data, self.signers.authority) for name, data in self.seals.items()]
        return count_seals([one for one in opened if isinstance(one, Seal)], self.signers.trust)


@pytest.fixture
def evidence() -> Evidence:
    made = Evidence()
    for key in (1, 2):
        for sequence in range(1, 6):
            made.add(sequence, key=key, covers=() if sequence == 4 else None)
    return made


def _at(sequence: int) -> str:
    return names.seal_subject(CHAIN, sequence)


def test_whole_evidence_holds(evidence: Evidence) -> None:
    assert evidence.findings() == []
    last = evidence.made[CHAIN, 5]
    assert evidence.findings(heads={CHAIN: (5, last.hash)}) == []
    assert evidence.counted().files.keys() == evidence.files.keys()


def test_no_evidence_is_no_finding_unless_more_is_known() -> None:
    assert Evidence().findings() == []
    assert Evidence().findings(heads={CHAIN: (2, "aa" * 32)}) == [("missing-seal", _at(1))]


def test_a_seal_reads_as_it_was_made(evidence: Evidence) -> None:
    seal = evidence.add(6, heads=SeenHeads({"11" * 16: "22" * 32}, {chain_of(2): (7, "33" * 32)}), covers=("44" * 32,))
    assert open_seal(seal.name, evidence.seals[seal.name], evidence.signers.authority) == seal


def test_files_that_are_altered_or_gone_show(evidence: Evidence) -> None:
    first, second, third = sorted(evidence.files)[:3]
    evidence.files[first] = evidence.files[first][:-1] + b"!"
    evidence.files[second] += b"!"
    del evidence.files[third]
    expected = [("altered-file", first), ("altered-file", second), ("missing-file", third)]
    assert evidence.findings() == expected


def test_a_file_that_no_seal_names_shows_once_nobody_is_at_work(evidence: Evidence) -> None:
    name = names.file_name("runs", MOMENT.date(), "planted", b"planted")
    evidence.files[name] = b"planted"
    assert evidence.findings() == [("unsealed-file", name)]
    assert evidence.findings(settled=False) == []


def test_a_file_that_cannot_be_read_is_a_finding(evidence: Evidence) -> None:
    def read(name: str) -> bytes:
        raise ObjectNotFound(name) if name == first else ObjectCorrupt(name)

    first, *others = sorted(evidence.files)
    sizes = {name: len(data) for name, data in evidence.files.items()}
    found = verify_seals(evidence.seals.items(), evidence.signers.authority, sizes, read)
    assert [one.code for one in found] == ["missing-file", *["altered-file"] * len(others)]


def test_a_store_that_is_away_is_no_finding(evidence: Evidence) -> None:
    def read(name: str) -> bytes:
        raise FarshoreError("away")

    sizes = {name: len(data) for name, data in evidence.files.items()}
    with pytest.raises(FarshoreError, match="away"):
        verify_seals(evidence.seals.items(), evidence.signers.authority, sizes, read)


def test_a_removed_seal_shows(evidence: Evidence) -> None:
    seal = evidence.lose(3)
    assert evidence.findings() == [("missing-seal", _at(3)), ("unsealed-file", seal.files[0].name)]


def test_removed_newest_seals_show_only_to_who_knows_of_them(evidence: Evidence) -> None:
    last = evidence.lose(5)
    evidence.lose(4)
    assert evidence.findings(settled=False) == []
    assert evidence.findings(heads={CHAIN: (5, last.hash)}, settled=False) == [("missing-seal", _at(4))]


def test_an_exchanged_end_shows_to_who_knows_it(evidence: Evidence) -> None:
    last = evidence.lose(5)
    evidence.add(5, run_id="other")
    assert ("missing-seal", last.name) in evidence.findings(heads={CHAIN: (5, last.hash)}, settled=False)


def test_a_seal_that_follows_another_one_shows(evidence: Evidence) -> None:
    evidence.lose(4)
    four = evidence.add(4, previous="ab" * 32)
    assert evidence.findings(settled=False) == [
        ("broken-chain", four.name),
        ("broken-chain", evidence.made[CHAIN, 5].name),
    ]


def test_two_valid_seals_of_one_place_are_a_fork_and_both_count(evidence: Evidence) -> None:
    other = evidence.add(5, run_id="other")
    assert [code for code, _ in evidence.findings()] == ["forked"]
    assert other.hash in evidence.counted().seals


# --- what somebody may try ---------------------------------------------------------------------------------------


def _by_nobody(evidence: Evidence) -> Seal:
    return evidence.add(6, key=9, previous="ab" * 32)


def _in_a_foreign_chain(evidence: Evidence) -> Seal:
    """A certified signer of its own lengthens the chain of another one; `make_seal` would refuse it."""
    honest = evidence.add(6)
    data = evidence.seals.pop(honest.name)
    body = data.split(b"\n")[0] + b"\n"
    signature = sign(
        signing_key(2), SignedKind.SEAL, fingerprint=FINGERPRINT, subject=_at(6), digest=blake3(body).digest()
    )
    stored = encode_signed(body, signature)
    name = names.seal_name(CHAIN, 6, hash_of(stored))
    evidence.seals[name] = stored
    return replace(honest, hash=hash_of(stored), signer=signing_key(2).signer_id)


def _with_a_bad_signature(evidence: Evidence) -> Seal:
    honest = evidence.add(6)
    data = evidence.seals.pop(honest.name).replace(b'"run_id":"run"', b'"run_id":"lie"')
    name = names.seal_name(CHAIN, 6, hash_of(data))
    evidence.seals[name] = data
    return replace(honest, hash=hash_of(data))


def _without_the_right(evidence: Evidence) -> Seal:
    evidence.signers.rights[2] = frozenset({"backup"})
    return evidence.add(6, key=2, table="checks")


def _after_the_revocation(evidence: Evidence) -> Seal:
    last = evidence.made[CHAIN, 5]
    evidence.signers.revoked[1] = {CHAIN: (5, last.hash)}
    return evidence.add(6)


def _below_the_last_accepted_one(evidence: Evidence) -> Seal:
    """A revoked key signs a seal of a lower number, which the last accepted one does not follow."""
    last = evidence.made[CHAIN, 5]
    evidence.signers.revoked[1] = {CHAIN: (5, last.hash)}
    return evidence.add(3, run_id="other")


def _in_another_chain_of_the_revoked(evidence: Evidence) -> Seal:
    evidence.signers.revoked[1] = {CHAIN: (5, evidence.made[CHAIN, 5].hash)}
    return evidence.add(1, chain_id=chain_of(1, 7))


ATTACKS = [
    _by_nobody, _in_a_foreign_chain, _with_a_bad_signature, _without_the_right, _after_the_revocation,
    _below_the_last_accepted_one, _in_another_chain_of_the_revoked,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_nobody_may_say_is_not_used(evidence: Evidence, attack: Callable[[Evidence], Seal]) -> None:
    before = set(evidence.counted().files)
    planted = attack(evidence)
    after = evidence.counted()
    assert planted.files[0].name not in after.files
    assert before <= after.files.keys(), "and what was said before still counts"


@pytest.mark.parametrize(
    ("attack", "mutant", "value"),
    [
        (_with_a_bad_signature, "TrustState.holds", lambda *_, **__: True),
        (_without_the_right, "may_speak", lambda *_: True),
        (_after_the_revocation, "Judgment.judge", None),
        (_below_the_last_accepted_one, "_reached", lambda seals, _: frozenset(seals)),
        (_in_a_foreign_chain, "names.is_chain_of", lambda *_: True),
    ],
)
def test_a_check_that_is_left_out_is_seen(
    evidence: Evidence,
    monkeypatch: pytest.MonkeyPatch,
    attack: Callable[[Evidence], Seal],
    mutant: str,
    value: Callable[..., object] | None,
) -> None:
    """Each mutant of the judging lets its attack through, so the test above sees each check."""
    if mutant == "Judgment.judge":
        accepted = Judgment.ACCEPTED
        monkeypatch.setattr(TrustState, "judge_seal", lambda *_: accepted)
        monkeypatch.setattr(chain, "_reached", lambda seals, _: frozenset(seals))
    elif mutant == "TrustState.holds":
        monkeypatch.setattr(TrustState, "holds", value)
    elif mutant == "names.is_chain_of":
        monkeypatch.setattr(names, "is_chain_of", value)
    else:
        monkeypatch.setattr(chain, mutant, value)
    planted = attack(evidence)
    assert planted.files[0].name in evidence.counted().files


def test_a_file_that_another_seals_with_another_size_is_what_its_maker_sealed(evidence: Evidence) -> None:
    (file,) = evidence.made[CHAIN, 1].files
    evidence.add(6, key=2, files=(replace(file, bytes=file.bytes + 1),))
    evidence.add(7, key=2, files=(replace(file, blake3="ab" * 32),))
    assert evidence.findings(settled=False) == []
    counted = evidence.counted().files[file.name]
    assert counted.is_whole(evidence.files[file.name])
    assert not counted.is_whole(b"other bytes")
    assert not counted.revoked


def test_refused_seals_are_reported(evidence: Evidence) -> None:
    nobody, foreign = _by_nobody(evidence), _in_a_foreign_chain(evidence)
    late = _after_the_revocation(evidence)
    findings = {name: code for code, name in evidence.findings(settled=False)}
    assert findings[nobody.name] == "bad-signature"
    assert findings[foreign.name] == "bad-seal"
    assert findings[late.name] == "refused-seal"


def test_a_row_of_a_file_that_several_seal_counts_by_any_of_them(evidence: Evidence) -> None:
    evidence.signers.rights[2] = frozenset({"backup"})
    theirs = evidence.add(6, key=2, table="checks")
    assert theirs.files[0].name in evidence.counted().overreaching
    evidence.add(6, files=theirs.files)
    assert theirs.files[0].name in evidence.counted().files
    assert not evidence.counted().overreaching


def test_a_narrower_certificate_takes_nothing_back(evidence: Evidence) -> None:
    """What a signer might not say any more is cut by a revocation, by position."""
    trust = evidence.signers.trust
    signer = signing_key(1).signer_id
    wide = trust.certificates[signer]
    narrow = [replace(one, certificate=replace(one.certificate, rights=frozenset({"backup"}))) for one in wide]
    later = replace(trust, certificates={**trust.certificates, signer: (*wide, *narrow)})
    seal = evidence.add(6, table="checks")
    assert seal.files[0].name in count_seals([seal], later).files


def test_a_head_that_is_named_and_nowhere_shows(evidence: Evidence) -> None:
    cut = evidence.lose(5)
    other = chain_of(2)
    evidence.add(6, key=2, heads=SeenHeads({"11" * 16: "22" * 32}, {CHAIN: (5, cut.hash)}))
    counted, trust = evidence.counted(), evidence.signers.trust
    present = {names.parse_seal(name).hash for name in evidence.seals}  # type: ignore[union-attr]
    found = missing_heads(counted.seals.values(), present, trust)
    assert {one.object for one in found} == {f"snapshots/{'11' * 16}/*-{'22' * 32}", cut.name}
    assert {(one.source, one.commit) for one in found} == {("11" * 16, "22" * 32), ("", "")}
    assert all(f"chain {other}" in one.detail for one in found)
    assert missing_heads(counted.seals.values(), present | {cut.hash, "22" * 32}, trust) == []
    evidence.signers.revoked[2] = {other: (6, evidence.made[other, 6].hash)}
    assert missing_heads(counted.seals.values(), present, evidence.signers.trust) == [], "it could name anything"


# --- what a seal may look like --------------------------------------------------------------------------------------


def _resigned(data: bytes, change: Callable[[dict[str, object]], object], kind: SignedKind = SignedKind.SEAL) -> bytes:
    value = json.loads(data.split(b"\n")[0])
    change(value)
    body = encode_canonical(value)
    subject = names.seal_subject(str(value["chain_id"]), 1)
    digest_of = blake3(body).digest()
    return encode_signed(body, sign(signing_key(1), kind, fingerprint=FINGERPRINT, subject=subject, digest=digest_of))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "farshore-log"), ("sequence", 0), ("sequence", True), ("sequence", "1"), ("previous", None),
        ("previous", "ab" * 32), ("chain_id", "ab"), ("run_id", 1), ("sealed_utc", "yesterday"), ("files", [{}]),
        ("files", [{"name": "farshore.json", "bytes": 1, "blake3": "ab" * 32}]), ("log", [1]), ("log", None),
        ("heads", {}), ("heads", {"sources": {"x": 1}, "chains": {}}), ("version", 0.5), ("version", "1"),
        ("version", True),
    ],
)  # fmt: skip
def test_what_is_no_seal_is_refused_however_it_is_signed(evidence: Evidence, key: str, value: object) -> None:
    data = evidence.seals[evidence.made[CHAIN, 1].name]
    stored = _resigned(data, lambda document: document.update({key: value}))
    name = names.seal_name(CHAIN, 1, hash_of(stored))
    found = open_seal(name, stored, evidence.signers.authority)
    assert isinstance(found, chain.SealFinding)
    assert found.code == "bad-seal"


def test_a_seal_under_the_name_of_another_one_is_damaged(evidence: Evidence) -> None:
    seal = evidence.made[CHAIN, 2]
    data = evidence.seals[seal.name]
    for name in (names.seal_name(CHAIN, 3, seal.hash), names.seal_name(CHAIN, 2, "ab" * 32)):
        with pytest.raises(ObjectCorrupt):
            decode_seal(name, data)


def test_keys_of_later_programs_are_ignored_and_signed(evidence: Evidence) -> None:
    data = evidence.seals[evidence.made[CHAIN, 1].name]
    stored = _resigned(data, lambda document: document.update({"later": 1}))
    assert isinstance(open_seal(names.seal_name(CHAIN, 1, hash_of(stored)), stored, evidence.signers.authority), Seal)


def test_a_later_version_is_too_new(evidence: Evidence) -> None:
    data = evidence.seals[evidence.made[CHAIN, 1].name]
    stored = _resigned(data, lambda document: document.update({"version": 2}))
    name = names.seal_name(CHAIN, 1, hash_of(stored))
    with pytest.raises(FormatTooNew):
        decode_seal(name, stored)
    found = open_seal(name, stored, evidence.signers.authority)
    assert isinstance(found, chain.SealFinding)
    assert found.code == FormatTooNew.code


def test_a_seal_that_covers_something_needs_both_signatures(evidence: Evidence) -> None:
    data = evidence.seals[evidence.made[CHAIN, 1].name]
    for kind, holds in ((SignedKind.SEAL, False), (SignedKind.DAILY_SEAL, True)):
        stored = _resigned(data, lambda document: document.update({"covers": []}), kind)
        found = open_seal(names.seal_name(CHAIN, 1, hash_of(stored)), stored, evidence.signers.authority)
        assert isinstance(found, Seal) is holds


def test_a_planted_seal_is_refused_and_a_damaged_one_is_not(evidence: Evidence) -> None:
    """Nobody makes a repository damaged by putting an object, and no more does who was revoked."""
    damaged = evidence.made[chain_of(2), 5].name
    planted = [one(evidence).name for one in (_by_nobody, _in_a_foreign_chain, _after_the_revocation)]
    evidence.seals[damaged] += b"x"
    found = {one.object: one.refused for one in evidence.found(settled=False)}
    assert [found[name] for name in planted] == ["unknown-signer", "unsigned", "revoked"]
    assert found[damaged] == ""


def test_a_planted_seal_does_not_hide_that_one_is_missing(evidence: Evidence) -> None:
    evidence.lose(3)
    evidence.seals[names.seal_name(CHAIN, 3, hash_of(b"nothing"))] = b"nothing"
    assert ("missing-seal", _at(3)) in evidence.findings(settled=False)
