"""Checks of objects on their way in parts: nothing half is seen, and what is given up leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

from farshore.errors import FarshoreError, ObjectNotFound
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Finding, Verdict, judge


def parts(ground: ProbePrefix) -> Iterator[Finding]:
    """Send parts of two objects; finish one, give the other up, and look for both before and after."""
    capability = ground.capability
    if capability is None:
        yield Finding("multipart", Verdict.SKIPPED, "objects are not sent in parts here")
        return
    piece = ground.clock.random_bytes(capability.part_bytes_min)
    problems: list[str] = []
    name = ground.name("parts-finished")
    upload = capability.begin_upload(name)
    upload.send(piece)
    if _seen(ground, name):
        problems.append("an object of which one part was sent is already seen")
    upload.send(b"the last part")
    upload.finish()
    if ground.other.head(name).size != len(piece) + 13 or ground.other.get(name) != piece + b"the last part":
        problems.append("the finished object is not the sum of its parts")
    yield judge("multipart", problems, "two parts become one object, and nothing is seen before it is finished")
    yield from _given_up(ground, piece)


def _given_up(ground: ProbePrefix, piece: bytes) -> Iterator[Finding]:
    assert ground.capability is not None  # noqa: S101 - the caller looked
    name = ground.name("parts-abandoned")
    upload = ground.capability.begin_upload(name)
    upload.send(piece)
    upload.send(piece)
    try:
        upload.abandon()
    except FarshoreError as error:
        hint = "Allow the writer to abort its uploads (S3: s3:AbortMultipartUpload), or parts cost space unseen."
        yield Finding("multipart-abort", Verdict.WARNING, error.message, hint)
        return
    if _seen(ground, name):
        yield Finding("multipart-abort", Verdict.FAILED, "an object that was given up is seen")
        return
    begun = ground.capability.uploads_begun(ground.prefix)
    if begun:
        hint = "Let a lifecycle rule abort incomplete uploads after a few days; they cost space and are never listed."
        kind = ground.store.capabilities.kind
        said = "Azure forgets the blocks after a week" if kind == "azure" else "the service still lists the upload"
        yield Finding("multipart-abort", Verdict.NOTE if kind == "azure" else Verdict.WARNING, said, hint)
        return
    said = "an upload that is given up leaves nothing"
    yield Finding("multipart-abort", Verdict.OK, said if begun == 0 else "an upload that is given up is never seen")


def _seen(ground: ProbePrefix, name: str) -> bool:
    try:
        ground.other.head(name)
    except ObjectNotFound:
        return any(info.name == name for info in ground.other.list(name))
    return True
