"""Who may write what. Each fork, rotation and revocation here is one that tests/models/trust explores."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from blake3 import blake3

from farshore.format import names
from farshore.trust import Judgment, TrustState
from farshore.trust.actions import (
    AddRecipient,
    ChangeOwner,
    NameSlots,
    RequireFeatures,
    Revocation,
    Right,
    SetPolicy,
    StartEpoch,
    decode_accepted,
    encode_accepted,
)
from farshore.trust.log_entry import LogHead, rolled_back
from tests.doubles.owner_log import (
    COMMIT,
    FINGERPRINT,
    HOST,
    MADE,
    NEXT_OWNER,
    OTHER_COMMIT,
    OTHER_HOST,
    OWNER,
    SEAL,
    THIEF,
    Log,
    certificate,
    own_source,
    revocation,
)

ROTATE = ChangeOwner(NEXT_OWNER.verify_key)


def judged(state: TrustState, commit: str = COMMIT, signer: str = HOST.signer_id) -> Judgment:
    return state.judge_commit(signer, commit, signer[:16] + "ff" * 8)


@pytest.fixture
def log() -> Log:
    """A log with one host."""
    made = Log()
    made.add(certificate())
    return made


def test_an_empty_log_names_nobody() -> None:
    state = Log().read()
    assert (state.head, state.owner, state.owners) == (None, OWNER.verify_key, (OWNER.verify_key,))
    assert state.may_write
    assert not state.forked
    assert judged(state) is Judgment.UNKNOWN_SIGNER
    assert state.judge_seal(HOST.signer_id, "c", 1, SEAL) is Judgment.UNKNOWN_SIGNER
    assert state.knows(None)


def test_actions_add_up_over_entries_and_within_one() -> None:
    log = Log()
    log.add(AddRecipient(b"a" * 1216, 0), StartEpoch("d", 1, 0), certificate(), SetPolicy((), 0, 3, {}))
    log.add(AddRecipient(b"b" * 1216, 1), StartEpoch("d", 2, 1), StartEpoch("e", 1, 1), RequireFeatures(("x",), ()))
    log.add(SetPolicy((), 0, 4, {}), SetPolicy((), 0, 5, {}), RequireFeatures((), ("y",)))
    state = log.read()
    assert [one.root for one in state.recipients] == [0, 1]
    assert {name: [one.epoch for one in epochs] for name, epochs in state.domains.items()} == {"d": [1, 2], "e": [1]}
    assert state.policy == SetPolicy((), 0, 5, {})
    assert (state.must_understand, state.must_understand_to_write) == (frozenset({"x"}), frozenset({"y"}))
    assert state.head == log.head
    assert len(state.heads) == 3
    found = state.certificate(HOST.signer_id)
    assert found is not None
    assert (found.certificate, found.entry.number) == (certificate(), 1)
    assert state.may_write
    assert not state.refused


def test_the_order_in_which_entries_are_listed_means_nothing(log: Log) -> None:
    log.add(ROTATE)
    log.add(revocation(HOST, COMMIT), by=NEXT_OWNER)
    backwards = Log(dict(reversed(log.entries.items())))
    assert backwards.read() == log.read()


@pytest.mark.parametrize(("source_id", "expected"), [
    (own_source(), Judgment.ACCEPTED),
    (own_source(OTHER_HOST), Judgment.NOT_ITS_SOURCE),
    (HOST.signer_id[:15] + "0" * 17, Judgment.NOT_ITS_SOURCE),
])  # fmt: skip
def test_a_host_has_sources_of_its_own(log: Log, source_id: str, expected: Judgment) -> None:
    assert log.read().judge_commit(HOST.signer_id, COMMIT, source_id) is expected


def test_a_list_of_sources_allows_these_and_no_others() -> None:
    log = Log()
    log.add(certificate(sources={"ab" * 16: "etc"}))
    state = log.read()
    assert state.judge_commit(HOST.signer_id, COMMIT, "ab" * 16) is Judgment.ACCEPTED
    assert state.judge_commit(HOST.signer_id, COMMIT, own_source()) is Judgment.NOT_ITS_SOURCE


def test_only_who_may_back_up_commits() -> None:
    log = Log()
    log.add(certificate(rights=frozenset({"verify", "heal"})))
    state = log.read()
    assert judged(state) is Judgment.NO_RIGHT
    assert state.judge_seal(HOST.signer_id, "c", 1, SEAL) is Judgment.ACCEPTED
    assert state.may(HOST.signer_id, Right.HEAL)
    assert not state.may(HOST.signer_id, Right.BACKUP)
    assert not state.may(OTHER_HOST.signer_id, Right.HEAL)
    log.add(certificate(rights=frozenset()))
    assert Log(log.branch(None).entries).read().judge_seal(HOST.signer_id, "c", 1, SEAL) is Judgment.ACCEPTED
    none = Log()
    none.add(certificate(rights=frozenset()))
    assert none.read().judge_seal(HOST.signer_id, "c", 1, SEAL) is Judgment.NO_RIGHT


def test_a_narrower_certificate_refuses_nothing_that_is_stored(log: Log) -> None:
    log.add(certificate(sources={"ab" * 16: "etc"}, rights=frozenset({"backup", "heal"})))
    log.add(certificate(sources={"ab" * 16: "etc"}, rights=frozenset({"verify"})))
    state = log.read()
    assert judged(state) is Judgment.ACCEPTED
    assert state.judge_commit(HOST.signer_id, COMMIT, "ab" * 16) is Judgment.ACCEPTED
    assert state.judge_commit(HOST.signer_id, COMMIT, "cd" * 16) is Judgment.NOT_ITS_SOURCE
    assert state.may(HOST.signer_id, "verify")
    assert not state.may(HOST.signer_id, "heal")


def test_a_revocation_cuts_by_hash(log: Log) -> None:
    log.add(revocation(HOST, COMMIT, c=(7, SEAL)))
    state = log.read()
    assert judged(state, COMMIT) is Judgment.ACCEPTED
    assert judged(state, OTHER_COMMIT) is Judgment.REVOKED
    assert not state.may(HOST.signer_id, "backup")
    assert state.revocations[HOST.signer_id].reasons == ("stolen",)
    for sequence, seal, expected in [
        (6, "00" * 32, Judgment.ACCEPTED),
        (7, SEAL, Judgment.ACCEPTED),
        (7, "00" * 32, Judgment.REVOKED),
        (8, SEAL, Judgment.REVOKED),
    ]:
        assert state.judge_seal(HOST.signer_id, "c", sequence, seal) is expected
    assert state.judge_seal(HOST.signer_id, "d", 0, SEAL) is Judgment.REVOKED


def test_no_certificate_lifts_a_revocation(log: Log) -> None:
    log.add(revocation())
    log.add(certificate())
    assert judged(log.read()) is Judgment.REVOKED
    assert not log.read().may(HOST.signer_id, "backup")


def test_a_revocation_before_the_certificate_counts_too() -> None:
    log = Log()
    log.add(revocation())
    log.add(certificate())
    assert judged(log.read()) is Judgment.REVOKED


def test_a_later_revocation_corrects_the_list(log: Log) -> None:
    log.add(revocation(HOST))
    log.add(revocation(HOST, COMMIT))
    assert judged(log.read()) is Judgment.ACCEPTED


def test_a_long_list_is_an_object(log: Log) -> None:
    named, data = encode_accepted([OTHER_COMMIT, COMMIT, COMMIT])
    assert (named.count, len(data), data[:32].hex()) == (2, 64, COMMIT)
    log.add(Revocation(HOST.signer_id, named, {}, ""))
    assert judged(log.read(accepted=[data])) is Judgment.ACCEPTED
    assert judged(log.read(accepted=[data]), SEAL) is Judgment.REVOKED
    for wrong in ([], [data + bytes(32)], [data[32:] + data[:32]], [data[:32]]):
        assert judged(log.read(accepted=wrong)) is Judgment.LIST_MISSING


def test_a_list_is_that_of_its_hash_and_count() -> None:
    named, data = encode_accepted([COMMIT, OTHER_COMMIT])
    assert decode_accepted(data, named) == frozenset({COMMIT, OTHER_COMMIT})
    assert decode_accepted(data, replace(named, count=1)) is None
    assert decode_accepted(data[:32] + bytes([0xFF]) * 32, named) is None
    assert decode_accepted(None, named) is None


@pytest.mark.parametrize("listed", [[OTHER_COMMIT, COMMIT], [COMMIT, COMMIT], [COMMIT + "00"]])
def test_a_list_out_of_order_is_no_list(log: Log, listed: list[str]) -> None:
    data = bytes.fromhex("".join(listed))
    named = replace(encode_accepted([])[0], count=len(listed))
    log.add(Revocation(HOST.signer_id, replace(named, hash=blake3(data).hexdigest()), {}, ""))
    assert judged(log.read(accepted=[data])) is Judgment.LIST_MISSING


def test_only_the_owner_key_in_force_signs(log: Log) -> None:
    log.add(ROTATE)
    first = log.branch(log.head)
    log.add(certificate(OTHER_HOST), by=NEXT_OWNER)
    first.add(certificate(THIEF))
    state = log.read(None, first)
    assert state.owner == NEXT_OWNER.verify_key
    assert state.certificate(OTHER_HOST.signer_id)
    assert state.certificate(THIEF.signer_id) is None
    assert [one.reason for one in state.refused] == ["the owner key in force before it did not sign it"]
    assert not state.forked


def test_the_new_key_does_not_sign_the_entry_that_names_it(log: Log) -> None:
    log.add(ROTATE, by=NEXT_OWNER)
    assert log.read().owner == OWNER.verify_key


def test_an_entry_of_another_repository_is_refused(log: Log) -> None:
    log.add(certificate(OTHER_HOST), fingerprint=b"g" * 32)
    state = log.read()
    assert state.certificate(OTHER_HOST.signer_id) is None
    assert len(state.refused) == 1
    assert FINGERPRINT != b"g" * 32


def test_an_entry_without_those_before_it_is_refused(log: Log) -> None:
    second = log.add(certificate(OTHER_HOST))
    third = log.add(certificate(THIEF))
    del log.entries[second.name]
    state = log.read()
    assert [(one.name, one.reason) for one in state.refused] == [
        (third.name, "the entry before it is not there, or is not valid")
    ]
    assert state.head is not None
    assert state.head.number == 1


def test_an_entry_that_skips_a_number_is_refused(log: Log) -> None:
    assert log.head is not None
    log.head = LogHead(2, log.head.hash)
    log.add(certificate(OTHER_HOST))
    assert log.read().certificate(OTHER_HOST.signer_id) is None


def test_garbage_beside_the_log_stops_nobody(log: Log) -> None:
    expected = log.read()
    log.entries |= {
        "keys/log/x": b"",
        names.log_entry(1, "00" * 32): b"{}\n{}\n",
        names.log_entry(2, "ff" * 32): next(iter(log.entries.values())),
        "\ud800": b"\xff",
    }
    state = log.read()
    assert len(state.refused) == 4
    assert replace(state, refused=()) == expected


def test_what_is_unknown_is_reported_with_its_entry(log: Log) -> None:
    head = log.add(certificate(OTHER_HOST, rights=frozenset({"backup", "sing"})))
    assert log.read().unknown == (f"{head.name}: right 'sing' of {OTHER_HOST.signer_id}",)


def test_a_fork_counts_on_both_branches_and_stops_writing(log: Log) -> None:
    other = log.branch(log.head)
    head = log.head
    log.add(certificate(OTHER_HOST))
    other.add(certificate(THIEF), revocation(HOST, COMMIT))
    state = log.read(None, other)
    assert state.forked == (2,)
    assert not state.may_write
    assert state.head == head
    assert state.certificate(OTHER_HOST.signer_id)
    assert state.certificate(THIEF.signer_id)
    assert judged(state, OTHER_COMMIT) is Judgment.REVOKED
    assert state.owners == (OWNER.verify_key,)
    assert log.head in state.heads
    assert other.head in state.heads


def test_recipients_of_a_fork_are_ordered_by_their_entries(log: Log) -> None:
    other = log.branch(log.head)
    log.add(AddRecipient(b"a" * 1216, 2))
    log.add(AddRecipient(b"b" * 1216, 3))
    other.add(AddRecipient(b"c" * 1216, 2))
    other.add(AddRecipient(b"d" * 1216, 3))
    assert [one.root for one in log.read(None, other).recipients] == [2, 2, 3, 3]


def test_the_last_list_of_slots_counts_and_of_a_fork_those_of_each_branch(log: Log) -> None:
    log.add(NameSlots(("aa" * 32, "bb" * 32)))
    log.add(NameSlots(("cc" * 32, "bb" * 32)))
    assert log.read().slots == ("cc" * 32, "bb" * 32)
    other = log.branch(log.head)
    log.add(NameSlots(("dd" * 32,)))
    other.add(NameSlots(("ee" * 32, "bb" * 32)))
    assert set(log.read(None, other).slots) == {"dd" * 32, "ee" * 32, "bb" * 32}


def test_of_two_branches_what_both_accept_is_accepted(log: Log) -> None:
    other = log.branch(log.head)
    log.add(revocation(HOST, COMMIT, c=(7, SEAL), d=(1, SEAL), e=(3, SEAL), g=(3, SEAL)))
    other.add(revocation(HOST, COMMIT, OTHER_COMMIT, c=(5, SEAL), e=(3, "00" * 32), f=(1, SEAL), g=(3, SEAL)))
    state = log.read(None, other)
    assert judged(state, COMMIT) is Judgment.ACCEPTED
    assert judged(state, OTHER_COMMIT) is Judgment.REVOKED
    assert state.revocations[HOST.signer_id].chains == {"c": (5, SEAL), "g": (3, SEAL)}
    lost = log.branch(log.head)
    lost.add(Revocation(HOST.signer_id, encode_accepted([COMMIT])[0], {}, ""))
    assert judged(lost.read(None, other), COMMIT) is Judgment.LIST_MISSING


def test_a_remembered_head_decides_a_fork(log: Log) -> None:
    other = log.branch(log.head)
    log.add(certificate(OTHER_HOST))
    other.add(certificate(THIEF))
    state = log.read(log.head, other)
    assert (state.head, state.may_write, state.forked) == (log.head, True, (2,))
    assert state.certificate(OTHER_HOST.signer_id)
    assert state.certificate(THIEF.signer_id) is None


def test_a_fork_after_the_remembered_head_is_not_decided_by_it(log: Log) -> None:
    remembered = log.head
    other = log.branch(log.head)
    log.add(certificate(OTHER_HOST))
    other.add(certificate(THIEF))
    assert not log.read(remembered, other).may_write
    assert log.read(remembered, other).head == remembered


def test_whoever_finds_a_retired_key_revokes_nobody(log: Log) -> None:
    thief = log.branch(log.head)
    log.add(ROTATE)
    thief.add(revocation(), certificate(THIEF))
    thief.add(ChangeOwner(THIEF.verify_key))
    thief.add(revocation(), by=THIEF)
    state = log.read(log.head, thief)
    assert judged(state) is Judgment.ACCEPTED
    assert state.certificate(THIEF.signer_id) is None
    assert state.may_write
    fresh = log.read(None, thief)
    assert judged(fresh) is Judgment.REVOKED  # without memory nothing says which branch is the owner's
    assert not fresh.may_write
    assert {one.signer_id for one in fresh.owners} == {NEXT_OWNER.signer_id, THIEF.signer_id}


def test_a_key_retired_after_the_remembered_entry_is_retired(log: Log) -> None:
    log.add(certificate(OTHER_HOST))
    remembered = log.head
    thief = log.branch(LogHead(1, next(iter(log.entries))[-64:]))
    thief.add(revocation())
    log.add(ROTATE)
    assert judged(log.read(remembered, thief)) is Judgment.ACCEPTED


def test_a_revocation_by_the_owners_second_machine_counts_off_the_branch(log: Log) -> None:
    second = log.branch(log.head)
    log.add(certificate(OTHER_HOST))
    second.add(revocation(HOST, COMMIT))
    state = log.read(log.head, second)
    assert judged(state, OTHER_COMMIT) is Judgment.REVOKED
    assert judged(state, COMMIT) is Judgment.ACCEPTED


def test_a_log_without_the_remembered_entry_accepts_nothing(log: Log) -> None:
    before = dict(log.entries)
    head = log.add(certificate(OTHER_HOST))
    state = Log(before).read(head)
    assert (state.rolled_back, state.may_write, state.head) == (True, False, head)
    assert judged(state) is Judgment.ROLLED_BACK
    assert state.judge_seal(HOST.signer_id, "c", 1, SEAL) is Judgment.ROLLED_BACK
    assert not state.may(HOST.signer_id, "backup")
    assert not state.knows(head)


def test_one_replica_that_shows_less_is_rolled_back(log: Log) -> None:
    before = dict(log.entries)
    head = log.add(certificate(OTHER_HOST))
    assert rolled_back(before, head)
    assert not rolled_back(before, None)
    assert not rolled_back(log.entries, head)
    assert rolled_back({**log.entries, head.name: b"garbage"}, head)


def test_expiry_warns_and_refuses_nothing(log: Log) -> None:
    log.add(certificate(OTHER_HOST, not_after_utc=MADE), certificate(THIEF, not_after_utc=MADE), revocation(THIEF))
    state = log.read()
    end = certificate().not_after_utc
    assert [one.certificate.signer for one in state.expires(MADE, 10)] == [OTHER_HOST.signer_id]
    assert [one.certificate.signer for one in state.expires(end - timedelta(days=10), 10)] == [
        OTHER_HOST.signer_id, HOST.signer_id,
    ]  # fmt: skip
    assert state.may(OTHER_HOST.signer_id, "backup")
    assert judged(state, signer=OTHER_HOST.signer_id) is Judgment.ACCEPTED
    log.add(certificate(OTHER_HOST, not_after_utc=end))
    assert log.read().expires(MADE, 10) == []
