"""Words of maintainers and approvers in `v1-parties`: a rewritten snapshot, a lifted quarantine, notes, approvals."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from farshore.access.unlock import Need
from farshore.catalog.notes import SALT_BYTES, read_notes, sign_note
from farshore.catalog.snapshots import resolve_snapshot
from farshore.errors import ApprovalMissing
from farshore.format import names
from farshore.format.note import Keep, Note, NoteDetails
from farshore.format.plan import PlanPart, PlanState, encode_plan
from farshore.ops.retain.annotate import keep_snapshots, lift_keeping
from farshore.ops.retain.approving import approve, list_requests
from farshore.ops.setup.owner_actions import append_entry
from farshore.ops.verify.quarantine import lift_quarantine, list_quarantine
from farshore.replicas.lease_holder import known_log
from farshore.run import Run
from farshore.sealed import Role
from farshore.signing import SignedKind
from farshore.trust.actions import Right, SetPolicy
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import maintainer, put
from tests.unit.ops.rewrite.rewrite_world import rewrite

PIN_ENDS_UTC = datetime(2100, 1, 1, tzinfo=UTC)
CONDEMNED_PACKS = ("aa" * 32, "bb" * 32)


def rewrite_newest(engine: Engine, made: dict[str, str]) -> None:
    """Remove a file from the newest snapshot of `home`, and let the pack that is emptied out of quarantine."""
    made["golden 2, replaced"] = made["golden 2"]
    (done,) = rewrite(engine, "/documents/after golden 1").snapshots
    made["golden 2"] = done.successor
    with engine.opened() as repository:
        (emptied,) = [one.pack for one in list_quarantine(repository)]
        lift_quarantine(repository, [emptied], reason="it is whole", run=Run.start(engine.clock))
    made["pack that left quarantine"] = emptied


def condemn_packs(engine: Engine, replica: str, number: int) -> None:
    """Put an open plan that condemns packs."""
    key, fingerprint, log = maintainer(engine)
    packs = b"".join(map(bytes.fromhex, CONDEMNED_PACKS))
    for state in (PlanState.OPEN, PlanState.CONDEMNED):
        part = PlanPart(number, state, engine.clock.now_utc(), log, packs=packs)
        name = names.plan(number, state)
        put(engine, replica, name, signed_text(key, SignedKind.PLAN, name, encode_plan(part), fingerprint))


def approver_of(engine: Engine, made: dict[str, str]) -> Engine:
    """Enroll an approver, and have the owner ask it for all that its policy says; return its host."""
    at = engine.at("approver")
    at.repository_config = engine.repository_config
    credential = at.enroll(name="approver", role=Role.APPROVER)
    at.repository_config = replace(
        at.repository_config, passphrase=None, identity=None, credential=Path(credential)
    )  # fmt: skip
    with engine.opened(Need.OWNER) as repository:
        (signer,) = [
            one for one, found in repository.trust.certificates.items() if found[-1].certificate.host == "approver"
        ]
        append_entry(repository, [SetPolicy((signer,), 1, 60, {}, {"keep_daily": 7})])
    made["approver"] = signer
    return at


def keep_and_lift(engine: Engine, approver: Engine, made: dict[str, str]) -> None:
    """Pin a snapshot and hold three: one hold is lifted as the approver agreed, one past the program."""
    clock = engine.clock
    with engine.opened() as repository:
        run = Run.start(clock)
        pinned, *held = (
            resolve_snapshot(repository, made[one]) for one in ("golden 2", "clinic 1", "till 1", "laptop-2 1")
        )
        keep_snapshots(repository, [pinned], Keep.PIN, reason="a pin", until_utc=PIN_ENDS_UTC, run=run)
        keep_snapshots(repository, held, Keep.HOLD, reason="a hold", run=run)
        with contextlib.suppress(ApprovalMissing):
            lift_keeping(repository, made["till 1"], Keep.HOLD, reason="settled", run=run)
        (request,) = list_requests(repository)
        made["request"] = request.request
    clock.advance(60)
    with approver.opened(Need.WRITE, right=Right.APPROVE) as repository:
        approve(repository, made["request"], reason="agreed", run=Run.start(clock))
    with engine.opened() as repository:
        lift_keeping(repository, made["till 1"], Keep.HOLD, reason="settled", run=Run.start(clock))
        commit = held[2].commit
        (note,) = read_notes(repository).of(commit)
        lift = Note(
            commit.snapshot, commit.hash, commit.domain, commit.epoch, Keep.NOT, None, (note.hash,), clock.now_utc(),
            known_log(repository),
        )  # fmt: skip
        name, data = sign_note(
            repository.reading_keys(), lift, NoteDetails("nobody agreed"), clock.random_bytes(SALT_BYTES)
        )
    put(engine, "only", name, data)
