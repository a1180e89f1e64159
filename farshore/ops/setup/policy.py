"""The policy of the owner log: who approves what is dangerous, how many have to, and the rules that are the least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from farshore.catalog.approvals import require_approval
from farshore.errors import ConfigInvalid
from farshore.format import encode_canonical, names
from farshore.format.approval import Act
from farshore.ops.setup.owner_actions import AppendedEntry, append_entry, owner_key
from farshore.replicas.repository import Repository
from farshore.trust.action_codec import encode_action
from farshore.trust.actions import Right, SetPolicy


def plan_policy(
    repository: Repository,
    *,
    approvers: Sequence[str],
    approvals: int,
    delete_max: int | None,
    retention: Mapping[str, int | str],
) -> SetPolicy:
    """Return the policy that these words mean; it replaces the one in force as a whole. Changes nothing.

    Args:
        approvers: Hosts, or beginnings of signer ids, whose certificates have the right to approve.
        approvals: How many of them have to agree; 0 where none is asked.
        delete_max: Percent of the bytes of a replica that may be deleted at once; None: whatever the program says.
        retention: Rules, as a configuration has them.

    Raises:
        ConfigInvalid: An approver is unknown or has no right to approve, or there are fewer than approvals.
    """
    trust = repository.trust
    able = {signer: one for signer in trust.certificates
            if (one := trust.certificate(signer)) is not None and trust.may(signer, Right.APPROVE)}  # fmt: skip
    chosen: list[str] = []
    for given in approvers:
        matching = [
            signer for signer, one in able.items()
            if one.certificate.host == given or (len(given) >= 8 and signer.startswith(given))
        ]  # fmt: skip
        if len(matching) != 1:
            raise ConfigInvalid(
                f"{given!r} is {'more than one' if matching else 'none'} of the keys that may approve",
                "'farshore key enroll HOST --role approver' makes one; 'farshore key list' shows them.",
            )
        chosen += matching
    if approvals > len(set(chosen)):
        raise ConfigInvalid(
            f"{approvals} approvals of {len(set(chosen))} approvers can never be", "Name more with --approver."
        )
    other = trust.policy.other if trust.policy is not None else {}
    return SetPolicy(tuple(sorted(set(chosen))), approvals, delete_max, other, dict(retention))


def set_policy(repository: Repository, policy: SetPolicy, *, reason: str) -> AppendedEntry:
    """Put a policy into force. Where one asks for approvals already, its approvers have to agree to any change.

    They do not where fewer of them have the right than have to agree: else a policy whose approvers left could never
    end. The owner's key can sign any entry; that it asks here is a promise of the program, not of the signature.

    Raises:
        KeyMissing: The owner's key is not at hand, or no key that can ask the approvers.
        ApprovalMissing: The approvers of the policy in force are asked now.
        QuorumNotReached: As `append_entry` says.
    """
    owner_key(repository)
    trust, before = repository.trust, repository.trust.policy
    able = [one for one in before.approvers if trust.may(one, Right.APPROVE)] if before is not None else []
    if before is not None and before != policy and len(able) >= before.approvals:
        action = encode_action(policy)
        digest = names.hash_of(encode_canonical(action))
        require_approval(repository, Act.POLICY, [digest], reason=reason, policy=action)
    return append_entry(repository, [policy])
