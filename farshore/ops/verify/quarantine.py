"""Which packs are in quarantine and why, and how one leaves it. Neither deletes anything, nor changes a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime

from farshore import limits
from farshore.catalog.verdicts import accusations, list_verdicts, may_quarantine
from farshore.errors import KeyMissing, ObjectNotFound
from farshore.format import names
from farshore.format.verdict import SUBJECT, Verdict, encode_verdict
from farshore.model import dataclass
from farshore.replicas.lease_holder import known_log
from farshore.replicas.owner_log import check_writable
from farshore.replicas.put_signed import put_signed
from farshore.replicas.repository import Repository
from farshore.replicas.signed_texts import sign_text
from farshore.run import Run
from farshore.signing import SignedKind


@dataclass(frozen=True, slots=True)
class QuarantinedPack:
    """A pack that no backup reuses. `since_utc`: of the first of the verdicts that call it bad, which are by hash."""

    pack: str
    since_utc: datetime
    reasons: tuple[str, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiftedQuarantine:
    """The packs that backups may reuse again. `failed`: replicas that lack the verdict; the others' count there too."""

    packs: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)


def list_quarantine(repository: Repository) -> list[QuarantinedPack]:
    """Return the packs in quarantine, as far as replicas can be asked; needs no key."""
    return _quarantined(_read(repository))


def lift_quarantine(repository: Repository, packs: Sequence[str], *, reason: str, run: Run) -> LiftedQuarantine:
    """Let these packs out of quarantine, and no other one. Repeatable; a verify that finds one bad puts it back.

    Not atomic over replicas: verdicts unite, so one replica that has it suffices for every reader that reaches it, and
    heal brings it to the others. The other packs of a verdict are named again before it is lifted.

    Args:
        packs: Ids of packs, or beginnings of one each.
        reason: Why, for people.

    Raises:
        KeyMissing: The key at hand may quarantine nothing, so it may lift nothing.
        ObjectNotFound: No pack, or more than one, in quarantine begins so.
        FeatureMissing, LogForked: As `check_writable` says.
        QuorumNotReached: Fewer replicas than the quorum accepted it.
    """
    _require_right(repository)
    read = _read(repository)
    accused = accusations(read)
    chosen = {_only_one(accused, text) for text in packs}
    lifted = {verdict for pack in chosen for verdict in accused[pack]}
    others = {pack for pack, accusers in accused.items() if pack not in chosen and lifted.issuperset(accusers)}
    said = "; ".join(sorted({read[names.verdict(one)].reason for one in lifted}))
    keys, log = repository.writing_keys(), known_log(repository)

    def parts(rows: set[bytes]) -> list[tuple[bytes, ...]]:
        ordered, step = sorted(rows), limits.VERDICT_ROWS_MAX
        return [tuple(ordered[at : at + step]) for at in range(0, len(ordered), step)]

    now_utc = run.clock.now_utc()
    made = [Verdict((), (), one, (), said, now_utc, log) for one in parts(others)]
    made += [Verdict((), (), (), one, reason, now_utc, log) for one in parts(set(map(bytes.fromhex, lifted)))]
    bodies = [sign_text(keys, SignedKind.VERDICT, SUBJECT, encode_verdict(one)) for one in made]
    objects = [(names.verdict(names.hash_of(body)), body) for body in bodies]
    failed = put_signed(repository, objects, "accepted the verdict")
    return LiftedQuarantine(tuple(sorted(one.hex() for one in chosen)), failed)


def _read(repository: Repository) -> dict[str, Verdict]:
    found, failed = list_verdicts(repository)
    repository.note_unasked(failed)
    return found


def _quarantined(read: dict[str, Verdict]) -> list[QuarantinedPack]:
    found = []
    for pack, accusers in sorted(accusations(read).items()):
        verdicts = [read[names.verdict(one)] for one in accusers]
        reasons = tuple(sorted({one.reason for one in verdicts}))
        found.append(QuarantinedPack(pack.hex(), min(one.made_utc for one in verdicts), reasons, accusers))
    return found


def _only_one(accused: dict[bytes, tuple[str, ...]], text: str) -> bytes:
    found = [pack for pack in accused if pack.hex().startswith(text.lower())]
    if len(found) != 1 or not text:
        some = f"{len(found)} packs" if found else "no pack"
        raise ObjectNotFound(
            f"{some} in quarantine begin{'' if found else 's'} with {text!r}", "'farshore quarantine list' names them."
        )
    return found[0]


def _require_right(repository: Repository) -> None:
    check_writable(repository.trust)
    keys = repository.keys
    key = keys.signing_key if keys is not None else None
    if key is None or not may_quarantine(repository.trust, key.signer_id, ""):
        raise KeyMissing(
            "nothing at hand may lift a quarantine: that needs a key that may read and verify, or maintain",
            "Use the passphrase or identity that 'farshore init' made, or enroll this host with --role maintainer.",
        )
