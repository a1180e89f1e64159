"""A user's machine for one test: replicas in directories, sources, a farshore.toml, and the real `farshore`."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.ops.setup.initialize import initialize
from tests.doubles.keys import CHEAP
from tests.end_to_end.preloaded import Started, read_at_start

FARSHORE = str(Path(sys.executable).parent / "farshore")
PASSPHRASE = "correct horse battery staple"
WAIT_S = 60.0


@dataclass(frozen=True)
class Done:
    """How one call ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as records; fails if a line is none."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The records of one type."""
        return [record for record in self.records if record["type"] == kind]


@dataclass
class Shore:
    """Everything below one folder."""

    root: Path
    replicas: tuple[str, ...] = ("alpha", "beta", "gamma")
    quorum: int = 2
    passphrase: str | None = PASSPHRASE
    more: str = ""  # further text of farshore.toml
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.root / "home"
        (home / "docs").mkdir(parents=True)
        (home / "docs/letter.txt").write_text("dear reader\n")
        (home / "docs/blob").write_bytes(os.urandom(700_000))
        (home / "link").symlink_to("docs/letter.txt")
        Path(os.fsdecode(bytes(home) + b"/caf\xe9\n")).write_text("not utf-8")
        with sqlite3.connect(self.root / "ledger.db") as connection:
            connection.execute("CREATE TABLE entry (amount INTEGER)")
            connection.executemany("INSERT INTO entry VALUES (?)", [(number,) for number in range(1000)])
        connection.close()
        for name in self.replicas:
            (self.root / name).mkdir()
        self.write_config()

    def write_config(self) -> None:
        """Write farshore.toml as the fields say."""
        replicas = "".join(
            f'[replicas.{name}]\nurl = "file://{name}"\nregion = "site:{name}"\n' for name in self.replicas
        )
        (self.root / "farshore.toml").write_text(
            f"[repository]\nquorum = {self.quorum}\n{replicas}"
            '[sources.home]\ntype = "directory"\npath = "home"\n'
            '[sources.ledger]\ntype = "sqlite"\npath = "ledger.db"\n'
            f'[state]\ndir = "state"\n{self.more}'
        )

    def initialize(self, *, write_only: bool = False) -> None:
        """Make the repository as `farshore init` does, but for a passphrase that is quick to try.

        At its full cost it would be a third of the work of every later command.
        """
        config = load_config(self.root / "farshore.toml", self.environment)
        initialize(config, write_only=write_only, passphrase_cost=CHEAP, clock=SystemClock())

    def forget_keys(self) -> str | None:
        """Lose the credential and the passphrase of this host, as a replicator has none; return the passphrase."""
        for credential in self.root.rglob("credential.json"):
            credential.unlink()
        passphrase, self.passphrase = self.passphrase, None
        return passphrase

    @property
    def environment(self) -> dict[str, str]:
        """What the process sees."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FARSHORE_")}
        given = {"FARSHORE_PASSPHRASE": self.passphrase} if self.passphrase is not None else {}
        return {**kept, "HOME": str(self.root), **given, **self.variables}

    def run(self, *words: str, stdin: str = "", environment: dict[str, str] | None = None) -> Done:
        """Run one command to its end; a traceback fails the test, whatever the command was."""
        given = {**self.environment, **(environment or {})}
        if read_at_start(given) == read_at_start(os.environ):
            with Started(words, folder=self.root, environment=given, stdin=stdin) as process:
                code = process.wait(WAIT_S)
                stdout, stderr = process.printed()
        else:
            done = subprocess.run(
                [FARSHORE, *words], cwd=self.root, env=given, input=stdin, capture_output=True, text=True,
                timeout=WAIT_S, check=False,
            )  # fmt: skip
            code, stdout, stderr = done.returncode, done.stdout, done.stderr
        assert "Traceback" not in stderr, stderr
        return Done(code, stdout, stderr)

    def good(self, *words: str, environment: dict[str, str] | None = None) -> Done:
        """Run one command that must end with exit code 0."""
        done = self.run(*words, environment=environment)
        assert done.code == 0, f"{words}: {done}"
        return done

    @contextlib.contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start one command, and kill it at the end if it still runs, so that a test that fails leaves nothing."""
        with subprocess.Popen(
            [FARSHORE, *words],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def stop_in_mid_backup(self, number: signal.Signals, *words: str) -> Done:
        """Start a backup of `wide`, send it a signal once it has begun to seal, and return how it ended."""
        with self.started_in_mid_backup(*words) as process:
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=WAIT_S)
        assert "Traceback" not in stderr, stderr
        return Done(process.returncode, stdout, stderr)

    @contextlib.contextmanager
    def started_in_mid_backup(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Start a backup of `wide` and go on once it has begun to seal; what it told until then is gone."""
        with self.started("--json", "backup", "wide", "--progress", *words) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line).get("stage") == "seal":
                    break
            yield process

    def talk(self, words: Sequence[str], answers: Sequence[tuple[str, str]]) -> Done:
        """Run one command on a terminal, and answer its questions. Output of both streams comes together."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.root)
            os.execve(FARSHORE, [FARSHORE, *words], {**self.environment, "TERM": "xterm", "COLUMNS": "100"})
        said, asked, deadline_s = "", list(answers), time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the other end closed
                break
            if not data:
                break
            said += data.decode("utf-8", "replace")
            if asked and said.endswith(asked[0][0]):
                os.write(terminal, os.fsencode(asked.pop(0)[1]) + b"\n")
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        assert not asked, f"never asked {asked}: {said}"
        assert "Traceback" not in said, said
        return Done(os.waitstatus_to_exitcode(status), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said), "")

    def flip_largest_pack(self, replica: str) -> str:
        """Change one byte in the middle of a replica's largest pack; return the pack's name."""
        pack = max((self.root / replica / "packs").rglob("*/*"), key=lambda path: path.stat().st_size)
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
        return pack.relative_to(self.root / replica).as_posix()


def tree(folder: Path) -> dict[bytes, object]:
    """Return what a folder holds, to be compared: content of files, targets of links."""
    found: dict[bytes, object] = {}
    for parent, folders, files in os.walk(bytes(folder)):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, bytes(folder))
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path))
            else:
                found[relative] = "folder" if os.path.isdir(path) else Path(os.fsdecode(path)).read_bytes()
    return found
