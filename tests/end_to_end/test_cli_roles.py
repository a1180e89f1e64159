"""Owner, reader and hosts as people use them: enroll, revoke, split, rotate, shares, pins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shore import PASSPHRASE, Shore, tree

OWNER = "an owner keeps this one in a safe"


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    made = Shore(tmp_path)
    made.initialize()
    return made


def secret(shore: Shore, name: str, text: str) -> str:
    (shore.root / name).write_text(text)
    (shore.root / name).chmod(0o600)
    return name


def test_list_show_log_and_fingerprint_need_no_key(shore: Shore) -> None:
    shore.passphrase = None

    listed = shore.good("key", "list", "--json")
    assert {one["role"] for one in listed.of("slot")} == {"owner", "reader"}
    certificates = {one["role"]: one for one in listed.of("certificate")}
    assert certificates["writer"]["rights"] == ["backup", "heal", "verify"]
    assert "any of its own" in shore.good("key", "list").stdout
    shown = shore.good("key", "show", certificates["writer"]["signer"][:12]).stdout
    assert "rights   backup" in shown
    reader = next(one for one in listed.of("slot") if one["role"] == "reader")
    assert "opens    everything" in shore.good("key", "show", reader["slot_id"]).stdout
    assert shore.run("key", "show", "nobody").code == 10
    assert [one["number"] for one in shore.good("key", "log", "--json").of("log-entry")] == [1]
    assert "epoch 1 of domain main" in shore.good("key", "log").stdout
    digits, words = shore.good("key", "fingerprint").stdout.split()
    assert (len(digits), len(words.split("-"))) == (64, 16)
    shore.passphrase = PASSPHRASE
    shore.good("snapshots", "--fingerprint", words)
    refused = shore.run("snapshots", "--fingerprint", "0" * 64)
    assert (refused.code, "repository-mismatch" in refused.stderr) == (33, True), refused


def test_a_split_leaves_a_reader_who_admits_nobody(shore: Shore) -> None:
    shore.good("backup", "home")

    done = shore.good("key", "split", environment={"FARSHORE_NEW_PASSPHRASE": OWNER})

    assert "opens the data alone" in done.stdout
    shore.good("restore", "home", "--target", "out")
    assert tree(shore.root / "out") == tree(shore.root / "home")
    refused = shore.run("key", "enroll")
    assert (refused.code, "no slot of an owner" in refused.stderr) == (51, True), refused
    shore.good("backup", "home")
    shore.good("key", "enroll", "db7", "--out", "db7.json", environment={"FARSHORE_OWNER_PASSPHRASE": OWNER})
    assert "OWNER" not in shore.good("key", "enroll", "db9", "--out", "db9.json", environment={
        "FARSHORE_OWNER_PASSPHRASE": OWNER
    }).stderr  # fmt: skip
    shore.good("key", "enroll", "db8", "--out", "db8.json", environment={"FARSHORE_PASSPHRASE": OWNER})
    roles = [(one["role"], one["current"]) for one in shore.good("key", "list", "--json").of("certificate")]
    assert sorted(roles) == [("reader", False), ("reader", True), *[("writer", True)] * 4]


def test_a_policy_changes_after_a_split(shore: Shore) -> None:
    """With the owner's secret beside a reader's: an approver sees all of it, and agrees at a host of its own."""
    shore.variables["FARSHORE_NEW_PASSPHRASE"] = OWNER
    shore.good("key", "split")
    del shore.variables["FARSHORE_NEW_PASSPHRASE"]
    shore.variables["FARSHORE_OWNER_PASSPHRASE"] = OWNER
    shore.good("key", "enroll", "alice", "--role", "approver", "--out", str(shore.root / "alice.json"))
    shore.good("key", "policy", "--approver", "alice", "--approvals", "1", "--keep-last", "3")
    less = ("key", "policy", "--approver", "alice", "--approvals", "1", "--keep-last", "1", "--delete-max", "9")
    del shore.variables["FARSHORE_OWNER_PASSPHRASE"]
    shore.passphrase = OWNER
    alone = shore.run(*less)
    assert (alone.code, "FARSHORE_OWNER_IDENTITY" in alone.stderr) == (55, True), "the owner's secret signs no request"
    shore.passphrase, shore.variables["FARSHORE_OWNER_PASSPHRASE"] = PASSPHRASE, OWNER
    assert shore.run(*less, "--reason", "less").code == 96
    shore.passphrase = None
    del shore.variables["FARSHORE_OWNER_PASSPHRASE"]
    shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"] = str(shore.root / "alice.json")
    (request,) = shore.good("approve", "--list", "--json").of("request")
    assert request["policy"]["delete_max"] == 9
    shown = shore.good("approve", request["request"], "--show").stdout
    assert "1 of alice have to agree; at most 9 % deleted at once; rules keep_last = 1" in shown
    assert "it may happen now" in shore.good("approve", request["request"], "--yes").stdout
    del shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"]
    shore.passphrase, shore.variables["FARSHORE_OWNER_PASSPHRASE"] = PASSPHRASE, OWNER
    shore.good(*less)
    assert "rules keep_last = 1" in shore.good("key", "log").stdout


def test_an_identity_can_become_the_owner(shore: Shore) -> None:
    recipient = shore.good("key", "generate", "owner.json").stdout.strip()

    kept = shore.good("key", "split", "--recipient", recipient, "--keep", "--json").of("rotation")[0]

    assert kept["revoked"] == ""
    assert [one["role"] for one in kept["ended"]] == ["owner"]
    assert shore.run("key", "rotate", "owner").code == 51
    shore.good("key", "rotate", "owner", environment={"FARSHORE_REPOSITORY__IDENTITY": "owner.json"})
    both = {"FARSHORE_OWNER_IDENTITY": "owner.json"}
    done = shore.good("key", "rotate", "recipient", "--json", environment=both)
    assert done.of("rotation")[0]["older"] == []
    assert done.stderr == ""
    shore.good("snapshots")


def test_a_revoked_host_writes_nothing_more(shore: Shore) -> None:
    shore.good("backup", "home")
    host = shore.good("key", "list", "--json").of("certificate")[0]["host"]
    signer = next(
        one["signer"] for one in shore.good("key", "list", "--json").of("certificate") if one["role"] == "writer"
    )

    unasked = shore.run("key", "revoke", signer, "--reason", "stolen")
    assert (unasked.code, "nothing was revoked" in unasked.stderr) == (10, True)
    assert shore.run("key", "revoke", "nobody", "--reason", "stolen", "--yes").code == 10
    assert shore.run("key", "revoke", signer, "--reason", "x", "--yes", "--refuse", "ffff").code == 10
    shown = shore.good("key", "revoke", signer, "--reason", "stolen", "--dry-run")
    assert f"to be revoked: writer {host}" in shown.stdout
    assert len(shore.good("key", "log", "--json").of("log-entry")) == 1
    asked = shore.talk(["key", "revoke", signer, "--reason", "stolen"], [("[yes/no] ", "no")])
    assert (asked.code, "nothing was revoked" in asked.stdout) == (10, True)
    done = shore.talk(["key", "revoke", signer, "--reason", "stolen"], [("[yes/no] ", "yes")])

    assert (done.code, "1 commit stays accepted" in done.stdout) == (0, True), done
    assert "stolen" in shore.good("key", "show", signer).stdout
    refused = shore.run("backup", "home")
    assert (refused.code, "was revoked (stolen)" in refused.stderr) == (57, True), refused
    shore.good("key", "enroll")
    shore.good("backup", "home")


def test_two_of_three_shares_open_what_one_does_not(shore: Shore) -> None:
    shore.good("backup", "home")
    made = shore.good("key", "shares", "make", "--threshold", "2", "--shares", "3", "--json")
    files = [secret(shore, f"share{one['number']}", one["words"]) for one in made.of("share")]
    assert len(files) == 3
    assert shore.run("key", "shares", "make", "--threshold", "1", "--shares", "3").code == 10
    shore.passphrase = None

    one = shore.run("restore", "home", "--target", "out", environment={"FARSHORE_REPOSITORY__SHARES": files[0]})
    assert (one.code, "more are needed" in one.stderr) == (51, True), one
    two = {"FARSHORE_REPOSITORY__SHARES": f'["{files[0]}", "{files[2]}"]'}
    shore.good("restore", "home", "--target", "out", environment=two)
    assert tree(shore.root / "out") == tree(shore.root / "home")
    shore.good("key", "shares", "open", "board.json", "--share", files[1], "--share", files[2])
    with_identity = {"FARSHORE_REPOSITORY__IDENTITY": "board.json"}
    shore.good("restore", "home", "--target", "again", environment=with_identity)
    shore.good("key", "rotate", "owner", environment=with_identity)


def test_shares_are_typed_on_a_terminal(shore: Shore) -> None:
    words = [one["words"] for one in shore.good(
        "key", "shares", "make", "--threshold", "2", "--shares", "2", "--json"
    ).of("share")]  # fmt: skip
    shore.passphrase = None
    typed = [("share 1 (empty ends): ", words[1]), ("share 2 (empty ends): ", words[0]), ("share 3 (empty ends): ", "")]

    done = shore.talk(["key", "shares", "open", "board.json"], typed)

    assert done.code == 0, done
    assert words[0] not in done.stdout
    assert (shore.root / "board.json").stat().st_mode & 0o777 == 0o600


def test_a_changed_passphrase_opens_and_the_old_one_does_not(shore: Shore) -> None:
    done = shore.good("key", "passphrase", "change", environment={"FARSHORE_NEW_PASSPHRASE": "one that nobody knows"})

    assert "stay readable with the old passphrase" in done.stdout
    refused = shore.run("ls", "home")
    assert refused.code == 51
    shore.passphrase = "one that nobody knows"
    shore.good("snapshots")
    shore.good("key", "rotate", "owner")


def test_a_removed_recipient_opens_nothing(shore: Shore) -> None:
    recipient = shore.good("key", "generate", "friend.json").stdout.strip()
    slot = shore.good("key", "recipient", "add", recipient, "--label", "friend", "--json").of("slot")[0]["slot_id"]
    assert shore.run("key", "recipient", "remove", "beef").code == 10

    done = shore.good("key", "recipient", "remove", slot[:10])

    assert "friend) opens no more" in done.stdout
    assert "enroll" in done.stdout
    shore.passphrase = None
    assert shore.run("ls", "home", environment={"FARSHORE_REPOSITORY__IDENTITY": "friend.json"}).code == 51
    assert [one["kind"] for one in shore.good("key", "list", "--json").of("slot")] == ["passphrase", "passphrase"]


def test_a_person_vouches_for_a_repository_that_a_host_does_not_know(shore: Shore) -> None:
    recipient = shore.good("key", "generate", "safe.json").stdout.strip()
    shore.good("key", "recipient", "add", recipient)
    shore.good("backup", "home")
    words = shore.good("key", "fingerprint").stdout.split()[1]
    shore.passphrase = None
    shore.variables = {"FARSHORE_STATE_DIR": "new-machine", "FARSHORE_REPOSITORY__IDENTITY": "safe.json"}

    refused = shore.run("ls", "home")
    assert (refused.code, words in refused.stderr) == (58, True), refused
    question = "Is this the fingerprint that you wrote down? [yes/no] "
    assert shore.talk(["ls", "home"], [(question, "no")]).code == 58
    shore.good("ls", "home", "--fingerprint", words)
    shore.good("ls", "home")  # which the host remembers
    shore.variables["FARSHORE_STATE_DIR"] = "third-machine"
    assert shore.talk(["ls", "home"], [(question, "yes")]).code == 0
    shore.variables["FARSHORE_STATE_DIR"] = "fourth-machine"
    assert shore.run("key", "trust", "0" * 64).code == 33
    shore.good("key", "trust", words, "--identity", "safe.json")
    shore.variables["FARSHORE_STATE_DIR"] = "fifth-machine"
    shore.good("ls", "home")  # because the identity holds to it


def test_an_older_log_is_accepted_only_by_a_person(shore: Shore) -> None:
    words = shore.good("key", "fingerprint").stdout.split()[1]
    shore.good("key", "rotate", "owner")
    for name in shore.replicas:
        for entry in (shore.root / name / "keys/log").glob("00000002-*"):
            entry.unlink()

    refused = shore.run("snapshots")
    assert "log-rolled-back" in refused.stderr
    assert shore.run("key", "trust", words).code == refused.code
    assert shore.run("key", "trust", words, "--older-log").code == 10
    shore.good("key", "trust", words, "--older-log", "--yes")
    shore.passphrase = PASSPHRASE
    shore.good("snapshots")


def test_a_credential_comes_from_systemd(shore: Shore) -> None:
    credential = next((shore.root / "state/credentials").glob("*/credential.json"))
    folder = shore.root / "run/credentials/farshore.service"
    folder.mkdir(parents=True)
    credential.rename(folder / "farshore")
    (folder / "farshore").chmod(0o440)  # as systemd leaves it where the service has a user of its own
    config = shore.root / "farshore.toml"
    config.write_text(config.read_text().replace("[repository]", '[repository]\ncredential = { systemd = "farshore" }'))
    shore.passphrase = None

    refused = shore.run("backup", "home")
    assert (refused.code, "LoadCredential=farshore" in refused.stderr) == (55, True), refused
    shore.good("backup", "home", environment={"CREDENTIALS_DIRECTORY": str(folder)})
    shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"] = "nowhere.json"
    missing = shore.run("backup", "home")
    assert (missing.code, "nowhere.json is not there" in missing.stderr) == (55, True), missing


def test_the_old_names_name_the_new_ones(shore: Shore) -> None:
    for old, new in (("add-recipient", "key recipient add"), ("add-passphrase", "key passphrase add")):
        refused = shore.run("key", old)
        assert (refused.code, new in refused.stderr) == (2, True)


def test_a_new_owner_where_the_owners_key_is_lost(shore: Shore) -> None:
    shore.good("backup", "home")
    shore.good("key", "enroll", "db7", "--out", "db7.json")
    old_fingerprint = shore.good("key", "fingerprint").stdout.split()[0]
    shore.good("key", "split", environment={"FARSHORE_NEW_PASSPHRASE": OWNER})  # and the paper with it burns
    again = {"FARSHORE_NEW_PASSPHRASE": "the second owner keeps two"}
    asked = shore.run("key", "new-owner", environment=again)
    assert (asked.code, "nothing was changed" in asked.stderr) == (10, True), asked

    done = shore.good("key", "new-owner", "--yes", "--json", environment=again).of("new-owner")[0]

    assert done["before"] == old_fingerprint != done["fingerprint"]
    assert "db7 (writer)" in done["enroll"]
    for number, name in enumerate(shore.replicas):
        shore.good("restore", "home", "--target", f"out{number}", "--replica", name)
        assert tree(shore.root / f"out{number}") == tree(shore.root / "home")
    stale = shore.run("backup", "home")
    assert (stale.code, "new owner" in stale.stderr, "key enroll" in stale.stderr) == (33, True, True), stale
    db7 = {"FARSHORE_STATE__DIR": "db7", "FARSHORE_REPOSITORY__CREDENTIAL": "db7.json"}
    passphrase, shore.passphrase = shore.passphrase, None
    away = shore.run("backup", "ledger", environment=db7)
    assert (away.code, done["fingerprint"] in away.stderr) == (33, True), away
    shore.passphrase = passphrase

    owner = {"FARSHORE_OWNER_PASSPHRASE": again["FARSHORE_NEW_PASSPHRASE"]}
    shore.good("key", "enroll", environment=owner)
    shore.good("key", "enroll", "db7", "--out", "db7-new.json", environment=owner)
    shore.good("backup", "home")
    shore.passphrase = None
    shore.good("backup", "ledger", environment={**db7, "FARSHORE_REPOSITORY__CREDENTIAL": "db7-new.json"})
    shore.passphrase = passphrase
    shore.good("verify")
    shore.good("heal")
    stranger = {"FARSHORE_STATE__DIR": "stranger"}
    before = shore.good("snapshots", "--json", "--fingerprint", old_fingerprint, environment=stranger)
    assert len(before.of("snapshot")) == 1
    after = shore.good("snapshots", "--json", "--fingerprint", done["fingerprint_words"], environment=stranger)
    assert len(after.of("snapshot")) == 3
    shown = shore.good("key", "log", "--json").of("log-entry")
    assert [one["number"] for one in shown] == list(range(1, len(shown) + 1))


def test_an_identity_reads_one_source_only(shore: Shore) -> None:
    shore.good("key", "enroll", "db7", "--sources", "ledger", "--out", "db7.json")
    recipient = shore.good("key", "generate", "auditor.json").stdout.strip()
    wide = shore.run("key", "recipient", "add", recipient, "--sources", "home")
    assert (wide.code, "no certificate names a source 'home'" in wide.stderr) == (10, True), wide

    done = shore.good("key", "recipient", "add", recipient, "--sources", "ledger", "--label", "auditor", "--json")

    assert done.of("domain-reader")[0]["enroll"] == ["db7"]
    slot = done.of("domain-reader")[0]["slot_id"]
    assert "some domains" in shore.good("key", "show", slot).stdout
    shore.good("key", "enroll", "db7", "--sources", "ledger", "--out", "db7-new.json")
    shore.good("backup", "home")
    passphrase, shore.passphrase = shore.passphrase, None
    db7 = {"FARSHORE_STATE__DIR": "db7", "FARSHORE_REPOSITORY__CREDENTIAL": "db7-new.json"}
    shore.good("backup", "ledger", environment=db7)
    fingerprint = shore.good("key", "fingerprint").stdout.split()[0]
    auditor = {
        "FARSHORE_STATE__DIR": "auditor", "FARSHORE_REPOSITORY__IDENTITY": "auditor.json",
        "FARSHORE_REPOSITORY__FINGERPRINT": fingerprint,
    }  # fmt: skip
    shown = shore.good("snapshots", environment=auditor)
    assert "ledger" in shown.stdout
    assert "home" not in shown.stdout
    assert "docs" not in shore.good("ls", "ledger", environment=auditor).stdout
    restored = shore.run("restore", "ledger", "--target", "out", environment=auditor)
    assert (restored.code, "every hash checked" in restored.stdout) == (3, True), "it signs no audit row, so 3"
    assert (shore.root / "out").exists()
    assert shore.run("restore", "home", "--target", "none", environment=auditor).code == 12
    verified = shore.run("verify", environment=auditor)
    assert (verified.code, "sign nothing" in verified.stderr) == (3, True), verified
    assert shore.run("backup", "home", environment=auditor).code != 0
    shore.passphrase = passphrase
    assert {one["source"] for one in shore.good("snapshots", "--json").of("snapshot")} >= {"home"}
    shore.good("key", "recipient", "remove", slot)
    shore.passphrase = None
    assert shore.run("snapshots", environment=auditor).code == 51


def test_a_reader_lists_what_its_host_s_credential_does_not_open(shore: Shore) -> None:
    """The credential of `init` is of the first domain. A listing that stops there calls other hosts overdue."""
    shore.good("key", "enroll", "db7", "--sources", "home", "--out", "db7.json")
    passphrase, shore.passphrase = shore.passphrase, None
    db7 = {"FARSHORE_STATE__DIR": "db7", "FARSHORE_REPOSITORY__CREDENTIAL": "db7.json"}
    shore.good("backup", "home", environment=db7)
    foreign = shore.good("snapshots")
    assert "no snapshots" in foreign.stderr, "with no secret at hand"
    assert "of other domains" in foreign.stderr
    shore.passphrase = passphrase
    listed = shore.good("snapshots")
    assert "home" in listed.stdout
    assert "of other domains" not in listed.stderr
    states = {one["source"]: one["state"] for one in shore.run("status", "--max-age", "1h", "--json").of("source")}
    assert states["home"] != "overdue"
    assert "home" in shore.good("du").stdout


def test_certificates_end_later_once_renewed(shore: Shore) -> None:
    assert shore.run("key", "enroll", "db7", "--days", "0", "--out", "db7.json").code == 10
    shore.good("key", "enroll", "db7", "--sources", "home", "--days", "10", "--out", "db7.json")
    warned = shore.run("status")
    assert (warned.code, "farshore key renew db7" in warned.stderr) == (3, True)
    renewed = shore.good("key", "renew", "db7", "--json").of("renewed")
    assert [one["host"] for one in renewed] == ["db7"]
    shore.passphrase = None
    db7 = {"FARSHORE_STATE__DIR": "db7", "FARSHORE_REPOSITORY__CREDENTIAL": "db7.json"}
    shore.good("backup", "home", environment=db7)
    assert "certificate" not in shore.good("status", environment=db7).stderr
    assert shore.run("key", "renew", "db7").code != 0, "that is the owner's"


def test_a_host_that_was_rebuilt_goes_on_with_its_source(shore: Shore) -> None:
    shore.good("key", "enroll", "db7", "--sources", "home", "--out", "db7.json")
    passphrase, shore.passphrase = shore.passphrase, None
    before = {"FARSHORE_STATE__DIR": "db7", "FARSHORE_REPOSITORY__CREDENTIAL": "db7.json"}
    shore.good("backup", "home", environment=before)
    shore.passphrase = passphrase
    old = shore.good("key", "show", "db7", "--json").of("certificate")[0]["signer"]

    shore.good("key", "enroll", "db7", "--sources", "home", "--out", "rebuilt.json")

    shore.passphrase = None
    rebuilt = {"FARSHORE_STATE__DIR": "rebuilt", "FARSHORE_REPOSITORY__CREDENTIAL": "rebuilt.json"}
    shore.good("backup", "home", "--accept-new", environment=rebuilt)
    shore.passphrase = passphrase
    shore.good("key", "revoke", old[:12], "--reason", "rebuilt", "--yes")
    shown = shore.good("snapshots", "--json").of("snapshot")  # this host's own credential is of another domain
    assert len({one["source_id"] for one in shown}) == 1
    assert len(shown) == 2
    shore.passphrase = None
    assert shore.run("backup", "home", environment=before).code != 0
    shore.good("backup", "home", environment=rebuilt)
