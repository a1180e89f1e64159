"""Rights of the credential against those of its role: too narrow stops Farshore, too wide helps an intruder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from farshore.errors import Denied, FarshoreError, ObjectNotFound, StoreConflict
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Finding, Role, Verdict
from farshore.stores.base import ANY_OBJECT
from farshore.stores.probe_capability import Setting

_GRANTS = {  # the name of a right at each kind of store
    "s3": {
        "put": "s3:PutObject",
        "get": "s3:GetObject",
        "head": "s3:GetObject",
        "list": "s3:ListBucket on the bucket",
        "delete": "s3:DeleteObject and s3:DeleteObjectVersion",
    },
    "gcs": {
        "put": "storage.objects.create",
        "get": "storage.objects.get",
        "head": "storage.objects.get",
        "list": "storage.objects.list",
        "delete": "storage.objects.delete",
    },
    "azure": {
        "put": "create (c), and write (w) for blobs above 64 MiB",
        "get": "read (r)",
        "head": "read (r)",
        "list": "list (l)",
        "delete": "delete (d)",
    },
}
_OVERWRITE_HINTS = {
    "s3": "Demand the condition in the bucket's policy (deny s3:PutObject where s3:if-none-match is null), or switch "
    "on versions with object lock.",
    "gcs": "Give roles/storage.objectCreator, which cannot replace, instead of a role with storage.objects.delete.",
    "azure": "Give create (c) without write (w), or switch on an immutability policy.",
}
_DIRECTORY_HINT = (
    "No file system can keep its writer from deleting: keep one more replica whose service does, or snapshots of the "
    "file system that this account cannot remove."
)


def right_of(kind: str, verb: str) -> str:
    """Return what a kind of store calls the right to a verb."""
    return _GRANTS.get(kind, {}).get(verb, f"the right to {verb} below the directory")


def permissions(scope: ProbePrefix, role: Role) -> Iterator[Finding]:
    """Use every verb once. Sets `scope.may_erase`; after a refused put only reading can be tried further."""
    name = scope.name("permissions")
    wrote = _allowed(lambda: scope.store.put(name, b"first"))
    yield _judged(scope, role, "put", allowed=wrote)
    for verb, use in (("get", scope.store.get), ("head", scope.store.head)):
        yield _judged(scope, role, verb, allowed=_allowed(lambda use=use: use(name)))  # type: ignore[misc]
    yield _judged(scope, role, "list", allowed=_allowed(lambda: list(scope.store.list(scope.prefix))))
    if not wrote:
        return
    yield _overwrite(scope, role, name)
    yield from _delete(scope, role, name)


def may_write(findings: list[Finding]) -> bool:
    """Return whether the findings of `permissions` leave anything to be tried by writing."""
    found = {finding.check: finding for finding in findings}
    usable = all(found[f"may-{verb}"].verdict is not Verdict.FAILED for verb in ("get", "head", "list"))
    return usable and "may-overwrite" in found


def _judged(scope: ProbePrefix, role: Role, verb: str, *, allowed: bool) -> Finding:
    check, right = f"may-{verb}", right_of(scope.store.capabilities.kind, verb)
    needed = verb != "put" or role is not Role.READER
    if needed and not allowed:
        return Finding(check, Verdict.FAILED, f"too narrow: the {role.value} may not {verb}", f"Allow {right}.")
    if allowed and not needed:
        return Finding(check, Verdict.WARNING, f"too wide: a {role.value} may {verb}", f"Remove {right}.")
    return Finding(check, Verdict.OK, "allowed" if allowed else "not allowed, which is right")


def _overwrite(scope: ProbePrefix, role: Role, name: str) -> Finding:
    kind = scope.store.capabilities.kind
    if kind == "memory":
        return Finding("may-overwrite", Verdict.NOTE, "memory is for tests")
    if scope.capability is None:
        return Finding("may-overwrite", Verdict.NOTE, "a login that may write a directory may replace its files")
    capability = scope.capability
    if not _allowed(lambda: capability.replace(name, b"second")):
        return Finding("may-overwrite", Verdict.OK, "refused, also without Farshore's own condition")
    if scope.settings.versioning is Setting.ON:
        return Finding("may-overwrite", Verdict.OK, "a replaced object stays as an earlier version")
    if role is Role.MAINTAINER:
        return Finding("may-overwrite", Verdict.NOTE, "allowed; Farshore itself never does it")
    said = f"too wide: a thief of the {role.value}'s credential may replace objects"
    return Finding("may-overwrite", Verdict.WARNING, said, _OVERWRITE_HINTS.get(kind, ""))


def _delete(scope: ProbePrefix, role: Role, name: str) -> Iterator[Finding]:
    """Delete the object, and where versions are kept, also its versions."""
    kind = scope.store.capabilities.kind
    deleted = _allowed(lambda: scope.store.delete(name, ANY_OBJECT))
    hidden_only = deleted and scope.settings.versioning is Setting.ON
    erased = deleted
    if scope.capability is not None and (hidden_only or not deleted):
        capability = scope.capability
        erased = _allowed(lambda: capability.erase(name))
    scope.may_erase = erased
    if kind == "memory":
        yield Finding("may-delete", Verdict.NOTE, "memory is for tests")
    elif role is Role.MAINTAINER:
        detail = "allowed" if erased else "too narrow: the maintainer may not delete for good"
        hint = "" if erased else f"Allow {right_of(kind, 'delete')}, or wait for the locks to end."
        yield Finding("may-delete", Verdict.OK if erased else Verdict.WARNING, detail, hint)
    elif erased:
        hint = f"Remove {right_of(kind, 'delete')}; only prune deletes, by a credential of its own."
        said = f"too wide: a thief of the {role.value}'s credential may delete backups for good"
        yield Finding("may-delete", Verdict.WARNING, said, _DIRECTORY_HINT if kind == "directory" else hint)
    else:
        said = (
            "a delete only hides the object; its versions cannot be removed" if deleted else "refused, which is right"
        )
        yield Finding("may-delete", Verdict.OK, said)


def _allowed(use: Callable[[], object]) -> bool:
    """Return whether a use is allowed; a missing object or an existing name shows that it is."""
    try:
        use()
    except (Denied, StoreConflict):
        return False
    except ObjectNotFound:
        return True
    except FarshoreError:
        raise
    return True
