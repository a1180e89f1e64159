"""Errors of access: the thing is not there, may not be read, or cannot be understood."""

from __future__ import annotations

from farshore.errors.base import FarshoreError


class NotFound(FarshoreError):
    """The named thing is not there."""


class ObjectNotFound(NotFound):
    code = "object-not-found"
    exit_code = 40
    default_hint = "Run 'farshore verify' to see which snapshots need it and which replica still has it."


class BucketNotFound(NotFound):
    code = "bucket-not-found"
    exit_code = 41
    default_hint = "Create the bucket or container first, or correct the replica's URL."


class Denied(FarshoreError):
    """Credentials or keys do not allow it."""


class StoreDenied(Denied):
    code = "store-denied"
    exit_code = 50
    default_hint = "Check the replica's credentials and the permissions of its bucket."


class WrongPassphrase(Denied):
    code = "wrong-passphrase"
    exit_code = 51
    default_hint = "Check the passphrase or identity file; without one of them the data cannot be read by anyone."


class CredentialCannotRead(Denied):
    code = "credential-cannot-read"
    exit_code = 52
    default_hint = "This host holds a write-only credential. Use the passphrase or an identity file to read."


class StoreReadOnly(Denied):
    code = "store-read-only"
    exit_code = 53
    default_hint = "This replica was opened for reading only."


class SourceDenied(Denied):
    code = "source-denied"
    exit_code = 54
    default_hint = "Check the source's credentials and permissions."


class KeyMissing(Denied):
    code = "key-missing"
    exit_code = 55
    default_hint = "Set FARSHORE_PASSPHRASE, or passphrase, identity or credential under [repository]."


class LockDenied(Denied):
    code = "lock-denied"
    exit_code = 56
    default_hint = "The writer needs the right to lock objects; docs/stores/immutability.md lists it for each provider."


class Unsupported(FarshoreError):
    """Made by a newer Farshore, or something needed is lacking, here or at a service."""


class FormatTooNew(Unsupported):
    code = "format-too-new"
    exit_code = 70
    default_hint = "It was made by a newer Farshore; upgrade to read it."


class FeatureMissing(Unsupported):
    code = "feature-missing"
    exit_code = 71
    default_hint = "This repository uses a feature that this Farshore does not know; upgrade to read it."


class SourceUnsupported(Unsupported):
    code = "source-unsupported"
    exit_code = 72
    default_hint = "See docs/sources/README.md: the page of each kind has the versions and settings that are supported."


class SourceFileLeftOut(Unsupported):
    code = "source-file-left-out"
    exit_code = 77
    default_hint = "A database without one of its files is no backup; put the file back where its server looks for it."


class StoreUnsafe(Unsupported):
    code = "store-unsafe"
    exit_code = 73
    default_hint = "Do not keep a replica there: two writers of one name both won, so objects can be lost unnoticed."


class StoreUnfit(Unsupported):
    code = "store-unfit"
    exit_code = 74
    default_hint = "The replica fails checks that Farshore relies on; docs/stores/probe.md explains what to change."


class LockUnsupported(Unsupported):
    code = "lock-unsupported"
    exit_code = 75
    default_hint = "Enable locks at the bucket (docs/stores/immutability.md), or take 'lock' out of this replica."


class LifecycleDeletes(Unsupported):
    code = "lifecycle-deletes"
    exit_code = 76
    default_hint = "Take this replica's prefix out of the rule; rules that end unfinished uploads are fine."


class ExtraMissing(Unsupported):
    """Packages that only some replicas, sources or commands need are not installed on this host."""

    code = "extra-missing"
    exit_code = 78
    default_hint = "Run the pip command of the message in the environment that runs farshore; nothing else is wrong."
