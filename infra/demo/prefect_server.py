"""A Prefect server with its UI, and a worker for the pool of deployments/prefect.yaml."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from infra.demo.programs import program
from infra.local.ports import pick_ports
from infra.local.process import LocalServer

POOL = "farshore"
_QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


class PrefectServer(LocalServer):
    """A server of its own, on SQLite, with a Prefect home of its own. It sends nothing anywhere.

    Args:
        environment: What its process gets, besides its own settings.
        schedules: Whether the schedules of deployments make runs.
    """

    title: ClassVar[str] = "prefect server"

    def __init__(self, environment: Mapping[str, str], *, schedules: bool) -> None:
        super().__init__()
        self._base = dict(environment)
        self._schedules = schedules

    @property
    def address(self) -> str:
        """Where the UI is."""
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def client_environment(self) -> dict[str, str]:
        """What a client of this server needs in its environment."""
        return _QUIET | {"PREFECT_API_URL": f"{self.address}/api", "PREFECT_HOME": str(self.directory / "home")}

    def _pick_ports(self) -> list[int]:
        return pick_ports(1)

    def _prepare(self) -> None:
        (self.directory / "home").mkdir(exist_ok=True)

    def _command(self) -> list[str | Path]:
        return [program("prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(self._ports[0])]

    def _environment(self) -> dict[str, str]:
        settings = {
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": str(self._schedules).lower(),
            # A run that comes a moment before its deployment's slot is free waits this long, by default half a minute.
            "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        }
        return self._base | self.client_environment | settings

    def _check_ready(self) -> None:
        with urllib.request.urlopen(f"{self.address}/api/health", timeout=5) as answer:  # noqa: S310 - our own address
            if answer.read() != b"true":
                raise OSError("not healthy yet")


class PrefectWorker(LocalServer):
    """A process worker. Ending it ends the flow runs that it has at work."""

    title: ClassVar[str] = "prefect worker"
    stop_timeout_s: ClassVar[float] = 5.0

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self._base = dict(environment)

    def _pick_ports(self) -> list[int]:
        return []

    def _prepare(self) -> None:
        """Need nothing."""

    def _command(self) -> list[str | Path]:
        return [program("prefect"), "--no-prompt", "worker", "start", "--pool", POOL, "--type", "process"]

    def _environment(self) -> dict[str, str]:
        # Prefect works in a folder of a fixed name below the temporary one: whoever was first there owns it.
        return self._base | {"PREFECT_WORKER_QUERY_SECONDS": "1", "TMPDIR": str(self.directory)}

    def _check_ready(self) -> None:
        if "started!" not in self.log_path.read_text(errors="replace"):
            raise OSError("not polling yet")

    def kill(self) -> None:
        """End the worker and its flow runs, which are its descendants, each in a session of its own."""
        runs = _descendants(self.pid) if self.running else []
        super().kill()
        for pid in runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            for child in children.read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found
