"""Real servers for every test that asks for one: started once, when first asked for, on this machine.

A server that cannot start fails the test that asked for it; nothing is skipped. Directories of tests whose subject is
no disk are in memory, where the machine has a file system there.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from infra.local.azurite import AzuriteServer
from infra.local.gcs import GcsServer
from infra.local.postgres import PostgresServer
from infra.local.seaweedfs import SeaweedServer

_SHARED_BUCKET = "shared"
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_BYTES_MIN = 4 << 30
_IN_MEMORY = ("end_to_end/", "flows/", "golden/", "unit/")
_ON_DISK = ("unit/sources/", "unit/targets/")  # all the same
_TESTS = Path(__file__).parent
_GROUPS = {
    "end_to_end": "machines", "faults": "machines", "flows": "machines", "contract": "stores", "property": "stores",
    "tidy": "tidy",
}  # fmt: skip

# One profile for all property tests: no deadline on a busy machine, and a failure prints what repeats it.
settings.register_profile(
    "farshore",
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("farshore")

# Whoever starts tests in the background has interrupts ignored, here and in all that is started from here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Trial F20: under nohup hangups are ignored likewise. The suite goes on through one, and what it starts hears it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(tryfirst=True)  # before the groups are looked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell what runs one after the other where tests run in two processes, and have flows run last.

    What times, kills and fills whole machines would only disturb its like; tests of stores and those with random input
    are most of the other half, and whatever is in no group fills the gaps. Threads that Prefect leaves draw random
    numbers at times, which Hypothesis takes for a test's: flows are last in a group without such tests, and all such
    tests are in the other one, so that none follows flows in the process that is done with its group first.
    Rules for the tree are one group, or each process would parse the tree.
    """
    for item in items:
        directory = item.path.relative_to(_TESTS).parts[0]
        group = _GROUPS.get(directory) or ("stores" if _has_random_input(item) else "")
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: "tests/flows/" in item.nodeid)


def _has_random_input(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An empty directory; in memory, and gone after the test, where no disk is the subject.

    A command of Farshore syncs 50 to 200 files, so that such a test would mostly wait for the disk.
    """
    folder = request.path.relative_to(_TESTS).as_posix()
    if folder.startswith(_ON_DISK) or not folder.startswith(_IN_MEMORY) or not _memory_serves():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix=f"{tmp_path.name}-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def _memory_serves() -> bool:
    """Whether there is a file system in memory, with room, which starts programs and keeps attributes as disks do."""
    if not os.path.ismount(_MEMORY) or not os.access(_MEMORY, os.W_OK):
        return False
    found = os.statvfs(_MEMORY)
    return (
        not found.f_flag & os.ST_NOEXEC
        and found.f_bavail * found.f_frsize >= _MEMORY_FREE_BYTES_MIN
        and _keeps_attributes(_MEMORY)
    )


@functools.cache
def _keeps_attributes(place: Path) -> bool:
    with tempfile.NamedTemporaryFile(dir=place) as file:
        try:
            os.setxattr(file.name, "user.test", b"")
        except OSError:
            return False
        return True


class PlaceUrl(TypedDict):
    """The settings that a replica needs, as keywords of `open_store` and keys of `farshore.toml`."""

    url: str
    endpoint: str | None
    credentials: dict[str, str]


FreshPlace = Callable[..., PlaceUrl]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SeaweedServer]:
    """An S3 server (SeaweedFS) for the whole session. Tests that stop or kill a server start one of their own."""
    with SeaweedServer() as server:
        server.create_bucket(_SHARED_BUCKET)
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """A GCS server for the whole session."""
    with GcsServer() as server:
        server.create_bucket(_SHARED_BUCKET)
        yield server


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzuriteServer]:
    """An Azure Blob server for the whole session."""
    with AzuriteServer() as server:
        server.create_bucket(_SHARED_BUCKET)
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL 18 cluster for the whole session; make databases of your own in it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def fresh_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FreshPlace:
    """A function that returns an empty place of a kind: s3, gs, az, file or memory.

    `fresh_place("s3")` is a new prefix in a bucket that all tests share. `fresh_place("s3", own_bucket=True)` is a new
    bucket, for tests that delete it; it takes 0.2 seconds.
    """
    numbers = itertools.count(1)
    fixtures = {"s3": "s3_server", "gs": "gcs_server", "az": "azure_server"}

    def make(kind: str, *, own_bucket: bool = False) -> PlaceUrl:
        number = next(numbers)
        if kind == "memory":
            return PlaceUrl(url=f"memory://{os.getpid()}-{number}", endpoint=None, credentials={})
        if kind == "file":
            return PlaceUrl(url=tmp_path_factory.mktemp(f"place-{number}-").as_uri(), endpoint=None, credentials={})
        server = request.getfixturevalue(fixtures[kind])
        if own_bucket:
            server.create_bucket(f"own-{number}")
            url = server.url(f"own-{number}", "farshore")
        else:
            url = server.url(_SHARED_BUCKET, f"place-{number}")
        return PlaceUrl(url=url, endpoint=server.address, credentials=dict(server.credentials))

    return make


@pytest.fixture
def fresh_bucket_urls(fresh_place: FreshPlace) -> Callable[..., list[PlaceUrl]]:
    """A function that returns one empty place for each kind asked for: `fresh_bucket_urls("s3", "gs", "file")`."""

    def make(*kinds: str, own_bucket: bool = False) -> list[PlaceUrl]:
        return [fresh_place(kind, own_bucket=own_bucket) for kind in kinds]

    return make
