"""Errors for monitoring: nothing failed just now, and the backups are not what the plan promises."""

from __future__ import annotations

from farshore.errors.base import FarshoreError


class BackupOverdue(FarshoreError):
    """The newest snapshot of a source is older than allowed; for monitoring."""

    code = "backup-overdue"
    exit_code = 80
    default_hint = "See what happened to the runs of this source with 'farshore sql', and back it up."


class PlanUnsound(FarshoreError):
    """The plan does not keep what it promises; change replicas, key holders or the policy."""


class PlacementNotMet(PlanUnsound):
    code = "placement-not-met"
    exit_code = 81
    default_hint = "See 'farshore plan check' for what to change; docs/operate/placement.md describes each rule."


class NothingLeft(PlanUnsound):
    code = "nothing-left"
    exit_code = 82
    default_hint = "Make the changes that 'farshore plan check' names, or accept the loss under placement.accepted."


class ReplicaNeeded(PlanUnsound):
    code = "replica-needed"
    exit_code = 83
    default_hint = "Heal the others, add a replica, or change the policy first; see docs/operate/heal.md."


class ReplicaEmpty(FarshoreError):
    """A replica lists nothing where others list snapshots: it is new, was emptied, or its URL is wrong."""

    code = "replica-empty"
    exit_code = 84
    default_hint = "If it is new, fill it with 'farshore replica add NAME'; else find out who emptied it."


class SnapshotIncomplete(FarshoreError):
    """The newest snapshots of a source lack something, and its last complete one is older than allowed."""

    code = "snapshot-incomplete"
    exit_code = 85
    default_hint = "Back it up to see what cannot be stored; make that readable, or exclude it."
