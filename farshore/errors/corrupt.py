"""Errors of data that is wrong: stop, never retry, look for another copy."""

from __future__ import annotations

from farshore.errors.base import FarshoreError


class Corrupt(FarshoreError):
    """Data is wrong; stop, never retry, look for another copy."""


class ObjectCorrupt(Corrupt):
    code = "object-corrupt"
    exit_code = 60
    default_hint = "Run 'farshore verify' to see what it touches; another replica may hold a good copy."


class ObjectTooLarge(ObjectCorrupt):
    """Refused without having been read: nothing of its kind is as large."""

    code = "object-too-large"
    exit_code = 69
    default_hint = "This replica has something else under that name; 'farshore heal' copies a good one back."


class HeaderDamaged(Corrupt):
    code = "header-damaged"
    exit_code = 61
    default_hint = "farshore.json of this replica is damaged; the same file from another replica replaces it."


class KeyFileDamaged(Corrupt):
    code = "key-file-damaged"
    exit_code = 68
    default_hint = "Use the copy of the identity or credential that was kept elsewhere; the replicas are not damaged."


class VerifyFailed(Corrupt):
    code = "verify-failed"
    exit_code = 62
    default_hint = "Run 'farshore heal' or 'farshore verify --repair': they mend it with another replica's good copy."


class SourceCorrupt(Corrupt):
    code = "source-corrupt"
    exit_code = 63
    default_hint = "No snapshot was made. Run it again; what stays, check with the source's own tools before a repair."


class RestoreIncomplete(Corrupt):
    code = "restore-incomplete"
    exit_code = 64
    default_hint = "No replica holds a good copy of the listed entries; everything else was restored."


class HealIncomplete(Corrupt):
    code = "heal-incomplete"
    exit_code = 65
    default_hint = "Bring back a replica that has good copies, lift the lock that is named, or heal with a key."


class CheckInconclusive(Corrupt):
    """Nothing was found damaged, and not enough could be seen to call a replica sound."""

    code = "check-inconclusive"
    exit_code = 66
    default_hint = "An incomplete listing or lost audit tables prove nothing; run 'farshore verify --read-data'."


class ObjectsLost(Corrupt):
    code = "objects-lost"
    exit_code = 67
    default_hint = "'farshore verify' names the snapshots that need them; heal copies them back from another replica."
