"""`farshore replica probe` as a user runs it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from farshore.cli.replica import CHECKS, ROLES
from farshore.ops.probe.probe import CHOICES
from farshore.ops.probe.verdicts import Role
from infra.local.gcs import GcsServer
from tests.end_to_end.shore import Shore


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    return Shore(tmp_path)


def test_the_command_line_names_the_checks_and_roles_of_the_engine() -> None:
    assert CHECKS == CHOICES
    assert tuple(Role) == ROLES


def test_a_directory_is_probed_before_there_is_a_repository(shore: Shore) -> None:
    done = shore.run("replica", "probe", "alpha")

    assert done.code == 3  # whoever writes a directory may delete from it
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line and line[0].islower()}
    assert rows["conditional-put"] == "ok"
    assert rows["may-delete"] == "warning"
    assert "may-delete: No file system can keep its writer from deleting" in done.stdout
    assert "download of 16 MiB" in done.stdout
    assert "was removed again" in done.stdout
    assert [path for path in (shore.root / "alpha").rglob("*") if path.is_file()] == []


def test_the_record_has_findings_figures_and_a_verdict(shore: Shore) -> None:
    done = shore.run(
        "replica", "probe", "beta", "--role", "maintainer", "--only", "ranges", "--only", "speed", "--json"
    )

    assert done.code == 0
    (record,) = done.of("probe")
    assert (record["replica"], record["role"], record["kind"], record["verdict"]) == (
        "beta",
        "maintainer",
        "directory",
        "note",
    )
    assert {"check": "ranges", "verdict": "ok"}.items() <= record["findings"][-1].items()
    assert {figure["unit"] for figure in record["figures"]} == {"ms", "MB/s"}
    assert record["objects_left"] == 0
    assert record["prefix"].startswith("probe/")


def test_what_is_kept_is_reported(shore: Shore) -> None:
    done = shore.run("replica", "probe", "beta", "--only", "ranges", "--keep")

    assert done.code == 3
    assert "left below probe/" in done.stdout
    assert "cannot remove them" not in done.stdout
    assert [path for path in (shore.root / "beta").rglob("*") if path.is_file()]


def test_an_unsafe_store_has_an_exit_code_of_its_own(shore: Shore, gcs_server: GcsServer) -> None:
    """fake-gcs-server ignores the condition of a resumable upload."""
    (shore.root / "farshore.toml").write_text(
        f'[replicas.cloud]\nurl = "{gcs_server.url("shared", "unsafe")}"\nendpoint = "{gcs_server.address}"\n'
    )
    done = shore.run("replica", "probe", "cloud", "--only", "conditional-parts")
    as_records = shore.run("replica", "probe", "cloud", "--only", "conditional-parts", "--json")

    assert done.code == as_records.code == 73
    assert "UNSAFE" in done.stdout
    assert "error[store-unsafe]: cloud: conditional-parts: 12 of 12 writers of one name won" in done.stderr
    assert as_records.of("error")[0]["code"] == "store-unsafe"
    assert as_records.of("probe")[0]["verdict"] == "unsafe"


def test_mistakes_are_reported(shore: Shore) -> None:
    unknown = shore.run("replica", "probe", "alpa")
    no_check = shore.run("replica", "probe", "alpha", "--only", "speeds")
    (shore.root / "gamma").rmdir()
    missing = shore.run("replica", "probe", "gamma")

    assert unknown.code == 10
    assert "Did you mean alpha?" in unknown.stderr
    assert no_check.code == 2
    assert missing.code == 41


@pytest.mark.parametrize("check", ["conditional-put", "listing", "speed"])
def test_an_interrupted_probe_cleans_up(shore: Shore, check: str) -> None:
    with shore.started("replica", "probe", "alpha") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == f"trying {check}\n":
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode == 130
    if check != "listing":  # its many objects may be more than a loaded machine removes in `PROBE_TIDY_S`
        assert [path for path in (shore.root / "alpha").rglob("*") if path.is_file()] == []


def test_what_a_probe_leaves_is_nothing_to_the_repository(shore: Shore) -> None:
    shore.initialize()
    shore.good("backup", "home")
    shore.run("replica", "probe", "alpha", "--only", "objects", "--keep")

    assert shore.good("verify", "--read-data").code == 0
    assert shore.good("backup", "home").code == 0
    assert shore.good("status").code == 0
