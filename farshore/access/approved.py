"""Which forgotten snapshots stay all the same, because the rules of the owner log keep them and nobody approved.

A deletion asks this. Forgetting can be undone, so a tombstone counts at once for listings; its bytes go only where the
signed rules keep the snapshot no more, or enough approvers agreed. So a stolen maintainer's key alone destroys nothing
that an honest pruner would not delete anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from farshore.catalog import ListedCommits
from farshore.catalog.approvals import read_approvals
from farshore.catalog.snapshots import order_commits
from farshore.catalog.tombstones import active_tombstones
from farshore.config import RetentionConfig, read_retention
from farshore.errors import ConfigInvalid
from farshore.format.approval import Act
from farshore.format.commit import CommitHead
from farshore.model import SnapshotCounts, SnapshotInfo
from farshore.replicas.repository import Repository
from farshore.retention.rules import judge
from farshore.trust import TrustState
from farshore.trust.actions import Right, SetPolicy
from farshore.trust.order import Place


def signed_rules(trust: TrustState) -> RetentionConfig | None:
    """Return the rules that the policy of the owner log has for every source; None where it has none, or unknown ones.

    Without rules everything is beyond them.
    """
    policy = trust.policy
    if policy is None or not policy.retention:
        return None
    try:
        return read_retention(dict(policy.retention), Path("/"))
    except ConfigInvalid:
        return None


def describe_policy(trust: TrustState, policy: SetPolicy) -> str:
    """Return all that a policy says, in words, for its approvers. Approvers that are revoked are named."""
    able: list[str] = []
    others: list[str] = []
    for signer in policy.approvers:
        certified = trust.certificate(signer)
        host = certified.certificate.host if certified is not None else signer[:16]
        (able if trust.may(signer, Right.APPROVE) else others).append(host)
    whom = f"{policy.approvals} of {', '.join(sorted(able)) or 'no approvers'} have to agree"
    said = [whom if policy.approvals else "nobody has to agree to anything"]
    if others:
        said.append(f"named and without the right now: {', '.join(sorted(others))}")
    if policy.delete_max is not None:
        said.append(f"at most {policy.delete_max} % deleted at once")
    rules = ", ".join(f"{key} = {value}" for key, value in sorted(policy.retention.items()))
    if rules or policy.approvals:
        said.append(f"rules {rules}" if rules else "no rules, so forgetting any snapshot waits for them")
    if policy.other:
        said.append(f"and what this version does not know: {', '.join(sorted(policy.other))}")
    return "; ".join(said)


def beyond_rules(repository: Repository, listed: ListedCommits, commits: Collection[str]) -> set[str]:
    """Return those of these commits, by hash, that the signed rules keep, so that forgetting them needs approvals.

    Judged with all commits that are there, forgotten ones too; so more snapshots only ever let more of the old ones go.
    Needs no key. Empty where the owner log asks for no approvals.
    """
    policy = repository.trust.policy
    if policy is None or not policy.approvals:
        return set()
    rules = signed_rules(repository.trust)
    if rules is None:
        return set(commits)
    everything = replace(listed, heads={**listed.forgotten, **listed.heads})
    kept: set[str] = set()
    for order in order_commits(repository, everything).values():
        infos = [_info(everything.heads[one], place) for one, place in order.places.items()]
        infos.sort(key=lambda one: (one.sequence, one.committed_utc, one.snapshot_id))
        kept |= {one.snapshot.snapshot_id for one in judge(infos, rules) if one.kept}
    known = everything.heads.keys()
    return {one for one in commits if one in kept or one not in known}


def unapproved_commits(repository: Repository, listed: ListedCommits) -> Mapping[str, str]:
    """Return the forgotten commits that are roots all the same, by hash, each with why. A deletion asks this.

    Raises:
        FarshoreError: As listings do.
    """
    beyond = beyond_rules(repository, listed, listed.forgotten)
    if not beyond:
        return {}
    approvals, stones = read_approvals(repository), active_tombstones(repository)
    return {
        one: f"the signed rules keep it, and fewer than {approvals.needed} approvers agreed to forget it"
        for one in beyond
        if not any(approvals.grants(Act.FORGET, [one], stone.made_utc) for stone in stones.get(one, {}).values())
    }


def approvals_to_forget(repository: Repository, listed: ListedCommits, commits: Collection[str]) -> set[str]:
    """Return the hashes of the approvals without which these forgotten commits would stay.

    Raises:
        FarshoreError: As listings do.
    """
    beyond = beyond_rules(repository, listed, commits)
    if not beyond:
        return set()
    approvals, stones = read_approvals(repository), active_tombstones(repository)
    return {
        approval
        for one in beyond
        for stone in stones.get(one, {}).values()
        for approval in approvals.granted_by(Act.FORGET, [one], stone.made_utc)
    }


def _info(head: CommitHead, place: Place) -> SnapshotInfo:
    """Return what rules judge by, of a commit whose details need no key; its hash is used as its id."""
    return SnapshotInfo(
        snapshot_id=head.hash, source_id=head.source_id, source="", kind="", identity="",
        started_utc=head.started_utc, committed_utc=head.committed_utc, counts=SnapshotCounts(), replicas=(),
        state=head.state, sequence=head.sequence, misdated=place is Place.MISDATED, forked=place is Place.FORKED,
        ahead=place is Place.AHEAD,
    )  # fmt: skip
