"""Who can read: passphrases, identities, hosts that only write, and questions on a terminal."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.end_to_end.shore import PASSPHRASE, Shore, tree


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    return Shore(tmp_path)


def test_a_write_only_host_adds_backups_and_reads_none(shore: Shore) -> None:
    made = shore.good("init", "--write-only")
    credential = Path(made.stdout.split("write-only credential: ")[1].splitlines()[0])
    assert credential.stat().st_mode & 0o777 == 0o600
    shore.good("backup", "home")
    shore.passphrase = None

    shore.good("backup", "home", "ledger")
    assert len(shore.good("snapshots", "--json").records) == 3
    shore.good("verify", "--read-data")
    shore.good("status", "--max-age", "1h")
    for words in (["restore", "home", "--target", "out"], ["ls", "home"], ["diff", "home", "home"]):
        refused = shore.run(*words)
        assert refused.code == 52, refused
        assert "error[credential-cannot-read]" in refused.stderr

    shore.passphrase = PASSPHRASE
    shore.good("restore", "home", "--target", "out")
    assert tree(shore.root / "out") == tree(shore.root / "home")


@pytest.mark.parametrize("still_named", ["passphrase = { env = 'GONE' }", "identity = 'gone.json'"])
def test_a_write_only_host_may_go_on_naming_what_was_taken_off(shore: Shore, still_named: str) -> None:
    """Trial N14."""
    shore.initialize(write_only=True)
    shore.passphrase = None
    config = shore.root / "farshore.toml"
    config.write_text(config.read_text().replace("[repository]", f"[repository]\n{still_named}"))

    shore.good("backup", "home", "ledger")
    for words in ("snapshots", "verify", "verify --read-data", "verify --remote", "status", "heal", "cost", "key list",
                  "plan check --live", "lock check home", "warm home", "replica add beta", "sql --tables"):  # fmt: skip
        assert shore.run(*words.split()).code in (0, 3, 82), words
    for words in (
        "restore home --target out",
        "ls home",
        "diff home home",
        "key passphrase add",
        "key enroll",
    ):
        refused = shore.run(*words.split(), environment={"FARSHORE_NEW_PASSPHRASE": "long enough"})
        assert refused.code == 52, (words, refused)
        assert "on another machine" in refused.stderr
        assert "Set " not in refused.stderr


def test_one_more_host_can_enroll(shore: Shore) -> None:
    shore.initialize()
    shore.variables["FARSHORE_STATE_DIR"] = str(shore.root / "other-host")

    enrolled = shore.good("key", "enroll", "--json").of("credential")[0]

    assert Path(enrolled["path"]).is_relative_to(shore.root / "other-host")
    shore.passphrase = None
    shore.good("backup", "home")
    assert shore.run("ls", "home").code == 52


def test_an_identity_reads_what_a_recipient_was_given(shore: Shore) -> None:
    recipient = shore.good("key", "generate", "safe.json").stdout
    (shore.root / "safe.recipient").write_text(recipient)
    assert (shore.root / "safe.json").stat().st_mode & 0o777 == 0o600
    assert shore.run("key", "generate", "safe.json").code == 10
    shore.passphrase = None

    made = shore.good("init", "--recipient", "safe.recipient", "--write-only")
    assert "opened by 1 recipient" in made.stdout
    shore.good("backup", "home")
    assert shore.run("restore", "home", "--target", "out").code == 52

    with_identity = {"FARSHORE_REPOSITORY__IDENTITY": "safe.json"}
    shore.good("restore", "home", "--target", "out", environment=with_identity)
    assert tree(shore.root / "out") == tree(shore.root / "home")


def test_keys_can_be_added_later(shore: Shore) -> None:
    shore.initialize()
    shore.good("backup", "home")
    recipient = shore.good("key", "generate", "safe.json").stdout.strip()

    shore.good("key", "recipient", "add", recipient)
    shore.good("key", "passphrase", "add", environment={"FARSHORE_NEW_PASSPHRASE": "another one"})

    assert sorted(slot["kind"] for slot in shore.good("key", "list", "--json").of("slot")) == [
        "passphrase",
        "passphrase",
        "passphrase",
        "recipient",
    ]  # of the owner and the reader from the beginning
    shore.passphrase = "another one"
    shore.good("restore", "home", "--target", "out")
    shore.passphrase = None
    shore.good("restore", "home", "--target", "out2", environment={"FARSHORE_REPOSITORY__IDENTITY": "safe.json"})


def test_an_empty_new_passphrase_is_refused(shore: Shore) -> None:
    shore.initialize()

    refused = shore.run("key", "passphrase", "add", environment={"FARSHORE_NEW_PASSPHRASE": " "})

    assert refused.code == 10
    assert "FARSHORE_NEW_PASSPHRASE is empty" in refused.stderr


def test_on_a_terminal_the_passphrase_is_asked_for(shore: Shore) -> None:
    shore.passphrase = None
    nothing_configured = shore.run("init")
    assert nothing_configured.code == 10
    assert "no passphrase and no terminal" in nothing_configured.stderr

    empty = shore.talk(["init"], [("new passphrase: ", "")])
    assert (empty.code, "an empty passphrase protects nothing" in empty.stdout) == (10, True)
    differ = shore.talk(["init"], [("new passphrase: ", "one two three"), ("the same again: ", "two one three")])
    assert (differ.code, "the two passphrases differ" in differ.stdout) == (10, True)
    made = shore.talk(["init"], [("new passphrase: ", "one two three"), ("the same again: ", "one two three")])
    assert made.code == 0, made
    assert "one two three" not in made.stdout

    assert shore.talk(["backup", "home"], []).code == 0  # this host has a credential
    wrong = shore.talk(["ls", "home"], [("passphrase: ", "three")])
    assert (wrong.code, "error[wrong-passphrase]" in wrong.stdout) == (51, True)
    assert shore.talk(["ls", "home"], [("passphrase: ", "one two three")]).code == 0
    listed = shore.talk(["snapshots"], [])
    assert listed.code == 0
    assert "─" in listed.stdout  # drawn, because standard output is a terminal
    assert shore.talk(["status"], []).code == 0  # asks for nothing, because it needs no key


def test_the_identity_itself_names_its_recipient_once_with_a_label(shore: Shore) -> None:
    """Trial N12."""
    shore.initialize()
    shore.good("key", "generate", "safe.json")

    first = shore.good("key", "recipient", "add", "safe.json", "--label", "the safe in Oslo", "--json").of("slot")[0]
    again = shore.good("key", "recipient", "add", "safe.json")

    assert f"this recipient has key slot {first['slot_id']} already" in again.stdout
    listed = shore.good("key", "list", "--json").of("slot")
    assert [slot["kind"] for slot in listed] == ["passphrase", "passphrase", "recipient"]
    assert listed[2]["label"] == "the safe in Oslo"
    assert listed[2]["host"] == socket.gethostname()
    assert listed[2]["created_utc"] > listed[0]["created_utc"] > "2026"
    shown = shore.good("key", "list").stdout
    assert "the safe in Oslo" in shown
    with_identity = {"FARSHORE_REPOSITORY__IDENTITY": "safe.json"}
    shore.passphrase = None
    shore.good("snapshots", environment=with_identity)


def test_a_slot_that_is_at_one_replica_alone_is_put_at_the_others(shore: Shore) -> None:
    """Trial N12: what one bucket claims keeps nobody from being added; the owner's signature proves it."""
    shore.initialize()
    recipient = shore.good("key", "generate", "safe.json").stdout.strip()
    slot_id = shore.good("key", "recipient", "add", recipient, "--json").of("slot")[0]["slot_id"]
    for replica in ("alpha", "beta"):
        (path,) = (shore.root / replica / "keys/slots").glob(f"{slot_id}*.json")
        path.unlink()

    assert "it is at every replica" in shore.good("key", "recipient", "add", recipient).stdout
    for replica in ("alpha", "beta", "gamma"):
        assert len(list((shore.root / replica / "keys/slots").glob(f"{slot_id}*.json"))) == 1


def test_files_with_keys_that_others_can_read_are_refused(shore: Shore) -> None:
    """Trial N12."""
    recipient = shore.good("key", "generate", "safe.json").stdout.strip()
    made = shore.good("init", "--recipient", recipient, "--write-only", "--json").of("init")[0]
    (shore.root / "safe.json").chmod(0o644)
    Path(made["credential"]).chmod(0o640)

    refused = shore.run("snapshots")
    assert (refused.code, "the credential" in refused.stderr, "chmod 600" in refused.stderr) == (19, True, True)
    Path(made["credential"]).chmod(0o600)
    shore.passphrase = None
    refused = shore.run("ls", "home", environment={"FARSHORE_REPOSITORY__IDENTITY": "safe.json"})
    assert (refused.code, "the identity file" in refused.stderr, "chmod 600" in refused.stderr) == (19, True, True)


def test_a_cut_identity_is_reported_as_that(shore: Shore) -> None:
    """Trial N2."""
    recipient = shore.good("key", "generate", "safe.json").stdout.strip()
    shore.good("init", "--recipient", recipient)
    whole = (shore.root / "safe.json").read_bytes()
    (shore.root / "safe.json").write_bytes(whole[: len(whole) // 2])
    shore.passphrase = None

    for words in (["ls", "home"], ["key", "recipient", "add", "safe.json"]):
        refused = shore.run(*words, environment={"FARSHORE_REPOSITORY__IDENTITY": "safe.json"})
        assert refused.code == 68
        assert "error[key-file-damaged]: the identity file" in refused.stderr
        assert "farshore.json" not in refused.stderr


def test_a_weak_passphrase_is_reported(shore: Shore) -> None:
    """Trial N5: a warning where nobody can be asked, a refusal on a terminal."""
    shore.passphrase = "x"
    made = shore.good("init")
    assert "warning: the passphrase has only 1 character, so whoever can read a replica can guess it" in made.stderr
    added = shore.good("key", "passphrase", "add", environment={"FARSHORE_NEW_PASSPHRASE": "hunter22"})
    assert "warning: the passphrase has only 8 characters" in added.stderr

    shore.passphrase = None
    refused = shore.talk(["key", "passphrase", "add"], [("passphrase: ", "x"), ("new passphrase: ", "hunter2")])
    assert (refused.code, "fewer than 8 characters" in refused.stdout) == (10, True)


def test_any_bytes_open_what_they_made(shore: Shore) -> None:
    """Trial F13: from a variable, a file, and a terminal alike; other bytes do not."""
    word = b"\xffgr\xfc\xdfe auf latein"
    shore.passphrase = os.fsdecode(word)
    shore.good("init")
    shore.good("backup", "home")
    shore.passphrase = None
    (shore.root / "word").write_bytes(word + b"\n")
    (shore.root / "word").chmod(0o600)

    shore.good("ls", "home", environment={"FARSHORE_REPOSITORY__PASSPHRASE__FILE": str(shore.root / "word")})
    assert shore.talk(["ls", "home"], [("passphrase: ", os.fsdecode(word))]).code == 0
    shore.passphrase = os.fsdecode(word + b"\xfe")
    assert shore.run("ls", "home").code == 51
