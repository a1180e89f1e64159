"""`farshore restore` as a person uses it on a bad day: what is chosen, where it goes, and what it does without."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.errors import SnapshotUnknown
from tests.contract.directory_trees import may_mount
from tests.end_to_end.shore import FARSHORE, WAIT_S, Shore, tree


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Shore:
    """A shore with one snapshot of `home`."""
    shore = Shore(tmp_path_factory.mktemp("restore"))
    (shore.root / "home/docs/Trash").mkdir()
    (shore.root / "home/docs/Trash/old.txt").write_text("thrown away\n")
    with (shore.root / "home/sparse").open("wb") as file:
        file.truncate(1 << 40)
    shore.initialize()
    shore.good("backup", "home")
    return shore


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte, which is less than the snapshot has."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_part_of_a_snapshot_goes_where_it_is_wanted(kept: Shore, tmp_path: Path) -> None:
    kept.good("restore", "home:/docs", "--target", str(tmp_path / "a"), "--exclude", "Trash/", "--exclude", "blob")
    assert tree(tmp_path / "a") == {b"letter.txt": b"dear reader\n"}
    kept.good("restore", "home", "--target", str(tmp_path / "b"), "--include", "./docs/*.txt", "--strip", "1")
    assert tree(tmp_path / "b") == {b"letter.txt": b"dear reader\n"}
    kept.good("restore", "home:docs/letter.txt", "--target", str(tmp_path / "c"))
    assert tree(tmp_path / "c") == {b"letter.txt": b"dear reader\n"}
    host = kept.good("key", "list", "--json").of("certificate")[0]["host"]
    for number, chosen in enumerate((f"{host}:home:/docs/letter.txt", f"{host}:home:docs/letter.txt")):
        kept.good("restore", chosen, "--target", str(tmp_path / f"host-{number}"))
        assert tree(tmp_path / f"host-{number}") == {b"letter.txt": b"dear reader\n"}
    unclear = kept.run("restore", "home:letter.txt", "--target", str(tmp_path / "e"))
    assert (unclear.code, "write home:/letter.txt" in unclear.stderr) == (SnapshotUnknown.exit_code, True), unclear
    clash = kept.run("restore", "home", "--target", str(tmp_path / "d"), "--strip", "1")
    assert clash.code == 92
    assert "leaves no name for" in clash.stderr
    assert not (tmp_path / "d").exists()


def test_a_pattern_that_matches_nothing_is_named(kept: Shore, tmp_path: Path) -> None:
    """Trial F8."""
    done = kept.run(
        "restore", "home", "--target", str(tmp_path / "a"), "--include", "docs", "--include", "typo", "--exclude", "no"
    )
    assert done.code == 3
    assert "warning: nothing in the snapshot matches --include typo" in done.stderr
    assert "matches --exclude no" in done.stderr
    alone = kept.run("restore", "home", "--target", str(tmp_path / "b"), "--include", "typo")
    assert alone.code == 12
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("place", ["alpha/new", "alpha", "state/x", "state/cache/x"])
def test_a_place_of_the_repository_is_no_target(kept: Shore, place: str) -> None:
    """Trial F17."""
    before = sorted((kept.root / "alpha").rglob("*"))
    done = kept.run("restore", "home", "--target", place)
    assert done.code in (90, 15)  # what is there is not empty, either
    assert sorted((kept.root / "alpha").rglob("*")) == before


def test_a_target_inside_the_source_is_reported(kept: Shore) -> None:
    """Trial N4."""
    done = kept.good("restore", "home:/docs/letter.txt", "--target", "home/docs/again")
    assert "warning: the target is inside the source home, whose next backup takes what is restored" in done.stderr


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(kept: Shore, small_disk: Path) -> None:
    """Trial N10."""
    done = kept.run("restore", "home", "--target", str(small_disk / "a"))
    assert done.code == 91
    assert "are missing" in done.stderr
    assert "--no-space-check" in done.stderr
    assert list(small_disk.iterdir()) == []
    kept.good("restore", "home", "--target", str(small_disk / "b"), "--exclude", "blob")  # a terabyte of holes fits
    again = kept.run("restore", "home:/docs", "--target", str(small_disk / "c"), "--no-space-check")
    assert again.code == 18


@pytest.mark.parametrize("variable", ["FARSHORE_STATE_DIR", "FARSHORE_CACHE"])
def test_a_restore_and_a_verify_need_no_state_and_no_cache(kept: Shore, tmp_path: Path, variable: str) -> None:
    """Trial F4: everything was restored, and then it was an error."""
    (tmp_path / "file").write_text("no directory")
    where = {variable: str(tmp_path / "file" / "state")}
    done = kept.run("restore", "home", "--target", str(tmp_path / "a"), environment=where)
    assert done.code in (0, 3), done
    assert "every hash checked" in done.stdout
    assert done.code == 0 or "no audit row" in done.stderr
    checked = kept.run("verify", environment=where)
    assert checked.code in (0, 3), checked
    assert "clean" in checked.stdout


def sent(shore: Shore, *words: str) -> bytes:
    """What a command sends to standard output as bytes; it must end with 0."""
    return subprocess.run(
        [FARSHORE, *words], cwd=shore.root, env=shore.environment, stdout=subprocess.PIPE, check=True, timeout=WAIT_S
    ).stdout


def test_one_file_goes_to_standard_output_and_nothing_else_does(kept: Shore) -> None:
    assert sent(kept, "cat", "home", "docs/blob") == (kept.root / "home/docs/blob").read_bytes()
    assert sent(kept, "cat", "home", "link", "--json") == b"dear reader\n"
    wrong = kept.run("cat", "home", "docs", "--json")
    assert wrong.code == 12
    assert wrong.stdout == ""
    assert "docs is a directory" in wrong.stderr


def test_an_archive_goes_to_standard_output_and_nothing_else_does(kept: Shore, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(sent(kept, "restore", "home", "--target", "-", "--json", "--exclude", "sparse"))
    (tmp_path / "a").mkdir()
    subprocess.run(["tar", "-x", "-f", tmp_path / "a.tar", "-C", tmp_path / "a"], check=True)
    kept.good("restore", "home", "--target", str(tmp_path / "b"), "--exclude", "sparse")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert kept.run("restore", "home", "--target", "-", "--delta", "--dry-run").code == 2
    assert "nothing for a terminal" in kept.talk(("restore", "home", "--target", "-"), ()).stdout


@pytest.mark.parametrize("words", [("cat", "home", "sparse"), ("restore", "home", "--target", "-")])
def test_a_reader_that_goes_away_ends_it_quietly(kept: Shore, words: tuple[str, ...]) -> None:
    with kept.started(*words, "--quiet") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(WAIT_S) == 141
    assert said == ""


def test_standard_output_on_a_full_disk_is_an_error(kept: Shore) -> None:
    with Path("/dev/full").open("wb") as full:
        for words in (("cat", "home", "docs/blob"), ("restore", "home", "--target", "-")):
            done = subprocess.run(
                [FARSHORE, *words],
                cwd=kept.root,
                env=kept.environment,
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
            assert done.returncode == 18
            assert b"standard output cannot be written: No space left" in done.stderr


def test_find_tells_when_a_path_was_there(kept: Shore) -> None:
    (kept.root / "home/docs/later.txt").write_text("later")
    kept.good("backup", "home")
    (kept.root / "home/docs/later.txt").unlink()
    kept.good("backup", "home")
    done = kept.good("find", "later.txt")
    assert [line.split()[3] for line in done.stdout.splitlines()] == ["+", "-"]
    added, removed = kept.good("find", "/docs/later.txt", "home", "--json").of("finding")
    assert added["snapshot_id"] == removed["previous_id"]
    assert sent(kept, "cat", removed["previous_id"], removed["path"]) == b"later"
    nothing = kept.run("find", "nowhere")
    assert nothing.code == 12
    assert "no snapshot has anything that matches nowhere" in nothing.stderr
