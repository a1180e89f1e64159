"""`farshore verify --remote` as a process: on a host without any key, and by its exit codes and records."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    made = Shore(tmp_path)
    made.initialize(write_only=True)
    made.good("backup", "home")
    return made


def without_key(shore: Shore, tmp_path: Path) -> Shore:
    """The same replicas from a host that holds no passphrase, identity or credential."""
    other = tmp_path / "replicator"
    keyless = Shore(other, passphrase=None)
    for name in shore.replicas:
        (other / name).rmdir()
        (other / name).symlink_to(shore.root / name)
    return keyless


def test_a_host_without_any_key_checks_and_says_that_nothing_is_kept(shore: Shore, tmp_path: Path) -> None:
    done = without_key(shore, tmp_path).good("verify", "--remote")
    assert "a directory has no checksums" in done.stdout
    assert "no key to sign audit rows" in done.stderr
    keyless = without_key(shore, tmp_path / "second")
    (record,) = keyless.good("verify", "--remote", "--json").of("verify")
    assert (record["clean"], record["method"], record["recorded"], record["inconclusive"]) == (
        True,
        "remote",
        False,
        [],
    )
    assert [one["replica"] for one in record["proofs"]] == list(shore.replicas)
    assert record["proofs"][0]["tells_checksums"] is False
    assert record["requests"][0]["puts"] == 0


def test_what_is_cut_or_gone_ends_with_the_code_of_damage_and_names_its_snapshots(shore: Shore) -> None:
    (pack,) = (shore.root / "beta" / "packs").rglob("*/*")
    data = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(data[:-1])
    done = shore.run("verify", "--remote")
    assert done.code == 62
    assert "is truncated" in done.stdout
    assert "snapshots:" in done.stdout
    pack.unlink()
    done = shore.run("verify", "--remote", "--replica", "beta", "--json")
    assert done.code == 62
    (record,) = done.of("verify")
    assert [one["code"] for one in record["damaged"]] == ["missing"]
    assert shore.run("status").code == 62
    pack.write_bytes(data)
    assert shore.run("verify", "--remote").code == 0
    assert shore.run("status").code == 0


def test_a_repository_without_any_snapshot_is_not_called_clean(tmp_path: Path) -> None:
    """Trial F10."""
    shore = Shore(tmp_path)
    shore.initialize()
    verify = shore.run("verify", "--remote")
    assert verify.code == 66
    assert "clean" not in verify.stdout


def test_the_two_means_exclude_each_other(shore: Shore) -> None:
    done = shore.run("verify", "--remote", "--read-data")
    assert done.code == 2
    assert "not allowed with" in done.stderr
