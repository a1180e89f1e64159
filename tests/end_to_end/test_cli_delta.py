"""`farshore restore --delta` as a person uses it: what it lists, asks, reports, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore, tree


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Shore:
    """A shore with one snapshot of `home`."""
    shore = Shore(tmp_path_factory.mktemp("delta"))
    shore.initialize()
    shore.good("backup", "home")
    return shore


@pytest.fixture
def changed(kept: Shore, tmp_path: Path) -> Path:
    """A restored tree that differs by one of each."""
    target = tmp_path / "target"
    kept.good("restore", "home", "--target", str(target))
    (target / "docs/letter.txt").write_text("dear nobody\n")
    (target / "docs/blob").touch()
    (target / "link").unlink()
    (target / "more").write_text("more\n")
    return target


def test_a_dry_run_lists_what_differs_and_ends_with_four(kept: Shore, changed: Path) -> None:
    before = tree(changed)
    done = kept.run("restore", "home", "--target", str(changed), "--delta", "--delete", "--dry-run")
    assert done.code == 4
    assert done.stdout.splitlines()[:5] == ["m .", "m docs/blob", "M docs/letter.txt", "+ link", "- more"]
    assert "nothing was changed" in done.stdout
    assert tree(changed) == before
    records = kept.run("restore", "home", "--target", str(changed), "--delta", "--dry-run", "--json")
    assert records.code == 4
    assert [(one["action"], one["path"]) for one in records.of("difference")][1:] == [
        ("metadata", "docs/blob"), ("replace", "docs/letter.txt"), ("add", "link"),
    ]  # fmt: skip
    (restored,) = records.of("restore")
    assert restored["delta"]["extra"] == 1


def test_what_differs_is_brought_back_and_then_nothing_differs(kept: Shore, changed: Path) -> None:
    done = kept.good("restore", "home", "--target", str(changed), "--delta", "--delete")
    assert "1 added, 1 replaced, 2 with other metadata, 1 deleted" in done.stdout
    assert tree(changed) == tree(kept.root / "home")
    again = kept.run("restore", "home", "--target", str(changed), "--delta", "--delete", "--by-content", "--dry-run")
    assert again.code == 0
    assert "no difference" in again.stdout
    reported = kept.good("sql", "SELECT target_kind, entries FROM restores ORDER BY started_utc DESC LIMIT 1", "--json")
    assert "directory-delta" in reported.stdout


def test_an_option_without_delta_is_a_mistake_of_usage(kept: Shore, tmp_path: Path) -> None:
    for option in ("--delete", "--dry-run", "--by-content", "--yes"):
        done = kept.run("restore", "home", "--target", str(tmp_path / "a"), option)
        assert done.code == 2
        assert f"{option} needs --delta" in done.stderr
    assert not (tmp_path / "a").exists()
    done = kept.run("restore", "home", "--target", "-", "--delta")
    assert done.code == 2
    assert "--delta compares with a directory" in done.stderr


def test_a_target_that_is_not_empty_is_referred_to_delta(kept: Shore, changed: Path) -> None:
    done = kept.run("restore", "home", "--target", str(changed))
    assert done.code == 15
    assert "--delta" in done.stderr


def test_a_person_is_asked_before_something_is_deleted(kept: Shore, changed: Path) -> None:
    words = ("restore", "home", "--target", str(changed), "--delta", "--delete")
    declined = kept.talk(words, [("Delete them? [y/N] ", "n")])
    assert declined.code == 4
    assert "  more" in declined.stdout
    assert (changed / "docs/letter.txt").read_text() == "dear nobody\n"
    done = kept.talk(words, [("Delete them? [y/N] ", "y")])
    assert done.code == 0
    assert tree(changed) == tree(kept.root / "home")
    (changed / "again").touch()
    assert kept.talk((*words, "--yes"), []).code == 0
    assert not (changed / "again").exists()
