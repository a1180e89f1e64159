"""The marks by which a source on this host is recognized at the next backup: machine, file system, directory or file.

Marks survive a reboot, a remount and a new container: no device number, no id that a kernel draws anew. A mark that is
not reliable is left out, and then not compared. docs/sources/README.md, decision 0013.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3

from farshore.sources.posix_mounts import mount_of

# File systems that are the same after a reboot. Of others (NFS, SMB, FUSE, overlay, tmpfs) no id can be relied on.
_OWN_UUID = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "jfs", "vfat", "exfat", "ntfs3"})
_FSID_OF_UUID = frozenset({"ext2", "ext3", "ext4"})  # elsewhere f_fsid comes from a device number, or of a subvolume
_GET_UUID = 0x80111500  # FS_IOC_GETFSUUID: since Linux 6.9, for anybody, also in a container
_UUID_BYTES = 16
_UUIDS = Path("/dev/disk/by-uuid")
_MACHINE_ID = Path("/etc/machine-id")
_MACHINE = re.compile(r"[0-9a-f]{32}")
_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"), Path("/run/systemd/container"))
_CONTAINER_VARIABLES = ("KUBERNETES_SERVICE_HOST", "container")
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def place_marks(path: Path, folder: int, inode: int, *, in_container: bool) -> dict[str, str]:
    """Return the marks of a directory or file.

    Args:
        path: As it is configured.
        folder: The open directory, or the one that the file is in.
        inode: Of the directory or file.
        in_container: See `host_marks`.
    """
    of_system = file_system_marks(folder, *mount_of(folder))
    return {**host_marks(in_container=in_container), **of_system, "path": _text(path), "inode": str(inode)}


def file_marks(path: Path, inode: int, *, in_container: bool) -> dict[str, str]:
    """Return the marks of a file; none of its file system where its directory cannot be opened."""
    try:
        folder = os.open(path.resolve().parent, _FLAGS)
    except OSError:
        return {**host_marks(in_container=in_container), "path": _text(path), "inode": str(inode)}
    try:
        return place_marks(path, folder, inode, in_container=in_container)
    finally:
        os.close(folder)


def is_container(environment: Mapping[str, str]) -> bool:
    """Whether this process runs in a container, as far as that can be seen."""
    return any(environment.get(name) for name in _CONTAINER_VARIABLES) or any(one.exists() for one in _CONTAINER_FILES)


def host_marks(*, in_container: bool) -> dict[str, str]:
    """Return the name of this machine and a hash of its id; nothing in a container, which may have others each time."""
    if in_container:
        return {}
    marks = {"host": socket.gethostname()}
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return marks
    if _MACHINE.fullmatch(machine):  # hashed: programs derive secrets from it, and marks have readers
        marks["machine"] = blake3(machine.encode(), derive_key_context="farshore 2026 machine").hexdigest()[:32]
    return marks


def file_system_marks(folder: int, kind: str, source: str) -> dict[str, str]:
    """Return the marks of the file system of an open directory; none where they are not reliable.

    Args:
        kind: Type of the mount, and `source` the mounted device or tree.
    """
    if kind == "zfs":
        return {"file_system": _text(source.partition("@")[0])}  # a snapshot of a data set is that data set
    if kind not in _OWN_UUID:
        return {}
    marks: dict[str, str] = {}
    if uuid := _read_uuid(folder) or _listed_uuid(folder, source):
        marks["file_system"] = uuid
    if kind in _FSID_OF_UUID:
        marks["file_system_id"] = f"{os.fstatvfs(folder).f_fsid:016x}"
    return marks


def _text(path: Path | str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read_uuid(folder: int) -> str:
    answer = bytearray(1 + _UUID_BYTES)
    try:
        fcntl.ioctl(folder, _GET_UUID, answer)
    except OSError:
        return ""
    uuid = bytes(answer[1 : 1 + answer[0]])
    if not any(uuid):
        return ""  # a kernel without one
    text = uuid.hex()
    if len(uuid) != _UUID_BYTES:
        return text
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))  # as udev writes it


def _listed_uuid(folder: int, source: str) -> str:
    """Return the UUID by which udev lists the device of the file system, or the mounted one."""
    devices = {os.fstat(folder).st_dev}  # for looking up alone: it is another one after a reboot
    try:
        if source.startswith("/dev/"):
            devices.add(os.stat(source).st_rdev)
        with os.scandir(_UUIDS) as links:
            return next((link.name.lower() for link in links if link.stat().st_rdev in devices), "")
    except OSError:
        return ""
