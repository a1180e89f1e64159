"""Checks of objects on their way in parts: nothing half is seen, and what is given up leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.errors import FarshoreError, ObjectNotFound
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Finding, Verdict, judge


def parts(scope: ProbePrefix) -> Iterator[Finding]:
    """Send parts of two objects; finish one, give the other up, and look for both before and after."""
    capability = scope.capability
    if capability is None:
        yield Finding("multipart", Verdict.SKIPPED, "objects are not sent in parts here")
        return
    piece = scope.clock.random_bytes(capability.part_bytes_min)
    problems: list[str] = []
    name = scope.name("parts-finished")
    upload = capability.begin_upload(name)
    upload.send(piece)
    if _seen(scope, name):
        problems.append("an object of which one part was sent is already seen")
    upload.send(b"the last part")
    upload.finish()
    if (
        scope.other.head(name).size != len(piece) + 13
        or scope.other.get(name, 0, len(piece) + 13) != piece + b"the last part"
    ):
        problems.append("the finished object is not the sum of its parts")
    yield judge("multipart", problems, "two parts become one object, and nothing is seen before it is finished")
    yield from _given_up(scope, piece)


def _given_up(scope: ProbePrefix, piece: bytes) -> Iterator[Finding]:
    assert scope.capability is not None  # noqa: S101 - the caller looked
    name = scope.name("parts-abandoned")
    upload = scope.capability.begin_upload(name)
    upload.send(piece)
    upload.send(piece)
    try:
        upload.abandon()
    except FarshoreError as error:
        hint = "Allow the writer to abort its uploads (S3: s3:AbortMultipartUpload), or parts cost space unseen."
        yield Finding("multipart-abort", Verdict.WARNING, error.message, hint)
        return
    if _seen(scope, name):
        yield Finding("multipart-abort", Verdict.FAILED, "an object that was given up is seen")
        return
    begun = scope.capability.uploads_begun(scope.prefix)
    if begun:
        hint = "Let a lifecycle rule abort incomplete uploads after a few days; they cost space and are never listed."
        kind = scope.store.capabilities.kind
        said = "Azure forgets the blocks after a week" if kind == "azure" else "the service still lists the upload"
        yield Finding("multipart-abort", Verdict.NOTE if kind == "azure" else Verdict.WARNING, said, hint)
        return
    said = "an upload that is given up leaves nothing"
    yield Finding("multipart-abort", Verdict.OK, said if begun == 0 else "an upload that is given up is never seen")


def _seen(scope: ProbePrefix, name: str) -> bool:
    try:
        scope.other.head(name)
    except ObjectNotFound:
        return any(info.name == name for info in scope.other.list(name))
    return True
