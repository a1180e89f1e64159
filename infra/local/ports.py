"""Pick free TCP ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket

# Below the range that Linux hands to outgoing connections (32768 and up), also after the gRPC offset is added:
# otherwise a connection of some other program may sit on the port between picking it and binding it.
_PORT_MIN = 10_240
_PORT_MAX = 22_000
GRPC_OFFSET = 10_000  # SeaweedFS listens for gRPC at each port plus this
_ATTEMPTS = 1_000


class NoPortFree(RuntimeError):
    """No free port was found."""


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ignore closed connections
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick_ports(count: int, *, with_grpc: bool = False) -> list[int]:
    """Return `count` different free ports; with `with_grpc`, each one plus `GRPC_OFFSET` is free too.

    Somebody else may take one before it is used: callers start again with others when their server ends at once.
    """
    source = random.SystemRandom()  # processes that start together must not pick the same ports
    ports: list[int] = []
    for _ in range(_ATTEMPTS):
        port = source.randrange(_PORT_MIN, _PORT_MAX)
        if port not in ports and is_free(port) and (not with_grpc or is_free(port + GRPC_OFFSET)):
            ports.append(port)
            if len(ports) == count:
                return ports
    raise NoPortFree(f"no {count} free ports between {_PORT_MIN} and {_PORT_MAX}")
