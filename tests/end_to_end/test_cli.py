"""The real `farshore` as a user runs it: good input, bad input, damage, lost replicas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.shore import FARSHORE, Shore, tree


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    shore = Shore(tmp_path)
    shore.initialize()
    return shore


@pytest.fixture
def kept(shore: Shore) -> Shore:
    """A shore with one backup of each source."""
    shore.good("backup", "home", "ledger")
    return shore


def test_from_nothing_to_a_restore(tmp_path: Path) -> None:
    shore = Shore(tmp_path)

    made = shore.good("init")
    assert "made at 3 replicas" in made.stdout
    assert "nobody can read the data" in made.stdout

    first = shore.good("backup", "home")
    assert "committed and read back at 3 of 3 replicas (alpha, beta, gamma; quorum 2)" in first.stdout
    (tmp_path / "home/docs/letter.txt").write_text("dear reader, again\n")
    (tmp_path / "home/new").write_text("new")
    (tmp_path / "home/link").unlink()
    shore.good("backup", "home")

    listed = shore.good("snapshots", "home").stdout.splitlines()
    assert listed[0].split() == ["SNAPSHOT", "SOURCE", "TIME", "ENTRIES", "SIZE", "NEW", "REPLICAS"]
    older, newer = (line.split() for line in listed[1:])
    assert older[-1] == newer[-1] == "alpha,beta,gamma"

    assert shore.good("ls", "home").stdout.splitlines() == [r"caf\xe9\n", "docs", "new"]
    assert shore.good("ls", "home", "--long", "docs").stdout.splitlines()[1].startswith("-rw")
    assert shore.good("ls", older[0], "-R").stdout.splitlines()[-1] == "link"
    difference = shore.good("diff", older[0], "home")
    assert difference.stdout.splitlines() == ["M docs/letter.txt", "- link", "+ new"]
    assert "1 added, 1 removed, 1 modified" in difference.stderr

    restored = shore.good("restore", "home", "--target", "out")
    assert f"restoring snapshot {newer[0]} of home" in restored.stderr
    assert "every hash checked" in restored.stdout
    assert tree(tmp_path / "out") == tree(tmp_path / "home")

    assert "clean" in shore.good("verify", "--read-data").stdout
    assert [line.count("in sync") for line in shore.good("status").stdout.splitlines()] == [0, 1, 1, 1]
    assert "home,2" in shore.good("sql", "--format", "csv", "SELECT source, count(*) FROM snapshots GROUP BY 1").stdout


def test_each_replica_alone_restores(kept: Shore) -> None:
    for name in kept.replicas:
        others = [other for other in kept.replicas if other != name]
        for other in others:
            (kept.root / other).rename(kept.root / f"{other}.away")
        kept.good("restore", "home", "--target", f"from-{name}")
        assert tree(kept.root / f"from-{name}") == tree(kept.root / "home")
        for other in others:
            (kept.root / f"{other}.away").rename(kept.root / other)


def test_part_of_a_snapshot_can_be_restored(kept: Shore) -> None:
    kept.good("restore", "home", "--target", "part", "--include", "docs/*.txt")

    assert sorted(tree(kept.root / "part")) == [b"docs", b"docs/letter.txt"]
    none = kept.run("restore", "home", "--target", "none", "--include", "*.pdf")
    assert (none.code, "nothing in the snapshot matches" in none.stderr) == (12, True)


def test_damage_is_found_named_and_stepped_over(kept: Shore) -> None:
    name = kept.flip_largest_pack("alpha")

    found = kept.run("verify", "--read-data")
    assert found.code == 62
    assert f"alpha: {name} is altered" in found.stdout
    assert "home:docs/blob" in found.stdout
    assert "error[verify-failed]: 1 object damaged or missing at alpha" in found.stderr
    status = kept.run("status")
    assert status.code == 62
    assert [line.split()[2] for line in status.stdout.splitlines()] == ["STATE", "damaged", "in", "in"]

    alone = kept.run("restore", "home", "--target", "alone", "--replica", "alpha")
    assert alone.code == 64
    assert "docs/blob" in alone.stderr

    restored = kept.run("restore", "home", "--target", "out")
    assert restored.code == 3
    assert f"{name} is altered at alpha; it was read from another replica" in restored.stderr
    assert tree(kept.root / "out") == tree(kept.root / "home")

    mended = kept.run("restore", "home", "--target", "mended", "--replica", "alpha")
    assert mended.code == 0
    assert tree(kept.root / "mended") == tree(kept.root / "home")


def test_a_replica_that_is_away_is_left_behind_while_the_quorum_holds(kept: Shore) -> None:
    (kept.root / "gamma").rename(kept.root / "away")

    done = kept.run("backup", "home")
    assert done.code == 0
    assert "at 2 of 3 replicas (alpha, beta; quorum 2)" in done.stdout
    assert "warning: home: gamma was left behind" in done.stderr
    assert "(bucket-not-found)" in done.stderr
    assert kept.run("backup", "home", "--strict").code == 3
    records = [json.loads(line) for line in kept.run("--json", "backup", "home").stdout.splitlines()]
    (reported,) = (one for one in records if one["type"] == "backup")
    assert [(one["code"], one["subject"]) for one in reported["warnings"]] == [("replica-left-behind", "gamma")]
    assert any(one["type"] == "warning" and one.get("code") == "replica-left-behind" for one in records)
    assert kept.run("status").code == 20

    (kept.root / "away").rename(kept.root / "gamma")
    behind = kept.run("status")
    assert behind.code == 3
    assert behind.stdout.splitlines()[3].split()[2:5] == ["behind", "2", "3"]


def test_below_the_quorum_a_backup_fails_and_the_next_one_works(kept: Shore) -> None:
    for name in ("beta", "gamma"):
        (kept.root / name).rename(kept.root / f"{name}.away")

    failed = kept.run("backup", "home", "ledger")
    assert failed.code == 21
    assert failed.stderr.count("error[quorum-not-reached]") == 2
    assert "hint: Bring enough replicas back" in failed.stderr
    kept.good("restore", "home", "--target", "out")

    for name in ("beta", "gamma"):
        (kept.root / f"{name}.away").rename(kept.root / name)
    kept.good("backup", "home", "ledger")


def test_a_source_that_fails_does_not_stop_the_next(shore: Shore) -> None:
    with (shore.root / "ledger.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))  # the table's own page

    done = shore.run("backup", "ledger", "home")

    assert "error[source-corrupt]: ledger:" in done.stderr
    assert "home: snapshot" in done.stdout
    assert done.code == 63


def test_a_source_that_vanished_is_an_error(kept: Shore) -> None:
    shutil.rmtree(kept.root / "home")

    done = kept.run("backup", "home")

    assert done.code == 11
    assert done.stderr.splitlines()[-2].startswith("error[source-missing]: home:")


def test_a_volume_that_is_not_mounted_is_no_empty_backup(kept: Shore) -> None:
    shutil.rmtree(kept.root / "home")
    (kept.root / "home").mkdir()

    refused = kept.run("backup", "home")
    assert refused.code not in (0, 3)
    assert "--allow-empty" in refused.stderr
    assert len(kept.good("snapshots", "home", "--json").records) == 1

    kept.good("backup", "home", "--allow-empty")


def test_the_same_identity_is_backed_up_once(shore: Shore) -> None:
    shore.good("backup", "home", "--identity", "2026-11-21T02:00Z")

    again = shore.good("backup", "home", "--identity", "2026-11-21T02:00Z")

    assert "was committed by an earlier attempt; nothing to do" in again.stdout
    assert len(shore.good("snapshots", "--json").records) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["init"], 13, "error[repository-exists]"),
        (["restore", "home", "--target", "home"], 15, "error[target-not-empty]"),
        (["restore", "home", "--target", "ledger.db"], 18, "error[target-failed]"),
        (["restore", "photos", "--target", "out"], 12, "error[snapshot-unknown]"),
        (["restore", "home@1999-01-01", "--target", "out"], 12, "error[snapshot-unknown]"),
        (["restore", "home@yesterday", "--target", "out"], 12, "error[snapshot-unknown]"),
        (["restore", "home", "--target", "out", "--replica", "alhpa"], 10, "hint: Did you mean alpha?"),
        (["ls", "home", "no/such/path"], 12, "error[snapshot-unknown]"),
        (["diff", "home", "deadbeef"], 12, "error[snapshot-unknown]"),
        (["snapshots", "hme"], 12, "error[snapshot-unknown]"),
        (["sql", "SELEC 1"], 16, "error[query-invalid]"),
        (["sql", "DROP TABLE runs"], 16, "error[query-invalid]"),
        (["sql", ""], 16, "error[query-invalid]: the query is empty"),
        (["sql", "SELECT 1", "--engine", "spork"], 16, "error[query-invalid]"),
        (["backup"], 2, "give at least one source (home, ledger) or --all"),
        (["backup", "--all", "home"], 2, "give sources or --all, not both"),
        (["key", "recipient", "add", "somebody"], 10, "neither a recipient nor a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_reported_in_a_line_with_its_own_exit_code(
    kept_for_all: Shore, words: list[str], code: int, said: str
) -> None:
    done = kept_for_all.run(*words)

    assert said in done.stderr
    assert done.code == code
    assert "hint: " in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="module")
def kept_for_all(tmp_path_factory: pytest.TempPathFactory) -> Shore:
    """One shore for tests that change nothing."""
    shore = Shore(tmp_path_factory.mktemp("kept"))
    shore.initialize()
    shore.good("backup", "--all")
    return shore


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({"FARSHORE_PASSPHRASE": "wrong"}, 51, "error[wrong-passphrase]"),
        ({"FARSHORE_PASSPHRASE": ""}, 19, "error[secret-unavailable]"),
        ({"FARSHORE_REPOSITORY__QUORM": "1"}, 0, "(did you mean FARSHORE_REPOSITORY__QUORUM?)"),
        (
            {"FARSHORE_REPOSITORY__QUORUM": "4"},
            10,
            "repository.quorum is 4, more than the number of replicas, 3",
        ),
        ({"FARSHORE_CONFIG": "/no/such/file"}, 10, "FARSHORE_CONFIG names a file that does not exist"),
        ({"FARSHORE_LOG": "loud"}, 10, "FARSHORE_LOG is 'loud'"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_a_bad_environment_is_reported(kept_for_all: Shore, environment: dict[str, str], code: int, said: str) -> None:
    words = ("ls", "home") if "FARSHORE_PASSPHRASE" in environment else ("snapshots",)  # the credential lists snapshots
    done = kept_for_all.run(*words, environment=environment)

    assert said in done.stderr
    assert done.code == code


def test_without_any_key_and_nobody_to_ask_the_missing_key_is_named(tmp_path: Path) -> None:
    shore = Shore(tmp_path)
    shore.initialize()
    shore.passphrase = None
    for credential in tmp_path.rglob("credential.json"):
        credential.unlink()

    done = shore.run("snapshots")

    assert done.code == 55
    assert "error[key-missing]" in done.stderr
    assert shore.run("status").code == 3  # which needs no key; nothing was backed up yet
    assert shore.good("sql", "SELECT 1 AS one").stdout.splitlines() == ["ONE", "  1"]
    assert shore.run("init").code != 0


def test_before_init_everything_says_so(tmp_path: Path) -> None:
    shore = Shore(tmp_path)

    for words in (["backup", "home"], ["snapshots"], ["verify"], ["status"], ["sql", "SELECT 1"]):
        done = shore.run(*words)
        assert done.code == 14, (words, done)
        assert "there is no repository" in done.stderr


def test_a_folder_that_is_not_there_is_no_replica(tmp_path: Path) -> None:
    shore = Shore(tmp_path)
    (tmp_path / "beta").rmdir()

    done = shore.run("init")

    assert done.code == 41
    assert "error[bucket-not-found]" in done.stderr
    assert not any((tmp_path / "alpha").rglob("farshore.json"))


def test_a_typo_in_the_configuration_is_reported_with_its_line(kept: Shore) -> None:
    kept.more = "[audit]\npath = true\n"
    kept.write_config()

    done = kept.run("backup", "home")

    assert done.code == 10
    assert "farshore.toml line" in done.stderr
    assert "unknown key audit.path" in done.stderr
    assert "hint: Did you mean paths?" in done.stderr


def test_of_two_repositories_in_one_configuration_the_known_one_counts(tmp_path: Path) -> None:
    one, two = Shore(tmp_path / "one"), Shore(tmp_path / "two")
    one.initialize()
    two.initialize()
    shutil.rmtree(tmp_path / "one/beta")
    shutil.copytree(tmp_path / "two/beta", tmp_path / "one/beta")

    done = one.good("backup", "home")

    assert "committed and read back at 2 of 3 replicas (alpha, gamma" in done.stdout
    assert "repository-mismatch" in done.stdout + done.stderr
    assert not (tmp_path / "one/beta/snapshots").exists()
    elsewhere = {"FARSHORE_STATE__DIR": str(tmp_path / "elsewhere"), "FARSHORE_PASSPHRASE": "of nobody"}
    stranger = one.run("snapshots", environment=elsewhere)
    assert stranger.code == 33
    assert "error[repository-mismatch]" in stranger.stderr


def test_a_source_that_is_overdue_fails_the_status(kept: Shore) -> None:
    kept.good("status", "--max-age", "1h")

    done = kept.run("status", "--max-age", "1s") if _wait_a_second() else None

    assert done is not None
    assert done.code == 80
    assert "error[backup-overdue]: the newest snapshot of home is" in done.stderr


def _wait_a_second() -> bool:
    subprocess.run(["sleep", "1.1"], check=True)
    return True


def test_a_reader_that_goes_away_ends_the_command_quietly(kept: Shore) -> None:
    for number in range(3000):
        (kept.root / f"home/docs/a file with a rather long name, so that pipes fill up, number {number}").touch()
    kept.good("backup", "home")
    piped = f"{FARSHORE} ls home --recursive | head -n 1; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", piped], cwd=kept.root, env=kept.environment, capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""


def test_a_full_disk_behind_standard_output_is_reported(kept_for_all: Shore) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{FARSHORE} ls home > /dev/full"],
        cwd=kept_for_all.root,
        env=kept_for_all.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "error[output]: cannot write standard output: No space left on device\n"


def test_closed_standard_streams_harm_nothing(kept: Shore) -> None:
    command = f"{FARSHORE} backup home <&- >&- 2>&-; echo $?"

    done = subprocess.run(
        ["bash", "-c", command], cwd=kept.root, env=kept.environment, capture_output=True, text=True, check=False
    )

    assert done.stdout == "0\n"
    kept.good("verify", "--read-data")


def test_a_locale_without_unicode_shows_every_name(kept_for_all: Shore) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    assert r"caf\xe9\n" in kept_for_all.good("ls", "home", environment=ascii_only).stdout


def test_mistakes_are_reported_with_what_was_meant(shore: Shore) -> None:
    """Trials N13, N15: options, columns, short ids, paths as people write them; names before anything is begun."""
    refused = shore.run("backup", "home", "hoem")
    assert (refused.code, "Did you mean home?" in refused.stderr) == (11, True)
    assert not shore.good("snapshots", "--json").records
    shore.good("backup", "home")
    (snapshot,) = shore.good("snapshots", "--json").records

    for words, said in {
        ("restore", "home", "--tagret", "x"): "Did you mean --target?",
        ("sql", "SELECT sourc FROM snapshots"): "Did you mean source?",
        ("sql", "SELECT nope FROM snapshots"): "The columns of snapshots are bytes_new,",
        ("sql", "SELECT source FROM snapshot"): "Did you mean snapshots?",
        ("ls", snapshot["snapshot_id"][:3]): "the beginning of an id has at least 4 digits",
    }.items():
        refused = shore.run(*words)
        assert refused.code != 0
        assert said in refused.stderr, refused
    for path in ("docs", "./docs", "/docs/", ".//docs/."):
        assert shore.good("ls", "home", path).stdout.split() == ["docs/blob", "docs/letter.txt"]


def test_a_hold_on_directories_says_what_it_needs(shore: Shore) -> None:
    """Trial N16."""
    shore.good("backup", "home")

    refused = shore.run("lock", "hold", "home", "on")

    assert refused.code == 75
    assert refused.stdout == ""
    assert "every replica of this snapshot is a directory, which has no locks" in refused.stderr
    assert "need a bucket" in refused.stderr
