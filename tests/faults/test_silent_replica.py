"""A replica that takes connections and never says anything: no reader waits for it longer than it must."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore, tree

BOUND_S = 60.0  # the time-outs and attempts of one request to it alone take five minutes


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose connections are accepted by the system and answered by nobody."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        yield listener.getsockname()[1]


def test_a_restore_ends_although_the_first_replica_is_silent(tmp_path: Path, silent_port: int) -> None:
    shore = Shore(tmp_path)
    shore.initialize()
    shore.good("backup", "home")
    shore.variables |= {"SILENT": "x"}
    path = tmp_path / "farshore.toml"
    path.write_text(
        f'[replicas.silent]\nurl = "s3://bucket/prefix"\nendpoint = "http://127.0.0.1:{silent_port}"\n'
        'credentials = { access_key = { env = "SILENT" }, secret_key = { env = "SILENT" } }\n' + path.read_text()
    )
    started_s = time.monotonic()
    done = shore.run("restore", "home", "--target", "restored", "--json")
    assert done.code == 0, done.stderr
    assert tree(tmp_path / "restored") == tree(tmp_path / "home")
    assert time.monotonic() - started_s < BOUND_S
