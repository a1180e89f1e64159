"""k of n approvers: what waits for them, what counts as their yes, and what one stolen key is worth against them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.approved import beyond_rules, unapproved_commits
from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.catalog.approvals import read_approvals, require_approval
from farshore.catalog.notes import kept_commits
from farshore.catalog.snapshots import resolve_snapshot
from farshore.errors import ApprovalMissing, ConfigInvalid, KeyMissing, SnapshotUnknown
from farshore.format import decode_object, encode_canonical, names
from farshore.format.approval import Act, Approval, Asked, encode_approval
from farshore.ops.retain.approving import Approved, approve, list_requests
from farshore.ops.retain.forget import forget_snapshots
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.owner_actions import append_entry
from farshore.ops.setup.policy import plan_policy, set_policy
from farshore.run import Run
from farshore.sealed import Role
from farshore.signing import SignedKind, SigningKey, generate_signing_key
from farshore.trust.action_codec import encode_action
from farshore.trust.actions import Right
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import forget, maintainer, put, revoke
from tests.unit.ops.retain.test_keeping import keep, lift, put_note
from tests.unit.ops.tree_source import TreeSource

DAY_S = 86_400
HOSTS = ("alice", "bob", "carol")


class World:
    """Five snapshots, one a day; two of three approvers have to agree to what the last two days' rule keeps."""

    def __init__(self, root: Path) -> None:
        self.engine = Engine(root, urls=fresh_memory_urls("a", "b"), quorum=1).initialize()
        tree = TreeSource(clock=self.engine.clock)
        self.ids = []
        for number in range(5):
            tree.file(b"one", random.Random(number).randbytes(3_000))
            self.ids.append(self.engine.backup(tree).snapshot_id)
            self.engine.clock.advance(DAY_S)
        self.keys: dict[str, SigningKey] = {}
        with self.engine.opened(Need.OWNER) as repository:
            for host in HOSTS:
                key = enroll(repository, host, role=Role.APPROVER).credential.signing_key
                assert key is not None
                self.keys[host] = key
            self.set_policy(2, {"keep_daily": 2})

    def set_policy(self, approvals: int, retention: dict[str, int | str], approvers: Sequence[str] = HOSTS) -> None:
        with self.engine.opened(Need.OWNER) as repository:
            wanted = plan_policy(
                repository, approvers=approvers, approvals=approvals, delete_max=30, retention=retention
            )
            set_policy(repository, wanted, reason="a test")

    def set_policy_with_approvals(self, delete_max: int) -> None:
        """Change how much may be deleted at once, as the approvers agree."""
        with self.engine.opened(Need.OWNER) as repository:
            before = repository.trust.policy
            assert before is not None
            wanted = replace(before, delete_max=delete_max)
            with pytest.raises(ApprovalMissing):
                set_policy(repository, wanted, reason="a test")
            (request,) = (one.request for one in list_requests(repository) if one.act is Act.POLICY)
        for host in ("alice", "bob"):
            self.approve(host, request)
        with self.engine.opened(Need.OWNER) as repository:
            set_policy(repository, wanted, reason="a test")

    def narrow_the_maker(self) -> None:
        """Leave the key at hand what a reader's has after `key split`: no right to back up, and none to maintain."""
        with self.engine.opened(Need.OWNER) as repository:
            signer = repository.writing_keys().signing_key
            assert signer is not None
            certified = repository.trust.certificate(signer.signer_id)
            assert certified is not None
            rights = frozenset({Right.RESTORE, Right.VERIFY, Right.HEAL})
            append_entry(repository, [replace(certified.certificate, rights=rights)])

    def forget(self, *snapshots: str) -> None:
        with self.engine.opened() as repository:
            chosen = [resolve_snapshot(repository, one) for one in snapshots]
            forget_snapshots(repository, chosen, reason="a test", rule="", run=Run.start(self.engine.clock))

    def asks(self, *snapshots: str) -> str:
        """Forget, be refused, and return the id of the request."""
        with pytest.raises(ApprovalMissing, match="needs 2 approvals"):
            self.forget(*snapshots)
        with self.engine.opened() as repository:
            return list_requests(repository)[-1].request

    def approve(self, host: str, request: str) -> Approved:
        """Agree with the key of a host, as its credential would."""
        with self.engine.opened() as repository:
            assert repository.keys is not None
            repository.keys = replace(repository.keys, signing_key=self.keys[host])
            return approve(repository, request, reason="", run=Run.start(self.engine.clock))

    def spared(self) -> set[str]:
        """Return the forgotten snapshots that a pruner takes as roots."""
        with self.engine.opened(Need.NONE) as repository:
            listed = list_commits(repository)
            return {listed.forgotten[one].snapshot for one in unapproved_commits(repository, listed)}

    def put_word(self, key: SigningKey, asked: Asked, changed: dict[str, object] | None = None) -> None:
        """Put an approval as somebody with put rights and this key would."""
        _, fingerprint, log = maintainer(self.engine)
        word = Approval(asked, approves=True, reason="", made_utc=self.engine.clock.now_utc(), log=log)
        body = encode_canonical({**decode_object(encode_approval(word), "an approval"), **(changed or {})})
        data = signed_text(key, SignedKind.APPROVAL, names.approval_subject(asked.request), body, fingerprint)
        put(self.engine, "a", names.approval(asked.request, names.hash_of(data)), data)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "engine")


def asked_of(world: World, request: str) -> Asked:
    with world.engine.opened() as repository:
        return read_approvals(repository).requests[request].asked


def test_what_the_signed_rules_keep_waits_for_two_of_three(world: World) -> None:
    world.forget(world.ids[0])  # beyond the rules it is not
    request = world.asks(world.ids[1], world.ids[3])
    assert world.asks(world.ids[3]) == request, "the same act is asked for once"
    with world.engine.opened() as repository:
        (pending,) = list_requests(repository)
        assert [one.snapshot for one in pending.snapshots] == [world.ids[3]], "only what is beyond the rules"
        assert (pending.act, pending.reason, pending.hosts, pending.needed) == (Act.FORGET, "a test", (), 2)
    assert not world.approve("alice", request).request.granted
    assert world.approve("alice", request[:8]).request.hosts == ("alice",), "each counts once"
    with pytest.raises(ApprovalMissing, match="has 1: request") as raised:
        world.forget(world.ids[3])
    assert "Ask 1 of bob, carol" in raised.value.hint
    assert world.approve("carol", request).request.granted
    world.forget(world.ids[3])
    assert world.spared() == set()
    assert world.engine.verify().clean
    heal(world.engine)
    for replica in "ab":
        assert len(world.engine.objects(replica, names.APPROVALS)) == 4


def test_a_tombstone_past_the_program_hides_a_snapshot_and_destroys_none(world: World) -> None:
    """With a maintainer's key and put rights: what the signed rules keep stays a root for an honest pruner."""
    for one in world.ids[:4]:
        forget(world.engine, "a", one)
    assert world.spared() == {world.ids[3]}
    request = world.asks(world.ids[4])
    world.approve("alice", request)
    world.approve("bob", request)
    assert world.spared() == {world.ids[3]}, "approvals of another snapshot"


def test_without_signed_rules_everything_waits(world: World) -> None:
    with world.engine.opened(Need.OWNER) as repository:
        wanted = plan_policy(repository, approvers=HOSTS, approvals=2, delete_max=None, retention={})
        with pytest.raises(ApprovalMissing):
            set_policy(repository, wanted, reason="rules go")
        request = next(one.request for one in list_requests(repository) if one.act is Act.POLICY)
    for host in ("alice", "bob"):
        world.approve(host, request)
    with world.engine.opened(Need.OWNER) as repository:
        set_policy(repository, wanted, reason="rules go")
        listed = list_commits(repository)
        assert beyond_rules(repository, listed, listed.heads) == set(listed.heads)


def test_nobody_else_s_yes_counts(world: World) -> None:
    request = world.asks(world.ids[4])
    asked = asked_of(world, request)
    own, _, _ = maintainer(world.engine)
    with world.engine.opened(Need.OWNER) as repository:
        stranger = enroll(repository, "dave", role=Role.APPROVER).credential.signing_key  # in no policy
    assert stranger is not None
    for key in (own, stranger, generate_signing_key()):
        world.put_word(key, asked)
    world.put_word(world.keys["alice"], replace(asked, limit=1), {"request": request})  # another act under this id
    world.put_word(world.keys["alice"], replace(asked, nonce="0" * 32))
    assert asked_of(world, request) == asked
    with world.engine.opened() as repository:
        assert read_approvals(repository).requests[request].approvers == ()
        with pytest.raises(KeyMissing, match="none of the approvers"):
            approve(repository, request, reason="", run=Run.start(world.engine.clock))


def test_a_revoked_approver_counts_no_more(world: World) -> None:
    request = world.asks(world.ids[4])
    world.approve("alice", request)
    world.approve("bob", request)
    revoke(world.engine, world.keys["bob"].signer_id)
    with pytest.raises(ApprovalMissing, match="has 1") as raised:
        world.forget(world.ids[4])
    assert "Ask 1 of carol" in raised.value.hint
    revoke(world.engine, world.keys["carol"].signer_id)
    with pytest.raises(ApprovalMissing) as raised:
        world.forget(world.ids[4])
    assert "Only 1 of the approvers have the right now" in raised.value.hint
    world.set_policy(0, {}, ())  # so the owner may, alone
    world.forget(world.ids[4])


def test_a_request_ends(world: World) -> None:
    request = world.asks(world.ids[4])
    world.approve("alice", request)
    world.approve("bob", request)
    world.engine.clock.advance(8 * DAY_S)
    assert world.asks(world.ids[4]) != request
    with pytest.raises(SnapshotUnknown, match="has ended"):
        world.approve("carol", request)


def test_a_hold_is_lifted_by_approvers_and_not_past_the_program(world: World) -> None:
    keep(world.engine, world.ids[0])
    commit = world.engine.commit_of(world.ids[0]).hash
    with pytest.raises(ApprovalMissing):
        lift(world.engine, world.ids[0])
    with world.engine.opened() as repository:
        (pending,) = list_requests(repository)
    assert [one.snapshot for one in pending.snapshots] == [world.ids[0]]
    world.approve("alice", pending.request)
    key, _, _ = maintainer(world.engine)
    (held,) = world.engine.objects("a", names.NOTES)
    put_note(world.engine, "a", key, world.ids[0], {"keep": "", "lifts": [held[-64:]]})
    with world.engine.opened() as repository:
        assert commit in kept_commits(repository, list_commits(repository))
    world.approve("bob", pending.request)
    with world.engine.opened() as repository:
        assert commit not in kept_commits(repository, list_commits(repository))


def test_a_hold_whose_end_was_agreed_is_lifted(world: World) -> None:
    keep(world.engine, world.ids[0])
    with pytest.raises(ApprovalMissing):
        lift(world.engine, world.ids[0])
    with world.engine.opened() as repository:
        (pending,) = list_requests(repository)
    for host in ("alice", "bob"):
        world.approve(host, pending.request)
    lift(world.engine, world.ids[0])
    world.engine.clock.advance(30 * DAY_S)
    with world.engine.opened() as repository:
        assert not kept_commits(repository, list_commits(repository)), "a hold does not return when its request ends"


def test_a_deletion_is_granted_up_to_its_bytes(world: World) -> None:
    place = [names.hash_of(b"memory://a")]
    with world.engine.opened() as repository:
        with pytest.raises(ApprovalMissing):
            require_approval(repository, Act.DELETE, place, limit=1000, reason="a year at once")
        (pending,) = list_requests(repository)
    world.approve("alice", pending.request)
    world.approve("bob", pending.request)
    with world.engine.opened() as repository:
        require_approval(repository, Act.DELETE, place, limit=999, reason="")
        for objects, limit in ((place, 1001), ([names.hash_of(b"memory://b")], 1)):
            with pytest.raises(ApprovalMissing):
                require_approval(repository, Act.DELETE, objects, limit=limit, reason="")


def test_a_reader_asks_for_a_policy_and_the_approvers_see_it(world: World) -> None:
    """After `key split` no key is both the owner's and a maintainer's, and an approver agrees to no hash unseen."""
    world.narrow_the_maker()
    with world.engine.opened(Need.OWNER) as repository:
        wanted = plan_policy(repository, approvers=["alice"], approvals=1, delete_max=5, retention={"keep_last": 1})
        with pytest.raises(ApprovalMissing):
            set_policy(repository, wanted, reason="fewer people")
        (pending,) = list_requests(repository)
        assert pending.policy == encode_action(wanted)
        assert pending.policy_text == "1 of alice have to agree; at most 5 % deleted at once; rules keep_last = 1"
        assert repository.trust.may(repository.writing_keys().signing_key.signer_id, Right.RESTORE)  # type: ignore[union-attr]
        with pytest.raises(KeyMissing, match="sign no request"):
            require_approval(repository, Act.FORGET, ["a" * 64], reason="a reader may not")
    for host in ("alice", "bob"):
        world.approve(host, pending.request)
    with world.engine.opened(Need.OWNER) as repository:
        set_policy(repository, wanted, reason="fewer people")
        assert repository.trust.policy == wanted
        wanted = plan_policy(repository, approvers=["bob"], approvals=1, delete_max=5, retention={})
        repository.keys = replace(repository.writing_keys(), signing_key=None)  # the owner's secret alone
        with pytest.raises(KeyMissing, match="sign no request"):
            set_policy(repository, wanted, reason="alone")


@pytest.mark.parametrize("shown", [None, {"action": "policy", "approvers": [], "approvals": 9}], ids=["none", "other"])
def test_a_request_for_a_policy_that_shows_another_is_none(world: World, shown: dict[str, object] | None) -> None:
    key, fingerprint, log = maintainer(world.engine)
    now_utc = world.engine.clock.now_utc()
    asked = Asked(Act.POLICY, ("d" * 64,), 0, now_utc, "0" * 32)
    body = encode_approval(Approval(asked, approves=False, reason="", made_utc=now_utc, log=log, policy=shown))
    data = signed_text(key, SignedKind.APPROVAL, names.approval_subject(asked.request), body, fingerprint)
    put(world.engine, "a", names.approval(asked.request, names.hash_of(data)), data)
    with world.engine.opened() as repository:
        assert list_requests(repository) == []


def test_approvers_see_which_source_and_which_replica(world: World) -> None:
    """By the names in certificates and in their own file: an approver's key opens nothing."""
    source_id = world.engine.commit_of(world.ids[4]).source_id
    world.asks(world.ids[4])
    with world.engine.opened(Need.OWNER) as repository:
        signer = repository.writing_keys().signing_key
        assert signer is not None
        certified = repository.trust.certificate(signer.signer_id)
        assert certified is not None
        append_entry(repository, [replace(certified.certificate, sources={source_id: "orders"})])
    with world.engine.opened() as repository:
        place = names.hash_of(repository.replicas["b"].url.encode())
        with pytest.raises(ApprovalMissing):
            require_approval(repository, Act.DELETE, [place], limit=1000, reason="a year at once")
    with world.engine.opened(Need.NONE) as repository:
        by_act = {one.act: one for one in list_requests(repository)}
    assert [one.source for one in by_act[Act.FORGET].snapshots] == ["orders"]
    assert by_act[Act.DELETE].replicas == ("b",)


def test_a_policy_that_can_never_be_met_is_refused(world: World) -> None:
    with world.engine.opened(Need.OWNER) as repository:
        for approvers, approvals in ((["alice"], 2), (["alice", "alice"], 2), (["nobody"], 1), (["reader"], 1)):
            with pytest.raises(ConfigInvalid):
                plan_policy(repository, approvers=approvers, approvals=approvals, delete_max=None, retention={})
