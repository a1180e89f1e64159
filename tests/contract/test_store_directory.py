"""What only the directory store has to face: full disks, foreign files, symbolic links, and being killed half way."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.clock import SystemClock
from farshore.errors import BucketNotFound, Bug, HostExhausted, ObjectNotFound, StoreConflict, StoreDenied
from farshore.limits import MIB
from farshore.stores.base import ANY_OBJECT, PutOutcome
from farshore.stores.directory import DirectoryStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "vault").mkdir()
    return tmp_path / "vault"


@pytest.fixture
def store(root: Path) -> DirectoryStore:
    return DirectoryStore(path=root, clock=SystemClock())


@pytest.mark.parametrize("proc", ["proc", "no-proc"])
def test_a_full_disk_is_reported_and_leaves_nothing_half(tmp_path: Path, proc: str) -> None:
    """On a file system of 8 MiB that only the script sees, made as root or as the root of a user namespace."""
    disk = tmp_path / "disk"
    disk.mkdir()
    steps = [f"mount -t tmpfs -o size=8m tmpfs {disk}"]
    if proc == "no-proc":
        steps.append("mount -t tmpfs tmpfs /proc")
    steps.append(f"exec {sys.executable} {Path(__file__).with_name('full_disk.py')} {disk}")
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    done = subprocess.run(
        [*namespace, "sh", "-ec", "\n".join(steps)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["outcomes"] == ["created", "created", "store-full", "store-full"]
    assert seen["listed"] == ["packs/aa/0", "packs/aa/1"]
    assert seen["files"] == ["0", "1"], "what did not fit leaves nothing behind"
    assert (seen["small"], seen["after"]) == ("created", "created")
    assert seen["whole"] == [3 * MIB, 4, 3 * MIB]
    assert not list(disk.iterdir()), "the disk was seen by the script alone"


LIMITED = """
import resource, sys
from pathlib import Path
from typing import Any
from farshore.clock import SystemClock
from farshore.errors import StoreFull
from farshore.stores.directory import DirectoryStore
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
store = DirectoryStore(path=Path(sys.argv[1]), clock=SystemClock())
store.put("fits", bytes(100_000))
try:
    store.put("does-not", bytes(100_001))
except StoreFull as error:
    print(error.code, [info.name for info in store.list()])
"""


def test_a_limit_on_file_size_is_a_full_store(root: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "store-full ['fits']"


WRITER = """
import sys
from pathlib import Path
from typing import Any
from farshore.clock import SystemClock
from farshore.stores.directory import DirectoryStore
store = DirectoryStore(path=Path(sys.argv[1]), clock=SystemClock())
print("ready", flush=True)
for number in range(10_000):
    store.put(f"packs/{number % 7}/{number:05}", bytes([number % 256]) * 3_000_000)
"""


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.11, 0.23])
def test_a_killed_writer_leaves_whole_objects_only(root: Path, store: DirectoryStore, wait_s: float) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(root)], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait_s)
        writer.send_signal(signal.SIGKILL)
    found = list(store.list())
    for info in found:
        assert store.get(info.name) == bytes([int(info.name[-5:]) % 256]) * 3_000_000
    files = [entry for entry in root.rglob("*") if entry.is_file()]
    assert len(files) == len(found), "nothing is left beside the objects"


def test_a_missing_root_is_a_missing_bucket_and_is_not_made(tmp_path: Path) -> None:
    store = DirectoryStore(path=tmp_path / "unmounted", clock=SystemClock())
    uses = (
        lambda: store.put("a", b""),
        lambda: store.get("a"),
        lambda: store.head("a"),
        lambda: list(store.list()),
        lambda: store.delete("a", ANY_OBJECT),
        store.now_utc,
    )
    for use in uses:
        with pytest.raises(BucketNotFound, match="unmounted"):
            use()
    assert not (tmp_path / "unmounted").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BucketNotFound):
        DirectoryStore(path=tmp_path / "file", clock=SystemClock()).put("a", b"")


def test_the_root_may_be_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    DirectoryStore(path=tmp_path / "link", clock=SystemClock()).put("a/b", b"x")
    assert (root / "a" / "b").read_bytes() == b"x"


def test_symbolic_links_below_the_root_lead_nowhere(root: Path, store: DirectoryStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "linked").symlink_to(outside)
    (root / "object").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "new")
    for name in ("linked/secret", "object", "dangling"):
        with pytest.raises(ObjectNotFound):
            store.get(name)
        with pytest.raises(ObjectNotFound):
            store.head(name)
        with pytest.raises(StoreConflict):
            store.put(name, b"secret")
    with pytest.raises(StoreConflict):
        store.put("linked/new", b"x")
    assert list(store.list()) == []
    store.delete("linked/secret", ANY_OBJECT)
    assert (outside / "secret").read_bytes() == b"secret"
    assert sorted(entry.name for entry in outside.iterdir()) == ["secret"]


def test_what_is_no_object_is_not_listed_and_never_blocks(root: Path, store: DirectoryStore) -> None:
    store.put("packs/one", b"1")
    os.mkfifo(root / "packs" / "fifo")
    (root / "packs" / "~0123456789ab").write_bytes(b"left by a crash")
    (root / "lost+found").mkdir()
    (root / "lost+found" / "x").write_bytes(b"")
    (root / os.fsdecode(b"\xff\xfe")).write_bytes(b"")
    (root / "with space").write_bytes(b"")
    (root / "empty").mkdir()
    assert [info.name for info in store.list()] == ["packs/one"]
    with pytest.raises(ObjectNotFound):
        store.get("packs/fifo")
    with pytest.raises(StoreConflict):
        store.put("packs/fifo", b"x")
    with pytest.raises(StoreConflict):
        store.put("packs", b"a folder has this name")
    with pytest.raises(StoreConflict):
        store.put("packs/one/below", b"a file has the folder's name")


def test_objects_are_write_once_files_in_folders(root: Path, store: DirectoryStore) -> None:
    store.put("packs/aa/one", b"bytes")
    status = (root / "packs" / "aa" / "one").stat()
    assert status.st_mode & 0o222 == 0
    assert status.st_nlink == 1
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["packs", "packs/aa", "packs/aa/one"]


@pytest.mark.parametrize("again", [False, True], ids=["created", "present"])
def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_answer(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """A power cut cannot be made here, so the calls that guard against it are looked at."""
    if again:
        store.put("packs/one", b"bytes")  # perhaps by a process that was killed before it could flush
    events: list[str] = []
    fsync, link = os.fsync, os.link

    def seen_fsync(file: int) -> None:
        events.append("flush folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "flush file")
        fsync(file)

    def seen_link(*arguments: Any, **options: Any) -> None:
        events.append("name")
        link(*arguments, **options)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "link", seen_link)
    assert store.put("packs/one", b"bytes") is (PutOutcome.PRESENT if again else PutOutcome.CREATED)
    if again:
        assert events == ["flush file", "flush folder"]
    else:
        assert events == ["flush folder", "flush file", "name", "flush folder"]  # the first: "packs" in the root


def test_a_path_is_not_kept_open_or_changed(store: DirectoryStore, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"bytes")
    before = body.stat()
    assert store.put("a", body) is PutOutcome.CREATED
    assert body.stat().st_mtime_ns == before.st_mtime_ns
    body.unlink()
    assert store.get("a") == b"bytes"


def test_a_body_that_cannot_be_read_is_no_fault_of_the_store(store: DirectoryStore, tmp_path: Path) -> None:
    for body in (tmp_path / "missing", tmp_path):
        with pytest.raises(Bug, match="made for upload"):
            store.put("a", body)
    assert list(store.list()) == []


def test_a_directory_that_refuses_us_is_denied(root: Path, store: DirectoryStore) -> None:
    """Immutable for root, without permissions for everybody else."""
    store.put("packs/one", b"1")
    if os.geteuid() == 0:
        subprocess.run(["chattr", "+i", str(root / "packs")], check=True)
    else:
        (root / "packs").chmod(0o500)
    try:
        with pytest.raises(StoreDenied):
            store.put("packs/two", b"2")
        with pytest.raises(StoreDenied):
            store.delete("packs/one", ANY_OBJECT)
        assert store.get("packs/one") == b"1"
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", str(root / "packs")], check=True)
        else:
            (root / "packs").chmod(0o700)


def test_the_clock_is_the_file_systems(store: DirectoryStore, root: Path) -> None:
    assert abs(store.now_utc() - datetime.now(UTC)) < timedelta(seconds=2)
    assert not list(root.iterdir())


def test_running_out_of_file_descriptors_is_passing(root: Path) -> None:
    script = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from farshore.clock import SystemClock\nfrom farshore.errors import HostExhausted\n"
        "from farshore.stores.directory import DirectoryStore\n"
        "store = DirectoryStore(path=Path(sys.argv[1]), clock=SystemClock())\n"
        "store.put('a/b', b'x')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try:\n    store.get('a/b')\nexcept HostExhausted as error:\n    print(error.retryable)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
    assert HostExhausted.retryable
