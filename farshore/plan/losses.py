"""Which losses are simulated, and what each removes: replicas, the way to write to them, keys, the host. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from enum import StrEnum

from farshore.config import Config, HolderConfig, HolderKind
from farshore.errors import ConfigInvalid
from farshore.model import dataclass
from farshore.plan.replicas import PlacedReplica, place_replicas


class LossKind(StrEnum):
    """The kinds of losses."""

    NOTHING = "nothing"  # the state to compare with
    PROVIDER = "provider"
    REGION = "region"
    JURISDICTION = "jurisdiction"
    ACCOUNT = "account"
    LOGIN = "login"
    WRITER_HOST = "writer-host"
    HOLDER = "holder"
    HOLDER_KIND = "holder-kind"
    RANSOMWARE = "ransomware"
    BIT = "bit"


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss. All of one kind and subject happens at once, and lasts."""

    kind: LossKind
    subject: str = ""
    gone: frozenset[str] = frozenset()  # replicas whose objects are lost
    cut_off: frozenset[str] = frozenset()  # replicas that cannot be written to, though what they hold may be read
    keys_gone: frozenset[str] = frozenset()  # key holders
    includes_host: bool = False

    @property
    def name(self) -> str:
        """Its name in `placement.accepted`."""
        return f"{self.kind}:{self.subject}" if self.subject else self.kind.value


def key_holders(config: Config) -> dict[str, HolderConfig]:
    """Return who can open the repository: those the plan names, and this host where it has a passphrase or identity."""
    holders = dict(config.holders)
    if config.repository.passphrase is not None:
        holders["passphrase on this host"] = HolderConfig(
            "passphrase on this host", HolderKind.PASSPHRASE, on_writer_host=True
        )
    if config.repository.identity is not None:
        holders["identity on this host"] = HolderConfig(
            "identity on this host", HolderKind.RECIPIENT, on_writer_host=True
        )
    return holders


def plan_losses(config: Config) -> tuple[Loss, ...]:
    """Return every loss that the plan should outlive, but single bits, which are in `flipped_bit`."""
    placed = place_replicas(config)
    holders = key_holders(config)
    on_host = frozenset(name for name, one in holders.items() if one.on_writer_host)
    losses = [Loss(LossKind.NOTHING)]
    whole: tuple[tuple[LossKind, Callable[[PlacedReplica], str]], ...] = (
        (LossKind.PROVIDER, lambda one: one.provider),
        (LossKind.REGION, lambda one: one.region or f"region of {one.replica}"),
        (LossKind.JURISDICTION, lambda one: one.jurisdiction),
        (LossKind.ACCOUNT, lambda one: one.account),
    )
    for kind, subject_of in whole:
        for subject, members in _groups(placed, subject_of):
            names = frozenset(one.replica for one in members)
            losses.append(Loss(kind, subject, gone=names, cut_off=names))
    for subject, members in _groups(placed, lambda one: one.login):
        losses.append(
            Loss(
                LossKind.LOGIN,
                subject,
                gone=frozenset(one.replica for one in members if not one.outlives_deletion),
                cut_off=frozenset(one.replica for one in members),
            )
        )
    with_host = frozenset(one.replica for one in placed if one.on_writer_host)
    losses.append(Loss(LossKind.WRITER_HOST, gone=with_host, cut_off=with_host, keys_gone=on_host, includes_host=True))
    losses.extend(Loss(LossKind.HOLDER, name, keys_gone=frozenset([name])) for name in holders)
    for holder_kind in sorted({one.kind for one in holders.values()}):
        of_kind = frozenset(name for name, one in holders.items() if one.kind == holder_kind)
        losses.append(Loss(LossKind.HOLDER_KIND, holder_kind, keys_gone=of_kind))
    reached = frozenset(one.replica for one in placed if not _outlives_operator(one))
    losses.append(Loss(LossKind.RANSOMWARE, gone=reached, cut_off=reached, keys_gone=on_host, includes_host=True))
    return tuple(losses)


def check_accepted(config: Config, names: Sequence[str]) -> None:
    """Check that every accepted loss is one of these names.

    Raises:
        ConfigInvalid: One is not; the message names the nearest.
    """
    for accepted in config.placement.accepted:
        if accepted not in names:
            (close,) = get_close_matches(accepted, names, n=1, cutoff=0.0)
            raise ConfigInvalid(
                f"placement.accepted names {accepted!r}, which is no loss of this plan",
                f"Did you mean {close!r}? 'farshore plan check' lists the losses by these names.",
            )


def _outlives_operator(one: PlacedReplica) -> bool:
    """Whether a replica is left by an intruder on the writer's host, who also controls its disks."""
    return one.offline or (one.outlives_deletion and not one.on_writer_host)


def _groups(
    placed: Sequence[PlacedReplica], subject_of: Callable[[PlacedReplica], str]
) -> list[tuple[str, list[PlacedReplica]]]:
    """Return the replicas by what they have in common; what is not known of a replica makes no group."""
    groups: dict[str, list[PlacedReplica]] = {}
    for one in placed:
        if subject_of(one):
            groups.setdefault(subject_of(one), []).append(one)
    return sorted(groups.items())
