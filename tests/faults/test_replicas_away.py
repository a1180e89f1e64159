"""Trials N6 and F10: replicas that cannot be asked, or list nothing, are named by every command, each with its reason.

Real processes against a port where nobody listens, one that takes connections and never answers, a service that refuses
the key, one that fails, one that answers nonsense, and a directory that is not there.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.network import Answer, answering, closed_port, silent_port
from tests.end_to_end.shore import Done, Shore

REFUSAL = b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"
FAILURE = b"<Error><Code>InternalError</Code><Message>try again</Message></Error>"
REASONS = {  # by kind of trouble: the code of the reason, and whether the replica counts as damaged
    "closed": ("store-unavailable", False),
    "silent": ("store-unavailable", False),
    "refused": ("store-denied", False),
    "failing": ("store-unavailable", False),
    "nonsense": ("header-damaged", True),
    "gone": ("bucket-not-found", False),
}
COMMANDS = (
    ("snapshots",),
    ("ls", "home"),
    ("diff", "home", "home"),
    ("restore", "home", "--target", "restored"),
    ("key", "list"),
    ("sql", "SELECT 1"),
    ("cost",),
    ("plan", "check", "--live"),
    ("warm", "home", "--dry-run"),
)
BOUND_S = 45.0  # far above what a reader waits for, far below the time-outs of one request


@contextlib.contextmanager
def trouble(kind: str) -> Iterator[str]:
    """Give the configuration of a replica that is in this kind of trouble."""
    with contextlib.ExitStack() as stack:
        match kind:
            case "gone":
                yield 'url = "file:///nonexistent/replica"\n'
                return
            case "closed":
                address = f"http://127.0.0.1:{closed_port()}"
            case "silent":
                address = f"http://127.0.0.1:{stack.enter_context(silent_port())}"
            case "refused":
                address = stack.enter_context(answering(lambda _: Answer(403, REFUSAL)))
            case "failing":
                address = stack.enter_context(answering(lambda _: Answer(500, FAILURE)))
            case _:
                address = stack.enter_context(answering(lambda _: Answer(200, b"\0\xffnonsense" * 30)))
        yield (
            f'url = "s3://bucket/prefix"\nendpoint = "{address}"\n'
            'credentials = { access_key = { env = "ANY" }, secret_key = { env = "ANY" } }\n'
        )


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    """Three replicas with one snapshot each; a quorum of one, so that backups go on."""
    shore = Shore(tmp_path, quorum=1, variables={"ANY": "x"})
    shore.initialize()
    shore.good("backup", "home")
    return shore


def put_into_trouble(shore: Shore, replica: str, section: str) -> None:
    """Point a replica's section of the configuration at a service in trouble."""
    path = shore.root / "farshore.toml"
    path.write_text(path.read_text().replace(f'url = "file://{replica}"\n', section))


def unasked(done: Done) -> dict[str, str]:
    """The replicas that a command warned of, with the code of the reason."""
    warned: list[dict[str, Any]] = [one for one in done.of("warning") if one.get("code") == "replica-not-asked"]
    return {one["replica"]: one["reason"] for one in warned}


@pytest.mark.parametrize(
    ("kind", "commands"),
    [("refused", COMMANDS), *((kind, COMMANDS[:1]) for kind in REASONS if kind != "refused")],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_every_command_names_a_replica_that_it_could_not_ask(
    shore: Shore, kind: str, commands: tuple[tuple[str, ...], ...]
) -> None:
    with trouble(kind) as section:
        put_into_trouble(shore, "alpha", section)
        for words in commands:
            shutil.rmtree(shore.root / "restored", ignore_errors=True)
            started_s = time.monotonic()
            done = shore.run(*words, "--json")
            assert unasked(done) == {"alpha": REASONS[kind][0]}, words
            assert "alpha could not be asked" in done.stderr, words
            assert done.code in (0, 82 if words[0] == "plan" else 0), (words, done.stderr)
            assert time.monotonic() - started_s < BOUND_S, words
        (state,) = [one for one in shore.run("status", "--json").of("replica") if one["replica"] == "alpha"]
        assert state["state"] in ("unreachable", "missing")


@pytest.mark.parametrize("kind", ["refused", "nonsense"])
def test_verify_says_of_each_replica_whether_it_was_checked(shore: Shore, kind: str) -> None:
    code, damaged = REASONS[kind]
    with trouble(kind) as section:
        put_into_trouble(shore, "beta", section)
        for means in ((), ("--remote",)):
            done = shore.run("verify", "--json", *means)
            (result,) = done.of("verify")
            states = {one["replica"]: one["state"] for one in result["checks"]}
            assert states == {"alpha": "clean", "beta": "damaged" if damaged else "not-asked", "gamma": "clean"}
            assert result["clean"] is False
            assert {one["replica"] for one in result["damaged"]} == ({"beta"} if damaged else set())
            assert done.code == (62 if damaged else 20)
            assert unasked(done) == {"beta": code}
        reported = shore.run("verify").stdout
        assert "alpha: checked" in reported
        assert ("beta: 1 damaged object" if damaged else f"beta: could not be asked ({code})") in reported
        summary = next(line for line in reported.splitlines() if line.startswith("checked"))
        assert " at alpha, gamma in " in summary
        assert "clean" not in summary
        status = {one["replica"]: one for one in shore.run("status", "--json").of("replica")}
        assert status["beta"]["last_check_clean"] is (False if damaged else None)
        assert status["alpha"]["last_check_clean"] is True


def test_when_none_answers_each_is_named_with_its_own_reason(shore: Shore) -> None:
    with trouble("closed") as closed, trouble("refused") as refused, trouble("gone") as gone:
        for replica, section in {"alpha": closed, "beta": refused, "gamma": gone}.items():
            put_into_trouble(shore, replica, section)
        for words in (("snapshots",), ("sql", "SELECT 1"), ("verify",), ("heal",), ("backup", "home")):
            done = shore.run(*words, "--json")
            assert done.code == 20, (words, done.stderr)
            assert unasked(done) == {"alpha": "store-unavailable", "beta": "store-denied", "gamma": "bucket-not-found"}
            assert "Could not connect" in done.stderr
            assert "no such key" in done.stderr
            assert "no directory" in done.stderr
        status = shore.run("status", "--json")
        assert status.code == 20
        assert unasked(status).keys() == {"alpha", "beta", "gamma"}


@pytest.mark.parametrize("kind", ["gone"])
def test_what_writes_names_it_too_and_goes_on(shore: Shore, kind: str) -> None:
    with trouble(kind) as section:
        put_into_trouble(shore, "gamma", section)
        backup = shore.run("backup", "home", "--json")
        assert backup.code == 0
        assert unasked(backup) == {"gamma": REASONS[kind][0]}
        heal = shore.run("heal", "--json")
        assert unasked(heal) == {"gamma": REASONS[kind][0]}
        assert heal.code != 0
        lock = shore.run("lock", "check", "home", "--json")
        assert lock.code == 3
        assert unasked(lock) == {"gamma": REASONS[kind][0]}


def test_a_person_sees_within_seconds_whom_a_command_waits_for(shore: Shore) -> None:
    with trouble("silent") as section:
        put_into_trouble(shore, "alpha", section)
        with shore.started("verify") as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "waiting for alpha: no answer yet\n"
            assert process.poll() is None  # the line came before the wait was over
            assert process.wait(BOUND_S) == 20


def test_a_replica_that_lists_nothing_is_not_clean(shore: Shore) -> None:
    """Trial F10."""
    shutil.rmtree(shore.root / "beta/snapshots")
    verify = shore.run("verify", "--json")
    assert verify.code == 84
    (result,) = verify.of("verify")
    assert result["clean"] is False
    assert {one["replica"]: one["state"] for one in result["checks"]}["beta"] == "empty"
    reported = shore.run("verify").stdout
    assert "beta: lists no snapshot, and others list 1" in reported
    assert reported.count("clean") == 2  # of alpha and of gamma
    remote = shore.run("verify", "--remote")
    assert remote.code == 62  # the audit tables tell what must be there
    assert "clean" not in remote.stdout
    status = shore.run("status", "--json")
    assert status.code in (62, 84)
    assert "beta lists no snapshot" in status.stderr or "damage at beta" in status.stderr
    assert shore.run("lock", "check", "home").code == 3
    assert shore.run("verify", "--replica", "beta").code == 66
    heal = shore.good("heal", "--json").of("heal")[0]
    assert heal["snapshots"] == 1
    assert {one["replica"]: one["snapshots_added"] for one in heal["replicas"]} == {"alpha": 0, "beta": 1, "gamma": 0}
    assert shore.run("verify").code == 0


def test_a_replica_that_lists_fewer_is_behind(shore: Shore) -> None:
    """Trial F10."""
    shore.good("backup", "ledger")
    gone = next((shore.root / "beta/snapshots").glob("*/*"))
    gone.unlink()
    verify = shore.run("verify")
    assert verify.code == 3
    assert "beta: checked" in verify.stdout
    assert "1 snapshot that others list is not there" in verify.stdout
    assert "beta lists fewer snapshots" in verify.stdout
    assert shore.run("status").code == 3


def test_a_repository_without_snapshots_is_not_called_clean(tmp_path: Path) -> None:
    """Trial F10."""
    shore = Shore(tmp_path)
    shore.initialize()
    verify = shore.run("verify")
    assert verify.code == 66
    assert "clean" not in verify.stdout
    assert shore.run("heal").code == 3
    assert shore.run("status").code == 3
