"""The anchor of infra/anchor against a time-stamp authority (RFC 3161) that openssl makes on this machine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from farshore.audit import names
from tests.unit.access.test_anchor import anchored, back_up
from tests.unit.ops.engine import Engine

ANCHOR = Path(__file__).parents[3] / "infra" / "anchor"
SETTINGS = """
[tsa]
default_tsa = here
[here]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = ca.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
"""


@dataclass
class Authority:
    """Where it answers, the certificate to check it by, and the folder of stamps."""

    url: str
    certificates: Path
    stamps: Path
    server: ThreadingHTTPServer

    def command(self) -> list[str]:
        return [str(ANCHOR / "stamp.sh"), str(self.stamps), self.url, str(self.certificates)]


def run(folder: Path, *words: str) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    folder = tmp_path / "authority"
    folder.mkdir()
    (folder / "settings").write_text(SETTINGS)
    (folder / "serial").write_text("01\n")
    (folder / "use").write_text("extendedKeyUsage = critical,timeStamping\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(
        folder,
        "openssl",
        "req",
        "-x509",
        *key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=a ca",
        "-days",
        "9",
    )
    run(folder, "openssl", "req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=a clock")
    run(
        folder, "openssl", "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "use", "-out", "tsa.pem", "-days", "9",
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            run(folder, "openssl", "ts", "-reply", "-config", "settings", "-queryfile", "query", "-out", "answer")
            self.send_response(200)
            self.end_headers()
            self.wfile.write((folder / "answer").read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "stamps").mkdir()
    yield Authority(f"http://127.0.0.1:{server.server_port}/", folder / "ca.pem", tmp_path / "stamps", server)
    server.shutdown()
    thread.join()
    server.server_close()


def compare(authority: Authority, engine: Engine, folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask as a fresh machine does, which has the stamps, the certificate and the names at the replicas."""
    listed = folder / "names"
    listed.write_text("".join(f"{name}\n" for replica in "abc" for name in engine.objects(replica, names.SEALS)))
    words = [str(ANCHOR / "compare.sh"), str(authority.stamps), str(authority.certificates), str(listed)]
    return subprocess.run(words, check=False, capture_output=True, text=True)


def test_a_history_that_was_cut_everywhere_shows_by_the_last_stamp(authority: Authority, tmp_path: Path) -> None:
    engine = anchored(Engine(tmp_path / "engine").initialize(), *authority.command())
    back_up(engine)
    before = {replica: dict(engine.shelf(replica).objects) for replica in "abc"}
    engine.clock.advance(86_400)
    back_up(engine)
    assert len(list(authority.stamps.glob("*.tsr"))) == 1
    found = compare(authority, engine, tmp_path)
    assert (found.returncode, "is there" in found.stdout) == (0, True), found.stderr

    for replica in "abc":
        engine.shelf(replica).objects.clear()
        engine.shelf(replica).objects.update(before[replica])
    cut = compare(authority, engine, tmp_path)
    assert (cut.returncode, "is at no replica" in cut.stderr) == (1, True)


def test_a_stamp_that_somebody_made_up_counts_for_nothing(authority: Authority, tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    (authority.stamps / f"{'ab' * 32}.txt").write_text("ab" * 32 + "\n")
    (authority.stamps / f"{'ab' * 32}.tsr").write_bytes(b"no stamp")
    found = compare(authority, engine, tmp_path)
    assert (found.returncode, "no stamp" in found.stderr) == (2, True)
    assert "1 stamps in" in found.stderr


def test_an_answer_that_another_authority_signed_is_not_kept(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = authority.certificates.parent
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "other.key")
    run(folder, "openssl", "req", "-x509", *key, "-out", "other.pem", "-subj", "/CN=another", "-days", "9")
    authority.certificates = folder / "other.pem"
    engine = anchored(Engine(tmp_path / "engine").initialize(), *authority.command())
    engine.clock.advance(86_400)
    back_up(engine)
    assert "does not verify" in caplog.text
    assert not list(authority.stamps.iterdir())


def test_an_authority_that_is_away_costs_a_warning_and_no_backup(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority.url = "http://127.0.0.1:9/"
    engine = anchored(Engine(tmp_path / "engine").initialize(), *authority.command())
    engine.clock.advance(86_400)
    back_up(engine)
    assert "not anchored" in caplog.text
    assert not list(authority.stamps.iterdir())
    assert len(engine.snapshots()) == 1
