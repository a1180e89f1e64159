"""Trials D5, D11, F1, F14 with the real command: incomplete, shrunken and empty sources, and what is said of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.shore import FARSHORE, Done, Shore

ROOT = os.geteuid() == 0
NO_ROOT = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if ROOT else ()

pytestmark = pytest.mark.skipif(ROOT and not shutil.which("setpriv"), reason="root reads everything")


def run_powerless(shore: Shore, *words: str) -> Done:
    """Run one command as somebody whom permissions stop, root or not."""
    done = subprocess.run(
        [*NO_ROOT, FARSHORE, *words], cwd=shore.root, env=shore.environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    made = Shore(tmp_path, replicas=("here", "there"), quorum=2, more="")
    made.initialize()
    return made


def test_an_incomplete_snapshot_is_one_everywhere(shore: Shore) -> None:
    shore.good("backup", "home")
    (good,) = shore.good("snapshots", "home", "--json").of("snapshot")
    letter = shore.root / "home/docs/letter.txt"
    letter.chmod(0)
    backup = run_powerless(shore, "backup", "home", "--json")
    assert backup.code == 3
    (record,) = backup.of("backup")
    assert (record["state"], record["counts"]["lacking"]) == ("incomplete", 1)
    assert [one["code"] for one in record["warnings"]] == ["snapshot-incomplete", "entries-incomplete"]
    assert [one["matters"] for one in record["problems"]] == [True]

    listed = shore.good("snapshots", "home").stdout.splitlines()
    assert [line.split()[-1] for line in listed] == ["STATE", "complete", "INCOMPLETE"]

    restored = shore.run("restore", "home", "--target", "out")
    assert restored.code == 0
    before, _, _ = restored.stderr.partition("restoring snapshot")
    assert f"snapshot {good['snapshot_id'][:12]} of home" in before
    assert "is the last complete one; 1 later one is INCOMPLETE" in before
    assert (shore.root / "out/docs/letter.txt").read_text() == "dear reader\n"

    latest = shore.run("restore", "home@latest", "--target", "latest")
    assert "is INCOMPLETE: it lacks 1 entry" in latest.stderr.partition("restoring snapshot")[0]
    assert not (shore.root / "latest/docs/letter.txt").exists()

    status = shore.run("status")  # without a key: by the audit tables
    assert status.code == 3
    assert "is INCOMPLETE" in status.stderr
    aged = shore.run("status", "--max-age", "1d", "--json")
    assert aged.code == 80  # by the other source, which was never backed up
    (home,) = [one for one in aged.of("source") if one["source"] == "home"]
    assert (home["state"], home["incomplete"], home["lacking"]) == ("fresh", 1, 1)
    reported = shore.good("sql", "SELECT snapshot_id FROM last_good_backup WHERE source = 'home'", "--json").records
    assert good["snapshot_id"] in str(reported)
    states = shore.good("sql", "SELECT state, lacking, good_snapshot_id FROM source_states", "--json").records
    assert "incomplete" in str(states)
    assert good["snapshot_id"] in str(states)


def test_a_source_that_never_was_complete_is_reported_with_what_to_do(shore: Shore) -> None:
    (shore.root / "home/docs/letter.txt").chmod(0)
    shore.good("backup", "ledger")
    for _ in range(2):
        assert run_powerless(shore, "backup", "home").code == 3
    status = shore.run("status", "--max-age", "1d")
    assert status.code == 85
    assert "error[snapshot-incomplete]: 2 backups were made of home" in status.stderr
    assert "make that readable, or exclude it" in status.stderr
    restored = shore.run("restore", "home", "--target", "out")
    assert restored.code == 12
    assert "home has no complete snapshot" in restored.stderr
    assert "home@latest" in restored.stderr
    assert not (shore.root / "out").exists()


def test_a_source_that_shrinks_suddenly_is_reported_to_monitoring(shore: Shore) -> None:
    for number in range(40):
        (shore.root / f"home/{number}").write_text("content")
    shore.good("backup", "home")
    for number in range(35):
        (shore.root / f"home/{number}").unlink()
    backup = shore.run("backup", "home")
    assert backup.code == 3
    assert "shrunken suddenly" in backup.stderr
    status = shore.run("status")
    assert status.code == 3
    assert "less than half" in status.stderr
    shore.good("backup", "home")
    shore.good("status")


def test_a_first_backup_that_keeps_nothing_is_refused(shore: Shore) -> None:
    """Trial F14."""
    config = shore.root / "farshore.toml"
    config.write_text(config.read_text().replace('path = "home"\n', 'path = "home"\nexclude = ["*"]\n'))
    refused = shore.run("backup", "home")
    assert refused.code == 11
    assert "nothing would be backed up" in refused.stderr
    assert "exclude" in refused.stderr
    assert shore.good("snapshots", "--json").of("snapshot") == []
    shore.good("backup", "home", "--allow-empty")


def test_another_source_under_the_same_name_is_refused_until_it_is_accepted(shore: Shore) -> None:
    """Trial D11."""
    shore.good("backup", "home")
    (shore.root / "home").rename(shore.root / "moved")
    (shore.root / "other").mkdir()
    (shore.root / "other/file").write_text("of somebody else")
    config = shore.root / "farshore.toml"
    config.write_text(config.read_text().replace('path = "home"', 'path = "moved"'))
    shore.good("backup", "home")  # the same directory under another path
    config.write_text(config.read_text().replace('path = "moved"', 'path = "other"'))
    refused = shore.run("backup", "home")
    assert refused.code == 35
    assert "error[source-moved]: home: this is not what the last snapshot of home" in refused.stderr
    assert "--accept-new" in refused.stderr
    assert len(shore.good("snapshots", "--json").of("snapshot")) == 2
    shore.good("backup", "home", "--accept-new")
    shore.good("backup", "home")
