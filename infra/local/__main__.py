"""Start servers by hand: `python -m infra.local seaweedfs gcs azurite postgres`."""

from __future__ import annotations

import argparse
import contextlib
import signal

from infra.local.azurite import AzuriteServer
from infra.local.gcs import GcsServer
from infra.local.objects import ObjectServer
from infra.local.postgres import PostgresServer
from infra.local.process import LocalServer
from infra.local.seaweedfs import SeaweedServer

_SERVERS: dict[str, type[LocalServer]] = {
    "seaweedfs": SeaweedServer,
    "gcs": GcsServer,
    "azurite": AzuriteServer,
    "postgres": PostgresServer,
}


def run() -> None:
    """Start the named servers, print how to reach them, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=run.__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(_SERVERS), metavar="SERVER", help=", ".join(_SERVERS))
    names = parser.parse_args().names
    with contextlib.ExitStack() as stack:
        for name in names:
            server = stack.enter_context(_SERVERS[name]())
            print(f"{name}: {describe(server)}", flush=True)
        print("Ctrl-C ends them.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def describe(server: LocalServer) -> str:
    """Return address and credentials as one line."""
    if isinstance(server, PostgresServer):
        return server.dsn()
    if isinstance(server, ObjectServer):
        return " ".join([server.address, *(f"{name}={value}" for name, value in server.credentials.items())])
    return server.title


if __name__ == "__main__":
    run()
