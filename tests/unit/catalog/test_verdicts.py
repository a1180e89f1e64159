"""Verdicts on packs: a verify proves packs and quarantines liars, and backups go by that; of thieves nothing counts."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from blake3 import blake3

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog import verdicts
from farshore.catalog.verdicts import Verdicts, read_verdicts
from farshore.config import Dedupe
from farshore.errors import KeyMissing, ObjectNotFound, QuorumNotReached, StoreUnavailable
from farshore.format import names
from farshore.format.needs import NeededKey
from farshore.format.verdict import SUBJECT, Verdict, encode_verdict
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.initialize import write_credential
from farshore.ops.setup.owner_actions import append_entry
from farshore.ops.setup.revoke import apply_revocation, plan_revocation
from farshore.ops.verify.quarantine import LiftedQuarantine, lift_quarantine, list_quarantine
from farshore.replicas.signed_texts import sign_text
from farshore.run import Run
from farshore.sealed import KeySet, Role
from farshore.sealed.data_key import DataKey, generate_data_key, seal_data_key
from farshore.signing import SignedKind
from farshore.trust.actions import Revocation, Right
from tests.doubles.faulty import Fault, FaultKind, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.liar import CONTENT, deduping, keys_of, lying_pack, member, plant, shared_domain, source_of

LOG = (1, "0" * 64)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return shared_domain(tmp_path)


def packs(engine: Engine) -> set[bytes]:
    return {bytes.fromhex(names.parse_pack(name) or "") for name in engine.objects("a", names.PACKS)}


def counting(engine: Engine) -> Verdicts:
    with engine.opened(Need.WRITE) as repository:
        return read_verdicts(repository)


def signed(
    engine: Engine, keys: KeySet, *, proven: Collection[bytes] = (), lying: Collection[bytes] = (),
    data_keys: Collection[NeededKey] = (), replicas: str = "abc",
) -> str:  # fmt: skip
    """Plant a verdict of somebody; return its hash."""
    verdict = Verdict(tuple(proven), tuple(data_keys), tuple(lying), (), "planted", engine.clock.now_utc(), LOG)
    body = sign_text(keys, SignedKind.VERDICT, SUBJECT, encode_verdict(verdict))
    plant(engine, {names.verdict(names.hash_of(body)): body}, replicas)
    return names.hash_of(body)


def lie(engine: Engine, thief: Engine, content: bytes = CONTENT) -> bytes:
    """Plant a pack that claims to have some content; return its id."""
    chunk_id = blake3(content, key=keys_of(engine).chunk_key).digest()
    pack, objects = lying_pack(thief, {chunk_id: len(content)})
    plant(engine, objects)
    return pack.pack_id


def test_two_hosts_of_a_domain_share_chunks_once_a_reader_has_proved_them(engine: Engine) -> None:
    laptop, desktop = member(engine, "laptop"), member(engine, "desktop")
    assert laptop.backup(source_of(laptop, "laptop")).counts.bytes_new == len(CONTENT)
    result = engine.verify()
    assert result.clean
    assert result.proven == 2
    reused = desktop.backup(source_of(desktop, "desktop"))
    assert reused.counts.bytes_new == 0
    assert engine.restore(reused.snapshot_id)[1][b"file"] == CONTENT
    for replica in "abc":
        assert len(engine.objects(replica, names.VERDICTS)) == 1
    again = engine.verify()
    assert again.proven == 0
    assert len(engine.objects("a", names.VERDICTS)) == 1, "what is known is not said again"


def test_a_host_that_cannot_read_proves_nothing(engine: Engine) -> None:
    laptop = member(engine, "laptop")
    assert laptop.verify(need=Need.WRITE).proven == 0
    assert not engine.objects("a", names.VERDICTS)


def test_a_verify_of_a_share_proves_what_it_read(engine: Engine) -> None:
    for number in range(3):
        engine.backup(source_of(engine, f"more-{number}", random.Random(9 + number).randbytes(2000)))
    for _ in range(4):
        engine.verify(percent=25)
    assert counting(engine).proven.among(_table(packs(engine))).all()


def test_a_lying_pack_of_a_thief_is_never_reused_before_or_after_a_verify(engine: Engine) -> None:
    thief, laptop = member(engine, "thief"), member(engine, "laptop")
    content = random.Random(7).randbytes(5000)
    lying = lie(engine, thief, content)
    assert engine.verify().quarantined == (lying.hex(),)
    found = counting(engine)
    assert set(found.quarantined) == {lying}
    assert lying not in found.proven
    for host in (laptop, deduping(laptop, Dedupe.DOMAIN)):  # the domain is believed, and the quarantine more
        kept = host.backup(source_of(host, f"of-{host.repository_config.dedupe}", content))
        assert engine.restore(kept.snapshot_id)[1][b"file"] == content
    assert engine.verify().quarantined == (), "nothing of it is new"


def _no_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verdicts, "bad", lambda _, ids: verdicts.PackIds().among(ids))


@pytest.mark.parametrize("mutant", [None, _no_quarantine])
def test_an_own_pack_that_lies_is_stored_anew_also_of_entries_that_did_not_change(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None] | None
) -> None:
    """A host with bad memory, or taken over for a while, packed what is not what it says."""
    laptop = member(engine, "laptop")
    content = random.Random(7).randbytes(5000)
    lying = lie(engine, laptop, content)
    source = source_of(laptop, "laptop", content)
    lost = laptop.backup(source)
    assert lost.counts.bytes_new == 0, "its own packs it believes"
    engine.verify()
    if mutant:
        mutant(monkeypatch)
    kept = laptop.backup(source)
    assert (kept.counts.bytes_new == len(content)) is (mutant is None)
    assert names.pack(lying.hex()) in engine.objects("a"), "and it stays where it is"
    if mutant is None:
        assert engine.restore(kept.snapshot_id)[1][b"file"] == content
        engine.forget_cache()
        assert engine.restore(lost.snapshot_id)[1][b"file"] == content, "another pack has its chunk now"


def test_a_pack_is_no_liar_where_somebody_planted_another_data_key(engine: Engine) -> None:
    keys = keys_of(engine)
    (snapshot,) = engine.snapshots()
    (real,) = engine.needs_of(snapshot.snapshot_id).data_keys
    orphan = lie(engine, engine)
    for _ in range(3):
        other = generate_data_key(engine.clock)
        sealed = seal_data_key(keys, DataKey(bytes.fromhex(real.key_id), other.secret))
        name = names.data_key(real.key_id, keys.recipient_id.hex(), names.hash_of(sealed))
        plant(engine, {name: sealed})
    assert engine.verify().quarantined == (orphan.hex(),)
    assert counting(engine).data_keys[real.key_id] == (real,)


def test_of_a_thief_no_verdict_counts(tmp_path: Path) -> None:
    """Neither of a writer nor of the host that made the repository, which may verify and not read."""
    engine = Engine(tmp_path).initialize(write_only=True)
    engine.backup(source_of(engine, "home"))
    thief, first = member(engine, "thief"), replace(engine)
    first.repository_config = replace(engine.repository_config, identity=None)
    lying = lie(engine, thief)
    with first.opened(Need.WRITE) as repository:
        verifier = repository.writing_keys()
        assert verifier.signing_key
        assert repository.trust.may(verifier.signing_key.signer_id, Right.VERIFY)
        assert not verifier.can_read
    for keys in (keys_of(thief), verifier):
        signed(engine, keys, proven=[lying], lying=packs(engine))
    found = counting(engine)
    assert len(found.proven) == 0
    assert not found.quarantined


def _anything_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "may_prove", lambda *_: True)
    monkeypatch.setattr(verdicts, "may_quarantine", lambda *_: True)


def test_the_right_is_what_refuses_a_thief(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    thief = member(engine, "thief")
    lying = lie(engine, thief)
    signed(engine, keys_of(thief), proven=[lying])
    _anything_proves(monkeypatch)
    assert lying in counting(engine).proven


def test_a_maintainer_quarantines_and_proves_nothing(engine: Engine) -> None:
    maintainer = engine.at("maintainer", reads=False)
    with engine.opened(Need.OWNER) as repository:
        made = enroll(repository, "maintainer", role=Role.MAINTAINER)
        write_credential(maintainer.config, made.credential, repository.header)
    (pack,) = packs(engine)
    signed(engine, keys_of(maintainer), proven=[pack], lying=[pack])
    found = counting(engine)
    assert set(found.quarantined) == {pack}
    assert len(found.proven) == 0


def test_of_a_revoked_verifier_counts_what_its_revocation_names(engine: Engine) -> None:
    engine.verify()
    proven = packs(engine)
    assert all(one in counting(engine).proven for one in proven)
    reader = _reader_keys(engine)
    signer = reader.signing_key
    assert signer
    with engine.opened(Need.OWNER) as repository:
        planned = plan_revocation(repository, signer.signer_id)
        assert len(planned.now.verdicts) == 1
        apply_revocation(repository, planned, "stolen")
    later = signed(engine, reader, proven=[b"p" * 32], lying=sorted(proven))
    found = counting(engine)
    assert all(one in found.proven for one in proven), "what it proved before stays proven"
    assert b"p" * 32 not in found.proven, "the thief proves nothing"
    assert not found.quarantined
    with engine.opened(Need.OWNER) as repository:
        append_entry(repository, [Revocation(signer.signer_id, frozenset([later]), {}, "refused")])
    assert set(counting(engine).quarantined) == proven, "the list decides, in either direction"


def _lift(engine: Engine, *packs: str, need: Need = Need.READ) -> LiftedQuarantine:
    with engine.opened(need) as repository:
        return lift_quarantine(repository, packs, reason="bad memory at the verifier", run=Run.start(engine.clock))


def test_a_pack_leaves_quarantine_and_the_others_of_its_verdicts_stay(engine: Engine) -> None:
    (pack,) = packs(engine)
    other, third = b"o" * 32, b"t" * 32
    both = signed(engine, _reader_keys(engine), lying=sorted([pack, other]))
    alone = signed(engine, _reader_keys(engine), lying=sorted([pack, third]), proven=[b"p" * 32])
    kept = signed(engine, _reader_keys(engine), lying=[third])
    assert counting(engine).quarantined == {
        pack: tuple(sorted([both, alone])), other: (both,), third: tuple(sorted([alone, kept])),
    }  # fmt: skip
    assert _lift(engine, pack.hex()[:12]).packs == (pack.hex(),)
    found = counting(engine)
    assert found.quarantined.keys() == {other, third}
    assert found.quarantined[third] == (kept,)
    assert b"p" * 32 in found.proven, "what else a lifted verdict says counts on"
    with engine.opened(Need.NONE) as repository:
        listed = list_quarantine(repository)
    assert {(one.pack, one.reasons) for one in listed} == {(other.hex(), ("planted",)), (third.hex(), ("planted",))}
    laptop = member(engine, "laptop")
    assert engine.verify().proven == 1
    assert laptop.backup(source_of(laptop, "laptop")).counts.bytes_new == 0, "it is reused again"


def test_a_verify_puts_a_pack_that_lies_back(engine: Engine) -> None:
    lying = lie(engine, member(engine, "thief"))
    engine.verify()
    _lift(engine, lying.hex())
    assert not counting(engine).quarantined
    assert engine.verify().quarantined == (lying.hex(),)
    assert set(counting(engine).quarantined) == {lying}


def test_a_lift_needs_the_right_and_a_pack_that_is_meant(engine: Engine) -> None:
    signed(engine, _reader_keys(engine), lying=[b"aa" + b"1" * 30, b"aa" + b"2" * 30])
    laptop = member(engine, "laptop")
    with pytest.raises(KeyMissing):
        _lift(laptop, "6161", need=Need.WRITE)
    for text in ("6161", "ffff", ""):
        with pytest.raises(ObjectNotFound):
            _lift(engine, text)
    assert len(counting(engine).quarantined) == 2


def test_a_lift_that_stops_in_the_middle_frees_nothing_that_was_not_named(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "VERDICT_ROWS_MAX", 1)
    (pack,) = packs(engine)
    others = [b"a" * 32, b"b" * 32, b"c" * 32]
    for one in others:
        signed(engine, _reader_keys(engine), lying=sorted([pack, one]))
    for left in range(0, 20, 3):  # of three puts of what is said again and three of what is lifted, at each replica
        puts = iter(range(left))

        def plan(verb: str, name: str, *_: object) -> Fault | None:
            stops = verb == "put" and name.startswith(names.VERDICTS) and next(puts, None) is None  # noqa: B023
            return Fault(FaultKind.FAIL, StoreUnavailable) if stops else None

        engine.wrap = lambda _, store: FaultyStore(store, clock=engine.clock, plan=plan)
        with contextlib.suppress(QuorumNotReached, ObjectNotFound):
            _lift(engine, pack.hex())
        engine.wrap = lambda _, store: store
        assert set(others) <= counting(engine).quarantined.keys(), left
    assert counting(engine).quarantined.keys() == set(others)


def test_a_replica_that_was_away_gets_verdicts_from_a_heal(engine: Engine) -> None:
    signed(engine, keys_of(member(engine, "thief")), proven=[b"p" * 32], replicas="a")
    good = signed(engine, _reader_keys(engine), proven=sorted(packs(engine)), replicas="a")
    heal(engine)
    for replica in "bc":
        assert list(engine.objects(replica, names.VERDICTS)) == [names.verdict(good)]


def test_own_is_own_whatever_was_proved(engine: Engine) -> None:
    engine.verify()
    laptop = deduping(member(engine, "laptop"), Dedupe.OWN)
    assert laptop.backup(source_of(laptop, "laptop")).counts.bytes_new == len(CONTENT)


def test_needs_name_the_data_keys_that_opened_proven_packs_and_no_planted_ones(engine: Engine) -> None:
    engine.verify()
    keys = keys_of(engine)
    (snapshot,) = engine.snapshots()
    (real,) = engine.needs_of(snapshot.snapshot_id).data_keys
    for _ in range(6):
        other = generate_data_key(engine.clock)
        sealed = seal_data_key(keys, DataKey(bytes.fromhex(real.key_id), other.secret))
        plant(engine, {names.data_key(real.key_id, keys.recipient_id.hex(), names.hash_of(sealed)): sealed})
    laptop = member(engine, "laptop")
    reused = laptop.backup(source_of(laptop, "laptop"))
    assert reused.counts.bytes_new == 0
    assert [key for key in engine.needs_of(reused.snapshot_id).data_keys if key.key_id == real.key_id] == [real]
    assert engine.restore(reused.snapshot_id)[1][b"file"] == CONTENT


def _table(ids: Collection[bytes]) -> npt.NDArray[Any]:
    return np.frombuffer(b"".join(ids), "V32")


def _reader_keys(engine: Engine) -> KeySet:
    with engine.opened(Need.READ) as repository:
        return repository.writing_keys()
