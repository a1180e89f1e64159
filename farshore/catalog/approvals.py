"""Approvals of all replicas together: which acts enough approvers have agreed to, by the owner log as it is now.

Who approves, and how many have to, the policy in the owner log says, never a file on the host that acts. An approval
counts where its signer is one of the policy's approvers and has the right; each counts once. A request counts where a
maintainer signed it, or of a policy a reader, whose secret is beside the owner's; it is only a question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farshore.catalog.signed_objects import holders_of, read_counting
from farshore.errors import ApprovalMissing, FormatTooNew, KeyMissing, ObjectCorrupt
from farshore.format import names
from farshore.format.approval import Act, Approval, Asked, decode_approval, encode_approval
from farshore.replicas.lease_holder import known_log
from farshore.replicas.put_signed import put_signed
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker, sign_text
from farshore.sealed import KeySet
from farshore.signing import SignedKind
from farshore.trust import TrustState
from farshore.trust.actions import Right

ENDS_AFTER = timedelta(days=7)  # of a request: approvers answer within it, and the act happens
_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class SignedApproval:
    """A request or an approval that counts, and who signed it."""

    hash: str
    signer: str
    approval: Approval


@dataclass(frozen=True, slots=True)
class Request:
    """An act that was asked for, by whom, and who has approved it; each approver once, with one yes in `approvals`."""

    asked: Asked
    asks: tuple[SignedApproval, ...]
    approvers: tuple[str, ...]
    approvals: tuple[SignedApproval, ...] = ()

    def allows(self, act: Act, objects: Collection[str], limit: int, at_utc: datetime) -> bool:
        """Whether it is this act, of these objects or more, and had not ended by then."""
        asked = self.asked
        return (
            asked.act is act
            and asked.ends_utc >= at_utc
            and limit <= asked.limit
            and set(asked.objects) >= set(objects)
        )


@dataclass(frozen=True, slots=True)
class Approvals:
    """All requests that are known, by id, and how many approvals an act needs; 0 where the owner asks for none."""

    needed: int = 0
    requests: Mapping[str, Request] = field(default_factory=dict)

    def grants(self, act: Act, objects: Collection[str], at_utc: datetime, *, limit: int = 0) -> bool:
        """Whether enough approvers agreed to an act that happened, or happens, at this moment."""
        return not self.needed or bool(self.granted_by(act, objects, at_utc, limit=limit))

    def granted_by(self, act: Act, objects: Collection[str], at_utc: datetime, *, limit: int = 0) -> tuple[str, ...]:
        """Return the hashes of the approvals that grant an act, sorted; none where it is not granted, or needs none."""
        for one in self.requests.values():
            if self.needed and len(one.approvers) >= self.needed and one.allows(act, objects, limit, at_utc):
                return tuple(sorted(approval.hash for approval in one.approvals))
        return ()


def approvals_needed(trust: TrustState) -> int:
    """Return how many approvals the owner log asks for; 0 where it asks for none."""
    return trust.policy.approvals if trust.policy is not None else 0


def read_approvals(repository: Repository) -> Approvals:
    """Return the requests and approvals that count, of the replicas that can be asked; none where none is needed."""
    needed = approvals_needed(repository.trust)
    if not needed:
        return Approvals()
    listed, failed = repository.ask_all(
        lambda replica: [info.name for info in replica.store.list(names.APPROVALS) if names.parse_approval(info.name)]
    )
    repository.note_unasked(failed)
    read = read_approval_objects(repository, holders_of(listed), repository.replicas)
    return Approvals(needed, join_approvals(repository.trust, read.values()))


def join_approvals(trust: TrustState, read: Iterable[SignedApproval]) -> dict[str, Request]:
    """Return what requests and approvals say together, by request."""
    policy = trust.policy
    approvers = set(policy.approvers) if policy is not None else set()
    asks: dict[str, list[SignedApproval]] = {}
    approved: dict[str, dict[str, SignedApproval]] = {}
    acts: dict[str, Asked] = {}
    for one in sorted(read, key=lambda one: (one.approval.made_utc, one.hash)):
        request = one.approval.asked.request
        if one.approval.approves and one.signer in approvers and trust.may(one.signer, Right.APPROVE):
            approved.setdefault(request, {}).setdefault(one.signer, one)
        elif not one.approval.approves and _may_ask(trust, one.signer, one.approval.asked.act):
            asks.setdefault(request, []).append(one)
        else:
            continue
        acts[request] = one.approval.asked
    return {
        request: Request(asked, tuple(asks.get(request, ())), tuple(sorted(yes)), tuple(yes.values()))
        for request, asked in acts.items()
        for yes in (approved.get(request, {}),)
    }


def read_approval_objects(
    repository: Repository, holders: Mapping[str, Iterable[str]], replicas: Mapping[str, Replica]
) -> dict[str, SignedApproval]:
    """Return by name those whose signer may ask or approve.

    Args:
        holders: Names, and the replicas that list each.
    """
    if not holders:
        return {}
    checker = SignatureChecker.of(repository)
    return read_counting(
        repository, holders, replicas, lambda name, data: _judge(checker, name, data), memory="void-approvals"
    )


def require_approval(
    repository: Repository,
    act: Act,
    objects: Sequence[str],
    *,
    reason: str,
    limit: int = 0,
    policy: Mapping[str, object] | None = None,
) -> tuple[str, ...]:
    """Return the hashes of the approvals by which an act is granted, none where none is needed; else ask, and raise.

    Args:
        objects: Hashes, as `Act` says.
        limit: The bytes that a deletion would remove.
        policy: The action, where the act is a policy, for the approvers to see.

    Raises:
        ApprovalMissing: It is asked for now; the message says which request, and the hint whom to ask.
        KeyMissing: The keys at hand sign no request that approvers would see.
        QuorumNotReached: Too few replicas accepted the request.
    """
    approvals, now_utc = read_approvals(repository), repository.clock.now_utc()
    if approvals.grants(act, objects, now_utc, limit=limit):
        return approvals.granted_by(act, objects, now_utc, limit=limit)
    waiting = [one for one in approvals.requests.values() if one.asks and one.allows(act, objects, limit, now_utc)]
    found = max(waiting, key=lambda one: len(one.approvers), default=None)
    asked = found.asked if found is not None else _ask(repository, act, objects, limit, reason, policy)
    have = found.approvers if found is not None else ()
    raise ApprovalMissing(
        f"this needs {approvals.needed} approvals and has {len(have)}: request {asked.request[:12]}, until "
        f"{asked.ends_utc:%Y-%m-%d %H:%M} UTC",
        f"{_whom_to_ask(repository.trust, approvals.needed, have)}: 'farshore approve {asked.request[:12]}'. "
        "Then run this again.",
    )


def sign_approval(keys: KeySet, approval: Approval) -> tuple[str, bytes]:
    """Return the name and the bytes of a request or an approval.

    Raises:
        SourceNotEnrolled: The keys at hand sign nothing.
    """
    request = approval.asked.request
    data = sign_text(keys, SignedKind.APPROVAL, names.approval_subject(request), encode_approval(approval))
    return names.approval(request, names.hash_of(data)), data


def _may_ask(trust: TrustState, signer: str, act: Act) -> bool:
    """Whether approvers see what this signer asks. The owner's key signs no request, and a policy needs it."""
    return trust.may(signer, Right.MAINTAIN) or (act is Act.POLICY and trust.may(signer, Right.RESTORE))


def _ask(
    repository: Repository,
    act: Act,
    objects: Sequence[str],
    limit: int,
    reason: str,
    policy: Mapping[str, object] | None,
) -> Asked:
    now_utc, keys = repository.clock.now_utc(), repository.writing_keys()
    if keys.signing_key is None or not _may_ask(repository.trust, keys.signing_key.signer_id, act):
        raise KeyMissing(
            "the approvers have to agree, and the keys at hand sign no request to them",
            "Use a key with the right to maintain; for 'farshore key policy' a reader's secret, with the owner's in "
            "FARSHORE_OWNER_IDENTITY or FARSHORE_OWNER_PASSPHRASE.",
        )
    nonce = repository.clock.random_bytes(_NONCE_BYTES).hex()
    asked = Asked(act, tuple(sorted(set(objects))), limit, now_utc + ENDS_AFTER, nonce)
    made = sign_approval(
        keys,
        Approval(asked, approves=False, reason=reason, made_utc=now_utc, log=known_log(repository), policy=policy),
    )
    put_signed(repository, [made], "accepted the request")
    return asked


def _whom_to_ask(trust: TrustState, needed: int, have: Collection[str]) -> str:
    approvers = trust.policy.approvers if trust.policy is not None else ()
    able = [one for one in approvers if trust.may(one, Right.APPROVE)]
    hosts = [found.certificate.host for one in able if one not in have and (found := trust.certificate(one))]
    if len(able) < needed:
        return (
            f"Only {len(able)} of the approvers have the right now ({', '.join(sorted(hosts)) or 'none'}), so the "
            "owner has to name others with 'farshore key policy'; then ask them"
        )
    return f"Ask {needed - len(have)} of {', '.join(sorted(hosts))}"


def _judge(checker: SignatureChecker, name: str, data: bytes) -> SignedApproval | None:
    parsed = names.parse_approval(name)
    text = checker.check(SignedKind.APPROVAL, name, data, names.approval_subject(parsed.request)) if parsed else None
    if parsed is None or text is None:
        return None
    trust = checker.trust()
    if not any(trust.may(text.signer, one) for one in (Right.APPROVE, Right.MAINTAIN, Right.RESTORE)):
        return None
    try:
        approval = decode_approval(text.value, name)
    except (FormatTooNew, ObjectCorrupt):
        return None
    return SignedApproval(parsed.hash, text.signer, approval) if approval.asked.request == parsed.request else None
