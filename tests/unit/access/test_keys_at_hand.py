"""`Need.ANY`: a writer's keys where this host has something to open them with, and else none without an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.errors import KeyMissing
from tests.unit.ops.engine import Engine


def test_what_a_host_has_is_used_and_having_nothing_is_no_error(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize(write_only=True)
    with engine.opened(Need.ANY) as repository:
        assert repository.keys is not None
    credential = next(engine.state_dir.glob("credentials/*/*"))
    engine.repository_config = replace(engine.repository_config, identity=None)
    with engine.opened(Need.ANY) as repository:
        assert repository.keys is not None
        assert not repository.keys.can_read
    credential.parent.rename(credential.parent.with_name("ab" * 16))  # so it is that of another repository
    with engine.opened(Need.ANY) as repository:
        assert repository.keys is None
    with pytest.raises(KeyMissing), engine.opened(Need.WRITE):
        pass


def test_a_key_that_is_named_and_lacking_is_an_error(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    engine.identity.unlink()
    with pytest.raises(KeyMissing), engine.opened(Need.ANY):
        pass
