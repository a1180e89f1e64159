"""Who can read: passphrases, identities, hosts that only write, and questions on a terminal."""

from __future__ import annotations

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


def test_one_more_host_can_enroll(shore: Shore) -> None:
    shore.good("init")
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
    shore.good("init")
    shore.good("backup", "home")
    recipient = shore.good("key", "generate", "safe.json").stdout.strip()

    shore.good("key", "add-recipient", recipient)
    shore.good("key", "add-passphrase", environment={"FARSHORE_NEW_PASSPHRASE": "another one"})

    assert sorted(slot["kind"] for slot in shore.good("key", "list", "--json").of("slot")) == [
        "passphrase",
        "passphrase",
        "recipient",
    ]
    shore.passphrase = "another one"
    shore.good("restore", "home", "--target", "out")
    shore.passphrase = None
    shore.good("restore", "home", "--target", "out2", environment={"FARSHORE_REPOSITORY__IDENTITY": "safe.json"})


def test_an_empty_new_passphrase_is_refused(shore: Shore) -> None:
    shore.good("init")

    refused = shore.run("key", "add-passphrase", environment={"FARSHORE_NEW_PASSPHRASE": " "})

    assert refused.code == 10
    assert "FARSHORE_NEW_PASSPHRASE is empty" in refused.stderr


def test_on_a_terminal_the_passphrase_is_asked_for(shore: Shore) -> None:
    shore.passphrase = None
    nothing_configured = shore.run("init")
    assert nothing_configured.code == 10
    assert "no passphrase and no terminal" in nothing_configured.stderr

    empty = shore.talk(["init"], [("new passphrase: ", "")])
    assert (empty.code, "an empty passphrase protects nothing" in empty.stdout) == (10, True)
    differ = shore.talk(["init"], [("new passphrase: ", "one"), ("the same again: ", "two")])
    assert (differ.code, "the two passphrases differ" in differ.stdout) == (10, True)
    made = shore.talk(["init"], [("new passphrase: ", "one two"), ("the same again: ", "one two")])
    assert made.code == 0, made
    assert "one two" not in made.stdout

    assert shore.talk(["backup", "home"], [("passphrase: ", "one two")]).code == 0
    wrong = shore.talk(["snapshots"], [("passphrase: ", "three")])
    assert (wrong.code, "error[wrong-passphrase]" in wrong.stdout) == (51, True)
    listed = shore.talk(["snapshots"], [("passphrase: ", "one two")])
    assert listed.code == 0
    assert "─" in listed.stdout  # drawn, because standard output is a terminal
    assert shore.talk(["status"], []).code == 0  # asks for nothing, because it needs no key
