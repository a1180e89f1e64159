"""Trial F11: standard error, or a report on standard output, that cannot be written ends no work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.end_to_end.shore import FARSHORE, WAIT_S, Done, Shore, tree

UNREADABLE = {"full disk": "2>/dev/full", "closed": "2>&-", "no reader": "2>&3"}
ACTING: Sequence[Sequence[str]] = (
    ("verify",),
    ("verify", "--read-data"),
    ("heal",),
    ("replica", "add", "beta"),
    ("replica", "probe", "alpha", "--only", "permissions"),
    ("warm", "home"),
    ("restore", "home", "--target", "out"),
    ("key", "passphrase", "add"),
)


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    shore = Shore(tmp_path, variables={"FARSHORE_NEW_PASSPHRASE": "staple battery horse"})
    shore.initialize()
    return shore


def run_redirected(shore: Shore, redirection: str, *words: str) -> Done:
    """Run one command as a shell with this redirection does; descriptor 3 is a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            ["bash", "-c", f'exec 3>&{writing}; exec "$@" {redirection}', "bash", FARSHORE, *words],
            cwd=shore.root,
            env=shore.environment,
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    finally:
        os.close(writing)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("unreadable", UNREADABLE)
def test_a_backup_does_not_end_because_nobody_reads_standard_error(shore: Shore, unreadable: str) -> None:
    (shore.root / "home/secret").mkdir()
    done = run_redirected(shore, UNREADABLE[unreadable], "backup", "home", "ledger")

    assert done.code == 0, done
    assert sorted(one["source"] for one in shore.good("snapshots", "--json").records) == ["home", "ledger"]
    assert run_redirected(shore, UNREADABLE[unreadable], "restore", "nobody", "--target", "out").code != 0


@pytest.mark.parametrize("redirection", [">/dev/full", ">&3"])
@pytest.mark.parametrize("json", [(), ("--json", "--progress")], ids=["text", "json"])
def test_a_report_that_cannot_be_written_ends_no_backup(shore: Shore, redirection: str, json: Sequence[str]) -> None:
    done = run_redirected(shore, redirection, "backup", "home", "ledger", *json)

    assert done.code == 3, done
    assert "warning: cannot write standard output" in done.stderr
    assert "what was done is done" in done.stderr
    assert sorted(one["source"] for one in shore.good("snapshots", "--json").records) == ["home", "ledger"]


def test_no_other_work_ends_either(shore: Shore) -> None:
    shore.good("backup", "home")
    for words in ACTING:
        usual = shore.run(*words, *(("--target", "usual") if words[0] == "restore" else ()))
        done = run_redirected(shore, ">/dev/full 2>/dev/full", *words)
        assert (done.code, done.stdout, done.stderr) == (usual.code or 3, "", ""), words
    assert tree(shore.root / "out") == tree(shore.root / "home")


def test_what_is_asked_for_must_be_written(shore: Shore) -> None:
    shore.good("backup", "home")

    listed = run_redirected(shore, ">/dev/full", "ls", "home")
    unread = run_redirected(shore, ">&3", "ls", "home")

    assert (listed.code, unread.code) == (1, 141)
    assert "error[output]: cannot write standard output" in listed.stderr
