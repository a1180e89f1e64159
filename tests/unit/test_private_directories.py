"""State and cache are for one user: made so, closed where that is safe, refused elsewhere."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from farshore.errors import ConfigInvalid
from farshore.host_resources import CACHE, STATE, make_private
from tests.contract.directory_trees import ROOT
from tests.unit.ops.engine import Engine, fresh_memory_urls


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine", urls=fresh_memory_urls("a"), quorum=1)


def test_a_missing_one_is_made_private_and_its_parents_as_usual(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state"
    make_private(STATE, path)
    make_private(STATE, path)
    assert mode_of(path) == 0o700
    assert mode_of(path.parent) == 0o777 & ~current_umask()


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@pytest.mark.parametrize("mode", [0o755, 0o711, 0o750, 0o770, 0o1777])
@pytest.mark.parametrize("inside", [(), ("credentials", "audit", ".hidden")])
def test_one_of_ours_that_others_may_enter_is_closed(
    tmp_path: Path, mode: int, inside: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state"
    path.mkdir()
    for name in inside:
        (path / name).mkdir()
    path.chmod(mode)
    with caplog.at_level(logging.WARNING):
        make_private(STATE, path)
    assert mode_of(path) == 0o700
    assert f"others could enter the state directory {path} (mode {mode:04o})" in caplog.text


def test_one_with_our_name_is_closed_whatever_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "farshore"
    path.mkdir()
    (path / "identity").touch()
    path.chmod(0o755)
    make_private(STATE, path)
    assert mode_of(path) == 0o700


def test_one_that_others_may_use_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lib"
    (path / "something").mkdir(parents=True)
    path.chmod(0o755)
    with pytest.raises(
        ConfigInvalid, match=r"others than its owner may enter the cache directory .*lib \(mode 0755\)"
    ) as error:
        make_private(CACHE, path)
    assert f"chmod 700 {path}" in error.value.hint
    assert mode_of(path) == 0o755


@pytest.mark.skipif(not ROOT, reason="only root can give something away")
def test_one_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()
    os.chown(path, 1234, 1234)
    path.chmod(0o755)
    with pytest.raises(ConfigInvalid, match="others than its owner may enter the state directory"):
        make_private(STATE, path)


def test_a_run_leaves_nothing_that_others_can_enter(engine: Engine) -> None:
    engine.initialize()
    with engine.opened():
        pass
    assert mode_of(engine.state_dir) == 0o700
    assert mode_of(engine.config.cache_dir) == 0o700


def test_a_state_directory_that_others_use_is_done_without(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.initialize()
    (engine.state_dir / "something").touch()
    engine.state_dir.chmod(0o755)
    with engine.opened() as repository:
        assert repository.state_dir != engine.state_dir
        assert mode_of(repository.state_dir) == 0o700
    assert "others than its owner may enter the state directory" in caplog.text
    assert mode_of(engine.state_dir) == 0o755


def test_no_credential_is_left_where_others_may_enter(engine: Engine) -> None:
    engine.state_dir.mkdir()
    (engine.state_dir / "something").touch()
    engine.state_dir.chmod(0o755)
    with pytest.raises(ConfigInvalid, match="others than its owner may enter the state directory"):
        engine.initialize(write_only=True)


def test_a_cache_that_others_use_is_done_without(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.initialize()
    cache = engine.config.cache_dir
    cache.mkdir(exist_ok=True)
    (cache / "something").touch()
    cache.chmod(0o755)
    with engine.opened() as repository:
        assert repository.cache_dir != cache
        assert mode_of(repository.cache_dir) == 0o700
    assert "others than its owner may enter the cache directory" in caplog.text
