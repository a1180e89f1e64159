"""Requests that wait for approvers, in words, and the yes of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from farshore.access.approved import describe_policy
from farshore.catalog import list_commits
from farshore.catalog.approvals import Approvals, Request, read_approvals, sign_approval
from farshore.catalog.notes import list_notes
from farshore.errors import KeyMissing, SnapshotUnknown
from farshore.format import names
from farshore.format.approval import Act, Approval
from farshore.format.commit import Commit
from farshore.replicas.lease_holder import known_log
from farshore.replicas.owner_log import check_writable
from farshore.replicas.put_signed import put_signed
from farshore.replicas.repository import Repository
from farshore.run import Run
from farshore.trust.action_codec import decode_action
from farshore.trust.actions import Right, SetPolicy


@dataclass(frozen=True, slots=True)
class AskedSnapshot:
    """A snapshot that a request is about. `source` is its id where neither a key nor a certificate has its name."""

    snapshot: str
    source: str
    committed_utc: datetime


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """One request: the act, of what, who asks why, and who has agreed. `hosts`: names of the approvers that did.

    `objects`: hashes that are no snapshot's, or of one that is gone. `replicas`: names of those to delete at, as this
    host names them. `policy`: the action that would be in force, and `policy_text` the same in words; None and empty
    otherwise. `ended`: the act may not happen any more.
    """

    request: str
    act: Act
    snapshots: tuple[AskedSnapshot, ...]
    objects: tuple[str, ...]
    limit: int
    asked_by: tuple[str, ...]
    reason: str
    asked_utc: datetime | None
    ends_utc: datetime
    hosts: tuple[str, ...]
    needed: int
    ended: bool
    replicas: tuple[str, ...] = ()
    policy: Mapping[str, object] | None = None
    policy_text: str = ""

    @property
    def granted(self) -> bool:
        """Whether enough have agreed."""
        return len(self.hosts) >= self.needed


@dataclass(frozen=True, slots=True)
class Approved:
    """A request that this key agrees to now. `failed`: replicas that lack the word of it."""

    request: PendingRequest
    failed: Mapping[str, str] = field(default_factory=dict)


def list_requests(repository: Repository) -> list[PendingRequest]:
    """Return every request whose signer may ask, the first to end first; none where no approvals are needed."""
    approvals = read_approvals(repository)
    known = _snapshots(repository) if approvals.requests else {}
    found = [_pending(repository, approvals, one, known) for one in approvals.requests.values() if one.asks]
    return sorted(found, key=lambda one: (one.ends_utc, one.request))


def find_request(repository: Repository, request: str) -> PendingRequest:
    """Return a request by its id or a unique prefix of it.

    Raises:
        SnapshotUnknown: There is none, or more than one.
    """
    matching = [one for one in list_requests(repository) if one.request.startswith(request)]
    if len(matching) != 1:
        raise SnapshotUnknown(
            f"{request} {'begins more than one request' if matching else 'is no request of anybody who may ask'}",
            "'farshore approve --list' shows them.",
        )
    return matching[0]


def approve(repository: Repository, request: str, *, reason: str, run: Run) -> Approved:
    """Agree to a request with the key at hand. Repeatable: a second yes of one approver counts for nothing.

    Raises:
        SnapshotUnknown: There is no such request, or it has ended.
        KeyMissing: The key at hand is none of the policy's approvers, or has no right to approve.
        FeatureMissing, LogForked, QuorumNotReached: As forgetting does.
    """
    check_writable(repository.trust)
    keys, policy = repository.writing_keys(), repository.trust.policy
    signer = keys.signing_key.signer_id if keys.signing_key is not None else ""
    if policy is None or signer not in policy.approvers or not repository.trust.may(signer, Right.APPROVE):
        raise KeyMissing(
            "the key at hand is none of the approvers in the owner log",
            "Use the credential of an approver; 'farshore key log' shows who is one.",
        )
    found = find_request(repository, request)
    if found.ended:
        raise SnapshotUnknown(f"request {found.request[:12]} has ended", "Whoever made it has to make another.")
    asked = read_approvals(repository).requests[found.request].asked
    word = Approval(asked, approves=True, reason=reason, made_utc=run.clock.now_utc(), log=known_log(repository))
    failed = put_signed(repository, [sign_approval(keys, word)], "accepted the approval")
    return Approved(find_request(repository, found.request), failed)


def _snapshots(repository: Repository) -> dict[str, AskedSnapshot]:
    """Return the snapshots by the hashes that acts name: of commits, and of notes on them."""
    listed = list_commits(repository)
    heads = {**listed.forgotten, **listed.heads}
    certified = repository.trust.source_names()
    found = {
        one: AskedSnapshot(
            head.snapshot,
            head.source if isinstance(head, Commit) else certified.get(head.source_id, head.source_id),
            head.committed_utc,
        )
        for one, head in heads.items()
    }
    notes, _ = list_notes(repository)
    return {**found, **{one: found[note.note.commit] for one, note in notes.items() if note.note.commit in found}}


def _pending(
    repository: Repository, approvals: Approvals, request: Request, known: Mapping[str, AskedSnapshot]
) -> PendingRequest:
    asked = request.asked
    places = {names.hash_of(replica.url.encode()): name for name, replica in repository.replicas.items()}
    deleting = asked.act is Act.DELETE
    policy = request.asks[0].approval.policy if request.asks else None
    return PendingRequest(
        request=asked.request,
        act=asked.act,
        snapshots=tuple(known[one] for one in asked.objects if one in known),
        objects=tuple(one for one in asked.objects if one not in known),
        limit=asked.limit,
        asked_by=tuple(_host(repository, one.signer) for one in request.asks),
        reason=request.asks[0].approval.reason if request.asks else "",
        asked_utc=request.asks[0].approval.made_utc if request.asks else None,
        ends_utc=asked.ends_utc,
        hosts=tuple(_host(repository, one) for one in request.approvers),
        needed=approvals.needed,
        ended=asked.ends_utc < repository.clock.now_utc(),
        replicas=tuple(places[one] for one in asked.objects if deleting and one in places),
        policy=policy,
        policy_text=_policy_in_words(repository, policy),
    )


def _policy_in_words(repository: Repository, policy: Mapping[str, object] | None) -> str:
    if policy is None:
        return ""
    unknown: list[str] = []
    action = decode_action(policy, unknown)
    said = describe_policy(repository.trust, action) if isinstance(action, SetPolicy) else "no policy"
    return "; and what this version does not know: ".join([said, ", ".join(unknown)] if unknown else [said])


def _host(repository: Repository, signer: str) -> str:
    certified = repository.trust.certificate(signer)
    return certified.certificate.host if certified is not None else signer
