"""An old repository opens for ever (design, invariant 8), and damage is named for what it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from farshore.clock import FixedClock
from farshore.config import Config
from farshore.errors import FarshoreError, FeatureMissing, FormatTooNew, HeaderDamaged, RestoreIncomplete
from farshore.format.text import encode_canonical
from farshore.ops.catalog import list_snapshots
from farshore.ops.opening import Need, open_repository
from farshore.ops.restore import restore_snapshot
from farshore.ops.verify import verify_repository
from tests.golden.regenerate import EXPECTED, REPOSITORY, config_of, describe, dump

GOLDEN = Path(__file__).parent / "v1"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy: no test touches the golden one."""
    copy = tmp_path / "copy"
    shutil.copytree(GOLDEN / REPOSITORY, copy)
    return copy


def _config(repository: Path, tmp_path: Path) -> Config:
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    return config_of(repository, state, tmp_path / "home", tmp_path / "ledger.db")


def test_version_1_opens_verifies_and_restores(repository: Path, tmp_path: Path) -> None:
    config, clock = _config(repository, tmp_path), FixedClock()
    expected = json.loads((GOLDEN / EXPECTED).read_text())
    with open_repository(config, need=Need.READ, clock=clock) as opened:
        snapshots = list_snapshots(opened)
        assert [one.source for one in snapshots] == ["home", "ledger", "home", "ledger"]
        assert verify_repository(opened, read_data_percent=100.0, clock=clock).damaged == ()
        for number, snapshot in enumerate(snapshots):
            target = tmp_path / f"restored-{number}"
            result = restore_snapshot(opened, snapshot, target, clock=clock)
            assert [one for one in result.problems if one.code == "lost"] == []
            if snapshot.source == "home":
                assert describe(target) == expected[number // 2]["home"]
            else:
                statements = "\n".join(dump(target / "ledger.db"))
                assert hashlib.sha256(statements.encode()).hexdigest() == expected[number // 2]["ledger"]


def test_the_second_snapshot_of_the_golden_image_stored_only_its_changed_pages(
    repository: Path, tmp_path: Path
) -> None:
    with open_repository(_config(repository, tmp_path), need=Need.WRITE, clock=FixedClock()) as opened:
        second = [one for one in list_snapshots(opened) if one.source == "home"][1]
    assert second.counts.bytes_new < 40_000


def _header(repository: Path, **changes: object) -> None:
    path = repository / "farshore.json"
    value = json.loads(path.read_text())
    value.pop("check")
    value |= changes
    value["check"] = blake3(encode_canonical(value)).hexdigest()
    path.write_bytes(encode_canonical(value))


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.chmod(0o644)
    path.write_bytes(change(path.read_bytes()))


def _flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


HEADERS: dict[str, tuple[Callable[[Path], None], type[FarshoreError]]] = {
    "newer-version": (lambda repository: _header(repository, version=2), FormatTooNew),
    "unknown-feature": (
        lambda repository: _header(repository, features={"must_understand": ["tides"], "may_ignore": []}),
        FeatureMissing,
    ),
    "header-flipped-bit": (
        lambda repository: _rewrite(repository / "farshore.json", lambda data: data.replace(b"1048576", b"1048577", 1)),
        HeaderDamaged,
    ),
    "header-cut": (lambda repository: _rewrite(repository / "farshore.json", lambda data: data[:50]), HeaderDamaged),
    "header-empty": (lambda repository: _rewrite(repository / "farshore.json", lambda _: b""), HeaderDamaged),
    "slot-flipped": (
        lambda repository: _rewrite(
            next((repository / "keys" / "slots").iterdir()),
            lambda data: data.replace(b'"sealed":"', b'"sealed":"AAAA', 1),
        ),
        FarshoreError,
    ),
}


@pytest.mark.parametrize("damage", HEADERS)
def test_a_damaged_header_is_its_own_clear_error(damage: str, repository: Path, tmp_path: Path) -> None:
    hurt, error = HEADERS[damage]
    hurt(repository)
    with pytest.raises(error) as caught:
        open_repository(_config(repository, tmp_path), need=Need.READ, clock=FixedClock())
    assert caught.value.hint


def test_a_feature_that_may_be_ignored_is(repository: Path, tmp_path: Path) -> None:
    _header(repository, features={"must_understand": [], "may_ignore": ["tides"]})
    open_repository(_config(repository, tmp_path), need=Need.NONE, clock=FixedClock()).__exit__()


def _largest_pack(repository: Path) -> Path:
    return max(
        (path for path in (repository / "packs").rglob("*") if path.is_file()), key=lambda one: one.stat().st_size
    )


def _any(repository: Path, pattern: str) -> Path:
    return next(repository.glob(pattern))


OBJECTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "pack-missing": (lambda repository: _largest_pack(repository).unlink(), "packs/", "missing"),
    "pack-truncated": (
        lambda repository: _rewrite(_largest_pack(repository), lambda data: data[:-1]), "packs/", "truncated",
    ),
    "pack-header-flipped": (lambda repository: _rewrite(_largest_pack(repository), _flip(10)), "packs/", "altered"),
    "pack-segment-flipped": (lambda repository: _rewrite(_largest_pack(repository), _flip(500)), "packs/", "altered"),
    "pack-footer-flipped": (lambda repository: _rewrite(_largest_pack(repository), _flip(-20)), "packs/", "altered"),
    "fragment-flipped": (lambda repository: _rewrite(_any(repository, "index/*"), _flip(90)), "index/", "altered"),
    "manifest-missing": (
        lambda repository: _any(repository, "snapshots/*/*/manifest").unlink(), "snapshots/", "missing",
    ),
    "manifest-flipped": (
        lambda repository: _rewrite(_any(repository, "snapshots/*/*/manifest"), _flip(100)), "snapshots/", "altered",
    ),
    "commit-flipped": (
        lambda repository: _rewrite(_any(repository, "snapshots/*/*/commit"), _flip(70)), "snapshots/", "undecodable",
    ),
    "data-key-flipped": (
        lambda repository: _rewrite(_any(repository, "keys/data/*/*"), _flip(200)), "keys/", "altered",
    ),
    "data-key-missing": (lambda repository: _any(repository, "keys/data/*/*").unlink(), "keys/", "missing"),
    "audit-flipped": (
        lambda repository: _rewrite(_any(repository, "audit/snapshots/*/*"), _flip(40)), "audit/", "altered",
    ),
    "seal-missing": (lambda repository: _any(repository, "audit/_seals/*/*2.json").unlink(), "audit/", "missing"),
}  # fmt: skip


@pytest.mark.parametrize("damage", OBJECTS)
def test_verify_names_the_damage(damage: str, repository: Path, tmp_path: Path) -> None:
    hurt, prefix, code = OBJECTS[damage]
    hurt(repository)
    clock = FixedClock()
    with open_repository(_config(repository, tmp_path), need=Need.READ, clock=clock) as opened:
        result = verify_repository(opened, read_data_percent=100.0, clock=clock)
    assert result.damaged
    assert {(one.name.startswith(prefix), one.code) for one in result.damaged} >= {(True, code)}
    if prefix not in ("index/", "audit/"):
        assert any(one.snapshots for one in result.damaged)


def test_lost_fragments_are_read_from_the_packs(repository: Path, tmp_path: Path) -> None:
    shutil.rmtree(repository / "index")
    clock = FixedClock()
    with open_repository(_config(repository, tmp_path), need=Need.READ, clock=clock) as opened:
        snapshot = list_snapshots(opened)[0]
        restore_snapshot(opened, snapshot, tmp_path / "back", clock=clock)
    expected = json.loads((GOLDEN / EXPECTED).read_text())
    assert describe(tmp_path / "back") == expected[0]["home"]


def test_a_flipped_segment_loses_the_files_in_it_and_says_so(repository: Path, tmp_path: Path) -> None:
    _rewrite(_largest_pack(repository), _flip(500))
    clock = FixedClock()
    with open_repository(_config(repository, tmp_path), need=Need.READ, clock=clock) as opened:
        snapshot = list_snapshots(opened)[0]
        with pytest.raises(RestoreIncomplete):
            restore_snapshot(opened, snapshot, tmp_path / "back", clock=clock)
    expected = json.loads((GOLDEN / EXPECTED).read_text())[0]["home"]
    for path, about in describe(tmp_path / "back").items():
        assert about.get("sha256") == expected[path].get("sha256"), "what is restored is right"


def test_the_golden_repository_is_never_rewritten() -> None:
    for path in (GOLDEN / REPOSITORY / "packs").rglob("*"):
        if path.is_file():
            assert blake3(path.read_bytes()).hexdigest() == path.name
